"""Sweeps, requirements, waste, targets and other variables against closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from bayescale import optimum_many
from bayescale.allocation import allocate_with
from bayescale.budgets import plan_budget
from bayescale.catalog import load_law
from bayescale.costs import RepeatedData, SixND
from bayescale.errors import DataError
from bayescale.law import Law
from bayescale.runs import Runs
from bayescale.surfaces import equivalent_budget
from bayescale.sweeps import requirement, sweep
from bayescale.tuning import optimise_with
from bayescale.what_changes import Reweighting, changed_answers, reweighted, sentence

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def some_draws(size=400, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    centre = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
    return {k: v * np.exp(rng.normal(0, spread, (size, 1))) for k, v in centre.items()}


def surface(p):
    return lambda N, D: p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"]


def least_loss(p, C):
    s = p["alpha"] + p["beta"]
    a, b = p["alpha"] * p["A"], p["beta"] * p["B"]
    power = a ** (p["beta"] / s) * b ** (p["alpha"] / s)
    scale = (C / 6) ** (-p["alpha"] * p["beta"] / s)
    return (p["E"] + s / (p["alpha"] * p["beta"]) * power * scale)[:, 0]


def test_a_sweep_agrees_with_the_closed_form_and_with_single_plans():
    p = some_draws()
    made = sweep(surface(p), [1e20, 1e22, 1e24])
    for _, row in made.table.iterrows():
        exact = least_loss(p, row["C"])
        assert row["frontier"] == pytest.approx(np.median(exact), abs=1e-5)
        assert row["lower_95"] == pytest.approx(np.quantile(exact, 0.025), abs=1e-5)
    plan = plan_budget(surface(p), 1e22)
    row = made.table.iloc[1]
    assert row["N"] == pytest.approx(plan.N, rel=1e-6)
    assert row["expected_regret"] == pytest.approx(plan.expected_regret, abs=1e-5)
    assert row["N_lower"] == pytest.approx(plan.N_interval[0], rel=0.02)
    slope = (p["beta"] / (p["alpha"] + p["beta"]))[:, 0]
    assert made.exponent == pytest.approx(
        (np.median(slope), *np.quantile(slope, [0.025, 0.975])), abs=2e-3
    )
    assert "N grows as C" in repr(made)
    with pytest.raises(DataError, match="two different budgets"):
        sweep(surface(p), [1e20, 1e20])


def test_waste_is_the_compute_that_a_known_law_would_save():
    p = some_draws(200)
    plan = plan_budget(surface(p), 1e22)
    reached = surface(p)(np.array([[plan.N]]), np.array([[plan.D]]))[:, 0]
    worth = equivalent_budget(surface(p), SixND(), 1e22, reached)
    assert least_loss(p, worth[:, None]) == pytest.approx(reached, abs=1e-5)
    assert plan.waste == pytest.approx(np.mean(1 - worth / 1e22))
    assert 0 < plan.waste < 1
    sure = plan_budget(surface({k: v[:1] for k, v in p.items()}), 1e22)
    assert sure.waste == pytest.approx(0, abs=1e-3)


def test_a_target_is_reached_most_surely_by_the_choice_for_it():
    p = some_draws(800, spread=0.15)
    target = float(np.quantile(least_loss(p, 1e22), 0.3))
    sure = plan_budget(surface(p), 1e22, utility="reach", target=target)
    plain = plan_budget(surface(p), 1e22, target=target)
    grid = np.geomspace(plain.N / 100, plain.N * 100, 400)[None]
    every = np.mean(surface(p)(grid, 1e22 / 6 / grid) <= target, axis=0)
    assert sure.p_target >= plain.p_target - 0.005
    assert sure.p_target == pytest.approx(every.max(), abs=0.01)
    with pytest.raises(DataError, match="needs the loss to be reached"):
        plan_budget(surface(p), 1e22, utility="reach")


def test_least_compute_inverts_the_frontier():
    p = some_draws(1)
    found = requirement(surface(p), float(least_loss(p, 3e22)[0]), 0.9, SixND(), 1e28)
    assert found.C == pytest.approx(3e22, rel=1e-3)
    assert found.C_interval == pytest.approx((3e22, 3e22), rel=1e-3)
    assert found.p_never == 0


def test_least_compute_reaches_its_probability_and_no_more():
    p = some_draws(500, spread=0.03)
    loss = float(np.median(least_loss(p, 1e23)))
    found = requirement(surface(p), loss, 0.8, SixND(), 1e40)
    reached = surface(p)(np.array([[found.N]]), np.array([[found.D]]))[:, 0] <= loss
    assert reached.mean() == pytest.approx(0.8, abs=0.004)
    assert found.C > found.C_interval[0]
    surer = requirement(surface(p), loss, 0.6, SixND(), 1e40)
    assert surer.C < found.C


def test_a_loss_below_the_floor_is_said_to_be_out_of_reach():
    p = some_draws(200, spread=0.02)
    found = requirement(surface(p), 1.0, 0.9, SixND(), 1e30)
    assert found.C == np.inf
    assert found.p_never == 1.0
    assert "reaches 1 with probability 0.9" in repr(found)


@dataclass(frozen=True)
class FakeFit:
    law: Law
    runs: Runs
    groups: dict


def tuning_law():
    def loss(p, c, xp):
        lr, batch = xp.log(c["lr"]), xp.log(c["batch"])
        away = lr - p["lr0"] - 0.5 * (batch - p["b0"])
        return p["E"] + c["N"] ** -0.3 + away**2 + 0.3 * (batch - p["b0"]) ** 2

    prior = {"prior": "HalfNormal(2)"}
    return Law.from_function(
        loss,
        variables={v: {"column": v} for v in ("N", "lr", "batch")},
        parameters={"E": prior, "lr0": {"prior": "Normal(0, 9)"}, "b0": {"prior": "Normal(0, 9)"}},
    )


def test_learning_rate_and_batch_are_chosen_together():
    rng = np.random.default_rng(0)
    params = {
        "E": np.full((300, 1), 2.0),
        "lr0": np.log(1e-3) + 0.2 * rng.standard_normal((300, 1)),
        "b0": np.log(256) + 0.3 * rng.standard_normal((300, 1)),
    }
    table = pd.DataFrame({"N": [1e8], "lr": [1e-3], "batch": [64.0]})
    a_fit = FakeFit(tuning_law(), Runs(table), {})
    over = {"lr": (1e-5, 1e-1), "batch": (8, 8192)}
    made = optimise_with(lambda *_: params, a_fit, over, at={"N": 1e9})
    rows = made.table.set_index("variable")
    assert np.log(rows.loc["lr", "value"]) == pytest.approx(params["lr0"].mean(), abs=1e-4)
    assert np.log(rows.loc["batch", "value"]) == pytest.approx(params["b0"].mean(), abs=1e-4)
    ends = np.exp(np.quantile(params["lr0"], [0.025, 0.975]))
    assert rows.loc["lr", ["lower", "upper"]].tolist() == pytest.approx(ends.tolist(), rel=1e-4)
    spread = (params["lr0"] - 0.5 * params["b0"]).var() + 0.3 * params["b0"].var()
    assert made.expected_regret == pytest.approx(spread, rel=1e-3)
    assert rows.loc["lr", "near_lower"] != rows.loc["lr", "near_lower"]  # nothing is that near
    with pytest.raises(DataError, match="has no variable depth"):
        optimise_with(lambda *_: params, a_fit, {"depth": (1, 2)}, at={"N": 1e9})
    with pytest.raises(DataError, match="also needs N"):
        optimise_with(lambda *_: params, a_fit, over)
    with pytest.raises(DataError, match="the first is larger"):
        optimise_with(lambda *_: params, a_fit, {"lr": (1.0, 0.1), "batch": (1, 2)}, at={"N": 1e9})


def test_several_variables_on_a_budget_agree_with_the_split_of_one():
    p = some_draws(300)
    a_fit = FakeFit(load_law("chinchilla"), Runs(pd.DataFrame({"N": [1e8], "D": [1e9]})), {})
    made = optimise_with(lambda *_: p, a_fit, {"N": (1e6, 1e13)}, C=1e22)
    plan = plan_budget(surface(p), 1e22)
    rows = made.table.set_index("variable")
    assert rows.loc["N", "value"] == pytest.approx(plan.N, rel=1e-4)
    assert rows.loc["D", "value"] == pytest.approx(plan.D, rel=1e-4)
    assert made.expected_regret == pytest.approx(plan.expected_regret, rel=1e-3)


def test_shares_of_a_mixture_sum_to_one():
    law = Law.from_function(
        lambda p, c, xp: p["a"] / c["w1"] ** 0.5 + p["b"] / c["w2"] ** 0.5 + 1.0 / c["w3"] ** 0.5,
        variables={w: {"column": w} for w in ("w1", "w2", "w3")},
        parameters={"a": {"prior": "HalfNormal(1)"}, "b": {"prior": "HalfNormal(1)"}},
    )
    params = {"a": np.full((1, 1), 8.0), "b": np.full((1, 1), 1.0)}
    a_fit = FakeFit(law, Runs(pd.DataFrame({"w1": [0.3], "w2": [0.3], "w3": [0.4]})), {})
    made = optimise_with(lambda *_: params, a_fit, {}, mixture=("w1", "w2", "w3"))
    # the derivatives agree: shares go as the weights to the power 2/3, here 4 : 1 : 1
    assert made.table["value"].tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6], abs=1e-4)


def test_epochs_follow_from_repeated_data():
    """A law of unique tokens: allocate stops buying passes once they teach little."""
    law = Law.from_function(
        lambda p, c, xp: (
            1.7
            + 400.0 * c["N"] ** -0.34
            + p["B"] * (c["U"] * (1 + 5 * (1 - xp.exp(-(c["D"] / c["U"] - 1) / 5)))) ** -0.28
        ),
        variables={v: {"column": v} for v in ("N", "D", "U")},
        parameters={"B": {"prior": "HalfNormal(900)"}},
    )
    params = {"B": np.full((1, 1), 400.0)}
    table = pd.DataFrame({"N": [1e8], "D": [1e9], "U": [1e9]})
    a_fit = FakeFit(law, Runs(table), {})

    def asked(cost):
        return allocate_with(lambda *_: params, lambda *a, **k: None, a_fit, 1e22, cost=cost)

    plenty, little = asked(RepeatedData(1e15)), asked(RepeatedData(1e9))
    assert plenty.D / 1e15 < 1
    assert 3 < little.D / 1e9 < 100
    assert little.N > plenty.N


def test_minima_of_several_variables_keep_to_bounds():
    centre = np.random.default_rng(0).uniform(-1, 3, (50, 3))

    def bowl(x):
        away = x - centre
        return (away**2).sum(axis=1) + 0.5 * away[:, 0] * away[:, 1] + 0.1 * away[:, 2] ** 4

    found = optimum_many.minimise_many(bowl, np.zeros(3), np.full(3, 2.0), 50)
    inside = ((centre > 0.1) & (centre < 1.9)).all(axis=1)
    assert inside.sum() > 3
    assert np.abs(found.x - centre)[inside].max() < 1e-6
    assert ((found.x >= 0) & (found.x <= 2)).all()
    assert not found.interior[(centre > 2.1).any(axis=1)].all(axis=1).any()


def test_reweighted_draws_are_those_of_the_changed_posterior():
    x = np.random.default_rng(0).standard_normal(20_000)
    tilted = reweighted("tilt", 0.5 * x)
    assert x[tilted.index].mean() == pytest.approx(0.5, abs=0.03)
    assert x[tilted.index].std() == pytest.approx(1.0, abs=0.03)
    assert tilted.khat < 0.5
    wild = reweighted("wild", 8.0 * x)
    assert wild.khat > 0.7
    table = changed_answers(
        lambda i: float(np.exp(x[i].mean())), 1.0, [tilted, wild], "N", {"other": 4.0}
    )
    assert table["change"].tolist()[-1] == "tilt"
    assert set(table.loc[~table["trusted"], "change"]) == {"wild"}
    assert "law other" in set(table["change"])


def test_what_would_change_an_answer_is_said():
    shown = changed_answers(lambda i: 2.0, 4.0, [Reweighting("a", np.arange(2), 0.9)], "N")
    assert sentence(shown).startswith("what would change it most: a (N times 0.5; weights too")


def test_an_allocation_names_its_sensitivities(small_fit):
    import bayescale as bs

    plan = bs.allocate(small_fit, C=1e19, at={"family": "dense"})
    changes = plan.sensitivities
    assert len(changes) == 5
    assert changes["change"].str.contains("largest run, dense-1e\\+08-1e\\+09").sum() == 1
    assert np.isfinite(changes["changed"]).all()
    assert "what would change it most" in str(plan)
    assert 0 < plan.waste < 1
    assert plan.waste_flops == pytest.approx(plan.waste * 1e19)
    choice = bs.compare_recipes(small_fit, by="family", at={"C": 1e19})
    assert len(choice.sensitivities) == 5
    swept = bs.sweep_budgets(small_fit, [1e18, 1e19], at={"family": "dense"})
    assert swept.table["N"].iloc[1] == pytest.approx(plan.N, rel=1e-5)
    need = bs.least_compute(
        small_fit, float(swept.table["frontier"].iloc[1]), 0.5, at={"family": "dense"}
    )
    assert 3e18 < need.C < 3e19
