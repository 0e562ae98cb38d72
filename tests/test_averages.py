"""Averages of laws: mixtures that are asked as a fit is asked."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import bayescale as bs
from bayescale import law_weights
from bayescale.averages import WHICH, own_name
from bayescale.law_misses import what_it_misses
from bayescale.leave_out import LeftOut
from bayescale.mixture_weights import bootstrap_counts, mixture_weights, pseudo_bma
from bayescale.predictive_draws import log_predictive, loss_draws, parameter_draws

pytestmark = pytest.mark.usefixtures("compiled_quickly")

AT = {"N": [1e9, 3e7], "D": [2e10, 3e8], "family": ["moe", "dense"]}


@pytest.fixture(scope="module")
def mixed(small_fit, c_only_fit):
    return bs.average({"both": small_fit, "c only": c_only_fit}, {"c only": 0.3, "both": 0.7})


def test_a_mixture_lies_where_its_members_lie(mixed):
    draws = {name: loss_draws(fit, AT, kind="new-run") for name, fit in mixed.fits.items()}
    prediction = bs.predict(mixed, AT)
    both = prediction.draws.to_numpy()
    for target in range(2):
        for at in np.quantile(np.concatenate(list(draws.values())), [0.1, 0.4, 0.6, 0.9]):
            parts = {name: np.mean(values[:, target] < at) for name, values in draws.items()}
            expected = sum(mixed.weights[name] * part for name, part in parts.items())
            assert np.mean(both[:, target] < at) == pytest.approx(expected, abs=0.02)
    assert "both 70%, c only 30%" in prediction.warnings[0]
    assert prediction.table["decades_beyond"].tolist() == pytest.approx([np.log10(200), 0.0])
    assert "One more run of moe at N=1e9, D=2e10" in prediction.sentences[0]


def test_shares_of_the_spread_say_how_far_laws_disagree(mixed, small_fit):
    table = bs.predict(mixed, AT, kind="mean").table
    names = [name for name in table if name.startswith("share_")]
    assert names == ["share_law", "share_disagreement"]
    assert table[names].sum(axis=1).to_numpy() == pytest.approx(1.0)
    own = {name: np.log(loss_draws(fit, AT)) for name, fit in mixed.fits.items()}
    centre = sum(w * np.median(own[n], axis=0) for n, w in mixed.weights.items())
    between = sum(w * (np.median(own[n], axis=0) - centre) ** 2 for n, w in mixed.weights.items())
    within = sum(w * own[n].var(axis=0) for n, w in mixed.weights.items())
    found = table["share_disagreement"].to_numpy()
    np.testing.assert_allclose(found, between / (between + within), atol=0.1)
    assert found.max() > 0.2


def test_a_law_agrees_with_itself(small_fit):
    same = bs.predict(bs.average({"one": small_fit, "again": small_fit}), AT).table
    alone = bs.predict(small_fit, AT).table
    assert same["share_disagreement"].to_numpy() == pytest.approx(0.0)
    assert same["share_run"].to_numpy() == pytest.approx(alone["share_run"].to_numpy())


def test_its_density_is_the_weighted_mean_of_the_members_densities(mixed):
    rows = mixed.runs.table.iloc[[0, 25]]

    def density(fit):
        values = log_predictive(fit, rows)
        return np.exp(values).mean(axis=0)

    expected = sum(w * density(mixed.fits[n]) for n, w in mixed.weights.items())
    np.testing.assert_allclose(density(mixed), expected, rtol=1e-12)


def test_a_draw_is_of_one_law_whatever_is_asked(mixed):
    """Decisions evaluate the law at draws of parameters: each by its own law and draw."""
    targets = pd.DataFrame({"N": [1e9], "D": [2e10], "C": [1.2e20], "family": ["moe"]})
    values = parameter_draws(mixed, targets)
    columns = {name: targets[name].to_numpy(float) for name in ("N", "D", "C")}
    np.testing.assert_allclose(
        mixed.law.mean(values, columns), loss_draws(mixed, targets), rtol=1e-12
    )
    some = np.arange(0, 4000, 7)
    few = {name: v[some] for name, v in values.items()}
    grid = {"N": np.geomspace(1e8, 1e9, 3)[None], "D": np.full((len(some), 3), 1e10), "C": 6e18}
    there = mixed.law.mean(few, grid)
    law = mixed.fits["both"].law
    mine = few[WHICH][:, 0] == 0
    own = {p: few[own_name(p, "both")][mine] for p in law.parameters}
    np.testing.assert_allclose(there[mine], law.mean(own, {**grid, "D": grid["D"][mine]}))


def test_decisions_take_an_average(small_fit):
    twice = bs.average({"a": small_fit, "b": small_fit})
    alone = bs.allocate(small_fit, C=1e18, at={"family": "dense"})
    plan = bs.allocate(twice, C=1e18, at={"family": "dense"})
    assert plan.N == pytest.approx(alone.N, rel=1e-9)
    assert plan.sensitivities is not None
    assert set(plan.sensitivities["change"]) == {"the law a alone", "the law b alone"}
    choice = bs.compare_recipes(twice, by="family", at={"C": 1e18})
    expected = bs.compare_recipes(small_fit, by="family", at={"C": 1e18})
    pd.testing.assert_frame_equal(choice.table, expected.table, rtol=1e-6)
    slices = bs.conditional_effects(twice, "N", {"family": "moe"}, points=4)
    assert slices["median"].is_monotonic_decreasing


def test_what_an_average_has_not_is_said(mixed):
    for verb in (bs.summary, bs.diagnose, partial(bs.hypothesis, hypotheses="alpha > 0")):
        with pytest.raises(bs.BayescaleError, match=r"no posterior of its own.*fits\['both'\]"):
            verb(mixed)


def test_an_average_is_saved_and_predicts_as_it_did(mixed, tmp_path):
    again = bs.load(bs.save(mixed, tmp_path / "average.nc"))
    assert again.weights == mixed.weights
    one, other = (bs.predict(m, AT).draws.to_numpy() for m in (mixed, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5], "2 numbers of 0 or more"),
        ([0.5, -0.1], "2 numbers of 0 or more"),
        ([0.0, 0.0], "not all 0"),
        (["much", 1.0], "2 numbers of 0 or more"),
        ({"a": 1.0, "c": 1.0}, "weights are of a, c, and fits of a, b"),
        (pd.DataFrame({"w": [1, 2]}), "no column 'weight'"),
    ],
)
def test_weights_that_are_none(small_fit, weights, message):
    with pytest.raises(bs.DataError, match=message):
        bs.average({"a": small_fit, "b": small_fit}, weights)


def test_weights_come_by_name_or_in_order(small_fit):
    fits = {"a": small_fit, "b": small_fit}
    table = pd.DataFrame({"weight": [3.0, 1.0]}, index=["b", "a"])
    for weights in (table, table["weight"], [1, 3], {"a": 1, "b": 3}):
        assert bs.average(fits, weights).weights == {"a": 0.25, "b": 0.75}
    assert bs.average(fits).weights == {"a": 0.5, "b": 0.5}


def test_fits_of_different_data_are_refused(small_fit, crossed_fit):
    with pytest.raises(bs.DataError, match="40 and 192 rows"):
        bs.average({"a": small_fit, "b": crossed_fit})
    table = small_fit.runs.table.copy()
    table.loc[7, "loss"] += 0.01
    other = dataclasses.replace(small_fit, runs=dataclasses.replace(small_fit.runs, table=table))
    with pytest.raises(bs.DataError, match="row 7 has loss"):
        bs.compare_laws({"a": small_fit, "b": other}, method="equal")
    units = dataclasses.replace(small_fit.runs, units={"loss": "bit/byte"})
    with pytest.raises(bs.DataError, match=r"of loss \(nat/token\) and loss \(bit/byte\)"):
        bs.average({"a": small_fit, "b": dataclasses.replace(small_fit, runs=units)})
    with pytest.raises(bs.DataError, match="two fits or more"):
        bs.average({"a": small_fit})


def test_equal_weights_and_what_each_law_misses(small_fit, c_only_fit):
    table = bs.compare_laws({"a": small_fit, "b": c_only_fit}, method="equal")
    assert table["weight"].tolist() == [0.5, 0.5]
    assert table.loc["a", "misses"] == "nothing that stands out"
    assert table.loc["b", "misses"].startswith(("bends along", "differs by"))
    with pytest.raises(bs.BayescaleError, match="method is one of lfo"):
        bs.compare_laws({"a": small_fit, "b": c_only_fit}, method="waic")


def test_stacking_says_what_it_cannot_see(small_fit, c_only_fit):
    for method in ("stacking", "pseudo-bma+"):
        table = bs.compare_laws({"a": small_fit, "b": c_only_fit}, method=method)
        assert table.index[0] == "a"
        assert table.loc["a", "weight"] > 0.95
        assert table["weight"].sum() == pytest.approx(1.0)
        assert table.loc["b", "elpd_diff"] < -20
        assert any("can't see a law fail in extrapolation" in n for n in table.attrs["notes"])


def test_larger_runs_foretold_from_smaller_weigh_laws(small_fit, c_only_fit, monkeypatch):
    """Scores made up: the first law foretells three blocks of four better, the second one."""
    rng = np.random.default_rng(2)
    block = np.repeat([1, 2, 3, 4], 5)
    ahead = np.where(block < 4, 1.0, -1.0)
    asked = []

    def foretold(fit, blocks, first, by, within, **options):
        asked.append((blocks, first, by, within))
        better = fit.law.name == "chinchilla"
        pointwise = pd.DataFrame(
            {"elpd": 3.0 + better * ahead, "block": block}, index=[f"r{i}" for i in range(20)]
        )
        errors = pd.Series(rng.normal(0.0 if better else 0.02, 0.001, 20))
        elpd = pointwise["elpd"].sum()
        return LeftOut("lfo_cv", elpd, 1.0, np.nan, pointwise, errors, 4000, ("said",))

    monkeypatch.setattr(law_weights, "lfo", foretold)
    table = bs.compare_laws({"b": c_only_fit, "a": small_fit})
    assert asked == [(4, 0.5, "C", ["family"])] * 2
    assert table.index.tolist() == ["a", "b"]
    assert 0.6 < table.loc["a", "weight"] < 0.9
    assert (table["weight_lower"] < table["weight"]).all()
    assert (table["weight"] < table["weight_upper"]).all()
    assert table["equal"].tolist() == [0.5, 0.5]
    assert table.loc["a", "elpd"] - table.loc["b", "elpd"] == pytest.approx(10.0)
    assert table.attrs["score"]["weights"] > table.attrs["score"]["equal"]
    assert table.loc["b", "lean"] == pytest.approx(0.02, abs=0.002)
    assert "a: said" in table.attrs["notes"]
    assert bs.average({"a": small_fit, "b": c_only_fit}, table).weights["a"] > 0.6


def test_laws_that_foretell_alike_are_weighed_alike(small_fit, tmp_path):
    """From refits to weights; the second law's refits come from the store of the first."""
    table = bs.compare_laws({"a": small_fit, "b": small_fit}, blocks=1, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert table["weight"].tolist() == pytest.approx([0.5, 0.5])
    assert table["elpd"].iloc[0] > 0
    assert table["elpd_diff"].tolist() == [0.0, 0.0]
    assert abs(table["lean"].iloc[0]) < 0.01


def test_a_backtest_of_an_average(small_fit, c_only_fit, monkeypatch):
    fits = {"chinchilla": small_fit, "power_law": c_only_fit}
    monkeypatch.setattr(law_weights, "fit", lambda law, rows, **options: fits[law.name])
    laws = {"a": small_fit.law, "b": c_only_fit.law}
    done = bs.backtest_average(laws, small_fit.runs, "C < 1e17", method="equal")
    assert done.notes[0] == "weights: a 0.500, b 0.500"
    assert done.metrics["n_train"] + done.metrics["n_test"] == 40
    rows = small_fit.runs.where("C >= 1e17").table
    density = [np.exp(log_predictive(fit, rows)).mean(axis=0) for fit in fits.values()]
    assert done.metrics["log_score"] == pytest.approx(np.log(np.mean(density, axis=0)).mean())
    with pytest.raises(bs.DataError, match="two laws or more"):
        bs.backtest_average({"a": small_fit.law}, small_fit.runs, "C < 1e17")


def test_what_a_law_misses_is_named(small_fit):
    table = small_fit.runs.table
    for factor, found in [
        (np.log10(table["D"] / 3e8) ** 2 * 0.05, "bends along D"),
        ((table["family"] == "moe") * 0.2, "differs by family"),
    ]:
        bent = table.assign(loss=table["loss"] * np.exp(factor))
        runs = dataclasses.replace(small_fit.runs, table=bent)
        assert what_it_misses(dataclasses.replace(small_fit, runs=runs)).startswith(found)


# --- weights by themselves ---------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(2, 4), st.floats(0.0, 3.0))
def test_weights_are_the_optimum_that_they_claim(seed, members, prior):
    rng = np.random.default_rng(seed)
    density = rng.normal(0, 2, (12, members))
    count = rng.uniform(0.1, 2.0, 12)

    def score(weights):
        return count @ np.log(np.exp(density) @ weights) + prior * np.mean(np.log(weights))

    found = mixture_weights(density, count, prior)
    assert found.sum() == pytest.approx(1.0)

    def objective(free):
        weights = np.exp(np.append(free, 0.0))
        return -score(weights / weights.sum())

    best = -minimize(objective, np.zeros(members - 1), method="Nelder-Mead").fun
    assert score(np.maximum(found, 1e-300)) >= best - 1e-3


def test_a_prior_pulls_towards_equal_weights():
    density = np.tile([0.0, -1.0], (6, 1))
    free, held, firm = (mixture_weights(density, np.ones(6), p)[0] for p in (0.0, 1.0, 100.0))
    assert free > 0.999
    assert free > held > firm > 0.5
    assert firm < 0.6


def test_a_block_counts_as_one_however_many_runs_it_has():
    """Ten runs of one block for the first law weigh no more than one run for the second."""
    density = np.log(np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]]))
    block = np.array([1] * 10 + [2])
    count, drawn = bootstrap_counts(block)
    assert mixture_weights(density, count, 1.0).tolist() == pytest.approx([0.5, 0.5], abs=1e-4)
    spread = mixture_weights(density, drawn, 1.0)
    assert spread.shape == (500, 2)
    low, high = np.quantile(spread[:, 0], [0.05, 0.95])
    assert low < 0.25
    assert high > 0.75


def test_pseudo_bma_is_the_bootstrap_of_arviz():
    from arviz_stats.loo.compare import compare

    rng = np.random.default_rng(1)
    density = rng.normal([0.0, -0.1], 0.5, (60, 2))
    ours, drawn = pseudo_bma(density)
    assert drawn.shape == (500, 2)
    left = {
        name: LeftOut(
            "loo",
            density[:, k].sum(),
            1.0,
            1.0,
            pd.DataFrame({"elpd": density[:, k], "pareto_k": 0.1}),
            pd.Series(dtype=float),
            1000,
        ).arviz
        for k, name in enumerate("ab")
    }
    theirs = compare(left, method="BB-pseudo-BMA")["weight"].astype(float)
    assert ours[0] == pytest.approx(theirs["a"], abs=0.03)
    stacked = compare(left, method="stacking")["weight"].astype(float)
    assert mixture_weights(density, np.ones(60))[0] == pytest.approx(stacked["a"], abs=0.01)
