"""The study of real fits: how tables are divided, what readers give, and rows of failed fits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "studies"))

from backtest_parts.suite import GAP
from real_fits_parts import one, tables
from real_fits_parts.cases import FEWEST, Case, Divided, cases, dearest_tenth, ordered

from bayescale import load_law
from bayescale.errors import DataError
from bayescale.runs import read_runs


def ladder(decades: float, rows: int = 40) -> pd.DataFrame:
    """One family whose costs span so many decades."""
    C = np.geomspace(1e18, 1e18 * 10**decades, rows)
    return pd.DataFrame({"C": C, "loss": 2.0, "family": "a", "run": [f"r{i}" for i in range(rows)]})


def test_targets_are_dearer_by_the_gap_and_a_tenth_of_the_rows():
    found = ordered(lambda: ladder(3.0))
    ((name, test),) = found.tests.items()
    assert test["C"].min() >= GAP["ladder"] * found.train["C"].max() and "4x" in name
    assert 4 <= len(test) <= 6  # a tenth of 40, and as many as the next origin adds


def test_a_table_too_short_for_a_gap_gives_its_dearest_tenth_and_says_so():
    found = ordered(lambda: ladder(0.3))
    ((name, test),) = found.tests.items()
    assert "too short" in name and len(test) == 4
    assert test["C"].min() > found.train["C"].max()


def test_losses_have_no_part_in_a_division():
    hidden = ladder(3.0).assign(loss=np.nan)
    ours, theirs = ordered(lambda: ladder(3.0)), ordered(lambda: hidden)
    assert ours.train["run"].tolist() == theirs.train["run"].tolist()
    assert dearest_tenth(lambda: hidden).train["run"].tolist() == [f"r{i}" for i in range(36)]


def test_thinning_keeps_both_ends_and_no_more_than_asked():
    rows = pd.DataFrame({"D": np.arange(1.0, 1000.0)})
    kept = tables.thinned(rows, 12)["D"]
    assert len(kept) <= 12 and kept.iloc[0] == 1 and kept.iloc[-1] == 999


def test_own_tables_can_be_read_by_their_laws():
    ours = [case for case in cases_without_data() if case.dataset.startswith("own_")]
    assert len(ours) == 5
    for case in ours:
        check(case)


def test_every_case_is_ordered_and_can_be_read_by_its_law(data_folder):
    known = cases()
    assert len({(case.dataset, case.law) for case in known}) >= 45
    for case in known:
        check(case)


def cases_without_data() -> list[Case]:
    """Cases of our own tables."""
    return [c for c in cases() if c.dataset in OWN]


OWN = ("own_isoflop", "own_schedules", "own_repeats", "own_mixtures")


def check(case: Case) -> None:
    """Rows to fit have what the law asks for; targets are others, known by family, and dearer."""
    law, divided = case.load(), case.divide()
    column = (case.outputs or (law.response.column,))[0]
    runs = read_runs(divided.train.rename(columns={column: law.response.column}), law=law)
    assert len(runs) == len(divided.train)
    groups = [name for name in law.varies if name in divided.train]
    assert set(law.varies) <= set(divided.train), case
    for name, test in divided.tests.items():
        assert len(test) >= FEWEST and {*groups, column} <= set(test), case
        assert set(test["family"]) <= set(divided.train["family"])
        if "dearer" in name:
            gap = GAP["curve"] if "2x" in name else GAP["ladder"]
            assert test["C"].min() >= gap * divided.train["C"].max()
        if "step" not in test and "task" not in test:
            assert not set(zip(test["run"], test["family"], strict=True)) & set(
                zip(divided.train["run"], divided.train["family"], strict=True)
            )


def test_a_fit_that_fails_keeps_its_row(monkeypatch):
    def fails(*_, **__):
        raise DataError("no such fit", ("row 3: nothing",))

    monkeypatch.setattr(one, "fit_many", fails)
    table = ladder(3.0).assign(N=1e9, D=1e10)
    case = Case("made", "chinchilla", lambda: Divided(table[:30], {"cheap": table[30:]}))
    (row,) = one.rows(case)
    assert row["ok"] is False and "no such fit" in row["why"] and "DataError" in row["why"]
    assert (row["n_train"], row["n_test"], row["split"]) == (30, 10, "cheap")


def test_r_squared_is_not_clipped():
    true = np.array([1.0, 2.0, 3.0])
    assert one.r_squared(true, true) == 1
    assert one.r_squared(true, np.full(3, 2.0)) == 0
    assert one.r_squared(true, true + 10) == pytest.approx(-149)
    assert np.isnan(one.r_squared(np.full(3, 0.1), true))


def test_priors_of_bimix_and_clip_mammut_hold_on_tables_of_unlike_levels():
    """An easy domain doesn't pull the population's floor down; an error is never above 1."""
    from bayescale.framing import frame
    from bayescale.prior_check import prior_conflict, prior_lines

    steps, shares = np.meshgrid(np.geomspace(1e4, 1e5, 8), [0.05, 0.1, 0.3])
    domains = {"easy": 0.15, "middle": 1.0, "hard": 2.5}
    curves = [
        pd.DataFrame(
            {
                "domain": domain,
                "domain_weight": shares.ravel(),
                "step": steps.ravel(),
                "loss": (level + level * (steps.ravel() / 1e3) ** -0.4) * shares.ravel() ** -0.05,
            }
        )
        for domain, level in domains.items()
    ]
    law = load_law("bimix")
    model = frame(law, read_runs(pd.concat(curves, ignore_index=True), law=law)).model
    assert abs(prior_conflict(model, 400)) < 1

    C = np.geomspace(1e16, 1e20, 40)
    law = load_law("clip_mammut")
    rows = pd.DataFrame({"C": C, "error": 0.25 + 0.73 * (1 + C / 3e17) ** -0.3, "family": "clip"})
    model = frame(law, read_runs(rows.assign(corpus="web"), law=law)).model
    assert len(prior_lines(model, 400, 0)) > 390  # draws under which every row has an error
    assert abs(prior_conflict(model, 400)) < 1.5
