"""Compute-optimal frontiers of many draws, where two cross, and how much compute one saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescale.optimum import roots

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frontier:
    """Least loss at each budget, one smooth curve a draw.

    Attributes
    ----------
    log_c : numpy.ndarray
        Log FLOPs, equally spaced, shape ``(k,)`` with k at least 4.
    values : numpy.ndarray
        Losses, shape ``(sample, k)``.
    log_n : numpy.ndarray or None
        Log of the best N of each, of the same shape, where the law has an N.
    """

    log_c: Floats
    values: Floats
    log_n: Floats | None = None

    def at(self, log_c: ArrayLike) -> Floats:
        """Loss at a budget for all draws, or at one a draw; shape ``(sample,)``.

        Cubic through the four nearest points; ``nan`` outside the budgets tabulated.

        Examples
        --------
        >>> grid = np.linspace(0, 2, 21)
        >>> Frontier(grid, np.exp(-grid)[None]).at(1.234).round(5)
        array([0.29113])
        """
        size = len(self.log_c)
        step = (self.log_c[-1] - self.log_c[0]) / (size - 1)
        place = (np.asarray(log_c, dtype=float) - self.log_c[0]) / step
        place = np.broadcast_to(place, self.values.shape[:1])
        inside = (place > -1e-9) & (place < size - 1 + 1e-9)
        first = np.clip(np.nan_to_num(place).astype(int) - 1, 0, size - 4)
        t = place - first
        weights = (
            -(t - 1) * (t - 2) * (t - 3) / 6,
            t * (t - 2) * (t - 3) / 2,
            -t * (t - 1) * (t - 3) / 2,
            t * (t - 1) * (t - 2) / 6,
        )
        draw = np.arange(len(self.values))
        total = sum(w * self.values[draw, first + k] for k, w in enumerate(weights))
        return np.where(inside, total, np.nan)


def crossover(a: Frontier, b: Frontier, low: float, high: float) -> Floats:
    """Log budget at which two frontiers first cross, one a draw.

    Parameters
    ----------
    a, b
        Frontiers of the same draws.
    low, high
        Range of log FLOPs looked through.

    Returns
    -------
    numpy.ndarray
        Shape ``(sample,)``; ``nan`` where they don't cross in the range.

    Examples
    --------
    >>> grid = np.linspace(0, 10, 41)
    >>> a, b = Frontier(grid, 2 - 0.1 * grid[None]), Frontier(grid, 2.2 - 0.2 * grid[None])
    >>> crossover(a, b, 0, 10).round(6), crossover(a, b, 3, 10)
    (array([2.]), array([nan]))
    """
    start = np.full(len(a.values), float(low))
    return roots(lambda x: a.at(x) - b.at(x), start, high, points=129)


def multiplier(a: Frontier, b: Frontier, log_c: float, reach: float) -> Floats:
    """Log of the factor of compute by which b reaches what a reaches at a budget, one a draw.

    Parameters
    ----------
    a, b
        Frontiers of the same draws.
    log_c
        Log FLOPs that a spends.
    reach
        Largest log factor looked for, up and down.

    Returns
    -------
    numpy.ndarray
        Shape ``(sample,)``; positive where b needs more. ``nan`` where no factor will do, for
        instance because b's floor is above what a reaches.

    Examples
    --------
    >>> grid = np.linspace(0, 10, 41)
    >>> a, b = Frontier(grid, np.exp(-grid)[None]), Frontier(grid, np.exp(1 - grid)[None])
    >>> multiplier(a, b, 5.0, 3.0).round(4)
    array([1.])
    """
    goal = a.at(log_c)
    start = np.full(len(a.values), -float(reach))
    return roots(lambda x: b.at(log_c + x) - goal, start, reach, points=129)
