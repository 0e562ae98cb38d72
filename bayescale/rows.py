"""Rows: which rows of a table of runs a law is fitted to, and what is worth saying of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayescale import cells
from bayescale import columns as cols
from bayescale.errors import BayescaleError, DataError
from bayescale.identifiability import JITTER, identifiability_notes, refuse_unidentified
from bayescale.runs import Runs
from bayescale.schedule_columns import KIND
from bayescale.simplexes import simplex_faults
from bayescale.supports import response_faults, trial_faults, variable_faults

if TYPE_CHECKING:
    from bayescale.law import Law

DIGITS = 6  # in which two runs of one configuration don't agree by chance


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows to be fitted: canonical columns, group labels as text, the source's row numbers.

    Attributes
    ----------
    table
        Rows in the order of the source, none sorted; the index is the source's row number.
    notes
        What was left out and why, and warnings, one sentence each.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def select_rows(
    runs: Runs,
    law: Law,
    groups: Sequence[str] = (),
    checkpoints: str = "final",
    on_failed: str = "error",
) -> Selection:
    """Take the rows that a law is fitted to, one a run and evaluation set.

    Parameters
    ----------
    runs
        Checked runs. Rows of one `run` that share their group labels and `evaluation` are its
        checkpoints; rows of one run with other labels are its evaluation sets and are kept.
    law
        Law whose variables and response name the columns.
    groups
        Grouping columns; every row needs a label.
    checkpoints
        "final": the row with `is_final` 1, else the largest `step`, else the largest `D`.
    on_failed
        "error" refuses runs whose `status` isn't ok; "drop" leaves them out and says so.

    Returns
    -------
    Selection

    Raises
    ------
    DataError
        Every fault at once: missing columns or labels, values that no law can take, duplicate
        rows, failed runs, or too few levels of a variable to identify its exponent.
    BayescaleError
        An option that doesn't exist (yet).

    Examples
    --------
    >>> import pandas as pd
    >>> from bayescale.catalog import load_law
    >>> from bayescale.runs import read_runs
    >>> table = {
    ...     "N": [1e6, 1e7, 1e8, 1e8],
    ...     "D": [4e8, 1e8, 1e8, 2e8],
    ...     "loss": [4.1, 3.5, 3.3, 3.2],
    ...     "run": ["a", "b", "c", "c"],
    ...     "step": [100, 100, 100, 200],
    ... }
    >>> chosen = select_rows(read_runs(table), load_law("chinchilla"))
    >>> chosen.table.index.tolist()
    [1, 2, 4]
    """
    _check_options(checkpoints, on_failed)
    variables = {name: v.column for name, v in law.variables.items()}
    response, trials = law.response.column, law.response.counts_of
    table = runs.table
    _require(runs, law, groups)
    notes: list[str] = []
    table = table.assign(**{g: cells.labels(table[g]) for g in groups})
    if "run" in table:
        ids = cells.labels(table["run"])
        table = table.assign(run=ids.where(ids.notna(), [f"row {row}" for row in table.index]))
    table, faults = _without_failed(table, on_failed, notes)
    for variable in law.variables.values():
        faults += _value(table, variable.column, partial(variable_faults, variable))
    faults += _value(table, response, partial(response_faults, law.response))
    if trials:
        faults += _value(table, trials, partial(trial_faults, law.response))
    for group in groups:
        if rows := table.index[table[group].isna()].tolist():
            faults.append(
                f"{cols.rows_text(rows)}: {group} has no label; fill it, or don't group by {group}"
            )
    if faults:
        raise DataError(f"{runs.source} can't be fitted with law {law.name!r}", tuple(faults))
    read = {c: cells.numbers(table[c])[0] for c in (*variables.values(), *law.response.columns())}
    table = table.assign(**read)
    if faults := simplex_faults(table, law):
        raise DataError(f"{runs.source} can't be fitted with law {law.name!r}", tuple(faults))
    last_only = _final if checkpoints == "final" else _series
    table = last_only(table, groups, runs.source, notes)
    if checkpoints == "final" and not law.response.counted:
        table = _without_copies(table, [*variables.values(), *groups], response, notes)
    plain = {name: c for name, c in variables.items() if law.variables[name].kind != KIND}
    refuse_unidentified(table, law, runs.source, plain)
    notes += identifiability_notes(table, law, plain)
    notes += _group_notes(table, groups)
    notes += _replicate_notes(table, groups, variables)
    if not law.response.counted:
        notes += _tie_notes(table, response)
    return Selection(table, tuple(notes))


def _check_options(checkpoints: str, on_failed: str) -> None:
    if checkpoints not in ("final", "all"):
        raise BayescaleError(f"checkpoints is 'final' or 'all', not {checkpoints!r}")
    if on_failed not in ("error", "drop"):
        raise BayescaleError(f"on_failed is 'error' or 'drop', not {on_failed!r}")


def _require(runs: Runs, law: Law, groups: Sequence[str]) -> None:
    present = [runs.renamed.get(name, name) for name in runs.table.columns]
    about = {v.column: v.unit for v in law.variables.values()}
    about[law.response.column] = law.response.unit
    if law.response.counts_of:
        about[law.response.counts_of] = "number of trials; or take noise='t' or 'beta'"
    faults = [
        cols.missing_fault(name, present, unit)
        for name, unit in about.items()
        if name not in runs.table
    ]
    for group in groups:
        if group not in runs.table:
            near = cols.nearest(group, present)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(present)}"
            faults.append(f"no column {group} to group by; {hint}")
    if faults:
        raise DataError(f"{runs.source} can't be fitted with law {law.name!r}", tuple(faults))


def _value(table: pd.DataFrame, column: str, faults: Callable[[pd.Series], list[str]]) -> list[str]:
    values, text = cells.numbers(table[column])
    return cells.text_faults(column, text) + faults(values.drop(text.index))


def _without_failed(
    table: pd.DataFrame, on_failed: str, notes: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Leave out runs of which any row failed, or name them all in one fault."""
    bad = cells.failed(table)
    if not bad.any():
        return table, []
    if "run" in table:
        names = sorted(set(table.loc[bad, "run"]))
        bad |= table["run"].isin(names)
        what = f"run{'s' if len(names) > 1 else ''} {', '.join(names[:10])}"
        what += f", ... ({len(names)} runs)" if len(names) > 10 else ""
    else:
        what = cols.rows_text(table.index[bad].tolist())
    if on_failed == "drop":
        notes.append(f"{what} failed and {'are' if bad.sum() > 1 else 'is'} left out")
        return table[~bad], []
    states = ", ".join(sorted({str(s) for s in table.loc[cells.failed(table), "status"]}))
    fault = (
        f"{what} failed (status {states}); leave failed runs out with on_failed='drop' "
        "(--on-failed drop)"
    )
    return table[~bad], [fault]


def _final(
    table: pd.DataFrame, groups: Sequence[str], source: str, notes: list[str]
) -> pd.DataFrame:
    """Keep each run's last row in every evaluation set."""
    if "run" not in table:
        return table
    _refuse_shared_ids(table, source)
    keys = [k for k in dict.fromkeys(["run", *groups, "evaluation"]) if k in table]
    series = table.groupby(keys, sort=False, dropna=False)
    kept = table
    for name in ("is_final", "step", "D"):
        if name in table:
            order = kept[name].fillna(-np.inf)
            best = order.groupby([kept[k] for k in keys], sort=False, dropna=False)
            kept = kept[order == best.transform("max")]
    left = len(table) - len(kept)
    again = kept[kept.duplicated(keys, keep=False)]
    faults = []
    for label, rows in again.groupby(keys, sort=False, dropna=False):
        faults.append(
            f"{cols.rows_text(rows.index.tolist())}: run {label[0]!r} has {len(rows)} rows at "
            "one step: if they are evaluation sets, say which in a column 'evaluation'; if they "
            "are other runs, give them ids of their own"
        )
    if faults:
        raise DataError(f"{source}: one row a run is fitted", tuple(faults[:10]))
    if left:
        several = int(np.count_nonzero(series.size() > 1))
        notes.append(
            f"one row a run is fitted: {left} earlier checkpoints of {several} runs are left out"
        )
    return kept


def _without_copies(
    table: pd.DataFrame, keys: Sequence[str], response: str, notes: list[str]
) -> pd.DataFrame:
    """Count a run once that is listed twice: one configuration, one loss to its last digit.

    Repeated runs scatter; copies would say that they don't. Of losses with few digits nothing is
    known: two runs may well agree in them.
    """
    keys = [k for k in dict.fromkeys([*keys, "evaluation", response]) if k in table]
    fine = table[response].map(lambda loss: float(f"{loss:.{DIGITS - 1}g}") != loss)
    copies = fine & table.duplicated(keys)
    if not copies.any():
        return table
    rows = table.index[fine & table.duplicated(keys, keep=False)].tolist()
    notes.append(
        f"warning: {cols.rows_text(rows[:10])}{', ...' if len(rows) > 10 else ''} agree in "
        f"{', '.join(keys)} to the last digit: taken as copies of {len(rows) - copies.sum()} runs, "
        f"{copies.sum()} left out"
    )
    return table[~copies]


def _series(
    table: pd.DataFrame, groups: Sequence[str], source: str, notes: list[str]
) -> pd.DataFrame:
    """Keep all rows, those of a run (in each evaluation set) one after the other."""
    if "run" not in table or "D" not in table:
        raise DataError(
            f"{source}: checkpoints='all' needs a column 'run' that tells which rows are one run, "
            "and 'D', the tokens that each had seen"
        )
    _refuse_shared_ids(table, source)
    keys = [k for k in dict.fromkeys(["run", *groups, "evaluation"]) if k in table]
    again = table.index[table.duplicated([*keys, "D"], keep=False)].tolist()
    if again:
        raise DataError(
            f"{source}: {cols.rows_text(again[:10])} are checkpoints of one run at one D; say "
            "which evaluation set each is of in a column 'evaluation', or keep one"
        )
    series = table.groupby(keys, sort=False, dropna=False)
    ordered = table.assign(_series=series.ngroup()).sort_values(["_series", "D"], kind="stable")
    notes.append(
        f"all {len(table)} checkpoints of {table['run'].nunique()} runs are fitted; those of one "
        "run deviate together (memory)"
    )
    return ordered.drop(columns="_series")


def _refuse_shared_ids(table: pd.DataFrame, source: str) -> None:
    """One run has one size and one seed; ids counted anew in every family would be merged."""
    faults = []
    for name in ("N", "seed"):
        if name not in table:
            continue
        column: pd.Series = table[name] if name == "N" else cells.labels(table[name])
        values = column.groupby(table["run"], sort=False)
        spread = values.nunique(dropna=True)
        if pd.api.types.is_numeric_dtype(table[name]) and name == "N":
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = (np.log(values.max() / values.min()) > JITTER).astype(int) + 1
        for run in spread.index[np.asarray(spread > 1)][:5]:
            rows = table.index[table["run"] == run].tolist()
            faults.append(
                f"{cols.rows_text(rows)}: run {run!r} has more than one {name}; give every run "
                "an id of its own"
            )
    if faults:
        raise DataError(f"{source}: run ids are shared by several runs", tuple(faults))


def _group_notes(table: pd.DataFrame, groups: Sequence[str]) -> list[str]:
    notes = []
    for group in groups:
        sizes = table[group].value_counts(sort=False)
        if len(sizes) == 1:
            notes.append(f"{group} has one level ({sizes.index[0]}): nothing varies by it")
        elif single := sizes.index[sizes == 1].tolist():
            notes.append(
                f"warning: {group} {', '.join(single[:10])}{', ...' if len(single) > 10 else ''} "
                f"{'has' if len(single) == 1 else 'have'} one row: the other groups decide"
            )
    return notes


def _replicate_notes(
    table: pd.DataFrame, groups: Sequence[str], variables: dict[str, str]
) -> list[str]:
    if "run" in table:
        return []
    keys = [k for k in dict.fromkeys([*variables.values(), *groups, "evaluation"]) if k in table]
    keys += [k for k in ("seed", "recipe", "family", "corpus") if k in table and k not in keys]
    again = table.index[table.duplicated(keys, keep=False)].tolist()
    if not again:
        return []
    return [
        f"warning: {cols.rows_text(again)} agree in {', '.join(keys)} and have no run ids: taken "
        "as repeated runs; if they are checkpoints or copies, add a column 'run'"
    ]


def _tie_notes(table: pd.DataFrame, response: str) -> list[str]:
    losses = np.unique(table[response].to_numpy())
    if len(table) < 10 or 2 * len(losses) >= len(table) or len(losses) < 2:
        return []
    logs = losses[0] > 0
    step = float(np.median(np.diff(np.log(losses) if logs else losses)))
    return [
        f"warning: {response} takes {len(losses)} values in {len(table)} rows, {step:.2g} apart"
        f"{' in log' if logs else ''}: it was rounded or digitised"
    ]
