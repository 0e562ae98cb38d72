"""The written rule that turns sweeps of the learning rate into the rates of the ladder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Optima = Mapping[tuple[str, int, int], float]


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


def planned_rate(optima: Optima, family: str, n: int, d: int) -> float:
    """Rate for a size and a horizon: a plane in log N and log D through the optima of all sweeps.

    Its slopes are shared by the families, each of which has its own height: one family's few
    sweeps tell its height well and its slopes badly.
    """
    families = sorted({name for name, _, _ in optima})
    design = [
        [*(float(name == one) for one in families), math.log(size), math.log(horizon)]
        for name, size, horizon in optima
    ]
    plane, *_ = np.linalg.lstsq(np.array(design), np.log(list(optima.values())), rcond=None)
    height = plane[families.index(family)]
    return float(np.exp(height + plane[-2] * math.log(n) + plane[-1] * math.log(d)))
