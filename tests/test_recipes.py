"""Recipe comparisons on hand-made posteriors with known answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from bayescale.budgets import plan_budget
from bayescale.catalog import load_law
from bayescale.costs import Measured, SixND
from bayescale.errors import DataError, LawError
from bayescale.frontiers import Frontier, crossover, multiplier
from bayescale.law import Law
from bayescale.recipe_curves import keeping
from bayescale.recipe_metrics import several_metrics
from bayescale.recipes import compare_with, rank
from bayescale.responses import Response
from bayescale.runs import Runs

LAW = load_law("chinchilla")
CENTRE = {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": 0.34, "beta": 0.28}
NOISE = 0.01


@dataclass(frozen=True)
class FakeFit:
    """What a decision reads of a fit."""

    law: Law
    runs: Runs
    groups: dict
    draws: dict


def posterior(size=600, spread=0.03, seed=0, **changes):
    """Draws of two families that share everything but what `changes` says of the second."""
    rng = np.random.default_rng(seed)
    first = {k: v * np.exp(rng.normal(0, spread, size)) for k, v in CENTRE.items()}
    second = {k: first[k] * changes.get(k, 1.0) for k in first}
    return {"tf": first, "rnn": second}


def fake_parameter_draws(fit, targets):
    families = [fit.draws[name.split("-")[0]] for name in targets["family"]]
    return {k: np.stack([f[k] for f in families], axis=1) for k in fit.law.parameters}


def fake_loss_draws(fit, targets, kind, seed):
    mean = fit.law.mean(
        fake_parameter_draws(fit, targets), {c: targets[c].to_numpy() for c in ("N", "D")}, np
    )
    if kind == "mean":
        return mean
    return mean * np.exp(np.random.default_rng(seed).normal(0, NOISE, mean.shape))


def fit(draws=None, drop=(), **columns):
    """Two architectures on two corpora: four families, as in the bundled ladder."""
    N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    parts = []
    for recipe in ("tf", "rnn"):
        for corpus in ("prose", "code"):
            part = pd.DataFrame({"N": N, "D": D, "C": 6 * N * D, "recipe": recipe})
            parts.append(part.assign(corpus=corpus, family=f"{recipe}-{corpus}"))
    table = pd.concat(parts, ignore_index=True).assign(**columns).drop(columns=list(drop))
    groups = {"family": sorted(table["family"].unique())}
    return FakeFit(LAW, Runs(table), groups, draws or posterior(A=1.1))


def compare(a_fit, **options):
    return compare_with(fake_parameter_draws, fake_loss_draws, a_fit, **options)


def frontier_loss(p, C):
    """The closed form of the least loss at a budget (Hoffmann et al. 2022, eq. 4)."""
    s = p["alpha"] + p["beta"]
    a, b = p["alpha"] * p["A"], p["beta"] * p["B"]
    power = a ** (p["beta"] / s) * b ** (p["alpha"] / s)
    scale = (C / 6) ** (-p["alpha"] * p["beta"] / s)
    return p["E"] + s / (p["alpha"] * p["beta"]) * power * scale


def test_rank_by_hand():
    draws = np.array([[2.0, 2.1, 3.0], [2.2, 2.1, 3.0], [2.0, 2.0, 3.0], [2.0, 2.4, 3.0]])
    table = rank(draws, ["a", "b", "c"]).set_index("recipe")
    assert table["p_best"].tolist() == pytest.approx([0.625, 0.375, 0.0])
    assert table["expected_regret"].tolist() == pytest.approx([0.025, 0.125, 0.975])
    assert table.loc["a", "median"] == pytest.approx(2.0)


def test_a_dominated_recipe_is_never_best_however_wide_the_posterior():
    result = compare(fit(posterior(A=1.1, spread=0.2)), at={"C": 1e22, "corpus": "prose"})
    table = result.table.set_index("recipe")
    assert table.loc["tf", "p_best"] == 1.0  # draws are joint: what is shared cancels
    assert table.loc["tf", "expected_regret"] == 0.0
    assert table.loc["rnn", "expected_regret"] > 0.0
    assert table.loc["tf", "lower_95"] < table.loc["tf", "median"] < table.loc["tf", "upper_95"]


def test_new_runs_add_noise_of_each_arm_to_the_same_question():
    a_fit = fit(posterior(A=1.02))
    law = compare(a_fit, at={"C": 1e22, "corpus": "prose"}).table.set_index("recipe")
    runs = compare(a_fit, at={"C": 1e22, "corpus": "prose"}, kind="new-run").table
    runs = runs.set_index("recipe")
    assert law.loc["tf", "p_best"] == 1.0
    assert 0.5 < runs.loc["tf", "p_best"] < 0.9
    assert runs["expected_regret"].min() > 0


def test_each_recipe_takes_its_own_best_split():
    a_fit = fit(posterior(A=2.0))
    table = compare(a_fit, at={"C": 1e22, "corpus": "code"}).table.set_index("recipe")
    assert table.loc["rnn", "N"] > table.loc["tf", "N"]
    assert (6 * table["N"] * table["D"]).tolist() == pytest.approx([1e22, 1e22])
    p = {k: v[:, None] for k, v in a_fit.draws["rnn"].items()}
    plan = plan_budget(
        lambda N, D: p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"], 1e22
    )
    assert table.loc["rnn", "N"] == pytest.approx(plan.N)


def test_at_a_size_and_tokens_all_are_asked_there():
    a_fit = fit()
    table = compare(a_fit, at={"N": 1e9, "D": 2e10, "corpus": "prose"}).table
    assert table["N"].tolist() == [1e9, 1e9]
    p = a_fit.draws["tf"]
    at = p["E"] + p["A"] * 1e9 ** -p["alpha"] + p["B"] * 2e10 ** -p["beta"]
    assert table.set_index("recipe").loc["tf", "median"] == pytest.approx(np.median(at))


def test_crossover_is_where_the_closed_form_frontiers_meet():
    draws = posterior(E=0.97, A=1.25, B=1.25)  # worse at first, a lower floor later
    result = compare(fit(draws), at={"C": 1e20, "corpus": "prose"})
    row = result.crossovers.iloc[0]
    assert row["pair"] == "rnn vs tf"
    log_c = np.linspace(np.log(6e16), np.log(6e24), 20001)
    tf, rnn = draws["tf"], draws["rnn"]
    exact = np.full(600, np.nan)
    for s in range(600):
        a, b = ({k: v[s] for k, v in draws_of.items()} for draws_of in (tf, rnn))
        gap = frontier_loss(a, np.exp(log_c)) - frontier_loss(b, np.exp(log_c))
        place = np.flatnonzero(np.diff(np.sign(gap)))
        exact[s] = log_c[place[0]] if len(place) else np.nan
    crossing = exact[np.isfinite(exact)]
    assert row["p_none"] == pytest.approx(np.isnan(exact).mean(), abs=0.005)
    assert np.log(row["median"]) == pytest.approx(np.median(crossing), abs=5e-3)
    assert np.log(row["upper"]) == pytest.approx(np.quantile(crossing, 0.975), abs=2e-2)
    assert row["p_a_ahead"] > 0.5


def test_no_crossover_of_a_dominated_recipe():
    row = compare(fit(), at={"C": 1e20, "corpus": "prose"}).crossovers.iloc[0]
    assert row["p_none"] == 1.0
    assert np.isnan(row["median"])


def test_multiplier_of_a_recipe_whose_compute_is_worth_a_known_factor():
    """With A and B larger by k**(s / ...) the frontier is that at less compute, exactly."""
    factor = 1.7
    draws = posterior(spread=0.0, size=5)
    power = CENTRE["alpha"] * CENTRE["beta"] / (CENTRE["alpha"] + CENTRE["beta"])
    worse = factor**power
    draws["rnn"] = {**draws["tf"], "A": draws["tf"]["A"] * worse, "B": draws["tf"]["B"] * worse}
    row = compare(fit(draws), at={"C": 1e20, "corpus": "prose"}).multipliers.iloc[0]
    assert (row["a"], row["b"]) == ("rnn", "tf")
    assert row["median"] == pytest.approx(1 / factor, rel=1e-4)
    assert row["p_none"] == 0.0


def test_multiplier_is_none_where_the_floor_is_too_high():
    row = compare(fit(posterior(E=1.3)), at={"C": 1e21, "corpus": "prose"}).multipliers
    row = row.iloc[0]
    assert row["b"] == "tf"
    assert row["p_none"] < 1.0  # less compute of tf does as well as rnn
    lower = compare(fit(posterior(E=0.4)), at={"C": 1e21, "corpus": "prose"}).multipliers
    assert lower.iloc[0]["p_none"] == 1.0


def test_each_recipe_pays_its_own_cost():
    cheap = fit()
    table = cheap.runs.table
    dear = fit(C=table["C"] * np.where(table["recipe"] == "rnn", 3.0, 1.0))
    result = compare(dear, at={"C": 1e22, "corpus": "prose"}).table.set_index("recipe")
    assert 18 * result.loc["rnn", "N"] * result.loc["rnn", "D"] == pytest.approx(1e22)
    assert 6 * result.loc["tf", "N"] * result.loc["tf", "D"] == pytest.approx(1e22)
    named = compare(
        cheap,
        at={"C": 1e22, "corpus": "prose"},
        cost={"tf": SixND(), "rnn": Measured((1e8,), (18e8,))},
    )
    assert named.table.set_index("recipe").loc["rnn", "N"] == pytest.approx(
        result.loc["rnn", "N"], rel=1e-6
    )
    with pytest.raises(DataError, match="no cost of rnn"):
        compare(cheap, at={"C": 1e22, "corpus": "prose"}, cost={"tf": SixND()})


def test_families_may_be_compared_by_their_own_name():
    result = compare(fit(), by="family", at={"C": 1e22, "corpus": "code"})
    assert sorted(result.table["recipe"]) == ["rnn-code", "tf-code"]


def test_frontier_interpolation_and_its_ends():
    grid = np.linspace(30, 60, 88)
    curve = Frontier(grid, np.stack([2 + np.exp(-0.1 * grid), 2 + np.exp(-0.2 * grid)]))
    where = np.array([41.234, 30.01])
    assert curve.at(where) == pytest.approx(2 + np.exp([-4.1234, -6.002]), abs=1e-6)
    assert np.isnan(curve.at(61.0)).all()
    assert np.isnan(crossover(curve, curve, 40, 41)).sum() in (0, 2)
    assert multiplier(curve, curve, 45.0, 5.0) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("a_fit", "options", "message"),
    [
        (fit(), {"at": {"C": 1e22}}, r"(?s)several corpora; name.*- code.*- prose"),
        (fit(), {"at": {"corpus": "prose"}}, "at what scale"),
        (fit(), {"at": {"C": 1e22, "N": 1e9, "corpus": "prose"}}, "got N, C"),
        (fit(), {"at": {"C": -1, "corpus": "prose"}}, "C is -1"),
        (fit(), {"at": {"C": 1e22, "corpus": "verse"}}, "no run has corpus 'verse'"),
        (fit(), {"at": {"C": 1e22, "colour": "red"}}, "'colour', which is no column"),
        (fit(drop=["recipe"]), {"at": {"C": 1e22}}, "no column 'recipe'.*family"),
        (fit(recipe="tf"), {"at": {"C": 1e22, "corpus": "prose"}}, "only recipe tf"),
        (fit(family="all"), {"at": {"C": 1e22, "corpus": "prose"}}, "can't tell them apart"),
        (fit(drop=["corpus"]), {"at": {"C": 1e22}}, "(?s)several groups.*rnn: rnn-code; rnn-prose"),
    ],
)
def test_comparisons_that_mean_nothing_are_refused(a_fit, options, message):
    with pytest.raises(DataError, match=message):
        compare(a_fit, **options)


def test_losses_of_different_evaluation_sets_are_refused():
    table = fit().runs.table
    own = fit(evaluation=np.where(table["recipe"] == "tf", "set one", "set two"))
    with pytest.raises(DataError, match=r"(?s)different evaluation sets.*rnn: set two"):
        compare(own, at={"C": 1e22, "corpus": "prose"})
    same = compare(fit(evaluation="set one"), at={"C": 1e22, "corpus": "prose"})
    assert len(same.table) == 2


def test_a_comparison_prints_a_line_a_recipe():
    comparison = compare(fit(), at={"C": 1e22, "corpus": "prose"})
    lines = repr(comparison).splitlines()
    assert lines[0].split()[:3] == ["recipe", "p_best", "expected_regret"]
    assert {line.split()[0] for line in lines[1:3]} == {"tf", "rnn"}


def test_the_curve_over_scale_agrees_with_single_comparisons():
    a_fit = fit(posterior(E=0.97, A=1.25, B=1.25))
    result = compare(a_fit, at={"C": 1e20, "corpus": "prose"})
    curve = result.curve
    assert curve["C"].min() == pytest.approx(6e16) and curve["C"].max() == pytest.approx(6e24)
    assert curve.groupby("C")["p_best"].sum().to_numpy() == pytest.approx(1.0)
    C = curve["C"].iloc[len(curve) // 2]
    single = compare(a_fit, at={"C": C, "corpus": "prose"}).table.set_index("recipe")
    here = curve[curve["C"] == C].set_index("recipe")
    assert here["p_best"].to_dict() == pytest.approx(single["p_best"].to_dict(), abs=0.01)
    assert here["median"].to_dict() == pytest.approx(single["median"].to_dict(), abs=2e-3)
    regret = single["expected_regret"].to_dict()
    assert here["expected_regret"].to_dict() == pytest.approx(regret, abs=1e-3)


def test_an_arm_stops_when_keeping_it_is_worth_nothing():
    table = compare(fit(posterior(A=1.1)), at={"C": 1e22, "corpus": "prose"})
    assert table.stoppable() == ["rnn"]
    close = compare(fit(posterior(E=0.999, A=1.001)), at={"C": 1e22, "corpus": "prose"})
    assert close.stoppable(0.0) in ([], ["rnn"], ["tf"])
    draws = np.array([[1.0, 2.0, 3.0], [2.0, 1.5, 3.0], [1.0, 1.9, 3.0]])
    without_b = np.delete(draws, 1, axis=1).min(axis=1) - draws.min(axis=1)
    assert keeping(draws)[1] == pytest.approx(without_b.mean())
    with pytest.raises(DataError, match="tolerance is -1"):
        table.stoppable(-1)


def test_several_metrics_by_hand():
    loss = pd.DataFrame({"a": [1.0, 1.0, 2.0], "b": [2.0, 2.0, 1.0]})
    error = pd.DataFrame({"b": [0.5, 0.1, 0.1], "a": [0.4, 0.3, 0.3]})
    table = several_metrics({"loss": loss, "error": error}, {"loss": 1.0, "error": 10.0})
    table = table.set_index("recipe")
    assert table.loc["a", "p_best_loss"] == pytest.approx(2 / 3)
    assert table.loc["b", "p_best_error"] == pytest.approx(2 / 3)
    assert table.loc["a", "p_best_all"] == pytest.approx(1 / 3)
    assert table.loc["b", "p_best_all"] == pytest.approx(1 / 3)
    assert table["p_undominated"].to_dict() == pytest.approx({"a": 2 / 3, "b": 2 / 3})
    # sums: a 5, 4, 5; b 7, 3, 2
    assert table["expected_regret"].to_dict() == pytest.approx({"a": 4 / 3, "b": 2 / 3})
    with pytest.raises(DataError, match="no weight of error"):
        several_metrics({"loss": loss, "error": error}, {"loss": 1.0})
    with pytest.raises(DataError, match="error: is of c, a, not a, b"):
        several_metrics({"loss": loss, "error": error.rename(columns={"b": "c"})})


def test_metrics_fitted_apart_are_compared_together(small_fit):
    import bayescale as bs

    fits = {"loss": small_fit, "again": small_fit}
    table = bs.compare_metrics(fits, by="family", at={"C": 1e16})
    assert sorted(table["recipe"]) == ["dense", "moe"]
    single = bs.compare_recipes(small_fit, by="family", at={"C": 1e16}).table
    expected = single.set_index("recipe")["p_best"]
    assert table.set_index("recipe")["p_best_loss"].to_dict() == pytest.approx(expected.to_dict())


def test_scores_are_no_losses():
    """The best recipe by a score would be told for the worst."""
    scored = replace(LAW, response=Response("score", link="logit"))
    with pytest.raises(LawError, match="score of law 'chinchilla' is better the higher"):
        compare(replace(fit(), law=scored))
