"""Cells of a runs table: numbers and labels read from them, faults said, sizes judged."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd

from bayescale.columns import SHOWN, UNITS, rows_text

_FINISHED = {"", "ok", "done", "finished", "complete", "completed", "success"}
_MISSING = {"", "nan", "na", "n/a", "none", "null", "-nan"}
_MISSING_LABEL = {"", "nan", "NaN", "NA"}  # "none" is a fair label: warmup = none
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d{1,3}([, '_]\d{3})+(\.\d*)?")


def number(value: Any) -> float | None:
    """Read one cell as a float64: NaN where it is empty, None where it is no number.

    Examples
    --------
    >>> number("1e9"), number(" 7 "), number("1,000"), number("")
    (1000000000.0, 7.0, None, nan)
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _MISSING:
            return math.nan
        return float(text) if _NUMBER.fullmatch(text) else None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond every float
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        return None


def numbers(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Read a column as float64.

    Returns
    -------
    values
        float64, NaN where a cell is empty or is no number.
    unread
        The cells that are no numbers, as they stand, by row.
    """
    if column.dtype.kind in "iufb":
        return column.astype(np.float64), column.iloc[:0].astype(object)
    cells = column.astype(object)
    read = [number(cell) for cell in cells]
    bad = np.array([value is None for value in read], dtype=bool)
    values = np.array([math.nan if value is None else value for value in read], dtype=np.float64)
    return pd.Series(values, index=column.index, name=column.name), cells[bad]


def label(value: Any) -> str | None:
    """Write one cell as the label of a group; None where it is empty.

    Whole numbers lose their ``.0``, so that ``2``, ``2.0`` and ``"2"`` name one group.

    Examples
    --------
    >>> label(2048.0), label(" dense "), label(float("nan"))
    ('2048', 'dense', None)
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        text = value.strip()
        return None if text in _MISSING_LABEL else text
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def labels(column: pd.Series) -> pd.Series:
    """Write a column as group labels, None where a cell is empty."""
    values = [label(cell) for cell in column.astype(object)]
    return pd.Series(values, index=column.index, name=column.name, dtype=object)


def failed(table: pd.DataFrame) -> pd.Series:
    """Tell which rows belong to failed measurements: `status` is there and is not ok."""
    if "status" not in table:
        return pd.Series(False, index=table.index)
    states = labels(table["status"])
    return pd.Series(
        [(state or "").lower() not in _FINISHED for state in states], index=table.index
    )


def text_faults(name: str, unread: pd.Series) -> list[str]:
    """Say which cells of a column of numbers are text, and what to write instead."""
    faults = []
    for row, cell in list(unread.items())[:SHOWN]:
        text = str(cell).strip()
        if _GROUPED.fullmatch(text):
            plain = re.sub(r"[, '_]", "", text)
            advice = f"write {plain}, without separators"
        else:
            advice = "write a number such as 7e9, or remove the row"
        faults.append(f"row {row}: {name} is {text!r}, not a number; {advice}")
    if len(unread) > SHOWN:
        faults.append(f"{name}: {len(unread) - SHOWN} more rows are not numbers")
    return faults


def value_faults(
    name: str, values: pd.Series, positive: bool = True, least: float | None = None
) -> list[str]:
    """Say which numbers of a required column are empty, infinite or too low.

    Too low is not above zero, below `least` where it is given, or nothing without `positive`.
    """
    faults = []
    empty = values.index[values.isna()].tolist()
    if empty:
        faults.append(
            f"{rows_text(empty)}: {name} is empty or NaN; fill it, remove the row, or leave it "
            f'out with where="{name} > 0"'
        )
    infinite = values.index[np.isinf(values)].tolist()
    if infinite:
        faults.append(f"{rows_text(infinite)}: {name} is not finite; remove the row")
    bound = values <= 0 if least is None else values < least
    low = values[np.isfinite(values) & bound] if positive else values.iloc[:0]
    if len(low):
        shown = ", ".join(f"{value:g}" for value in low.iloc[:SHOWN])
        must, kept = (
            ("above 0", "> 0") if least is None else (f"{least:g} or more", f">= {least:g}")
        )
        faults.append(
            f"{rows_text(low.index.tolist())}: {name} is {shown}; it must be {must}: correct "
            f'it, or leave the row out with where="{name} {kept}"'
        )
    return faults


def unit_notes(table: pd.DataFrame, response: str = "loss") -> tuple[str, ...]:
    """Warn of sizes that look like another unit; never refuse them (rulings 18)."""
    notes = []
    for name, least, guess in (
        ("N", 1e3, "millions or billions"),
        ("D", 1e4, "millions or billions"),
    ):
        if name in table and len(table) and (largest := table[name].max()) < least:
            notes.append(
                f"warning: the largest {name} is {largest:g} {UNITS[name]}; did you mean {guess}?"
            )
    if {"N", "D", "C"} <= set(table.columns):
        ratio = float((table["C"] / (6.0 * table["N"] * table["D"])).median())
        if math.isfinite(ratio) and not 1 / 30 < ratio < 30:
            notes.append(
                f"warning: C is {ratio:.3g} times 6*N*D (median); is one of them in another unit?"
            )
    if "loss" in response and response in table and len(table):
        losses = table[response]
        if losses.max() > 15:
            notes.append(
                f"warning: the largest {response} is {losses.max():g}; nats per token stay below "
                "about 12: is it a perplexity (take its logarithm) or a sum over tokens?"
            )
        elif losses.max() < 0.05:
            notes.append(
                f"warning: the largest {response} is {losses.max():g} nats/token; is it in "
                "another unit?"
            )
    return tuple(notes)
