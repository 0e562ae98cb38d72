"""What a reader gives back, and how rows of several files become one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.errors import DataError

_FOLDERS = 20_000  # visited below a folder, before the reader gives up


@dataclass(frozen=True, eq=False)
class Found:
    """A table as its source has it.

    Attributes
    ----------
    table
        One row a run, or one a step of a run; cells may be text.
    name
        For messages.
    tracked
        It comes from an experiment tracker: names are looked for in `naming`, and rows without a
        loss are steps at which none was measured.
    notes
        What was left out or read how.
    hints
        Canonical column -> what to say where it is missing.
    """

    table: pd.DataFrame
    name: str
    tracked: bool = False
    notes: tuple[str, ...] = ()
    hints: Mapping[str, str] | None = None


def flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Give nested entries dotted names; lists are left as text.

    Examples
    --------
    >>> flat({"model": {"params": 1e6}, "tags": ["a"]})
    {'model.params': 1000000.0, 'tags': "['a']"}
    """
    cells: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and depth < 8:
            cells |= flat(value, f"{name}.", depth + 1)
        elif isinstance(value, (Mapping, list, tuple)):
            cells[name] = str(value)[:200]
        else:
            cells[name] = value
    return cells


def by_step(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join log entries of one step: metrics are often logged in several.

    Examples
    --------
    >>> by_step([{"step": 1, "loss": 4.0}, {"step": 1, "eval_loss": 4.1}])
    [{'step': 1, 'loss': 4.0, 'eval_loss': 4.1}]
    """
    joined: dict[Any, dict[str, Any]] = {}
    for row in rows:
        own = joined.setdefault(row.get("step"), {})
        own |= {k: v for k, v in row.items() if v is not None and v == v}
    return list(joined.values())


def table_of(rows: Sequence[Mapping[str, Any]], name: str) -> pd.DataFrame:
    """Make a table of rows; columns in order of first mention, those without a value left out.

    Raises
    ------
    DataError
        There is no row.
    """
    if not rows:
        raise DataError(f"{name} has no runs with a measured value")
    table = pd.DataFrame.from_records(list(rows))
    return table.dropna(axis="columns", how="all")


def below(folder: Path, wanted: Callable[[str], bool], depth: int = 6) -> Iterator[Path]:
    """Files below a folder whose names are wanted, sorted; links to folders are not followed.

    Raises
    ------
    DataError
        There are too many folders to look through.
    """
    visited = 0
    top = len(folder.parts)
    for root, folders, names in os.walk(folder):
        visited += 1
        if visited > _FOLDERS:
            raise DataError(
                f"{folder} holds more than {_FOLDERS} folders; name one nearer to the runs"
            )
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if len(Path(root).parts) - top >= depth:
            folders[:] = []
        yield from (Path(root) / name for name in sorted(names) if wanted(name))


def read_text(path: Path, most: int) -> str:
    """Read a small text file.

    Raises
    ------
    DataError
        It is larger than `most` bytes, isn't UTF-8, or can't be read.
    """
    try:
        size = path.stat().st_size
        if size > most:
            raise DataError(f"{path.name} has {size:.3g} bytes, more than the {most:.3g} expected")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
