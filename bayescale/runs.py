"""Runs: a validated table of training runs in base units; `read_runs` lists every fault at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale import cells
from bayescale import columns as cols
from bayescale.conditions import Condition
from bayescale.errors import BayescaleError, DataError
from bayescale.schedule_columns import completed
from bayescale.tables import read_file

if TYPE_CHECKING:
    from bayescale.law import Law


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """A checked table of training runs, one row a run (or one checkpoint of it).

    Attributes
    ----------
    table
        Canonical columns in base units (`N` parameters, `D` tokens, `C` FLOPs, `loss` nats per
        token) as float64, beside every other column of the source. The index is the number of the
        data row in the source, from 1.
    source
        Where the table came from, for messages.
    notes
        What was read how, what was filled, and warnings, one sentence each.
    renamed
        Canonical name -> the source's own name, where they differ.
    units
        Column -> its unit, where it is not the law's own, such as nat/byte. Answers are in it.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = read_runs(pd.DataFrame({"N": [1e6, 2e6], "D": [1e8, 1e8], "loss": [4.1, 3.9]}))
    >>> len(runs), len(runs.where("N > 1.5e6"))
    (2, 1)
    """

    table: pd.DataFrame
    source: str = "table"
    notes: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Runs of {self.source}: {len(self)} rows of {', '.join(map(str, self.table))}>"

    def __len__(self) -> int:
        return len(self.table)

    def _repr_html_(self) -> str:
        from bayescale.display import runs_html

        return runs_html(self)

    def where(self, text: str) -> Runs:
        """Keep the rows that meet a condition such as ``C < 3e20 and family == 'dense'``.

        Parameters
        ----------
        text
            Comparisons of columns with numbers or quoted text, joined by ``and``. Columns may be
            called by their canonical or by the source's own names.

        Returns
        -------
        Runs
            With the source's row numbers kept.

        Raises
        ------
        FormulaError
            The condition can't be read.
        DataError
            No row meets it.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"params": [1e6, 2e6], "D": [1e8, 1e8], "loss": [4.1, 3.9]})
        >>> read_runs(table).where("params > 1.5e6").table.index.tolist()
        [2]
        """
        keep = _mask(self.table, text, self.renamed)
        if not keep.any():
            raise DataError(
                f"{self.source}: no row of {len(self)} meets {text!r}; {_ranges(self.table)}"
            )
        note = f"{text}: {int(keep.sum())} of {len(self)} rows"
        return replace(self, table=self.table[keep], notes=(*self.notes, note))


def read_runs(
    source: str | Path | pd.DataFrame | Mapping[str, Any] | Runs,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    law: Law | None = None,
    units: Mapping[str, str] | None = None,
) -> Runs:
    """Read a table of training runs and check it, listing every fault with its rows.

    Parameters
    ----------
    source
        A CSV (also .csv.gz, .tsv) or parquet file, or a table in memory.
    columns
        Canonical name -> the table's own name, such as ``{"N": "params"}``. The synonyms params,
        n_params (N), tokens (D), flops, compute (C) and dataset (corpus) need no mapping.
    where
        Condition on the rows, as in `Runs.where`; rows left out aren't checked.
    law
        Law whose columns must be there. Without one, `loss` must be, and those of N, D, C and U
        that are there are checked.
    units
        Column -> unit, such as ``{"loss": "bit/byte"}``, where it is not the law's own. Nothing is
        converted: priors are relative to the losses, and answers come in the unit named here.

    Returns
    -------
    Runs
        Measured quantities are float64; `C` is filled from 6*N*D (FLOPs) where it is missing.

    Raises
    ------
    DataError
        One message with every fault: missing columns (and the nearest name), text in numbers,
        empty, infinite or non-positive values, duplicate rows, each with its rows from 1.
    FormulaError
        The condition can't be read.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = read_runs(
    ...     pd.DataFrame({"params": [1e6, 2e6], "tokens": [1e8, 1e8], "loss": [4.1, 3.9]})
    ... )
    >>> runs.table["C"].tolist()
    [600000000000000.0, 1200000000000000.0]
    >>> runs.notes[-1]
    'C is 6*N*D in 2 of 2 rows, where none was given'
    """
    raw, name = _raw_table(source)
    if not len(raw):
        raise DataError(f"{name} has no rows; it needs a header and one line a training run")
    raw = completed(raw, law)
    needed, response = _needed(law)
    mapping, used, unmapped = cols.resolve(list(raw.columns), dict(columns or {}), needed)
    table, displaced = cols.rename(raw, mapping)
    table, unread = _read_columns(table, needed, response)
    filled = _fill_compute(table)
    notes, faults = [*used, *displaced], list(unmapped.values())
    free = [own for own in raw if own not in mapping.values()]
    for column in dict.fromkeys([*(needed or ()), response]):
        if column not in table and column not in unmapped:
            faults.append(cols.missing_fault(column, free))
    if where is not None:
        kept, unfit = _try_mask(table, where, mapping, unread)
        if unfit is not None and not faults:
            raise unfit
        if not kept.any():
            faults.append(f"no row of {len(table)} meets {where!r}; {_ranges(table)}")
        notes.append(f"{where}: {int(kept.sum())} of {len(table)} rows")
        table, filled = table[kept], filled[kept]
    faults += _value_faults(table, unread, needed, response)
    faults += _duplicate_faults(table)
    if faults:
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise DataError(f"{name} can't be used: {count}", tuple(faults))
    if filled.any():
        notes.append(
            f"C is 6*N*D in {int(filled.sum())} of {len(table)} rows, where none was given"
        )
    units = dict(source.units if isinstance(source, Runs) else {}) | dict(units or {})
    strange = [column for column in units if column not in table]
    if strange:
        raise DataError(f"units names {', '.join(strange)}, which the table doesn't have")
    notes += cells.unit_notes(table, response)
    return Runs(table, name, tuple(notes), dict(mapping), units)


def _needed(law: Law | None) -> tuple[tuple[str, ...] | None, str]:
    if law is None:
        return None, "loss"
    return tuple(v.column for v in law.variables.values()), law.response.column


def _raw_table(source: Any) -> tuple[pd.DataFrame, str]:
    """Give back the table as it stands, rows numbered from 1, and its name for messages."""
    if isinstance(source, Runs):
        return source.table, source.source
    if isinstance(source, (str, Path)):
        path = Path(source)
        table, name = read_file(path), path.name
    elif isinstance(source, (pd.DataFrame, Mapping)):
        try:
            table, name = pd.DataFrame(source), "table"
        except ValueError as error:
            raise DataError(f"columns of unequal length make no table: {error}") from error
        table = table.set_axis(pd.Index([str(c) for c in table.columns]), axis=1)
    else:
        raise DataError(
            f"runs are a path, a DataFrame or a dict of columns, not {type(source).__name__}"
        )
    twice = sorted(set(table.columns[table.columns.duplicated()]))
    if twice:
        raise DataError(f"{name}: column {', '.join(twice)} is there twice; rename one of them")
    return table.set_axis(pd.RangeIndex(1, len(table) + 1), axis=0), name


def _read_columns(
    table: pd.DataFrame, needed: tuple[str, ...] | None, response: str
) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """Make numbers of what must be numbers, labels of what must be labels; guess for the rest."""
    must = {*cols.MEASURED, *cols.OPTIONAL_NUMBERS, *(needed or ()), response, f"{response}_se"}
    parts: dict[str, pd.Series] = {}
    unread: dict[str, pd.Series] = {}
    for name in table.columns:
        column = table[name]
        if name == "is_final":
            column = column.replace({"True": 1, "true": 1, "False": 0, "false": 0})
        if name in must:
            parts[name], unread[name] = cells.numbers(column)
        elif name in cols.LABELS:
            parts[name] = cells.labels(column)
        else:
            values, text = cells.numbers(column)
            numeric = not len(text) and (values.notna().any() or column.dtype.kind in "iufb")
            parts[name] = values if numeric else _text(column)
    return pd.DataFrame(parts, index=table.index), unread


def _text(column: pd.Series) -> pd.Series:
    if all(isinstance(cell, str) for cell in column):
        return cells.labels(column)
    return column


def _fill_compute(table: pd.DataFrame) -> pd.Series:
    """Fill `C` in place where N and D can tell it; say in which rows."""
    if not {"N", "D"} <= set(table.columns):
        return pd.Series(False, index=table.index)
    given = table["C"] if "C" in table else pd.Series(np.nan, index=table.index)
    filled = given.isna() & (table["N"] > 0) & (table["D"] > 0)
    if "C" in table or filled.any():
        table["C"] = given.where(~filled, 6.0 * table["N"] * table["D"])
    return filled


def _mask(table: pd.DataFrame, text: str, renamed: Mapping[str, str]) -> pd.Series:
    own = {o: table[n] for n, o in renamed.items() if o not in table and n in table}
    keep = Condition.parse(text).mask(table.assign(**own))
    return pd.Series(np.asarray(keep, dtype=bool), index=table.index)


def _try_mask(
    table: pd.DataFrame, text: str, renamed: Mapping[str, str], unread: Mapping[str, pd.Series]
) -> tuple[pd.Series, BayescaleError | None]:
    """Apply the condition; rows with text in a number that it compares stay in, to be named."""
    try:
        keep = _mask(table, text, renamed)
    except BayescaleError as error:
        return pd.Series(True, index=table.index), error
    compared = Condition.parse(text).columns
    for name, text_cells in unread.items():
        if name in compared or renamed.get(name) in compared:
            keep |= keep.index.isin(text_cells.index)
    return keep, None


def _ranges(table: pd.DataFrame) -> str:
    measured = [n for n in (*cols.MEASURED, "loss") if n in table]
    spans = [f"{n} from {table[n].min():.4g} to {table[n].max():.4g}" for n in measured]
    return "it holds " + ", ".join(spans)


def _value_faults(
    table: pd.DataFrame,
    unread: Mapping[str, pd.Series],
    needed: tuple[str, ...] | None,
    response: str,
) -> Iterator[str]:
    required = [*(cols.MEASURED if needed is None else needed), response]
    lost = cells.failed(table)
    sized = pd.Series(True, index=table.index)
    for name in ("N", "D"):
        sized &= table[name] > 0 if name in table else True
    for name in dict.fromkeys([*required, *unread]):
        if name not in table:
            continue
        text = unread.get(name, pd.Series(dtype=object))  # C may have been filled whole
        text = text[text.index.isin(table.index)]
        values = table[name].drop(text.index)
        if name == response:  # a failed run has no final loss: `select_rows` counts it
            text = text[~lost[text.index]]
            values = values[~lost[values.index]]
        elif name == "C":  # where N or D is at fault, an empty C only repeats it
            values = values[values.notna() | sized[values.index]]
        yield from cells.text_faults(name, text)
        if name in required:
            yield from cells.value_faults(name, values)
        elif name == f"{response}_se" and (values < 0).any():
            rows = values.index[values < 0].tolist()
            yield f"{cols.rows_text(rows)}: {name} is negative; a standard error is 0 or more"


def _duplicate_faults(table: pd.DataFrame) -> Iterator[str]:
    comparable = table.drop(columns="row", errors="ignore").astype(str)
    repeated = comparable[comparable.duplicated(keep=False)]
    for _, same in repeated.groupby(list(repeated.columns), sort=False):
        rows = same.index.tolist()
        yield f"{cols.rows_text(rows)} are equal in every column; keep one of them"
