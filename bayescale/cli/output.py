"""JSON for programs, tables for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bayescale.display.writing import COUNTS, quantity

FORCED = "FORCED: the diagnostics refuse this fit"
_WIDTH_OF_A_FILE = 160  # rich takes 80 where there is no terminal, too few for a table


def console() -> Console:
    """Open standard output for tables and sentences, never reading markup in `alpha[dense]`."""
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    return Console(width=width, markup=False, highlight=False, emoji=False)


_WRITTEN: list[str] = []  # by this process, for who interrupts it


def wrote(path: object) -> None:
    """Note a file that is whole, so that an interruption can say what there is."""
    _WRITTEN.append(str(path))


def what_was_written() -> str:
    """Say which files an interrupted command has finished."""
    return f"finished before: {', '.join(_WRITTEN)}" if _WRITTEN else "nothing was written"


def say(*lines: str) -> None:
    """Print notes and warnings to standard error, one a line."""
    for line in lines:
        print(line, file=sys.stderr)


def dumps(document: Any) -> str:
    """Write a document as JSON, in which what is not finite is null.

    Examples
    --------
    >>> dumps({"a": np.float64(0.5), "b": [math.nan, np.int64(2)]})
    '{"a": 0.5, "b": [null, 2]}'
    """
    return json.dumps(plain(document), allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Turn arrays, tables and numpy's numbers into what JSON knows; NaN and infinity into None."""
    match value:
        case None | str() | bool() | int():
            return value
        case np.generic():
            return plain(value.item())
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case pd.DataFrame():
            return [plain(row) for row in value.to_dict(orient="records")]
        case pd.Series():
            return plain(value.to_dict())
        case np.ndarray():
            return plain(value.tolist())
        case PurePath():
            return str(value)
        case _ if value is pd.NA or value is pd.NaT:
            return None
        case Iterable():
            return [plain(item) for item in value]
    return str(value)


def marked(document: dict[str, Any], forced: bool) -> dict[str, Any]:
    """Mark a document whose fit was refused, and leave any other as it is."""
    return {**document, "forced": True} if forced else document


def intervals(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Collect `lower_95` and `upper_95` of a row as `{"0.95": [lower, upper]}`.

    Examples
    --------
    >>> intervals({"median": 2.0, "lower_95": 1.9, "upper_95": 2.1})
    {'0.95': [1.9, 2.1]}
    """
    found = {
        float(name.removeprefix("lower_")) / 100: [row[name], row["upper_" + name[6:]]]
        for name in row
        if isinstance(name, str) and name.startswith("lower_")
    }
    return {f"{prob:g}": found[prob] for prob in sorted(found)}


def with_spans(table: pd.DataFrame) -> pd.DataFrame:
    """Show each pair `lower_95`, `upper_95` as one column `95%`, as few words as a reader needs.

    Examples
    --------
    >>> with_spans(pd.DataFrame({"median": [2.0], "lower_95": [1.9], "upper_95": [2.1]}))
       median         95%
    0     2.0  1.9 to 2.1
    """
    shown = {}
    for name in table.columns:
        prob = str(name).removeprefix("lower_")
        if prob != name:
            pairs = zip(table[name], table[f"upper_{prob}"], strict=True)
            shown[f"{prob}%"] = [span(*pair) for pair in pairs]
        elif not str(name).startswith("upper_"):
            shown[name] = table[name]
    return pd.DataFrame(shown, index=table.index)


def span(lower: float, upper: float) -> str:
    """Write an interval as a person would read it.

    Examples
    --------
    >>> span(1.94321, 2.0), span(math.nan, math.nan)
    ('1.943 to 2', 'none')
    """
    return "none" if math.isnan(lower) else f"{cell(float(lower))} to {cell(float(upper))}"


_WRAPS = 24  # characters from which a column of words may be broken into lines


@dataclass(frozen=True, eq=False)
class Frame:
    """A table that fits the terminal: too wide, it goes on below, its first column repeated."""

    table: pd.DataFrame
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as many tables as the width asks for."""
        names = [str(name) for name in self.table.columns]
        rows = [
            [cell(v, name) for v, name in zip(row, names, strict=True)]
            for row in self.table.itertuples(index=False)
        ]
        lines = [len(max(c, key=len, default="")) for c in zip(names, *rows, strict=True)]
        numeric = [pd.api.types.is_numeric_dtype(t) for t in self.table.dtypes]
        wraps = [n > _WRAPS and not number for n, number in zip(lines, numeric, strict=True)]
        least = [_WRAPS if wrap else n for n, wrap in zip(lines, wraps, strict=True)]
        for i, part in enumerate(_parts(least, options.max_width)):
            shown = Table(
                title=self.title if self.title and i == 0 else None,
                title_justify="left",
                header_style="bold",
            )
            for k in part:
                justify = "right" if numeric[k] else "left"
                shown.add_column(Text(names[k]), justify=justify, no_wrap=not wraps[k])
            for row in rows:
                shown.add_row(*(Text(row[k]) for k in part))
            yield shown


def _parts(widths: Sequence[int], most: int) -> list[list[int]]:
    """Places of the columns of each table, the first in all of them.

    Examples
    --------
    >>> _parts([5, 10, 10, 10], 30)
    [[0, 1], [0, 2], [0, 3]]
    """
    if not widths:
        return []
    room = 3  # a border, and a blank on both sides of the text
    parts: list[list[int]] = [[0]]
    used = widths[0] + room + 1
    for k in range(1, len(widths)):
        if used + widths[k] + room > most and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0] + room + 1
        parts[-1].append(k)
        used += widths[k] + room
    return parts


def frame(table: pd.DataFrame, title: str = "") -> Frame:
    """Show a table of data, its numbers to four digits."""
    return Frame(table, title)


def cell(value: Any, column: str = "") -> str:
    """Write one value as a person would read it, a count such as N as 70B.

    Examples
    --------
    >>> [cell(value) for value in (0.123456, 7e10, 12, True, None, ("a", "b"))]
    ['0.1235', '7e+10', '12', 'yes', '', 'a, b']
    >>> cell(7e10, "N")
    '70B'
    """
    if column in (*COUNTS, "C") and isinstance(value, float | np.floating) and value > 0:
        return quantity(float(value), column)
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(cell(item) for item in value)
    return str(value)
