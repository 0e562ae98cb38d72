"""The root of an equation between two bounds, for arrays, with derivatives of every order needed.

The search itself is not differentiated. From its result two Newton steps are taken, which leave
the number where it is and give it the derivatives that the implicit function theorem says: one
step makes the first derivative exact, the second one those up to the third.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
Equation = Callable[[Array, Array], Array]

HALVINGS = 120  # of a bracket, by bisection: to the last bit wherever the root lies
STEPS = 100  # of the compiled search, which is usually done after ten
EVERY = 3  # every third step halves, so that none converges slowly


def root(
    equation: Equation, low: Array, high: Array, xp: ModuleType, inputs: Array = None
) -> Array:
    """Solve ``equation(y, inputs) = 0`` for y between `low` and `high`.

    Parameters
    ----------
    equation : callable
        ``equation(y, inputs)`` of the shape that y has; crosses zero once between the bounds. At
        the bounds themselves it may be infinite.
    low, high : array
        Broadcast against the equation's own shape.
    xp : module
        numpy, or jax.numpy (traceable, differentiable in `inputs` and in what they came from).
    inputs : pytree of arrays
        Everything that the equation depends on; derivatives are taken through it.

    Returns
    -------
    array
        NaN where the equation has the same sign at both bounds.

    Examples
    --------
    >>> y = root(lambda y, a: y * y - a, np.float64(0), np.float64(9), np, np.float64(2))
    >>> round(float(y), 12)
    1.414213562373
    """
    if xp is np:
        return _bisected(equation, low, high, inputs)
    import jax

    fixed = jax.lax.stop_gradient((low, high, inputs))
    found = jax.lax.stop_gradient(_searched(equation, *fixed, xp))
    return _differentiable(equation, found, inputs)


def _sides(equation: Equation, low: Array, high: Array, inputs: Array, xp: ModuleType) -> tuple:
    """Bounds of full shape, whether the equation rises, and whether it crosses zero at all."""
    at_low, at_high = equation(low, inputs), equation(high, inputs)
    shape = np.broadcast_shapes(np.shape(at_low), np.shape(at_high))
    rises = xp.broadcast_to(at_high > at_low, shape)
    crosses = xp.broadcast_to(at_low * xp.sign(at_high) <= 0, shape)
    full = [xp.broadcast_to(xp.asarray(b, dtype=float), shape) for b in (low, high)]
    return full[0], full[1], rises, crosses


def _bisected(equation: Equation, low: Array, high: Array, inputs: Array) -> np.ndarray:
    with np.errstate(all="ignore"):
        a, b, rises, crosses = _sides(equation, low, high, inputs, np)
        for _ in range(HALVINGS):
            middle = 0.5 * (a + b)
            below = (equation(middle, inputs) < 0) == rises
            a, b = np.where(below, middle, a), np.where(below, b, middle)
            if np.all(b - a <= np.spacing(np.abs(b))):
                break
        return np.where(crosses, 0.5 * (a + b), np.nan)


def _value_and_slope(equation: Equation, y: Array, inputs: Array, xp: ModuleType) -> tuple:
    import jax

    return jax.jvp(lambda at: equation(at, inputs), (y,), (xp.ones_like(y),))


def _searched(equation: Equation, low: Array, high: Array, inputs: Array, xp: ModuleType) -> Array:
    """Newton's steps where they stay inside the bracket, halvings elsewhere."""
    from jax import lax

    a, b, rises, crosses = _sides(equation, low, high, inputs, xp)
    tiny = 4.0 * np.finfo(float).eps

    def step(state: tuple) -> tuple:
        a, b, y, count, _ = state
        value, slope = _value_and_slope(equation, y, inputs, xp)
        below = (value < 0) == rises
        a, b = xp.where(below, y, a), xp.where(below, b, y)
        newton = y - value / slope
        middle = 0.5 * (a + b)
        inside = (newton > a) & (newton < b) & (count % EVERY != EVERY - 1)
        new = xp.where(inside, newton, middle)
        still = (xp.abs(new - y) > tiny * xp.abs(new)) & (b - a > tiny * xp.abs(b)) & crosses
        return a, b, new, count + 1, xp.any(still & (value != 0))

    start = (a, b, 0.5 * (a + b), 0, True)
    _, _, y, _, _ = lax.while_loop(lambda s: s[4] & (s[3] < STEPS), step, start)
    return xp.where(crosses, y, np.nan)


def _differentiable(equation: Equation, found: Array, inputs: Array) -> Array:
    import jax.numpy as jnp

    y = found
    for _ in range(2):
        value, slope = _value_and_slope(equation, y, inputs, jnp)
        y = y - value / slope
    return jnp.where(jnp.isfinite(y), y, found)
