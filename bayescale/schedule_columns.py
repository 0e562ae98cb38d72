"""From a column of schedules to the columns that a law sums over: `with_schedules`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd

from bayescale import cells
from bayescale.columns import rows_text
from bayescale.elements import SCHEDULE as KIND
from bayescale.errors import DataError, FormulaError, LawError
from bayescale.schedules import Floats, Schedule

if TYPE_CHECKING:
    from bayescale.law import Law
    from bayescale.runs import Runs

Table = TypeVar("Table", "Runs", pd.DataFrame)

_PIECE = re.compile(r"lr_(from|to|at|since)_(\d+)")
_PARTS = ("from", "to", "at", "since")


def schedule_columns(law: Law) -> list[str]:
    """The columns of a law that follow from the learning-rate schedule and the step."""
    return [v.column for v in law.variables.values() if v.kind == KIND]


def columns_at(schedule: Schedule | str | Any, step: float, columns: Sequence[str]) -> Floats:
    """Compute columns of a law at one step of a schedule.

    Parameters
    ----------
    schedule : Schedule, str or array
    step : float
    columns : sequence of str
        "S1", the sum of the rates up to the step; "S2", that of the rate given up, with memory;
        "lr_from_3", "lr_to_3", "lr_at_3", "lr_since_3", of one of the pieces into which changes
        of the rate are gathered.

    Raises
    ------
    DataError
        For a step that the schedule does not have.

    Examples
    --------
    >>> columns_at("linear to 3e-4 over 2; constant over 8", 4, ["S1"]).round(5).tolist()
    [0.00105]
    """
    read = Schedule.of(schedule)
    if not (1 <= step <= read.steps and step == int(step)):
        raise DataError(f"step {step:g} is not one of the schedule's steps, 1 to {read.steps}")
    pieces = [_PIECE.fullmatch(column) for column in columns]
    count = max((int(match[2]) for match in pieces if match), default=0)
    table = read.pieces(int(step), count) if count else np.empty((0, 4))
    values = []
    for column, match in zip(columns, pieces, strict=True):
        if match:
            values.append(table[int(match[2]) - 1, _PARTS.index(match[1])])
        elif column in ("S1", "S2"):
            values.append(read.area(int(step)) if column == "S1" else read.annealed(int(step)))
        else:
            raise LawError(f"column {column!r} does not follow from a schedule")
    return np.array(values)


@lru_cache(maxsize=20_000)
def _columns_at(schedule: str, step: float, columns: tuple[str, ...]) -> Floats:
    return columns_at(schedule, step, columns)


def columns_along(schedules: Sequence[str], steps: Any, columns: Sequence[str]) -> Floats:
    """Compute columns for many schedules, as text, and steps; shape (row, column)."""
    pairs = zip(schedules, np.asarray(steps, dtype=float), strict=True)
    return np.array([_columns_at(text, float(step), tuple(columns)) for text, step in pairs])


def with_schedules(
    table: Table,
    law: Law,
    *,
    schedule: str = "schedule",
    step: str = "step",
    named: Mapping[str, Any] | None = None,
) -> Table:
    """Add the columns that a law sums along learning-rate schedules.

    Parameters
    ----------
    table : Runs or DataFrame
        With a schedule and a step in every row.
    law : Law
        The columns of its variables of kind "schedule" are added.
    schedule : str
        The column of schedules: stages such as ``linear to 3e-4 over 2000; cosine to 3e-5 over
        22000``, or a name that `named` explains.
    step : str
        The column of steps.
    named : Mapping, optional
        Name -> stages, a `Schedule`, or the rates of steps 0, 1, 2, ...

    Returns
    -------
    Runs or DataFrame
        What was given, and those columns.

    Raises
    ------
    DataError
        With every row whose schedule can't be read or does not reach its step.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> law = load_law("lr_annealing")
    >>> stages = "linear to 1e-3 over 10; constant over 90"
    >>> table = with_schedules(pd.DataFrame({"schedule": [stages], "step": [60]}), law)
    >>> table[["S1", "S2"]].round(5).to_dict("records")
    [{'S1': 0.0555, 'S2': 0.0}]
    """
    frame = table if isinstance(table, pd.DataFrame) else table.table
    wanted = tuple(schedule_columns(law))
    if not wanted:
        raise LawError(f"the law {law.name!r} sums nothing along a schedule")
    for column in (schedule, step):
        if column not in frame:
            raise DataError(f"no column {column!r}; it has {', '.join(map(str, frame.columns))}")
    rows, faults = [], {}
    steps, unread = cells.numbers(frame[step])
    for i, (label, at) in enumerate(zip(frame[schedule], steps, strict=True)):
        given = (named or {}).get(label, label)
        try:
            if frame.index[i] in unread.index or not np.isfinite(at):
                raise DataError(f"{step} is {frame[step].iloc[i]!r}, not a number")
            compute = _columns_at if isinstance(given, str) else columns_at
            rows.append(compute(given, float(at), wanted))
        except (FormulaError, DataError) as error:
            faults.setdefault(f"{label!r}: {error}", []).append(frame.index[i])
    if faults:
        said = tuple(f"{rows_text(at)}: {schedule} {why}" for why, at in faults.items())
        raise DataError("schedules can't be read", said[:10])
    laid = frame.assign(**dict(zip(wanted, np.array(rows).T, strict=True)))
    return cast(Table, laid if isinstance(table, pd.DataFrame) else replace(table, table=laid))


def completed(table: pd.DataFrame, law: Law | None) -> pd.DataFrame:
    """Add a law's columns along schedules where they are not there and can be computed.

    Raises
    ------
    DataError
        As `with_schedules`; or where the table has no schedule to compute them from.
    """
    wanted = [] if law is None else [c for c in schedule_columns(law) if c not in table]
    if law is None or not wanted:
        return table
    if "schedule" in table and "step" in table:
        return with_schedules(table, law)
    lacks = " and ".join(c for c in ("schedule", "step") if c not in table)
    raise DataError(
        f"the law {law.name!r} sums along the learning-rate schedule, and the table has no column "
        f"{lacks}: give each row stages such as 'linear to 3e-4 over 2000; cosine to 3e-5 over "
        f"22000' and its step, or the columns {', '.join(wanted[:4])}, ... yourself"
    )
