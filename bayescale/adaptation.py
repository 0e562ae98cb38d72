"""Warm-up: the step size by dual averaging, the scales by the draws' variance in growing windows.

The schedule is Stan's: a short start, windows that double, a short end. It is an argument of the
compiled program, so that a fit with another warm-up compiles nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any

MOST_WINDOWS = 24
_START, _FIRST, _END = 75, 25, 50
# Of dual averaging. Calmer than Hoffman and Gelman (0.05, restarts at tenfold): a step that swings
# widely is, at its mean, shorter than the target asks.
_GAMMA, _DELAY, _FORGET = 0.2, 10.0, 0.75
_RESTART = 2.0
_PRIOR_DRAWS = 5.0


class Plan(NamedTuple):
    """What warm-up does at which transition; arrays, shared by all chains.

    Attributes
    ----------
    warmup, collect_from, collect_to : int
        Number of transitions; those whose draws count for the scales.
    closes : array of int, shape (MOST_WINDOWS,)
        Last transitions of the windows, padded with -1.
    target : float
        Mean acceptance probability aimed at.
    """

    warmup: Array
    collect_from: Array
    collect_to: Array
    closes: Array
    target: Array


class Adaptation(NamedTuple):
    """State of warm-up, one row a chain."""

    step_size: Array
    log_average: Array
    error: Array
    centre: Array
    count: Array
    variance: Array
    seen: Array
    mean: Array
    squares: Array


def plan(warmup: int, target: float) -> Plan:
    """Windows for `warmup` transitions.

    Examples
    --------
    >>> plan(300, 0.8).closes[:4].tolist()
    [99, 149, 249, -1]
    """
    closes: list[int] = []
    start, first, end = _START, _FIRST, _END
    if warmup < start + first + end:
        start, end = int(0.15 * warmup), int(0.1 * warmup)
        first = warmup - start - end
    stop = warmup - end
    if warmup >= 20:
        at, width = start, first
        while at < stop:
            # a window that would leave less than twice its width takes the rest
            last = at + width if at + 3 * width <= stop else stop
            closes.append(last - 1)
            at, width = last, 2 * width
    padded = np.full(MOST_WINDOWS, -1)
    padded[: len(closes)] = closes
    integers = (np.int64(warmup), np.int64(start), np.int64(stop if closes else start))
    return Plan(*integers, padded, np.float64(target))


def begin(chains: int, size: int, step_size: float) -> Adaptation:
    """State before the first transition."""
    ones, zeros = np.ones(chains), np.zeros(chains)
    wide = np.zeros((chains, size))
    log_step = np.log(step_size)
    return Adaptation(
        step_size=step_size * ones,
        log_average=log_step * ones,
        error=zeros,
        centre=(log_step + np.log(10.0)) * ones,
        count=zeros,
        variance=wide + 1.0,
        seen=zeros,
        mean=wide,
        squares=wide,
    )


def update(
    state: Adaptation, at: Plan, transition: Array, accept: Array, z: Array, xp: Any
) -> Adaptation:
    """Learn from one transition of every chain.

    Parameters
    ----------
    transition : array of int, shape (chains,)
        Index of the transition that ended.
    accept : array, shape (chains,)
        Its mean acceptance probability.
    z : array, shape (chains, size)
        The draw.
    """
    count = state.count + 1.0
    weight = 1.0 / (count + _DELAY)
    error = (1.0 - weight) * state.error + weight * (at.target - accept)
    log_step = state.centre - xp.sqrt(count) / _GAMMA * error
    forget = count**-_FORGET
    log_average = forget * log_step + (1.0 - forget) * state.log_average

    collecting = (transition >= at.collect_from) & (transition < at.collect_to)
    seen = state.seen + collecting
    deviation = z - state.mean
    moved = (collecting / xp.maximum(seen, 1.0))[:, None] * deviation
    mean = state.mean + moved
    squares = state.squares + collecting[:, None] * deviation * (z - mean)

    closing = xp.any(transition[:, None] == at.closes, axis=-1)
    wide = closing[:, None]
    share = (seen / (seen + _PRIOR_DRAWS))[:, None]
    learnt = share * squares / xp.maximum(seen - 1.0, 1.0)[:, None] + (1.0 - share)
    settled = closing | (transition == at.warmup - 1)
    return Adaptation(
        step_size=xp.exp(xp.where(settled, log_average, log_step)),
        log_average=log_average,
        error=xp.where(closing, 0.0, error),
        centre=xp.where(closing, log_average + np.log(_RESTART), state.centre),
        count=xp.where(closing, 0.0, count),
        variance=xp.where(wide, learnt, state.variance),
        seen=xp.where(closing, 0.0, seen),
        mean=xp.where(wide, 0.0, mean),
        squares=xp.where(wide, 0.0, squares),
    )
