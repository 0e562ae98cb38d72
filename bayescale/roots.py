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
STEPS = 100  # of the compiled search
USUAL = 12  # after which it is mostly done
FAR = 740.0  # log odds of the smallest positive number
CLOSE = 1e-7  # in log odds, where the search ends: two more steps leave 1e-28


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


def _between(low: Array, high: Array, t: Array, xp: ModuleType) -> tuple[Array, Array]:
    """The place between two bounds at a log odds t, and its slope in t."""
    odds = xp.exp(-xp.abs(t))
    near = (high - low) * odds / (1.0 + odds)  # from the nearer bound, to all its digits
    return xp.where(t < 0, low + near, high - near), near / (1.0 + odds)


def _searched(equation: Equation, low: Array, high: Array, inputs: Array, xp: ModuleType) -> Array:
    """Newton's steps in log odds between the bounds, halvings where they leave the bracket.

    An equation with logarithms of both distances is nearly straight there. Where it is not done
    after a dozen steps, every other step halves.
    """
    from jax import lax

    low, high, rises, crosses = _sides(equation, low, high, inputs, xp)

    def step(state: tuple) -> tuple:
        a, b, t, count, _ = state
        y, stretch = _between(low, high, t, xp)
        value, slope = _value_and_slope(equation, y, inputs, xp)
        below = (value < 0) == rises
        a, b = xp.where(below, t, a), xp.where(below, b, t)
        newton = t - value / (slope * stretch)
        good = (newton >= a) & (newton <= b) & ((count < USUAL) | (count % 2 == 0))
        middle = xp.sinh(0.5 * (xp.arcsinh(a) + xp.arcsinh(b)))
        new = xp.where(value == 0, t, xp.where(good, newton, middle))
        still = (xp.abs(new - t) > CLOSE) & crosses
        return a, b, new, count + 1, xp.any(still)

    ends = xp.full(low.shape, FAR)
    start = (-ends, ends, xp.zeros(low.shape), 0, True)
    _, _, t, _, _ = lax.while_loop(lambda s: s[4] & (s[3] < STEPS), step, start)
    return xp.where(crosses, _between(low, high, t, xp)[0], np.nan)


def _differentiable(equation: Equation, found: Array, inputs: Array) -> Array:
    import jax.numpy as jnp

    y = found
    for _ in range(2):
        value, slope = _value_and_slope(equation, y, inputs, jnp)
        y = y - value / slope
    return jnp.where(jnp.isfinite(y), y, found)
