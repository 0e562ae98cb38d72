"""Minima and roots of one variable for many posterior draws at once, in plain numpy.

The variable is a logarithm (of N, of C); functions take and return arrays of one common batch
shape, such as ``(sample,)`` or ``(sample, budget)``, one problem an element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_STENCIL = 0.01  # in log units: truncation and rounding of the derivatives are then both < 1e-9


@dataclass(frozen=True)
class Minima:
    """Minimum of each problem of a batch.

    Attributes
    ----------
    x
        Where it is, in the function's variable; batch shape.
    value
        The function there.
    interior
        Whether the function rises on both sides within the range searched; where it doesn't,
        `x` is the end of the range (or of its feasible part).
    """

    x: Floats
    value: Floats
    interior: NDArray[np.bool_]


def minimise(
    function: Function,
    low: ArrayLike,
    high: ArrayLike,
    points: int = 97,
    iterations: int = 40,
    polish: int = 3,
) -> Minima:
    """Smallest value of a function of one variable, for each problem of a batch.

    A grid finds the basin, golden section narrows it, and Newton steps on five-point
    derivatives place a smooth minimum more sharply than comparing values of the function can
    (which is blind to changes of x below about 1e-7).

    Parameters
    ----------
    function
        Takes x of the batch shape and returns values of it; ``inf`` or ``nan`` is infeasible.
    low, high
        Ends of the search, broadcast together to the batch shape.
    points
        Size of the grid.
    iterations, polish
        Golden-section and Newton steps; fewer are faster where 1e-3 in x suffices.

    Returns
    -------
    Minima

    Examples
    --------
    >>> centre = np.array([1.0, 2.0, 9.0])
    >>> found = minimise(lambda x: (x - centre) ** 2, np.zeros(3), 5.0)
    >>> found.x.round(9), found.interior
    (array([1., 2., 5.]), array([ True,  True, False]))
    """
    low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
    step = (high - low) / (points - 1)
    best = np.full(low.shape, np.inf)
    at = np.zeros(low.shape, dtype=int)
    before = np.full(low.shape, np.inf)  # values beside the best: infinite beyond the range
    after = np.full(low.shape, np.inf)
    previous = np.full(low.shape, np.inf)
    for index in range(points):
        value = _finite(function(low + index * step))
        after = np.where(at == index - 1, value, after)
        better = value < best
        at = np.where(better, index, at)
        before = np.where(better, previous, before)
        best = np.where(better, value, best)
        previous = value
    interior = np.isfinite(before) & np.isfinite(after) & (at > 0) & (at < points - 1)
    centre = low + at * step
    # also towards an infeasible neighbour: the edge of what is feasible is narrowed down
    left = np.where(at > 0, centre - step, centre)
    right = np.where(at < points - 1, centre + step, centre)
    x = _golden(function, left, right, iterations)
    for _ in range(polish):
        x = _newton(function, x, left, right)
    value = _finite(function(x))
    lost = value > best
    return Minima(np.where(lost, centre, x), np.where(lost, best, value), interior)


def roots(
    function: Function, low: ArrayLike, high: ArrayLike, points: int = 33, iterations: int = 40
) -> Floats:
    """Lowest root of a function in a range, for each problem of a batch.

    Parameters
    ----------
    function
        Takes x of the batch shape and returns values of it.
    low, high
        Ends of the range, broadcast together to the batch shape.
    points
        Grid on which a change of sign is looked for.
    iterations
        Bisections of the cell found.

    Returns
    -------
    numpy.ndarray
        Batch shape; ``nan`` where no change of sign is seen.

    Examples
    --------
    >>> shift = np.array([1.0, 20.0])
    >>> roots(lambda x: np.expm1(x - shift), np.zeros(2), 5.0).round(6)
    array([ 1., nan])
    """
    low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
    step = (high - low) / (points - 1)
    cell = np.full(low.shape, -1)
    sign_left = np.zeros(low.shape)
    previous = np.full(low.shape, np.nan)
    for index in range(points):
        sign = np.sign(function(low + index * step))
        changed = (cell < 0) & (previous * sign <= 0) & (previous != 0)
        cell = np.where(changed, index - 1, cell)
        sign_left = np.where(changed, previous, sign_left)
        previous = sign
    left, right = low + cell * step, low + (cell + 1) * step
    for _ in range(iterations):
        middle = 0.5 * (left + right)
        same = np.sign(function(middle)) * sign_left > 0
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return np.where(cell >= 0, 0.5 * (left + right), np.nan)


def range_within(function: Function, grid: Floats, limit: float) -> tuple[float, float, bool]:
    """Outermost points at which a scalar function is at most a limit, and if all between are.

    Parameters
    ----------
    function
        Takes x of shape ``(k,)`` and returns ``(k,)``.
    grid
        Increasing points that resolve the function; should contain its minimum.
    limit
        Largest value allowed.

    Returns
    -------
    tuple
        Low and high end, ``nan`` where no grid point is allowed, and whether every grid point
        between them is allowed.

    Examples
    --------
    >>> low, high, whole = range_within(lambda x: x**2, np.linspace(-3, 3, 61), 1.0)
    >>> round(low, 6), round(high, 6), whole
    (-1.0, 1.0, True)
    """
    allowed = _finite(function(grid)) <= limit
    if not allowed.any():
        return np.nan, np.nan, True
    first, last = np.flatnonzero(allowed)[[0, -1]]
    ends = []
    for inside, outside in ((first, first - 1), (last, last + 1)):
        good = grid[inside]
        if 0 <= outside < len(grid):
            bad = grid[outside]
            for _ in range(50):
                middle = 0.5 * (good + bad)
                if _finite(function(np.array([middle])))[0] <= limit:
                    good = middle
                else:
                    bad = middle
        ends.append(float(good))
    return ends[0], ends[1], bool(allowed[first : last + 1].all())


def _golden(function: Function, left: Floats, right: Floats, iterations: int) -> Floats:
    """Golden-section search inside brackets; the better of the two last inner points."""
    first = right - _GOLDEN * (right - left)
    second = left + _GOLDEN * (right - left)
    at_first, at_second = _finite(function(first)), _finite(function(second))
    for _ in range(iterations):
        lower = at_first <= at_second
        left, right = np.where(lower, left, first), np.where(lower, second, right)
        probe = np.where(lower, right - _GOLDEN * (right - left), left + _GOLDEN * (right - left))
        at_probe = _finite(function(probe))
        first, second = np.where(lower, probe, second), np.where(lower, first, probe)
        at_first, at_second = (
            np.where(lower, at_probe, at_second),
            np.where(lower, at_first, at_probe),
        )
    return np.where(at_first <= at_second, first, second)


def _newton(function: Function, x: Floats, left: Floats, right: Floats) -> Floats:
    """One Newton step to a zero derivative, where the curvature is sound and the step small."""
    h = _STENCIL
    far_left, near_left, middle, near_right, far_right = (
        function(x + k * h) for k in (-2.0, -1.0, 0.0, 1.0, 2.0)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (far_left - 8 * near_left + 8 * near_right - far_right) / (12 * h)
        curvature = (-far_left + 16 * near_left - 30 * middle + 16 * near_right - far_right) / (
            12 * h**2
        )
        step = -slope / curvature
        sound = np.isfinite(step) & (curvature > 0) & (np.abs(step) < h)
    moved = np.clip(x + np.where(sound, step, 0.0), left, right)
    # Beside a kink the derivatives mean nothing: a step that visibly raises the function is undone.
    worse = _finite(function(moved)) > middle + 1e-13 * np.abs(middle)
    return np.where(sound & ~worse, moved, x)


def _finite(values: Floats) -> Floats:
    """Values with everything infeasible as +inf, so that it is never chosen."""
    return np.where(np.isnan(values), np.inf, values)
