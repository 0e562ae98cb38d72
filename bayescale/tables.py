"""Files to tables: CSV and parquet read as they stand, with the reason where they can't be."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pandas as pd

from bayescale.columns import nearest
from bayescale.errors import DataError

_NOT_TABLES = {".xlsx", ".xls", ".nc", ".h5", ".pkl", ".toml", ".zip", ".npz"}
_SHOWN = 10


def read_file(path: Path) -> pd.DataFrame:
    r"""Read a table from a file; the cells of a CSV stay text.

    Parameters
    ----------
    path
        A .csv, .csv.gz, .tsv or .parquet file (the last needs pyarrow).

    Raises
    ------
    DataError
        The file isn't there, is a folder, is empty, has no header, or has rows of another length.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "runs.csv"
    >>> _ = path.write_text("N,D\n1e6,1e8\n")
    >>> read_file(path).to_dict("list")
    {'N': ['1e6'], 'D': ['1e8']}
    """
    if path.is_dir():
        inside = sorted(
            p.name for p in path.iterdir() if p.suffix in {".csv", ".parquet", ".gz", ".jsonl"}
        )
        hint = f", such as {path / inside[0]}" if inside else ""
        raise DataError(f"{path} is a folder, not a file; give the table's own path{hint}")
    if not path.exists():
        known = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, known)
        hint = f"; did you mean {path.parent / near}?" if near else "; give a local CSV or parquet"
        raise DataError(f"{path} doesn't exist{hint}")
    if path.suffix.lower() in _NOT_TABLES:
        raise DataError(f"{path.name} is no CSV or parquet table; save it as CSV with a header")
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            return _read_csv(stream, path.name)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is not text ({error}); save it as CSV in UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(
            f"{path.name}: reading parquet needs pyarrow; pip install pyarrow, or save it as CSV"
        ) from error
    try:
        table = parquet.read_table(path).to_pandas()
    except (ValueError, OSError) as error:
        raise DataError(f"{path.name} is no parquet file: {error}") from error
    table.columns = [str(column) for column in table.columns]
    return table


def _read_csv(stream: TextIO, name: str) -> pd.DataFrame:
    """Read text cells, with no guess at types: pandas would turn large counts into int64."""
    lines = (line for line in csv.reader(stream, delimiter="\t" if ".tsv" in name else ","))
    header = next((cells for cells in lines if any(c.strip() for c in cells)), None)
    if header is None:
        raise DataError(f"{name} is empty; it needs a header and one line a training run")
    names = [cell.strip() for cell in header]
    if len(names) == 1 and (mark := next((m for m in ";\t|" if m in names[0]), None)):
        raise DataError(f"{name} is separated by {mark!r}; save it separated by commas")
    unnamed = [str(i) for i, cell in enumerate(names, 1) if not cell]
    if len(unnamed) > 1 or (unnamed and names[0]):
        raise DataError(f"{name}: the header has no name for column {', '.join(unnamed)}; name it")
    names[0] = names[0] or "row"  # what pandas writes for its index
    rows = list(_full_rows(lines, len(names), name))
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise DataError(f"{name}: column {', '.join(twice)} is there twice; rename one of them")
    return pd.DataFrame({n: pd.Series(c, dtype=object) for n, c in zip(names, cells, strict=True)})


def _full_rows(lines: Iterator[list[str]], width: int, name: str) -> Iterator[list[str]]:
    number, faults = 0, []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        if len(cells) != width:
            faults.append(f"row {number}: {len(cells)} fields, but the header names {width}")
        else:
            yield cells
    if faults:
        more = (f"{len(faults) - _SHOWN} more rows",) if len(faults) > _SHOWN else ()
        raise DataError(f"{name}: rows of another length; mend the file", (*faults[:_SHOWN], *more))
