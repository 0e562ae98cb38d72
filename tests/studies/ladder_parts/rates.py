"""The written rule that turns sweeps of the learning rate into the rates of the ladder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Optima = Mapping[tuple[int, int], float]


def best_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Rate at the bottom of a parabola through the best three, in the logarithm of the rate.

    Non-finite losses are left out. The three are the lowest point and its neighbours, or the
    three nearest to it at an edge; the answer is clipped to the sweep's range, and is the lowest
    point itself where the parabola has no bottom.
    """
    points = sorted(
        (math.log(rate), loss) for rate, loss in zip(rates, losses, strict=True) if loss == loss
    )
    if not points:
        raise ValueError("every run of the sweep diverged")
    low = min(range(len(points)), key=lambda i: points[i][1])
    if len(points) < 3:
        return math.exp(points[low][0])
    first = min(max(low - 1, 0), len(points) - 3)
    x, y = np.array(points[first : first + 3]).T
    bend, slope, _ = np.polyfit(x - points[low][0], y, 2)
    if bend <= 0:
        return math.exp(points[low][0])
    bottom = points[low][0] - slope / (2 * bend)
    return math.exp(min(max(bottom, points[0][0]), points[-1][0]))


def fit_rate(optima: Optima, n: int, d: int, lowest: float, highest: float) -> float:
    """Rate of a fit run: the log-log line in the horizon through the optima of its own size.

    The line is followed beyond the longer horizon too, but not out of the sweep's range.
    """
    own = sorted((horizon, rate) for (size, horizon), rate in optima.items() if size == n)
    horizons, rates = np.log(np.array(own)).T
    slope, start = np.polyfit(horizons, rates, 1)
    return float(np.clip(np.exp(start + slope * math.log(d)), lowest, highest))


def target_rate(optima: Optima, n: int, d: int) -> float:
    """Rate of a target run: the least-squares plane of log rate on log N and log D."""
    table = np.log(np.array([(size, horizon, rate) for (size, horizon), rate in optima.items()]))
    design = np.column_stack([np.ones(len(table)), table[:, :2]])
    plane, *_ = np.linalg.lstsq(design, table[:, 2], rcond=None)
    return float(np.exp(plane @ [1.0, math.log(n), math.log(d)]))
