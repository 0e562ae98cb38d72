"""Allocations against closed forms and hand-made draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from bayescale import costs
from bayescale.allocation import allocate_with
from bayescale.budgets import plan_budget
from bayescale.catalog import load_law
from bayescale.errors import DataError, LawError
from bayescale.law import Law
from bayescale.runs import Runs

LAW = load_law("chinchilla")


@dataclass(frozen=True)
class FakeFit:
    """What a decision reads of a fit."""

    law: Law
    runs: Runs
    groups: dict


def some_draws(size=400, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    centre = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
    return {k: v * np.exp(rng.normal(0, spread, (size, 1))) for k, v in centre.items()}


def surface(p):
    return lambda N, D: p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"]


def closed_form(p, C):
    """Hoffmann et al. (2022), eq. 4."""
    total = p["alpha"] + p["beta"]
    G = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / total)
    return G * (C / 6) ** (p["beta"] / total)


def fake_parameter_draws(fit, targets):
    shift = 1.0 if targets["family"].iloc[0] == "dense" else 1.3
    draws = some_draws()
    return {**draws, "A": draws["A"] * shift}


def fake_predict(fit, targets, kind):
    assert kind == "mean"
    return targets


def fit(families=("dense", "moe"), law=LAW, **columns):
    rows = {"N": 1e8, "D": 1e10, "C": 6e18, "family": list(families), **columns}
    groups = {"family": list(families)} if len(families) > 1 else {}
    return FakeFit(law, Runs(pd.DataFrame(rows)), groups)


def allocate(a_fit, C, **options):
    return allocate_with(fake_parameter_draws, fake_predict, a_fit, C, **options)


@pytest.mark.parametrize("C", [1e18, 5.76e23, 1e27])
def test_optima_agree_with_the_closed_form(C):
    draws = some_draws()
    plan = plan_budget(surface(draws), C)
    exact = np.log(closed_form(draws, C))
    inside = plan.optima.interior
    assert inside.mean() > 0.95
    assert np.abs(plan.optima.x - exact)[inside].max() < 1e-6


@pytest.mark.parametrize(
    ("constants", "N"),
    [
        ({"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}, 3.22e10),
        (
            {
                "E": np.exp(0.5267228),
                "A": np.exp(6.0073404),
                "B": np.exp(6.0179186),
                "alpha": 0.33917084,
                "beta": 0.2849083,
            },
            4.04e10,
        ),
        ({"E": 1.81686, "A": 482.01, "B": 2085.43, "alpha": 0.34781, "beta": 0.36585}, 7.22e10),
    ],
)
def test_published_optima(constants, N):
    """The project's oracles at Chinchilla's budget: rounded, unrounded, and Besiroglu et al."""
    draws = {k: np.full((1, 1), v) for k, v in constants.items()}
    plan = plan_budget(surface(draws), 5.76e23)
    assert plan.N == pytest.approx(N, rel=4e-3)  # the constants are printed rounded
    assert plan.D == pytest.approx(5.76e23 / 6 / plan.N)
    assert plan.expected_regret == pytest.approx(0, abs=1e-12)


def test_the_choice_minimises_the_expected_loss_not_the_mean_optimum():
    draws = some_draws(spread=0.2)
    plan = plan_budget(surface(draws), 1e22)
    around = plan.N * np.exp(np.array([-0.05, 0, 0.05]))
    mean = surface(draws)(around[None], 1e22 / 6 / around[None]).mean(axis=0)
    assert mean.argmin() == 1
    assert np.log(plan.N) != pytest.approx(plan.optima.x.mean(), abs=1e-3)


def test_two_opposed_draws_by_hand():
    """L_s = 2 + (log N - c_s)^2 with c = 10 and 12: regret of x is ((x-10)^2 + (x-12)^2) / 2."""
    centre = np.array([[10.0], [12.0]])

    def opposed(N, D):
        return 2 + (np.log(N) - centre) ** 2 + 0 * D

    plan = plan_budget(opposed, 1e12, tolerance=1.25)
    assert np.log(plan.N) == pytest.approx(11, abs=1e-6)
    assert plan.expected_regret == pytest.approx(1.0)
    assert np.log(plan.near_optimal) == pytest.approx([10.5, 11.5], abs=1e-6)
    narrow = plan_budget(opposed, 1e12, tolerance=0.5)
    assert np.isnan(narrow.near_optimal).all()
    assert any("no N has an expected regret within 0.5" in note for note in narrow.notes)


def test_near_optimal_range_meets_its_tolerance_at_both_ends():
    draws = some_draws(spread=0.03)
    plan = plan_budget(surface(draws), 1e22, tolerance=0.01)
    ends = np.array([plan.near_optimal])
    regret = (surface(draws)(ends, 1e22 / 6 / ends) - plan.optima.value).mean(axis=0)
    assert regret == pytest.approx([0.01, 0.01], abs=1e-9)
    assert plan.near_optimal[0] < plan.N < plan.near_optimal[1]
    wider = plan_budget(surface(draws), 1e22, tolerance=0.02)
    assert wider.near_optimal[0] < plan.near_optimal[0]


def test_draws_without_an_interior_optimum_are_counted_and_left_out():
    draws = some_draws(100)
    draws["B"][:10] = 0.0  # tokens don't matter: the largest model is best
    plan = plan_budget(surface(draws), 1e22)
    assert plan.p_no_interior == pytest.approx(0.1)
    assert plan.N_interval[1] < 1e14
    assert any("10.0% of the draws have no optimum" in note for note in plan.notes)
    inside = np.exp(plan.optima.x[plan.optima.interior])
    assert plan.N_interval == pytest.approx(tuple(np.quantile(inside, [0.025, 0.975])))


def test_utility_of_the_worst_cases():
    draws = some_draws(spread=0.2)
    careful = plan_budget(surface(draws), 1e22, utility="cvar")
    plain = plan_budget(surface(draws), 1e22)
    own = plan_budget(surface(draws), 1e22, utility=lambda losses: losses.mean(axis=0))

    def worst_tenth(N):
        losses = surface(draws)(np.array([[N]]), np.array([[1e22 / 6 / N]]))[:, 0]
        return np.sort(losses)[-40:].mean()

    assert worst_tenth(careful.N) < worst_tenth(plain.N)
    assert careful.expected_regret >= plain.expected_regret
    assert own.N == pytest.approx(plain.N)


def test_inference_makes_models_smaller_and_spends_the_budget():
    draws = some_draws()
    cost = costs.TrainingPlusInference(1e13)
    served = plan_budget(surface(draws), 1e24, cost)
    plain = plan_budget(surface(draws), 1e24)
    assert served.N < plain.N
    assert 6 * served.N * served.D + 2 * served.N * 1e13 == pytest.approx(1e24)


def test_inference_optimum_meets_its_first_order_condition():
    """At the least loss on a total budget, elasticity_N / elasticity_D = 1 + T / (3 D)."""
    p = {k: v[:1] for k, v in some_draws().items()}
    T = 3e12
    plan = plan_budget(surface(p), 1e24, costs.TrainingPlusInference(T))
    by_n = p["alpha"] * p["A"] * plan.N ** -p["alpha"]
    by_d = p["beta"] * p["B"] * plan.D ** -p["beta"]
    assert (by_n / by_d).item() == pytest.approx(1 + T / (3 * plan.D), rel=1e-6)


def test_curve_is_tidy_and_lowest_at_the_choice():
    plan = plan_budget(surface(some_draws()), 1e22)
    assert list(plan.curve) == ["N", "D", "loss", "lower_95", "upper_95", "expected_regret"]
    assert plan.curve["expected_regret"].min() == pytest.approx(plan.expected_regret, abs=1e-4)
    assert (6 * plan.curve["N"] * plan.curve["D"]).to_numpy() == pytest.approx(1e22)
    lowest = plan.curve.loc[plan.curve["loss"].idxmin(), "N"]
    assert lowest == pytest.approx(plan.N, rel=0.1)


def test_the_verb_asks_for_a_group_and_predicts_at_its_choice():
    dense = allocate(fit(), 1e22, at={"family": "dense"})
    moe = allocate(fit(), 1e22, at={"family": "moe"})
    assert moe.N > dense.N
    assert dense.loss[["family", "N", "D"]].to_numpy().tolist() == [["dense", dense.N, dense.D]]
    assert "C = 1e+22" in str(dense)
    with pytest.raises(DataError, match=r"(?s)several groups; say which.*dense, moe"):
        allocate(fit(), 1e22)


def test_a_group_is_filled_in_where_other_labels_imply_it():
    result = allocate(fit(recipe=["a", "b"]), 1e22, at={"recipe": "b"})
    assert result.loss["family"].tolist() == ["moe"]


def test_a_cost_of_ones_own():
    dear = costs.Measured(sizes=(1e8,), per_token=(12e8,))
    result = allocate(fit(), 1e22, at={"family": "dense"}, cost=dear)
    assert 12 * result.N * result.D == pytest.approx(1e22)
    assert result.loss["C"].iloc[0] == pytest.approx(1e22)
    odd = allocate(fit(C=[12e18, 12e18]), 1e22, at={"family": "dense"})
    assert any("own C is 2 times" in note for note in odd.notes)


def test_cost_read_from_rows():
    rows = pd.DataFrame({"N": [1e6, 1e6, 1e8], "D": [1e8, 2e8, 1e9]})
    rows["C"] = rows["D"] * [9e6, 9e6, 6e8]
    cost = costs.from_rows(rows)
    assert cost.flops(1e6, 1e8) == pytest.approx(9e14)
    assert cost.tokens(1e6, 9e14) == pytest.approx(1e8)
    assert cost.flops(1e10, 1e10) == pytest.approx(6e20)
    between = cost.flops(1e7, 1.0) / 1e7
    assert 6 < between < 9
    assert isinstance(cost, costs.Cost)
    with pytest.raises(DataError, match="without C"):
        costs.from_rows(rows[["N", "D"]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": -1.0}, "C is -1.0: give a positive number"),
        ({"C": np.inf}, "C is inf"),
        ({"C": "much"}, "C is 'much'"),
        ({"C": 1e22, "tolerance": 0}, "tolerance is 0"),
        ({"C": 1e22, "inference_tokens": -5}, "inference tokens of -5"),
        ({"C": 1e10, "inference_tokens": 1e13}, "leaves no N"),
        ({"C": 1e22, "utility": "median"}, "utility is 'mean', 'cvar'"),
        ({"C": 1e22, "at": {"family": "rnn"}}, "no run has family 'rnn'.*dense, moe"),
        ({"C": 1e22, "at": {"colour": "red"}}, "'colour', which is no column"),
    ],
)
def test_faults_are_named(options, message):
    with pytest.raises(DataError, match=message):
        allocate(fit(), **{"at": {"family": "dense"}, **options})


def test_a_law_without_sizes_is_refused():
    one = Law.from_function(
        lambda p, c, xp: p["E"] * c["C"] ** -0.1,
        variables={"C": {"column": "C"}},
        parameters={"E": {"prior": "HalfNormal(2)"}},
        name="compute_only",
    )
    with pytest.raises(LawError, match="'compute_only' is one of C: fit a law of both"):
        allocate(fit(law=one), 1e22, at={"family": "dense"})


def test_an_allocation_prints_in_a_few_lines():
    plan = allocate(fit(), C=1e22, at={"family": "moe"})
    assert repr(plan) == str(plan)
    assert len(repr(plan).splitlines()) < 8
    assert f"N = {plan.N:.3g}" in repr(plan)
