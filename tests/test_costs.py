"""Costs: each inverts what it spends, alone and put together; limits, demand and money by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale import costs
from bayescale.budgets import plan_budget
from bayescale.errors import DataError
from bayescale.surfaces import search_range

SIX = costs.SixND()
EVERY = [
    SIX,
    costs.Transformer(2048, 50_000),
    costs.MixtureOfExperts(0.2),
    costs.Looped(4, share=0.5, base=costs.Transformer(1024)),
    costs.ParallelStreams(8, base=costs.MixtureOfExperts(0.5)),
    costs.RepeatedData(1e30),
    costs.TrainingPlusInference(1e10, costs.Looped(2)),
    costs.TrainingPlusInference(costs.Demand(1e10, 4.0)),
    costs.Measured((1e6, 1e8), (9e6, 6e8)),
    costs.Limits(costs.MixtureOfExperts(0.1)),
    costs.Money(2.0, 1e15, 0.4),
    costs.Money(3.0, 1e15, 0.4, 0.1, costs.TrainingPlusInference(1e11), fixed=50.0),
    costs.memory_limit(1e15, 16, costs.Money(2.0, 1e15, 0.4)),
]


def chinchilla(N, D):
    return 1.69 + 406.4 * N**-0.34 + 410.7 * D**-0.28


@pytest.mark.parametrize("cost", EVERY, ids=lambda c: type(c).__name__)
@given(log_n=st.floats(10, 27), log_d=st.floats(10, 30))
def test_tokens_invert_what_is_spent(cost, log_n, log_d):
    N, D = np.exp(log_n), np.exp(log_d)
    took = costs.spent(cost, N, D)
    overhead = costs.spent(cost, N, 0.0)
    if took - overhead > 1e-6 * took:  # else the tokens are lost in what comes before them
        assert cost.tokens(N, took) == pytest.approx(D, rel=1e-6)
    assert isinstance(cost, costs.Cost)


def test_units_tell_money_from_flops():
    assert costs.unit_of(SIX) == "FLOP"
    money = costs.Money(2.0, 1e15, 0.5, unit="EUR")
    assert costs.unit_of(costs.memory_limit(1e12, 2, money)) == "EUR"
    hours = 1.2e20 / (0.5e15 * 3600)
    assert money.spent(1e9, 2e10) == pytest.approx(2.0 * hours)
    assert costs.training_flops(money, 1e9, 2e10) == pytest.approx(1.2e20)


def test_training_flops_leave_serving_out():
    cost = costs.Limits(costs.TrainingPlusInference(1e12, costs.Looped(3)))
    assert costs.training_flops(cost, 1e9, 1e10) == pytest.approx(18e19)
    assert cost.flops(1e9, 1e10) == pytest.approx(18e19 + 2e21)


def test_a_price_can_only_stand_outside():
    with pytest.raises(DataError, match="counts FLOPs and is given a cost in USD: put the price"):
        costs.Looped(2, base=costs.Money(2.0, 1e15, 0.4))


def test_demand_integrates_to_its_mean_by_simulation():
    demand = costs.Demand(1e12, factor=5.0)
    draws = demand.median * np.exp(demand.sd * np.random.default_rng(0).standard_normal(400_000))
    assert demand.planned == pytest.approx(draws.mean(), rel=0.01)
    sure = costs.Demand(1e12, 5.0, confidence=0.9)
    assert np.mean(draws <= sure.planned) == pytest.approx(0.9, abs=0.002)
    assert np.mean((draws > 2e11) & (draws < 5e12)) == pytest.approx(0.95, abs=0.002)
    known = costs.TrainingPlusInference(costs.Demand(1e12))
    assert known.flops(1e9, 1e10) == costs.TrainingPlusInference(1e12).flops(1e9, 1e10)


def test_unsure_demand_makes_models_smaller():
    sure = plan_budget(chinchilla_draw, 1e23, costs.TrainingPlusInference(costs.Demand(1e12)))
    unsure = plan_budget(
        chinchilla_draw, 1e23, costs.TrainingPlusInference(costs.Demand(1e12, 30.0))
    )
    assert unsure.N < sure.N


def chinchilla_draw(N, D):
    return np.atleast_2d(chinchilla(N, D))


def test_a_memory_limit_is_met_exactly_and_said():
    free = plan_budget(chinchilla_draw, 1e23)
    cost = costs.memory_limit(16 * 0.3 * free.N)
    held = plan_budget(chinchilla_draw, 1e23, cost)
    assert held.N == pytest.approx(0.3 * free.N, rel=1e-6)
    assert held.D == pytest.approx(1e23 / 6 / held.N)
    assert held.p_no_interior == 1.0
    assert any("optimum at a limit" in note for note in held.notes)
    assert held.N_interval == pytest.approx((held.N, held.N), rel=1e-6)
    loose = plan_budget(chinchilla_draw, 1e23, costs.memory_limit(16 * 2 * free.N))
    assert loose.N == pytest.approx(free.N, rel=1e-7)
    assert not loose.notes


def test_the_least_tokens_a_parameter_bind_at_their_edge():
    free = plan_budget(chinchilla_draw, 1e23)
    held = plan_budget(chinchilla_draw, 1e23, costs.Limits(min_ratio=4 * free.D / free.N))
    assert held.D / held.N == pytest.approx(4 * free.D / free.N, rel=1e-5)
    few = plan_budget(chinchilla_draw, 1e23, costs.Limits(max_tokens=free.D / 10))
    assert few.D == pytest.approx(free.D / 10)
    assert few.N >= 10 * free.N * 0.999


def test_money_searches_where_its_models_are():
    money = costs.Money(2.0, 1e15, 0.4)
    price = float(money.spent(4e10, 1e12))
    dollars = plan_budget(chinchilla_draw, price, money)
    flops = plan_budget(chinchilla_draw, 6 * 4e10 * 1e12)
    assert dollars.N == pytest.approx(flops.N, rel=1e-7)
    low, high = search_range(price, money)
    assert low < np.log(dollars.N) < high


def test_repeated_data_tell_the_law_what_is_unique():
    cost = costs.RepeatedData(1e9, max_epochs=4)
    assert cost.columns(1e8, np.array([5e8, 3e9]))["U"].tolist() == [5e8, 1e9]
    assert cost.tokens(1e8, 6e17 * 2.5) == pytest.approx(2.5e9)
    assert cost.tokens(1e8, 6e18) == pytest.approx(4e9)
    inner = costs.TrainingPlusInference(1e9, cost)
    assert costs.further_columns(costs.Money(1.0, 1e15, 0.4, base=inner), 1e8, 5e8) == {"U": 5e8}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: costs.MixtureOfExperts(1.5), r"active is 1.5: give a fraction"),
        (lambda: costs.Looped(0), "loops is 0: give a positive"),
        (lambda: costs.Transformer(-1), "context is -1"),
        (lambda: costs.Demand(1e12, 0.5), "factor is 0.5: give 1 or more"),
        (lambda: costs.Demand(1e12, 2, confidence=1.0), "confidence is 1.0"),
        (lambda: costs.Limits(min_ratio=20, max_ratio=5), "min_ratio=20 and max_ratio=5"),
        (lambda: costs.memory_limit(0), "positive bytes"),
        (lambda: costs.Money(2.0, 1e15, 1.4), "mfu is 1.4"),
        (lambda: costs.RepeatedData(0), "unique_tokens is 0"),
    ],
)
def test_faults_are_named(make, message):
    with pytest.raises(DataError, match=message):
        make()
