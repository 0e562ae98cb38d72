"""What a law misses: the one thing that its residuals lean on most, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayescale.columns import LABELS
from bayescale.fitting import Fit
from bayescale.predictive_draws import loss_draws

if TYPE_CHECKING:
    from collections.abc import Sequence

LITTLE = 0.1  # share of the residuals' variance that isn't worth a word


def what_it_misses(fit: Fit) -> str:
    """Say along which column, or between which labels, the residuals of a fit go together.

    Residuals are logs of observed over the law's median. Along a column a parabola in its log is
    tried, for a label the means of its values; what explains most of the variance, less what as
    many columns of noise would explain, is named, if it is a tenth or more.

    Examples
    --------
    >>> what_it_misses(fit)                                             # doctest: +SKIP
    'bends along D (31% of what it leaves over): +0.6% at the least, -0.4% midway, +0.5% at ...'
    """
    table = fit.runs.table
    if not fit.model.structure.response.positive:
        return "not told: its residuals have no logarithms"
    observed = table[fit.law.response.column].to_numpy(float)
    left = np.log(observed) - np.log(np.median(loss_draws(fit, table, kind="mean"), axis=0))
    columns = [v.column for v in fit.law.variables.values()]
    found = [_along(table, c, left) for c in dict.fromkeys([*columns, "N", "D", "C"])]
    labels = [c for c in dict.fromkeys([*LABELS, *fit.groups]) if c not in ("run", "status")]
    found += [_between(table, c, left) for c in labels]
    share, words = max(found, key=lambda one: one[0])
    return words if share >= LITTLE else "nothing that stands out"


def _explained(left: np.ndarray, fitted: np.ndarray, parameters: int) -> float:
    """Share of the variance explained, adjusted for the number of parameters."""
    size = len(left)
    total = float(np.sum((left - left.mean()) ** 2))
    if size <= parameters + 1 or total <= 0:
        return 0.0
    rest = float(np.sum((left - fitted) ** 2))
    return 1.0 - rest / total * (size - 1) / (size - parameters)


def _along(table: pd.DataFrame, column: str, left: np.ndarray) -> tuple[float, str]:
    if column not in table.columns:
        return 0.0, ""
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
    if not np.all(np.isfinite(values) & (values > 0)) or len(np.unique(values)) < 4:
        return 0.0, ""
    z = np.log(values)
    low, high = z.min(), z.max()
    x = 2.0 * (z - low) / (high - low) - 1.0
    curve = np.polynomial.Polynomial.fit(x, left, 2, domain=[-1, 1])
    share = _explained(left, curve(x), 3)
    ends = [f"{np.expm1(curve(at)):+.1%}" for at in (-1.0, 0.0, 1.0)]
    return share, (
        f"bends along {column} ({share:.0%} of what it leaves over): {ends[0]} at the least,"
        f" {ends[1]} midway, {ends[2]} at the most"
    )


def _between(table: pd.DataFrame, column: str, left: np.ndarray) -> tuple[float, str]:
    if column not in table.columns or table[column].isna().any():
        return 0.0, ""
    label = table[column].astype(str).to_numpy()
    means = pd.Series(left).groupby(label).mean()
    if not 2 <= len(means) <= len(left) / 3:
        return 0.0, ""
    share = _explained(left, means.loc[label].to_numpy(), len(means))
    ends: Sequence[str] = [str(means.idxmin()), str(means.idxmax())]
    return share, (
        f"differs by {column} ({share:.0%} of what it leaves over): from"
        f" {np.expm1(means.min()):+.1%} ({ends[0]}) to {np.expm1(means.max()):+.1%} ({ends[1]})"
    )
