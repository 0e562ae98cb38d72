"""Diagnostics that refuse, and the tables of priors and parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.diagnostics import flat_draws
from bayescale.floor_priors import shifted_floors
from bayescale.model_from_runs import build_model
from bayescale.symptoms import Floor, funnel


def altered(fit, change):
    data = fit.data.copy(deep=True)
    change(data)
    return replace(fit, data=data)


def test_a_stuck_chain_is_refused_by_name(small_fit):
    def stick(data):
        data["posterior"]["alpha"].values[0] += 0.5

    diagnosis = bs.diagnose(altered(small_fit, stick))
    assert not diagnosis.ok
    assert diagnosis.max_rhat > 1.1
    assert any("alpha" in p and "R-hat" in p and "run longer" in p for p in diagnosis.problems)


def test_divergences_and_low_energy_are_refused(small_fit):
    def diverge(data):
        data["sample_stats"]["diverging"].values[0, :40] = True

    def freeze(data):
        energy = data["sample_stats"]["energy"]
        energy.values[:] = np.cumsum(np.ones(energy.shape), axis=1)

    diverged = bs.diagnose(altered(small_fit, diverge))
    assert diverged.divergences >= 40
    assert not diverged.ok
    assert any("target_accept" in p for p in diverged.problems)
    frozen = bs.diagnose(altered(small_fit, freeze))
    assert any("E-BFMI" in p for p in frozen.problems)


def test_a_few_divergences_only_warn(small_fit):
    def diverge(data):
        data["sample_stats"]["diverging"].values[:] = False
        data["sample_stats"]["diverging"].values[0, :2] = True

    diagnosis = bs.diagnose(altered(small_fit, diverge))
    assert any("2 scattered divergences" in w for w in diagnosis.warnings)


def test_summary_has_population_group_and_spread(small_fit):
    table = bs.summary(small_fit)
    assert {"alpha", "alpha[dense]", "alpha[moe]", "sigma", "nu"} <= set(table.index)
    names, draws = flat_draws(small_fit.data["posterior"].dataset)
    column = draws[..., names.index("alpha[moe]")]
    assert table.loc["alpha[moe]", "mean"] == pytest.approx(column.mean())
    from arviz_base import rcParams

    assert table.attrs["ci_prob"] == rcParams["stats.ci_prob"]
    wide = bs.summary(small_fit, 0.99)
    assert np.all(wide["upper"] - wide["lower"] > table["upper"] - table["lower"])
    with pytest.raises(bs.BayescaleError, match="between 0 and 1"):
        bs.summary(small_fit, 95)


def test_prior_summary_shows_shares_and_users_units(small_fit):
    law = bs.prior_summary(bs.load_law("chinchilla"))
    assert "A / N**alpha / typical loss" in law.loc["A", "on"]
    assert law.loc["alpha", "prior_median"] == pytest.approx(0.35)
    fitted = bs.prior_summary(small_fit)
    row = fitted.loc["A"]
    assert row["prior_lower"] < row["posterior_median"] < row["prior_upper"]
    width = np.log(row["prior_upper"] / row["prior_lower"])
    assert width > 2 * np.log(row["posterior_upper"] / row["posterior_lower"])


def test_a_prior_far_from_the_data_is_named(small_fit):
    assert abs(small_fit.prior_z) < 3
    wrong = replace(small_fit, prior_z=-7.0)
    diagnosis = bs.diagnose(wrong)
    assert not diagnosis.ok
    assert any("prior and data conflict" in p and "units" in p for p in diagnosis.problems)


def test_chains_at_rest_in_two_places_are_called_modes(small_fit):
    def part(data):
        data["posterior"]["alpha"].values[2:] += 0.5

    def wander(data):
        values = data["posterior"]["alpha"].values
        values += np.linspace(0.0, 1.0, values.shape[1])

    assert any("several modes" in p for p in bs.diagnose(altered(small_fit, part)).problems)
    wandering = bs.diagnose(altered(small_fit, wander))
    assert not wandering.ok
    assert not any("several modes" in p for p in wandering.problems)


def test_divergences_where_a_spread_is_small_are_called_a_funnel():
    rng = np.random.default_rng(0)
    draws = np.exp(rng.normal(size=(4, 500, 2)))
    low = draws[..., 1] < np.quantile(draws[..., 1], 0.05)
    names = ["alpha", "sd(E|family)"]
    assert "sd(E|family) is small, a funnel" in (funnel(names, draws, low) or "")
    for _ in range(20):
        assert funnel(names, draws, rng.random((4, 500)) < rng.uniform(0.002, 0.2)) is None
    twice = np.where(draws[..., 1] < np.quantile(draws[..., 1], 0.2), 0.16, 0.06)
    assert "of them in the 20%" in (funnel(names, draws, rng.random((4, 500)) < twice) or "")
    assert funnel(["alpha", "beta"], draws, low) is None


def test_fewer_runs_than_parameters_are_named_where_chains_are_bad(small_fit):
    table = small_fit.runs.table
    few = table.groupby("family").head(3)

    def diverge(data):
        data["sample_stats"]["diverging"].values[0, :40] = True

    def named(fit):
        return [p for p in bs.diagnose(fit).problems if "parameters of their own" in p]

    assert not named(altered(small_fit, diverge))  # twenty runs a family
    thin = build_model(small_fit.law, few)
    (said,) = named(altered(replace(small_fit, model=thin), diverge))
    assert "half of the levels of family have no more than 3 runs for 5 parameters" in said
    assert "pool={'A': [], 'alpha': [], 'B': [], 'beta': []}" in said
    assert not named(replace(small_fit, model=thin))


def test_a_floor_as_wide_as_its_prior_is_named(small_fit):
    """Two families over two decades tell the floor; a posterior as wide as the prior does not.

    Every answer beyond the runs says so, too.
    """
    largest = {name: float(small_fit.runs.table[name].max()) for name in ("N", "D")}
    inside, beyond = [{k: f * v for k, v in largest.items()} for f in (0.5, 10.0)]

    def said(fit, at):
        family = fit.runs.table["family"].iloc[0]
        yield bs.predict(fit, pd.DataFrame([{**at, "family": family}])).warnings
        yield bs.compare_recipes(fit, by="family", at=at).notes
        yield bs.allocate(fit, C=6 * at["N"] * at["D"], at={"family": family}).loss.warnings

    def names(words):
        return any("don't tell the floor E" in word and "prior=" in word for word in words)

    assert not names(bs.diagnose(small_fit).warnings)
    assert not any(names(words) for words in said(small_fit, beyond))

    def blur(data):
        values = data["posterior"]["E"].values
        rng = np.random.default_rng(0)
        values[:] = values.mean() * np.exp(0.4 * rng.standard_normal(values.shape))

    blurred = altered(small_fit, blur)
    assert names(bs.diagnose(blurred).warnings)
    assert all(names(words) for words in said(blurred, beyond))
    assert not any(names(words) for words in said(blurred, inside))


def test_weights_of_a_shared_floor_are_the_ratio_of_its_priors(small_fit, monkeypatch):
    """LogNormal(m, s): the log ratio is linear in the log of the floor."""
    targets = pd.DataFrame({"N": [1e13], "D": [1e15], "family": ["dense"]})
    assert shifted_floors(small_fit, targets) == []  # these runs tell it
    floor = Floor("E", 0.4, 0.4)
    monkeypatch.setattr("bayescale.floor_priors.untold_floors", lambda fit: [floor])
    logged = []
    monkeypatch.setattr(
        "bayescale.floor_priors.reweighted", lambda change, weights: logged.append(weights)
    )
    shifted_floors(small_fit, targets)
    E = small_fit.data["posterior"]["E"].transpose("chain", "draw").to_numpy().ravel()
    for weights, sign in zip(logged, (-1.0, 1.0), strict=True):
        slope, _ = np.polyfit(np.log(E), weights, 1)
        assert slope == pytest.approx(sign * 0.4 / 0.4**2, rel=1e-6)
        assert np.std(weights - slope * np.log(E)) < 1e-9


def test_draws_that_a_moved_prior_rules_out_have_no_weight(small_fit, monkeypatch):
    targets = pd.DataFrame({"N": [1e13], "D": [1e15], "family": ["dense"]})
    E = small_fit.data["posterior"]["E"].transpose("chain", "draw").to_numpy().ravel()
    highest = 1.001 * E.max()
    half = Floor("E", 0.4, np.log(highest / np.median(E)))  # moved so far it rules out half
    law = small_fit.law.with_priors(E={"prior": f"Uniform(0, {highest})", "on": "value"})
    structure = replace(small_fit.model.structure, law=law)
    fit = replace(small_fit, model=replace(small_fit.model, structure=structure))
    monkeypatch.setattr("bayescale.floor_priors.untold_floors", lambda fit: [half])
    lower, higher = shifted_floors(fit, targets)
    assert lower.change == "prior of E one sd lower"
    assert E[lower.index].max() <= np.median(E)
    assert np.array_equal(E[higher.index], E)  # as likely as before


def test_nouns_print_in_a_line(small_fit):
    assert repr(small_fit) == "<Fit of chinchilla to 40 rows, 2 of family; see summary, diagnose>"
    assert repr(small_fit.law) == "<Law chinchilla: loss = E + A / N**alpha + B / D**beta>"
    assert repr(small_fit.runs).startswith("<Runs of table: 40 rows of family, N, D, C")
