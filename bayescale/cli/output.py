"""JSON for programs, tables for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

FORCED = "FORCED: the diagnostics refuse this fit"
_WIDTH_OF_A_FILE = 160  # rich takes 80 where there is no terminal, too few for a table


def console() -> Console:
    """Open standard output for tables and sentences, never reading markup in `alpha[dense]`."""
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    return Console(width=width, markup=False, highlight=False, emoji=False)


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


def frame(table: pd.DataFrame, title: str = "") -> Table:
    """Show a table of data, its numbers to four digits."""
    shown = Table(title=title or None, title_justify="left", header_style="bold")
    for name in table.columns:
        numeric = pd.api.types.is_numeric_dtype(table[name])
        shown.add_column(Text(str(name)), justify="right" if numeric else "left")
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(cell(value)) for value in row))
    return shown


def cell(value: Any) -> str:
    """Write one value as a person would read it.

    Examples
    --------
    >>> [cell(value) for value in (0.123456, 7e10, 12, True, None, ("a", "b"))]
    ['0.1235', '7e+10', '12', 'yes', '', 'a, b']
    """
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(cell(item) for item in value)
    return str(value)
