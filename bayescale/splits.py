"""Which runs are fitted and which are predicted: whole runs, each judged by its final row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayescale.columns import rows_text
from bayescale.errors import DataError
from bayescale.rows import select_rows
from bayescale.runs import Runs

if TYPE_CHECKING:
    from bayescale.law import Law

Choice = str | Sequence[int]


@dataclass(frozen=True, eq=False)
class Split:
    """Runs to fit and rows to predict, with no run in both.

    Attributes
    ----------
    train : Runs
        One row a run (and evaluation set); all that a fit may see.
    test : pandas.DataFrame
        The rows to predict; the index is the source's row number.
    notes : tuple of str
        What was left out, and how the sides were decided.
    """

    train: Runs
    test: pd.DataFrame
    notes: tuple[str, ...] = ()


def split_runs(
    runs: Runs,
    law: Law,
    cut: str | None = None,
    train: Choice | None = None,
    test: Choice | None = None,
    groups: Sequence[str] = (),
    checkpoints: str = "final",
    on_failed: str = "error",
) -> Split:
    """Divide runs into those to fit and those to predict.

    With checkpoints only a run's final row counts, so that row decides the run's side: the
    earlier rows of a large run are never fitted to predict its end.

    Parameters
    ----------
    runs
        All the runs.
    law
        Names the columns that a row needs.
    cut
        Condition that fitted rows meet, such as ``C < 3e20``; the others are predicted.
    train, test
        Instead of `cut`: a condition or row numbers (from 1) for each side. Without `test`, all
        the rows that aren't fitted are predicted.
    groups
        Grouping columns of the fit.
    checkpoints, on_failed
        As for a fit.

    Returns
    -------
    Split

    Raises
    ------
    DataError
        If neither or both of `cut` and `train` are given, a side is empty, a row is on both
        sides, or a run has final rows (evaluation sets) on both.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> from bayescale.runs import read_runs
    >>> table = {"N": [1e6, 1e7, 1e8], "D": [4e8, 1e8, 2e8], "loss": [4.1, 3.5, 3.3]}
    >>> split = split_runs(read_runs(table), load_law("chinchilla"), cut="N < 5e7")
    >>> split.train.table.index.tolist(), split.test.index.tolist()
    ([1, 2], [3])
    """
    if (cut is None) == (train is None):
        raise DataError(
            "say which runs are fitted, once: cut='C < 3e20' (the rest is predicted), or "
            "train=... and, if not all the rest, test=..."
        )
    selection = select_rows(runs, law, groups, checkpoints=checkpoints, on_failed=on_failed)
    finals = replace(runs, table=selection.table)
    fitted = _chosen(finals, cut if cut is not None else train, "train")
    if test is None:
        predicted = finals.table.index.difference(fitted)
    else:
        predicted = _chosen(finals, test, "test")
    both = fitted.intersection(predicted)
    if len(both):
        raise DataError(
            f"{rows_text(both.tolist())} would be fitted and predicted: make train and test "
            "exclude each other"
        )
    for side, rows in (("fitted", fitted), ("predicted", predicted)):
        if not len(rows):
            raise DataError(
                f"{runs.source}: no row is left to be {side} with {cut or train!r}; "
                f"{len(finals)} final rows were divided"
            )
    _refuse_divided_runs(finals.table, fitted, predicted)
    return Split(
        replace(runs, table=finals.table.loc[fitted]),
        finals.table.loc[predicted],
        tuple(note for note in selection.notes if "checkpoints" in note or "failed" in note),
    )


def refuse_unseen(split: Split, groups: Sequence[str]) -> None:
    """Raise a DataError if a row to predict has a group label that no fitted row has.

    Parameters
    ----------
    split
        Fitted runs and rows to predict.
    groups
        Grouping columns.

    Examples
    --------
    >>> table = pd.DataFrame({"family": ["a", "b"]}, index=[1, 2])
    >>> refuse_unseen(Split(Runs(table.loc[[1]]), table.loc[[2]]), ["family"])
    Traceback (most recent call last):
    ...
    bayescale.errors.DataError: rows to predict have labels that no fitted row has
      - family 'b' (row 2); fitted: a; pass new_groups='sample', or change the cut
    """
    faults = []
    for group in groups:
        seen = set(split.train.table[group])
        unseen = split.test[~split.test[group].isin(seen)]
        for label, rows in unseen.groupby(group, sort=True):
            known = ", ".join(sorted(map(str, seen)))
            faults.append(
                f"{group} {label!r} ({rows_text(rows.index.tolist())}); fitted: {known}; "
                "pass new_groups='sample', or change the cut"
            )
    if faults:
        raise DataError("rows to predict have labels that no fitted row has", tuple(faults))


def _chosen(finals: Runs, choice: Choice | None, side: str) -> pd.Index:
    """Row numbers that a condition or a list of row numbers chooses among the final rows."""
    if isinstance(choice, str):
        return finals.where(choice).table.index
    numbers = pd.Index(np.asarray(choice))
    strange = numbers[~numbers.isin(finals.table.index)]
    if numbers.dtype == bool or len(strange):
        shown = "" if numbers.dtype == bool else f" ({rows_text(strange.tolist())})"
        raise DataError(
            f"{side} is a condition or a list of row numbers of final rows, counted from 1"
            f"{shown}: a mask, and rows that aren't final or aren't there, can't be used"
        )
    return numbers.unique()


def _refuse_divided_runs(table: pd.DataFrame, fitted: pd.Index, predicted: pd.Index) -> None:
    """One run's evaluation sets share its luck: it can't be half fitted and half predicted."""
    if "run" not in table:
        return
    run = table["run"].dropna()
    both = set(run.loc[run.index.isin(fitted)]) & set(run.loc[run.index.isin(predicted)])
    if both:
        faults = tuple(
            f"run {name!r}: {rows_text(table.index[table['run'] == name].tolist())}"
            for name in sorted(map(str, both))[:10]
        )
        raise DataError(
            f"{len(both)} runs have rows on both sides; cut by a column that is the same in all "
            "rows of a run",
            faults,
        )
