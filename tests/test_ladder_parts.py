"""What the ladder's trainer feeds a run: bytes, learning rates, and which runs there are."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "studies"))
from ladder_parts import feeds, nets, schedules, stage_b
from ladder_parts.rates import best_rate, planned_rate

ROWS = np.arange(4096 * nets.CONTEXT, dtype=np.uint32).reshape(4096, nets.CONTEXT)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_a_schedule_rises_to_its_peak_and_ends_where_it_says(name: str) -> None:
    rates = schedules.rates(name, 1000, 0.02)
    assert rates.shape == (1000,)
    assert np.isclose(rates.max(), 0.02)
    assert np.allclose(rates[:50], 0.02 * np.arange(1, 51) / 50)
    assert (np.diff(rates[50:]) <= 0).all()
    assert rates[-1] == rates[50] if name == "constant" else rates[-1] < 0.01 * rates[50]
    if name == "wsd":
        assert np.allclose(rates[50:800], 0.02)
        assert np.isclose(rates[900], 0.01)


def test_an_unknown_schedule_is_named() -> None:
    with pytest.raises(ValueError, match=r"no schedule 'step'; there are linear, cosine"):
        schedules.rates("step", 10, 0.1)


def test_once_sees_no_row_twice() -> None:
    order = feeds.once(ROWS, 100, seed=1).order
    assert order.shape == (100, nets.BATCH_ROWS)
    assert len(np.unique(order)) == order.size
    assert (order != feeds.once(ROWS, 100, seed=2).order).any()
    with pytest.raises(ValueError, match="257 steps need 4112 rows, and there are 4096"):
        feeds.once(ROWS, 257, seed=1)


def test_repeated_sees_the_same_rows_in_another_order() -> None:
    order = feeds.repeated(ROWS, 64 * nets.BATCH_BYTES, 4, seed=1).order
    epochs = order.reshape(4, -1)
    assert all(set(one) == set(epochs[0]) for one in epochs)
    assert set(Counter(order.ravel().tolist()).values()) == {4}
    assert (epochs[0] != epochs[1]).any()
    with pytest.raises(ValueError, match="no whole batches"):
        feeds.repeated(ROWS, 1000, 2, seed=1)


def test_every_batch_of_a_mixture_has_its_share() -> None:
    feed = feeds.mixed(ROWS, ROWS, 0.25, 100, seed=1)
    assert ((feed.order < len(ROWS)).mean(axis=1) == 0.25).all()
    assert len(np.unique(feed.order)) == feed.order.size
    assert (feeds.mixed(ROWS, ROWS, 0.0, 10, seed=1).order >= len(ROWS)).all()
    with pytest.raises(ValueError, match="no whole number"):
        feeds.mixed(ROWS, ROWS, 0.3, 10, seed=1)


def test_replicates_take_a_third_of_the_cells_evenly() -> None:
    runs = stage_b.replicates()
    assert len({run.run for run in runs}) == 32
    assert set(Counter(run.size for run in runs).values()) == {8}
    assert set(Counter(run.family for run in runs).values()) == {8}
    assert sorted(Counter(run.steps for run in runs).values()) == [10, 10, 12]


def test_slices_cost_their_budget_by_count() -> None:
    runs = stage_b.isoflop()
    assert len(runs) == 36
    for run in runs:
        counted = nets.training_flops(run.shape, run.seen)
        assert counted == pytest.approx(float(str(run.labels["budget"])), rel=0.01)
        assert counted > 6 * nets.parameter_counts(run.shape)[0] * run.seen  # the head counts too


def test_every_name_is_of_one_run() -> None:
    names = [run.run for one in stage_b.sets().values() for run in one.trials]
    assert len(names) == len(set(names)) == 32 + 24 + 36 + 16 + 24 + 20


def test_the_rate_is_at_the_bottom_of_the_sweep_and_on_the_plane() -> None:
    rates = np.exp([-1.0, 0.0, 1.0, 2.0])
    losses = ((np.log(rates) - 0.3) ** 2).tolist()
    assert best_rate(rates.tolist(), losses) == pytest.approx(np.exp(0.3))
    plane = {
        (family, n, d): height * n**-0.4 * d**-0.5
        for family, height in (("a", 3.0), ("b", 5.0))
        for n in (1000, 10000)
        for d in (10**6, 2 * 10**6)
    }
    assert planned_rate(plane, "b", 10**5, 10**7) == pytest.approx(5 * 1e5**-0.4 * 1e7**-0.5)
