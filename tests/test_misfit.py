"""Departures from the law: nothing where the decision lies, growing and shared further out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale import goals, misfit
from bayescale.errors import DataError
from tests.test_next_runs import DRAWS, POOL, SPLIT, choose, fit

PLACES = pd.DataFrame({"N": [1e9, 1e10], "D": [1e11, 1e12]})


@given(st.floats(6, 12), st.floats(8, 14))
def test_inside_the_box_nothing_departs(log_n, log_d):
    rows = pd.DataFrame({"N": [10.0**log_n], "D": [10.0**log_d]})
    away = misfit.outside(rows, PLACES, ["N", "D"])[0]
    below, above = max(9 - log_n, 0.0), max(log_n - 10, 0.0)
    assert away[0] == pytest.approx(above - below, abs=1e-9)
    inside = 9 <= log_n <= 10 and 11 <= log_d <= 12
    assert (np.abs(away).max() < 1e-9) == inside


def test_draws_have_the_covariance_they_should():
    rng = np.random.default_rng(0)
    away = misfit.outside(
        pd.DataFrame({"N": [1e8, 1e7, 1e11, 1e9], "D": [1e11, 1e10, 1e11, 1e11]}),
        PLACES,
        ["N", "D"],
    )
    groups = np.array(["a", "a", "a", "b"])
    exact = misfit.covariance(away, groups, 0.05)
    drawn = np.cov(misfit.departures(away, 40_000, rng, groups, 0.05).T)
    assert drawn == pytest.approx(exact, abs=0.03 * exact.max())
    assert exact[0, 1] > 0 and exact[0, 2] == 0  # one side is shared, the other apart
    assert exact[3].max() == 0  # inside the box


def test_columns_without_a_place_are_left_out():
    rows = pd.DataFrame({"N": [1e8], "share": [0.0]})
    assert misfit.outside(rows, PLACES, ["N", "share"]).tolist() == [[-1.0]]
    assert misfit.outside(rows, PLACES, ["share"]).tolist() == [[0.0]]


def test_repeats_far_away_do_not_average_a_departure_out():
    """Twenty runs two decades off tell a target less than their number; near ones more."""
    far = pd.concat([POOL.iloc[[0]].assign(N=1e7, D=1e9)] * 20, ignore_index=True)
    near = far.assign(N=1e10, D=1e11)
    target = {"N": [1e10], "D": [2e11], "family": ["dense"]}
    assert choose(pool=near, goal=goals.VOptimal(target))["value"].max() > 0
    for pool, falls in ((far, True), (near, False)):
        values = [
            choose(
                pool=pool, goal=goals.VOptimal(target), batch=20, stray=stray, rule="rate"
            ).attrs["chosen_value"]
            for stray in (0.0, 0.05)
        ]
        assert (values[1] < 0.7 * values[0]) == falls, values


def test_a_decision_has_a_place():
    stakes = SPLIT.stakes(fit(), DRAWS)
    N = np.exp(stakes.actions[stakes.losses.mean(axis=0).argmin()])
    assert stakes.places["N"].min() / 3 < N < 3 * stakes.places["N"].max()
    assert (6 * stakes.places["N"] * stakes.places["D"]).to_numpy() == pytest.approx(5.76e22)
    with pytest.raises(DataError, match="stray"):
        choose(stray=-1.0)
