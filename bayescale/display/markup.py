"""Escaped HTML: titles, lines, lists that fold, tables. No scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite, isnan
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from bayescale.display.writing import COUNTS, quantity

if TYPE_CHECKING:
    import pandas as pd

ROWS = 10  # shown of a long table
_LEFT = "text-align:left;vertical-align:top;padding:0.15em 0.8em 0.15em 0"
_RIGHT = "text-align:right;vertical-align:top;padding:0.15em 0.8em 0.15em 0"


def page(title: str, *parts: str) -> str:
    """Put a title over parts that are HTML already."""
    return "\n".join([f"<div><p><b>{escape(title)}</b></p>", *(p for p in parts if p), "</div>"])


def paragraph(texts: Iterable[str]) -> str:
    """Write one line for each text that isn't empty."""
    kept = [escape(text) for text in texts if text]
    return f"<p>{'<br>'.join(kept)}</p>" if kept else ""


def notes(title: str, texts: Sequence[str], opened: bool = False) -> str:
    """List texts under a title that folds and counts them; nothing where there are none."""
    if not texts:
        return ""
    items = "".join(f"<li>{escape(str(text))}</li>" for text in texts)
    return fold(f"{title} ({len(texts)})", f'<ul style="margin:0.2em 0">{items}</ul>', opened)


def fold(title: str, body: str, opened: bool = False) -> str:
    """Put HTML behind a title to click on."""
    return f"<details{' open' if opened else ''}><summary>{escape(title)}</summary>{body}</details>"


def table(frame: pd.DataFrame, index: str | None = None, limit: int = ROWS) -> str:
    """Render a table's first rows; `index` heads the row labels, which None leaves out."""
    columns = [str(c) for c in frame.columns]
    shown = frame.head(limit)
    body = []
    for label, row in zip(shown.index, shown.itertuples(index=False, name=None), strict=True):
        cells = [cell(value, name) for value, name in zip(row, columns, strict=True)]
        body.append(cells if index is None else [str(label), *cells])
    numeric = [getattr(dtype, "kind", "O") in "iuf" for dtype in frame.dtypes]
    more = f"<p>{len(frame) - limit} more rows</p>" if len(frame) > limit else ""
    if index is None:
        return grid(columns, body, numeric) + more
    return grid([index, *columns], body, [False, *numeric]) + more


def grid(
    head: Sequence[str], body: Sequence[Sequence[str]], numeric: Sequence[bool] | None = None
) -> str:
    """Render texts as a table, numeric columns to the right."""
    styles = [_RIGHT if right else _LEFT for right in (numeric or [False] * len(head))]

    def line(tag: str, texts: Sequence[str]) -> str:
        pairs = zip(texts, styles, strict=True)
        return "".join(f'<{tag} style="{style}">{escape(t)}</{tag}>' for t, style in pairs)

    inside = "".join(f"<tr>{line('td', row)}</tr>" for row in body)
    return f"<table><thead><tr>{line('th', head)}</tr></thead><tbody>{inside}</tbody></table>"


def cell(value: Any, column: str) -> str:
    """Write one value of a column; nothing for a missing one."""
    if value is None or isinstance(value, bool) or not isinstance(value, Real):
        return "" if value is None else str(value)
    number = float(value)
    if not isfinite(number):
        return "" if isnan(number) else str(number)
    if isinstance(value, Integral) and column not in (*COUNTS, "C"):
        return str(value)
    return quantity(number, column, 4)
