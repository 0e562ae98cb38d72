"""Learning-rate schedules: reading, sums along them, the columns that laws need."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayescale.catalog import load_law
from bayescale.errors import DataError, FormulaError, LawError
from bayescale.framing import frame
from bayescale.runs import read_runs
from bayescale.schedule_columns import columns_at, with_schedules
from bayescale.schedules import Schedule
from bayescale.starts import find_starts

WARM = "linear to 3e-4 over 2160; "
COSINE = WARM + "cosine to 3e-5 over 21840"
SCHEDULES = {
    "constant": WARM + "constant over 21840",
    "cosine": COSINE,
    "decay": WARM + "constant over 17840; exponential to 3e-5 over 4000",
    "drop": WARM + "constant over 5839; jump to 3e-5; constant over 8001",
    "again": WARM + "cosine to 3e-5 over 8000; linear to 2e-4 over 500; sqrt to 0 over 9000",
}


def test_rates_of_the_authors_curves():
    """Rates logged in loss_curve_repo/csv_100 of thu-yao-01-luo/MultiPowerLaw."""
    cosine = Schedule.parse(COSINE).rates
    assert cosine[2288] == pytest.approx(0.0002999771173709568, rel=1e-12)
    assert cosine[23920] == pytest.approx(3.000893868085248e-05, rel=1e-12)
    decay = Schedule.parse(SCHEDULES["decay"]).rates
    assert decay[23904] == pytest.approx(3.170452527640976e-05, rel=1e-12)
    drop = Schedule.parse(SCHEDULES["drop"]).rates
    assert drop[7999] == 3e-4
    assert drop[8000] == drop[15936] == 3e-5
    assert len(drop) == 16001


@pytest.mark.parametrize("name", SCHEDULES)
def test_pieces_sum_as_the_steps_do(name):
    """The multi-power law's sum over 16 pieces and over every step."""
    schedule = Schedule.parse(SCHEDULES[name])
    rates, p = schedule.rates, load_law("multi_power").published["size_100M"]
    for step in (2300, 5000, 9000, 12000, schedule.steps - 70):
        k = np.arange(1, step + 1)
        since = np.cumsum(rates[step::-1])[step - k]

        def saved(rate, area):
            return 1 - (1 + p["C"] * rate ** -p["gamma"] * area) ** -p["beta"]

        by_step = p["B"] * np.sum((rates[k - 1] - rates[k]) * saved(rates[k], since))
        before, after, rate, area = schedule.pieces(step, 16).T
        assert p["B"] * np.sum((before - after) * saved(rate, area)) == pytest.approx(
            by_step, abs=6e-4 if name == "again" else 2.5e-4
        )
        assert np.sum(before - after) == pytest.approx(-rates[step], abs=2e-11)


def test_annealed_area_is_the_recursion():
    schedule = Schedule.parse(COSINE)
    total, memory = 0.0, 0.0
    for step in range(2161, 9001):
        memory = 0.999 * memory + schedule.rates[step - 1] - schedule.rates[step]
        total += memory
    assert schedule.annealed(9000) == pytest.approx(total, rel=1e-9)
    assert schedule.annealed(2000) == 0.0
    assert schedule.area(3) == pytest.approx(6 * 3e-4 / 2160)


def test_steps_at_rate_zero_save_nothing():
    """What the annealing law gets wrong and the multi-power law mends."""
    law = load_law("multi_power")
    stages = WARM + "linear to 0 over 9000; constant over 9000"
    columns = [v.column for v in law.variables.values()]
    ends = [dict(zip(columns, columns_at(stages, s, columns), strict=True)) for s in (11160, 20160)]
    losses = [float(law(law.published["size_100M"], **at)) for at in ends]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("cosine 3e-5 over 100; linear", 22),
        ("linear to 3e-4 over 10; wiggle to 1 over 3", 24),
        ("linear to 3e-4 over 1e99", 0),
        ("exponential to 3e-5 over 10", 0),
        ("linear to 3e-4 over 10; exponential to 0 over 10", 39),
        ("linear to 1 over 10; from 1", 21),
        ("linear to 1 over 2.5", 17),
        ("jump to 1e", 0),
        ("__import__('os')", 0),
    ],
)
def test_bad_schedules_have_a_caret(text, at):
    with pytest.raises(FormulaError) as caught:
        Schedule.parse(text)
    assert caught.value.position == at


def test_columns_of_a_table():
    law = load_law("multi_power")
    table = pd.DataFrame({"schedule": ["a", COSINE], "step": [9000, 9000], "loss": [3.1, 3.0]})
    laid = with_schedules(table, law, named={"a": SCHEDULES["constant"]})
    assert laid["S1"].iloc[0] == pytest.approx(Schedule.parse(SCHEDULES["constant"]).area(9000))
    assert len(laid.columns) == 3 + 1 + 4 * 16
    by_rates = with_schedules(table, law, named={"a": Schedule.parse(SCHEDULES["constant"]).rates})
    pd.testing.assert_frame_equal(laid, by_rates.assign(schedule=laid["schedule"]))
    runs = read_runs(laid[["step", "loss"]].assign(schedule=COSINE, run=["x", "y"]), law=law)
    assert {"S1", "lr_since_16"} <= set(runs.table)
    assert "S1" in with_schedules(read_runs(table.assign(schedule=COSINE)), law).table


def test_faults_of_a_table_name_their_rows():
    law = load_law("multi_power")
    table = pd.DataFrame(
        {"schedule": [COSINE, "cosin", COSINE], "step": [9000, 10, 1e6], "loss": [3.1, 3.0, 2.9]}
    )
    with pytest.raises(DataError) as caught:
        with_schedules(table, law)
    assert "row 1: schedule 'cosin': a schedule is stages" in str(caught.value)
    assert "row 2: " in str(caught.value)
    assert "step 1e+06 is not one of the schedule's steps, 1 to 24000" in str(caught.value)
    with pytest.raises(DataError, match="no column schedule: give each row stages"):
        read_runs(table[["step", "loss"]], law=law)
    with pytest.raises(LawError, match="sums nothing along a schedule"):
        with_schedules(table, load_law("chinchilla"))


def test_a_term_that_is_nothing_in_the_first_row_has_a_start():
    """Under a constant rate S2 is 0; a start from that row alone would make K infinite."""
    s1, s2 = np.repeat(np.geomspace(0.3, 4.0, 8), 5), np.tile([0.0, 0.05, 0.2, 0.4, 0.6], 8)
    table = pd.DataFrame({"S1": s1, "S2": s2, "loss": 2.5 + 0.5 * s1**-0.4 - 0.3 * s2})
    law = load_law("lr_annealing")
    model = frame(law, read_runs(table, law=law)).model
    (best, *_) = find_starts(model, 0).modes
    found = dict(zip(model.structure.names, best.position.population, strict=True))
    assert all(map(np.isfinite, found.values()))
    assert np.exp(found["alpha"]) == pytest.approx(0.4, abs=0.03)


def test_a_target_may_give_the_schedule_itself():
    """Targets are read as runs are: the sums along the schedule follow from its stages."""
    from types import SimpleNamespace

    from bayescale.targets import targets_frame

    law = load_law("lr_annealing")
    target = {"schedule": "linear to 1e-3 over 10; constant over 90", "step": [60, 100]}
    frame = targets_frame(SimpleNamespace(law=law), target)
    assert frame["S1"].round(5).tolist() == [0.0555, 0.0955]
    with pytest.raises(DataError, match="not one of the schedule's steps"):
        targets_frame(SimpleNamespace(law=law), target | {"step": 101})
    with pytest.raises(DataError, match="no column schedule"):
        targets_frame(SimpleNamespace(law=law), {"step": 60})
