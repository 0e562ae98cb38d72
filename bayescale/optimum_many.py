"""Minima of several variables at once, for many posterior draws at once, in plain numpy.

Variables are logarithms (of a learning rate, a batch, tokens). A coarse grid finds the basin of
each problem; Newton steps on a finite-difference Hessian, damped and kept within bounds, place it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bayescale.errors import BayescaleError

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

_GRID_POINTS = 4000  # in all: the more variables, the fewer a variable
_FEWEST = 5
_STENCIL = 0.01


@dataclass(frozen=True)
class MinimaMany:
    """Minimum of each problem of a batch.

    Attributes
    ----------
    x
        Where it is, shape ``(batch, variable)``.
    value
        The function there, ``(batch,)``.
    interior
        Whether each variable is away from its bounds, ``(batch, variable)``.
    """

    x: Floats
    value: Floats
    interior: NDArray[np.bool_]


def minimise_many(
    function: Function, low: Floats, high: Floats, batch: int, iterations: int = 60
) -> MinimaMany:
    """Smallest value of a function of a few variables, for each problem of a batch.

    Parameters
    ----------
    function
        Takes points of shape ``(batch or 1, variable)`` and returns ``(batch,)``; ``nan`` or
        ``inf`` is infeasible.
    low, high
        Bounds, shape ``(variable,)``.
    batch
        Number of problems.
    iterations
        Newton steps at most.

    Returns
    -------
    MinimaMany

    Examples
    --------
    >>> centre = np.array([[1.0, 2.0], [0.5, 9.0]])
    >>> def bowl(x):
    ...     away = x - centre
    ...     return (away**2).sum(1) + away[:, 0] * away[:, 1]
    >>> found = minimise_many(bowl, np.zeros(2), np.full(2, 5.0), batch=2)
    >>> found.x[0].round(6).tolist(), found.interior.tolist()
    ([1.0, 2.0], [[True, True], [True, False]])
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    count = len(low)
    if count > 5:
        raise BayescaleError(f"{count} variables are too many to search together: 5 at most")
    points = max(_FEWEST, int(_GRID_POINTS ** (1 / count)))
    points = min(points, 129)
    value = np.full(batch, np.inf)
    x = np.tile(0.5 * (low + high), (batch, 1))
    for place in product(*(np.linspace(a, b, points) for a, b in zip(low, high, strict=True))):
        at = np.array(place)[None]
        found = _finite(np.broadcast_to(function(at), (batch,)))
        better = found < value
        value = np.where(better, found, value)
        x = np.where(better[:, None], at, x)
    damping = np.full(batch, 1e-3)
    for _ in range(iterations):
        gradient, hessian = _derivatives(function, x, low, high)
        scale = np.abs(np.einsum("bii->bi", hessian)).max(axis=1) + 1e-12
        held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
        free = ~held
        matrix = hessian * free[:, :, None] * free[:, None, :]
        lift = np.where(free, (damping * scale)[:, None], scale[:, None])
        lowest = np.linalg.eigvalsh(matrix)[:, 0]
        lift = lift + np.maximum(-lowest, 0.0)[:, None] * free
        matrix = matrix + np.eye(count) * lift[:, :, None]
        step = -np.linalg.solve(matrix, (gradient * free)[:, :, None])[:, :, 0]
        step = np.clip(step, -0.5 * (high - low), 0.5 * (high - low))
        moved = np.clip(x + step, low, high)
        found = _finite(function(moved))
        good = found <= value + 1e-14 * np.abs(value)
        gain = np.where(good, np.abs(moved - x).max(axis=1), 0.0)
        x = np.where(good[:, None], moved, x)
        value = np.where(good, found, value)
        damping = np.clip(np.where(good, damping / 5.0, damping * 10.0), 1e-12, 1e6)
        if np.all(((gain < 1e-9) & good) | (damping >= 1e6)):
            break
    margin = 1e-6 * (high - low)
    return MinimaMany(x, value, (x > low + margin) & (x < high - margin))


def _derivatives(function: Function, x: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Gradient (batch, k) and Hessian (batch, k, k) by central differences inside the bounds."""
    batch, count = x.shape
    h = _STENCIL * np.minimum(1.0, high - low)
    centre = np.clip(x, low + h, high - h)
    middle = function(centre)
    plus, minus = np.zeros((batch, count)), np.zeros((batch, count))
    hessian = np.zeros((batch, count, count))
    unit = np.eye(count) * h
    for i in range(count):
        plus[:, i] = function(centre + unit[i])
        minus[:, i] = function(centre - unit[i])
        hessian[:, i, i] = (plus[:, i] - 2.0 * middle + minus[:, i]) / h[i] ** 2
    for i in range(count):
        for j in range(i):
            corners = (
                function(centre + unit[i] + unit[j])
                - function(centre + unit[i] - unit[j])
                - function(centre - unit[i] + unit[j])
                + function(centre - unit[i] - unit[j])
            )
            hessian[:, i, j] = hessian[:, j, i] = corners / (4.0 * h[i] * h[j])
    gradient = (plus - minus) / (2.0 * h)
    gradient = gradient + np.einsum("bij,bj->bi", hessian, x - centre)
    return np.nan_to_num(gradient, posinf=0.0, neginf=0.0), np.nan_to_num(
        hessian, posinf=0.0, neginf=0.0
    )


def _finite(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.inf, values)
