"""How far a law may stray at a candidate from what it says where a decision lies.

A law fitted to all runs is trusted alike at every size; real ones bend, so that many small runs
agree closely about a law that is not quite the one that holds at the target. Here the law is taken
as exact at the decision's own place, a box in the logarithms of its variables, and to depart from
that, the further outside, by the integrated random walk of `bayescale.walks`. So a run tells the
less the further it lies from the decision, and runs beside one another share their departure: no
number of them averages it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import walks

Floats = NDArray[np.float64]

SCALE = 0.05  # sd of the slope of log loss after a decade: twice the usual bend, 1/3 above floor
_STEP = 0.02  # decades


def outside(rows: pd.DataFrame, places: pd.DataFrame, columns: Sequence[str]) -> Floats:
    """Decades that rows lie outside the box around some places, signed, a column a direction.

    Directions are the variables and, of three at most, the sums and differences of every two.

    Parameters
    ----------
    rows, places
        Tables with positive numbers in these columns.
    columns
        Of the law; those that either table lacks, or that aren't positive, are left out.

    Returns
    -------
    numpy.ndarray
        Shape ``(row, direction)``; zero inside the box.

    Examples
    --------
    >>> rows = pd.DataFrame({"N": [1e7, 5e8, 1e9], "D": [1e10, 1e10, 1e10]})
    >>> places = pd.DataFrame({"N": [1e8, 1e9], "D": [1e10, 1e11]})
    >>> outside(rows, places, ["N", "D"])[:, :2].tolist()
    [[-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    parts = []
    for name in columns:
        if name not in rows or name not in places:
            continue
        own = pd.to_numeric(rows[name], errors="coerce").to_numpy(float)
        box = pd.to_numeric(places[name], errors="coerce").to_numpy(float)
        if not ((own > 0).all() and (box > 0).all()):
            continue
        at, low, high = np.log10(own), np.log10(box.min()), np.log10(box.max())
        parts.append(np.minimum(at - low, 0.0) + np.maximum(at - high, 0.0))
    if not parts:
        return np.zeros((len(rows), 1))
    return walks.directions(np.stack(parts, axis=1))


def covariance(away: Floats, groups: NDArray | None = None, scale: float = SCALE) -> Floats:
    """Covariance of the departures of log loss between rows; groups depart independently.

    Parameters
    ----------
    away
        From `outside`, shape ``(row, direction)``.
    groups
        Label of each row.
    scale
        Sd of the slope of log loss after a decade.

    Examples
    --------
    >>> covariance(np.array([[0.0], [-1.0], [-2.0], [2.0]]), scale=0.05).round(4).tolist()[1]
    [0.0, 0.0008, 0.0021, 0.0]
    """
    whole = scale**2 * walks.covariance(away, away)
    if groups is None:
        return whole
    return np.where(np.asarray(groups)[:, None] == np.asarray(groups)[None, :], whole, 0.0)


def departures(
    away: Floats,
    size: int,
    rng: np.random.Generator,
    groups: NDArray | None = None,
    scale: float = SCALE,
) -> Floats:
    """Draw departures of log loss, joint over rows: shape ``(size, row)``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> drawn = departures(np.array([[0.0], [-1.0]]), 20000, rng, scale=0.05)
    >>> drawn.std(axis=0).round(3).tolist()                 # 0.05 / sqrt(3)
    [0.0, 0.029]
    """
    total = np.zeros((size, len(away)))
    labels = np.zeros(len(away), dtype=int) if groups is None else np.asarray(groups)
    for label in dict.fromkeys(labels.tolist()):
        for column in away.T:
            for sign in (1.0, -1.0):
                mine = np.flatnonzero((labels == label) & (sign * column > 0.0))
                if mine.size:
                    ticks = np.rint(np.abs(column[mine]) / _STEP).astype(int)
                    total[:, mine] += _walks(int(ticks.max()), size, rng)[:, ticks]
    return scale * total


def _walks(ticks: int, size: int, rng: np.random.Generator) -> Floats:
    """Integrated random walks of unit scale at 0, 1, ..., steps from where they start flat."""
    slope = np.cumsum(rng.standard_normal((size, ticks)) * np.sqrt(_STEP), axis=1)
    before = np.concatenate([np.zeros((size, 1)), slope[:, :-1]], axis=1)
    place = np.cumsum(0.5 * (slope + before) * _STEP, axis=1)
    return np.concatenate([np.zeros((size, 1)), place], axis=1)
