"""Allocations over a range of budgets, and the least budget that reaches a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale.allocation import (
    decided_by,
    draws_of,
    group_of,
    needs_sizes,
    positive,
    surface_of,
)
from bayescale.budgets import choose_size, judge_of
from bayescale.costs import Cost, SixND, TrainingPlusInference, spent, unit_of
from bayescale.errors import DataError
from bayescale.frontiers import Frontier
from bayescale.optimum import roots
from bayescale.surfaces import Surface, at_budget, bent, reached, search_range, trace

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]

_STEP = 0.5  # in log C, between the budgets that a frontier is traced at
_REACH = 12.0 * np.log(10.0)  # beyond the largest run, looked at for a loss
_SIZES, _OWN = 81, 21


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """The best split of each of several budgets, with the frontier of least losses.

    Attributes
    ----------
    table : pandas.DataFrame
        A row a budget: ``C``; ``N``, ``D`` (Bayes choice); ``N_lower``, ``N_upper`` (95% of the
        draws' own optima); ``loss`` (median of the law at the choice); ``frontier``, ``lower_50``,
        ``upper_50``, ``lower_95``, ``upper_95`` (of each draw's own least loss);
        ``expected_regret``; ``p_target``.
    exponent : tuple of float
        Median, 2.5% and 97.5% of a in N ~ C^a between the first and last budget.
    unit : str
        Of the budgets.
    surface : callable
        Losses of all draws at N and D.
    cost : Cost
    """

    table: pd.DataFrame
    exponent: tuple[float, float, float]
    unit: str
    surface: Surface
    cost: Cost

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        middle, low, high = self.exponent
        grows = f"N grows as C to the power {middle:.3f} ({low:.3f} to {high:.3f})"
        return answer_html(f"The best split of {len(self.table)} budgets", [grows], self.table)

    def __repr__(self) -> str:
        shown = self.table[["C", "N", "N_lower", "N_upper", "D", "loss", "expected_regret"]]
        middle, low, high = self.exponent
        return (
            shown.to_string(index=False, float_format="{:.4g}".format)
            + f"\nN grows as C to the power {middle:.3f} ({low:.3f} to {high:.3f})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Requirement:
    """The least budget that reaches a loss.

    Attributes
    ----------
    loss, prob : float
        What is to be reached, and how surely.
    C, N, D : float
        Least budget with a split that reaches the loss with that probability; infinite (and
        ``nan``) where no budget looked at does.
    C_interval : tuple of float
        95% of the least budget of each draw, had its law been known; of the draws that have one.
    p_never : float
        Fraction of draws that no budget looked at brings there.
    unit : str
    notes : tuple of str
    """

    loss: float
    prob: float
    C: float
    N: float
    D: float
    C_interval: tuple[float, float]
    p_never: float
    unit: str = "FLOP"
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        lines = repr(self).split("\nnote: ")[0].splitlines()
        return answer_html("The least budget that reaches a loss", lines, notes=self.notes)

    def __repr__(self) -> str:
        low, high = self.C_interval
        lines = [
            f"loss {self.loss:g} with probability {self.prob:g}: C = {self.C:.3g} {self.unit}, "
            f"N = {self.N:.3g}, D = {self.D:.3g}",
            f"were the law known: {low:.3g} to {high:.3g}; never: {self.p_never:.1%}",
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def sweep_budgets(
    fit: Fit,
    C: Sequence[float],
    cost: Cost | None = None,
    inference_tokens: float = 0,
    utility: str = "mean",
    at: Mapping[str, Any] | None = None,
    target: float | None = None,
) -> Sweep:
    """Allocate each of several budgets, and trace the least loss over them.

    Parameters
    ----------
    fit, cost, inference_tokens, utility, at, target
        As in `bayescale.allocate`.
    C
        Budgets, two or more.

    Returns
    -------
    Sweep

    Raises
    ------
    LawError, DataError
        As `bayescale.allocate`.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.sweep_budgets(fit, np.geomspace(1e20, 1e25, 6)).table        # doctest: +SKIP
    """
    from bayescale import predictive_draws

    surface, whole = _asked(predictive_draws.parameter_draws, fit, cost, inference_tokens, at)
    return sweep(surface, [positive("C", one) for one in C], whole, utility, target)


def least_compute(
    fit: Fit,
    loss: float,
    prob: float = 0.9,
    cost: Cost | None = None,
    inference_tokens: float = 0,
    at: Mapping[str, Any] | None = None,
    largest: float | None = None,
) -> Requirement:
    """Least budget that reaches a loss with a given probability.

    Parameters
    ----------
    fit, cost, inference_tokens, at
        As in `bayescale.allocate`.
    loss
        To be reached by the law's value.
    prob
        Probability with which one split, chosen now, reaches it.
    largest
        Budget looked at; 12 decades beyond the largest run without it.

    Returns
    -------
    Requirement

    Raises
    ------
    LawError, DataError
        As `bayescale.allocate`.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.least_compute(fit, loss=1.9, prob=0.9)                       # doctest: +SKIP
    """
    from bayescale import predictive_draws

    positive("loss", loss)
    if not 0 < prob < 1:
        raise DataError(f"prob is {prob!r}: give a probability between 0 and 1")
    surface, whole = _asked(predictive_draws.parameter_draws, fit, cost, inference_tokens, at)
    if largest is None:
        N, D = fit.runs.table["N"].max(), fit.runs.table["D"].max()
        top = float(spent(whole, N, D)) * np.exp(_REACH)
    else:
        top = positive("largest", largest)
    return requirement(surface, float(loss), float(prob), whole, top)


def sweep(
    surface: Surface,
    budgets: Sequence[float],
    cost: Cost | None = None,
    utility: str = "mean",
    target: float | None = None,
) -> Sweep:
    """Allocate budgets for draws of a loss surface; see `sweep_budgets`.

    Examples
    --------
    >>> A = np.array([[400.0], [410.0]])
    >>> made = sweep(lambda N, D: 1.7 + A * N**-0.34 + 410 * D**-0.28, [1e20, 1e22, 1e24])
    >>> [f"{n:.2g}" for n in made.table["N"]], round(made.exponent[0], 4)
    (['6.4e+08', '5.1e+09', '4.1e+10'], 0.4516)
    """
    cost = SixND() if cost is None else cost
    log_c = np.unique(np.log(np.asarray(budgets, dtype=float)))
    if len(log_c) < 2:
        raise DataError("a sweep needs two different budgets or more")
    judge = judge_of(utility, target)
    steps = max(4, int(np.ceil(np.ptp(log_c) / _STEP)) + 1)
    frontier = trace(surface, cost, np.linspace(log_c[0], log_c[-1], steps))
    rows = []
    for one in log_c:
        C = float(np.exp(one))
        losses = at_budget(surface, cost, C)
        low, high = search_range(C, cost)
        choice = choose_size(losses, judge, low, high)
        least = frontier.at(one)
        if not np.isfinite(choice.value[0]):
            raise DataError(f"a budget of {C:g} {unit_of(cost)} pays for no model at all")
        N = float(np.exp(choice.x[0]))
        reached = losses(choice.x[None])[:, 0]
        own = np.exp(_own_sizes(frontier, one))
        q = np.quantile(least, [0.025, 0.25, 0.5, 0.75, 0.975])
        rows.append(
            {
                "C": C,
                "N": N,
                "D": float(cost.tokens(N, C)),
                "N_lower": float(np.quantile(own, 0.025)),
                "N_upper": float(np.quantile(own, 0.975)),
                "loss": float(np.median(reached)),
                "frontier": float(q[2]),
                "lower_50": float(q[1]),
                "upper_50": float(q[3]),
                "lower_95": float(q[0]),
                "upper_95": float(q[4]),
                "expected_regret": float(np.mean(reached - least)),
                "p_target": float(np.mean(reached <= target)) if target is not None else np.nan,
            }
        )
    assert frontier.log_n is not None
    slope = (frontier.log_n[:, -1] - frontier.log_n[:, 0]) / (log_c[-1] - log_c[0])
    low, middle, high = np.quantile(slope, [0.025, 0.5, 0.975])
    exponent = (float(middle), float(low), float(high))
    return Sweep(pd.DataFrame(rows), exponent, unit_of(cost), surface, cost)


def requirement(
    surface: Surface, loss: float, prob: float, cost: Cost, largest: float
) -> Requirement:
    """Least budget for draws of a loss surface; see `least_compute`.

    Examples
    --------
    >>> A = np.array([[1.0], [2.0], [4.0]])
    >>> found = requirement(lambda N, D: A / N + A / D, 0.5, 0.5, SixND(), 1e12)
    >>> f"{found.C:.4g}", [round(float(q)) for q in found.C_interval], found.p_never
    ('384', [103, 1433], 0.0)
    """
    top, bottom = float(np.log(largest)), float(np.log(largest)) - 2.5 * _REACH
    steps = max(4, int(np.ceil((top - bottom) / _STEP)) + 1)
    frontier = bent(_whole(trace(surface, cost, np.linspace(bottom, top, steps))), surface, cost)
    bottom = float(frontier.log_c[0])
    with np.errstate(invalid="ignore"):
        start = np.full(len(frontier.values), bottom)
        own = roots(lambda x: _finite(frontier.at(x) - loss), start, top, points=257)
        own = np.where(frontier.at(bottom) <= loss, bottom, own)
    there = np.isfinite(own)
    interval = np.exp(np.quantile(own[there], [0.025, 0.975])) if there.any() else [np.nan] * 2
    never = float(np.mean(~there))
    notes: tuple[str, ...] = ()
    C = N = np.nan
    if np.mean(there) >= prob:
        low, high = float(np.min(own[there])), top
        for _ in range(25):
            middle = 0.5 * (low + high)
            chance, _ = _best_chance(surface, cost, middle, loss, frontier)
            low, high = (low, middle) if chance >= prob else (middle, high)
        C = float(np.exp(high))
        chance, N = _best_chance(surface, cost, high, loss, frontier)
        if chance < prob:
            C = N = np.nan
    if not np.isfinite(C):
        notes = (
            f"no budget up to {largest:.3g} {unit_of(cost)} reaches {loss:g} with probability "
            f"{prob:g}: in {never:.0%} of the draws the law never does",
        )
        C = np.inf
    D = float(cost.tokens(N, C)) if np.isfinite(C) else np.nan
    ends = (float(interval[0]), float(interval[1]))
    return Requirement(loss, prob, C, float(N), D, ends, never, unit_of(cost), notes)


def _best_chance(
    surface: Surface, cost: Cost, log_c: float, loss: float, frontier: Frontier
) -> tuple[float, float]:
    """Greatest P(loss <= target) over N, and the middle of the N that have it."""
    C = float(np.exp(log_c))
    low, high = search_range(C, cost)
    own = np.quantile(_own_sizes(frontier, log_c), np.linspace(0, 1, _OWN))
    grid = np.union1d(np.linspace(low, high, _SIZES), own[(own > low) & (own < high)])
    for _ in range(2):
        N = np.exp(grid[None])
        D = np.maximum(np.asarray(cost.tokens(N, C), dtype=float), 1.0)
        possible = np.isfinite(at_budget(surface, cost, C)(grid[None])).any(axis=0)
        chance = np.mean(reached(surface, N, D) <= loss, axis=0) * possible
        best = np.flatnonzero(chance == chance.max())
        first, last = best[0], best[-1]
        middle = float(np.exp(0.5 * (grid[first] + grid[last])))
        ends = grid[max(first - 1, 0)], grid[min(last + 1, len(grid) - 1)]
        grid = np.union1d(np.linspace(*ends, _SIZES), grid[[first, last]])
    return float(chance.max()), middle


def _whole(frontier: Frontier) -> Frontier:
    """The part from the first budget that buys every draw a model."""
    first = int(np.argmax(np.isfinite(frontier.values).all(axis=0)))
    first = min(first, len(frontier.log_c) - 4)
    assert frontier.log_n is not None
    return Frontier(frontier.log_c[first:], frontier.values[:, first:], frontier.log_n[:, first:])


def _own_sizes(frontier: Frontier, log_c: float) -> Floats:
    assert frontier.log_n is not None
    return Frontier(frontier.log_c, frontier.log_n).at(log_c)


def _finite(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.inf, values)


def _asked(
    parameter_draws: Callable[..., dict[str, Floats]],
    fit: Fit,
    cost: Cost | None,
    inference_tokens: float,
    at: Mapping[str, Any] | None,
) -> tuple[Surface, Cost]:
    """Surface of one group's draws, and what its budget pays for."""
    needs_sizes(fit.law, "a budget's split")
    training = SixND() if cost is None else cost
    whole = TrainingPlusInference(inference_tokens, training) if inference_tokens else training
    where = group_of(fit, at, decided_by(training))
    params, bent = draws_of(parameter_draws, fit, pd.DataFrame([where]))
    return surface_of(fit.law, params, where, training, bent), whole
