"""Losses of many draws along a budget: where to look, the least loss, the budget it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescale import drawn_laws
from bayescale.costs import Cost, Limits, SixND
from bayescale.frontiers import Frontier
from bayescale.law import Law
from bayescale.optimum import Function, minimise, roots

Floats = NDArray[np.float64]
Surface = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, eq=False)
class GroupSurface:
    """Loss of each draw of one group's law at N and D.

    Where the optimum of a budget lies is the straight law's to say; `bent` holds the draws of a
    law that bends, fitted to the same runs, which say how low the loss is there.
    """

    law: Law
    params: Mapping[str, Any]
    inputs: Callable[[Floats, Floats], Mapping[str, Any]]
    bent: Mapping[str, Any] | None = None

    def __call__(self, N: Floats, D: Floats) -> Floats:
        return drawn_laws.values(self.law, self.params, self.inputs(N, D))


def reached(surface: Surface, N: Floats, D: Floats) -> Floats:
    """Losses at one N and D for all draws, shape ``(1, k)``, the law's bends counted."""
    if not isinstance(surface, GroupSurface) or surface.bent is None:
        return surface(N, D)
    columns = {name: np.maximum(at, 1e-9) for name, at in surface.inputs(N, D).items()}
    return drawn_laws.values(surface.law, surface.bent, columns)


_DECADES = 7.0  # searched on both sides of the model of one token a parameter
_LARGEST = np.log(1e30)
_WORTH_DECADES = 2.0


def at_budget(surface: Surface, cost: Cost, C: ArrayLike) -> Function:
    """Loss as a function of log N with the tokens that the budget leaves; infinite below one.

    Examples
    --------
    >>> at_budget(lambda N, D: 1 / N + 1 / D, SixND(), 6e4)(np.log([1e2, 1e9]))
    array([0.02,  inf])
    """

    def losses(log_n: Floats) -> Floats:
        N = np.exp(log_n)
        D = cost.tokens(N, C)
        possible = (D >= 1.0) & (N >= 1.0 - 1e-9)
        with np.errstate(all="ignore"):
            return np.where(possible, surface(N, np.maximum(D, 1.0)), np.inf)

    return losses


def search_range(C: ArrayLike, cost: Cost | None = None) -> tuple[Any, Any]:
    """Ends of the search in log N: seven decades about the model of one token a parameter.

    Examples
    --------
    >>> [f"{np.exp(end):.3g}" for end in search_range(6e14)]
    ['1', '1e+14']
    """
    cost = SixND() if cost is None else cost
    inner = unlimited(cost)
    C = np.asarray(C, dtype=float)
    low, high = np.zeros(C.shape), np.full(C.shape, _LARGEST)
    for _ in range(60):
        middle = 0.5 * (low + high)
        N = np.exp(middle)
        more = inner.tokens(N, C) > N
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    centre = 0.5 * (low + high)
    reach = _DECADES * np.log(10.0)
    ends = [np.maximum(centre - reach, 0.0), centre + reach]
    while isinstance(cost, Limits):
        ends[0] = np.maximum(ends[0], np.log(max(cost.min_parameters, 1.0)))
        ends[1] = np.minimum(ends[1], np.log(cost.max_parameters))
        cost = cost.base
    return ends[0], np.maximum(ends[0], ends[1])


def unlimited(cost: Cost) -> Cost:
    """A cost without its limits."""
    while isinstance(cost, Limits):
        cost = cost.base
    return cost


def trace(surface: Surface, cost: Cost, log_c: Floats) -> Frontier:
    """Least loss of each draw at each of several budgets.

    Parameters
    ----------
    surface
        Loss of each draw at N and D, which broadcast to ``(sample, k)``.
    cost
        What they cost.
    log_c
        Log budgets, equally spaced, shape ``(k,)``.

    Returns
    -------
    Frontier
        With the best N as `log_n`.
    """
    C = np.exp(log_c)[None]
    losses = at_budget(surface, cost, C)
    low, high = search_range(C, cost)
    size = losses(0.5 * (low + high)).shape
    low, high = np.broadcast_to(low, size), np.broadcast_to(high, size)
    found = minimise(losses, low, high, points=33, iterations=10, polish=1)
    return Frontier(log_c, found.value, found.x)


def bent(frontier: Frontier, surface: Surface, cost: Cost) -> Frontier:
    """A traced frontier with the law's bends counted, along one split for all draws.

    The split is the median of the draws' own best, the one that would be used.
    """
    if not isinstance(surface, GroupSurface) or surface.bent is None:
        return frontier
    assert frontier.log_n is not None
    N = np.exp(np.median(frontier.log_n, axis=0))[None]
    D = np.asarray(cost.tokens(N, np.exp(frontier.log_c)[None]), dtype=float)
    values = reached(surface, N, D)
    log_n = np.broadcast_to(np.log(N), values.shape)
    return replace(frontier, values=values, log_n=log_n)


def equivalent_budget(surface: Surface, cost: Cost, C: float, reached: Floats) -> Floats:
    """Least budget with which each draw's own best split reaches a loss.

    Parameters
    ----------
    surface, cost
        As in `trace`.
    C
        Budget that was spent; the largest looked at.
    reached
        Loss of each draw, shape ``(sample,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(sample,)``; C where even C doesn't, or hardly, reach the loss, and a hundredth
        of C where that still does.

    Examples
    --------
    >>> worth = equivalent_budget(lambda N, D: 1 / N + 1 / D, SixND(), 6e12, np.array([4e-6]))
    >>> f"{worth[0]:.4g}"
    '1.5e+12'
    """
    top = float(np.log(C))
    bottom = top - _WORTH_DECADES * np.log(10.0)
    frontier = trace(surface, cost, np.linspace(bottom, top, 13))
    with np.errstate(invalid="ignore"):
        below = frontier.at(bottom) <= reached
        start = np.full(len(reached), bottom)
        found = roots(lambda x: frontier.at(x) - reached, start, top)
    worth = np.where(np.isfinite(found), found, np.where(below, bottom, top))
    return np.exp(worth)
