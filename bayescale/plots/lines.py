"""Which curves show a law: what runs along them, what is held, and the law's value there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayescale import costs
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit
from bayescale.predictive_draws import loss_draws

_POINTS = 48


@dataclass(frozen=True, eq=False)
class Lines:
    """What runs along a curve, what is held on it, and how the two make a row of the law."""

    x: str
    held: str | None
    along: str
    others: Mapping[str, float]
    budget: costs.Cost

    def columns(self, x: np.ndarray, level: float) -> dict[str, Any]:
        """Columns of the law at values of x on the curve of a level."""
        if self.x == "C" and self.along != "C":
            made = {"N": level, "D": self.budget.tokens(level, x), "C": x}
        elif self.held is None:
            made = {self.x: x}
        else:
            made = {self.x: x, self.held: level}
            if {"N", "D"} <= set(made):
                made["C"] = self.budget.flops(made["N"], made["D"])
        return {**self.others, **made}

    def complete(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with C, from this group's own cost where it isn't given."""
        if not {"N", "D"} <= set(table.columns):
            return table
        C = self.budget.flops(table["N"].astype(float), table["D"].astype(float))
        own = table["C"].astype(float) if "C" in table.columns else pd.Series(np.nan, table.index)
        return table.assign(C=own.fillna(pd.Series(C, index=table.index)))


def lines_of(fit: Fit, rows: pd.DataFrame, x: str) -> Lines:
    """Choose what is held on the curves of a group, whose rows say what compute costs there."""
    columns = [v.column for v in fit.law.variables.values()]
    try:
        budget: costs.Cost = costs.from_rows(rows)
    except DataError:
        budget = costs.SixND()
    held: str | None = None
    along = x
    if x == "C" and "C" not in columns:
        held, along = "N", "D"
    elif len(columns) > 1:
        preferred = "N" if x == "D" else "D"
        others = [c for c in columns if c != x]
        held = preferred if preferred in others else others[0]
    reference = fit.model.arrays.reference.columns
    fixed = {
        v.column: float(reference[name])
        for name, v in fit.law.variables.items()
        if v.column not in (x, held, along)
    }
    return Lines(x, held, along, fixed, budget)


def horizontal(fit: Fit, x: str | None) -> str:
    """The column to draw over: compute where the law is of N and D, else its first variable."""
    columns = [v.column for v in fit.law.variables.values()]
    possible = list(dict.fromkeys([*(["C"] if {"N", "D"} <= set(columns) else []), *columns]))
    if x is None:
        return possible[0]
    if x not in possible:
        raise BayescaleError(f"x={x!r} can't be drawn over; choose {either(possible)}")
    return x


def curves_of(
    fit: Fit,
    lines: Lines,
    known: Mapping[str, str],
    rows: pd.DataFrame,
    aims: pd.DataFrame | None = None,
    *,
    prob: float,
    most: int,
) -> pd.DataFrame:
    """Median and band of the law's value along each curve of one group, out to its targets."""
    both = rows if aims is None or aims.empty else pd.concat([rows, aims])
    end = float(both[lines.x].max())
    levels = [1.0]
    if lines.held is not None:
        levels = sorted(set(rows[lines.held].astype(float)))
        if len(levels) > most:
            levels = list(np.geomspace(levels[0], levels[-1], most))
        levels = sorted({*levels, *both[lines.held][len(rows) :].astype(float)})
    tail = (1.0 - prob) / 2.0
    parts = []
    for level in levels:
        start, inside = _extent(lines, rows, level)
        at = np.geomspace(start, max(end, 1.05 * start), _POINTS)
        columns = lines.columns(at, level)
        frame = pd.DataFrame({**known, **columns}, index=range(_POINTS))
        draws = loss_draws(fit, frame, kind="mean")
        low, middle, high = np.quantile(draws, [tail, 0.5, 1.0 - tail], axis=0)
        parts.append(
            frame.assign(what="curve", loss=middle, lower=low, upper=high, beyond=at > inside)
        )
    return pd.concat(parts, ignore_index=True)


def _extent(lines: Lines, rows: pd.DataFrame, level: float) -> tuple[float, float]:
    """Where a curve starts, and up to where the group has data at this level or near it."""
    x = rows[lines.x].astype(float)
    if lines.held is None:
        return float(x.min()), float(x.max())
    held = rows[lines.held].astype(float)
    ratio = 10.0 ** (np.ptp(np.log10(held)) / max(held.nunique() - 1, 1) / 2)
    near = x[(held <= level * ratio * 1.001) & (held >= level / ratio / 1.001)]
    if lines.along == lines.x:
        start = float(x.min())
    else:
        start = float(lines.budget.flops(level, rows[lines.along].min()))
    return start, float(near.max()) * 1.02 if len(near) else 0.0


def either(names: Sequence[str]) -> str:
    """The names to choose from, for a message."""
    return " or ".join(repr(n) for n in names) if names else "it has none"
