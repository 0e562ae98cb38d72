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
from bayescale.catalog import require_law
from bayescale.conditions import Condition
from bayescale.errors import BayescaleError, DataError
from bayescale.products import with_products
from bayescale.schedule_columns import completed
from bayescale.sources import Found, read_source
from bayescale.sources.naming import Proposal, family_hint, propose, unit_question
from bayescale.sources.steps import measured_rows
from bayescale.sources.thinning import thin as thinned
from bayescale.supports import response_faults, variable_faults

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
    format: str | None = None,
    thin: int | None = None,
) -> Runs:
    """Read a table of training runs and check it, listing every fault with its rows.

    Parameters
    ----------
    source
        A file: CSV (also .csv.gz, .tsv), Parquet, JSON lines or JSON. A table in memory: pandas,
        polars, pyarrow, a dict of columns. What an experiment tracker keeps: exports or the local
        folder of Weights & Biases, MLflow's folder or saved `search_runs`, TensorBoard's event
        files, the Hugging Face Trainer's `trainer_state.json`, Lightning's CSV logs; or a folder
        of these.
    columns
        Canonical name -> the table's own name, such as ``{"N": "params"}``. The synonyms params,
        n_params (N), tokens (D), flops, compute (C) and dataset (corpus) need no mapping; of a
        tracker's columns such as ``model.params`` or ``eval/loss`` the one that fits is taken, and
        said. A product of columns and numbers will do as well: ``{"D": "step * 524288"}``.
    where
        Condition on the rows, as in `Runs.where`; rows left out aren't checked.
    law
        Law whose columns must be there. Without one, `loss` must be, and those of N, D, C and U
        that are there are checked.
    units
        Column -> unit, such as ``{"loss": "bit/byte"}``, where it is not the law's own. Nothing is
        converted: priors are relative to the losses, and answers come in the unit named here.
    format
        What the source is, where it can't be told: csv, parquet, json, jsonl, wandb, mlflow,
        tensorboard, trainer, lightning.
    thin
        Keep at most so many checkpoints of a run, evenly spaced in the logarithm of their step.

    Returns
    -------
    Runs
        Measured quantities are float64; `C` is filled from 6*N*D (FLOPs) where it is missing.

    Raises
    ------
    DataError
        One message with every fault: missing columns (and the nearest name), text in numbers,
        empty, infinite or non-positive values, duplicate rows, each with its rows from 1. Where
        several columns could be meant, the question which.
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
    found = _found(source, format)
    name = found.name
    if not len(found.table):
        raise DataError(f"{name} has no rows; it needs a header and one line a training run")
    needed, response = _needed(law)
    raw, asked, used = with_products(found.table, dict(columns or {}))
    tracked = propose(raw, asked) if found.tracked else Proposal({})
    mapping, known, unmapped = cols.resolve(list(raw.columns), {**tracked.mapping, **asked}, needed)
    wanted = (*(cols.MEASURED if needed is None else needed), response)
    unmapped |= {k: v for k, v in (tracked.faults or {}).items() if k in wanted}
    table, displaced = cols.rename(raw, mapping)
    table = completed(table, law)
    trials = () if law is None or not law.response.trials else (law.response.trials,)
    table, unread = _read_columns(table, needed, response, trials)
    notes, faults = [*found.notes, *used, *tracked.notes, *known, *displaced], [*unmapped.values()]
    if found.tracked and not len(unread.get(response, ())):
        table, left = measured_rows(table, response)
        notes += left
    filled = _fill_compute(table)
    free = [own for own in raw if own not in mapping.values()]
    for column in dict.fromkeys([*(needed or ()), response]):
        if column not in table and column not in unmapped:
            hint = (found.hints or {}).get(column)
            faults.append(
                f"no column {column}; {hint}" if hint else cols.missing_fault(column, free)
            )
    if where is not None:
        kept, unfit = _try_mask(table, where, mapping, unread)
        if unfit is not None and not faults:
            raise unfit
        if not kept.any():
            faults.append(f"no row of {len(table)} meets {where!r}; {_ranges(table)}")
        notes.append(f"{where}: {int(kept.sum())} of {len(table)} rows")
        table, filled = table[kept], filled[kept]
    faults += _value_faults(table, unread, needed, response, law)
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
    question = unit_question(mapping.get(response, response)) if response not in units else None
    hint = family_hint(table) if found.tracked else None
    notes += [note for note in (question, hint) if note]
    if thin is not None:
        table, note = thinned(table, thin)
        notes += [note] if note else []
    return Runs(table, name, tuple(notes), dict(mapping), units)


def as_runs(runs: Any, law: Law | None = None) -> Runs:
    """Runs as they are; what `read_runs` reads is read, with the columns that the law asks for."""
    return runs if isinstance(runs, Runs) else read_runs(runs, law=law)


def _needed(law: Law | None) -> tuple[tuple[str, ...] | None, str]:
    if law is None:
        return None, "loss"
    return tuple(v.column for v in require_law(law).variables.values()), law.response.column


def _found(source: Any, format: str | None) -> Found:
    """Give back the table as it stands, rows numbered from 1, and its name for messages."""
    if isinstance(source, Runs):
        return Found(source.table, source.source)
    found = read_source(source, format)
    table = found.table
    twice = sorted(set(table.columns[table.columns.duplicated()]))
    if twice:
        raise DataError(
            f"{found.name}: column {', '.join(twice)} is there twice; rename one of them"
        )
    numbered = table.set_axis(pd.RangeIndex(1, len(table) + 1), axis=0)
    return replace(found, table=numbered)


def _read_columns(
    table: pd.DataFrame,
    needed: tuple[str, ...] | None,
    response: str,
    more: tuple[str, ...] = (),
) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """Make numbers of what must be numbers, labels of what must be labels; guess for the rest."""
    must = {
        *cols.MEASURED,
        *cols.OPTIONAL_NUMBERS,
        *(needed or ()),
        response,
        f"{response}_se",
        *more,
    }
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
    law: Law | None,
) -> Iterator[str]:
    required = [*(cols.MEASURED if needed is None else needed), response]
    known = {} if law is None else {v.column: v for v in law.variables.values()}
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
        else:  # nor has one that failed at once counted any tokens
            values = values[values.notna() | ~lost[values.index]]
        if name == "C":  # where N or D is at fault, an empty C only repeats it
            values = values[values.notna() | sized[values.index]]
        yield from cells.text_faults(name, text)
        if name in known:
            yield from variable_faults(known[name], values)
        elif name == response and law is not None:
            yield from response_faults(law.response.widest, values)  # a fit says which it takes
        elif name in required:
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
