"""The best split of a budget for draws of a loss surface, and what is lost near it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayescale.costs import Cost, SixND
from bayescale.errors import DataError
from bayescale.optimum import Function, Minima, minimise, range_within

Floats = NDArray[np.float64]
Surface = Callable[[Floats, Floats], Floats]
Utility = Callable[[Floats], Floats]

_DECADES = 7.0  # searched on both sides of sqrt(C / 6)
_GRID = 281
_WORST = 0.1
_FEW = 0.01


@dataclass(frozen=True, eq=False)
class Plan:
    """What an allocation says before anything is predicted; names as in `Allocation`."""

    N: float
    D: float
    N_interval: tuple[float, float]
    D_interval: tuple[float, float]
    near_optimal: tuple[float, float]
    expected_regret: float
    p_no_interior: float
    curve: pd.DataFrame
    optima: Minima
    notes: tuple[str, ...]


def plan_budget(
    surface: Surface,
    C: float,
    cost: Cost | None = None,
    tolerance: float = 0.005,
    utility: str | Utility = "mean",
) -> Plan:
    """Choose N and D on a budget for draws of a loss surface; plain arrays throughout.

    Parameters
    ----------
    surface
        Loss of each draw at N and D, which broadcast to ``(sample, k)``.
    C
        Budget, FLOPs.
    cost
        6 N D without it.
    tolerance, utility
        As in `bayescale.allocate`.

    Returns
    -------
    Plan

    Raises
    ------
    DataError
        If the budget pays for no model at all.

    Examples
    --------
    >>> A = np.array([[400.0], [410.0]])
    >>> plan = plan_budget(lambda N, D: 1.7 + A * N**-0.34 + 410 * D**-0.28, 5.76e23)
    >>> f"{plan.N:.2g}", plan.p_no_interior
    ('3.2e+10', 0.0)
    """
    cost = SixND() if cost is None else cost
    judge = _utility(utility)
    low, high = search_range(C)
    losses = at_budget(surface, cost, C)
    size = len(losses(np.array([[low]])))
    optima = minimise(losses, np.full((size, 1), low), high)
    choice = minimise(lambda x: judge(losses(x[None])), np.array([low]), high)
    if not np.isfinite(choice.value[0]) or not np.isfinite(optima.value).all():
        raise DataError(
            f"a budget of {C:g} FLOPs leaves no N with at least one parameter and one token and "
            "a finite loss: raise C or lower inference_tokens"
        )

    def regret(x: Floats) -> Floats:
        return np.mean(losses(x[None]) - optima.value, axis=0)

    best = float(choice.x[0])
    grid = np.unique(np.append(np.linspace(low, high, _GRID), best))
    near_low, near_high, whole = range_within(regret, grid, tolerance)
    expected = float(regret(choice.x)[0])
    interior = optima.interior[:, 0]
    N = np.exp(optima.x[interior, 0])
    notes = _notes(interior, bool(choice.interior[0]), whole, near_low, tolerance, expected)
    near = (float(np.exp(near_low)), float(np.exp(near_high)))
    interval = _interval(N)
    shown = [best - 3.5, best + 3.5, *np.log([*near, *interval])]
    ends = np.clip([np.nanmin(shown), np.nanmax(shown)], low, high)
    return Plan(
        N=float(np.exp(best)),
        D=float(cost.tokens(np.exp(best), C)),
        N_interval=interval,
        D_interval=_interval(np.asarray(cost.tokens(N, C), dtype=float)),
        near_optimal=near,
        expected_regret=expected,
        p_no_interior=float(np.mean(~interior)),
        curve=_curve(losses, regret, cost, C, np.linspace(ends[0], ends[1], 121)),
        optima=optima,
        notes=notes,
    )


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


def search_range(C: ArrayLike) -> tuple[Any, Any]:
    """Ends of the search in log N: seven decades on both sides of sqrt(C / 6).

    Examples
    --------
    >>> [f"{np.exp(end):.3g}" for end in search_range(6e14)]
    ['1', '1e+14']
    """
    centre = 0.5 * np.log(np.asarray(C, dtype=float) / 6.0)
    reach = _DECADES * np.log(10.0)
    return np.maximum(centre - reach, 0.0), centre + reach


def _utility(utility: str | Utility) -> Utility:
    if not isinstance(utility, str):
        return utility
    if utility == "mean":
        return lambda losses: np.mean(losses, axis=0)
    if utility == "cvar":

        def worst(losses: Floats) -> Floats:
            worst_few = max(1, int(np.ceil(_WORST * len(losses))))
            return np.mean(np.sort(losses, axis=0)[-worst_few:], axis=0)

        return worst
    raise DataError(f"utility is 'mean', 'cvar' or a function of losses, not {utility!r}")


def _interval(values: Floats) -> tuple[float, float]:
    if not values.size:
        return np.nan, np.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _curve(losses: Function, regret: Function, cost: Cost, C: float, log_n: Floats) -> pd.DataFrame:
    along = losses(log_n[None])
    possible = np.isfinite(along).all(axis=0)
    along, log_n = along[:, possible], log_n[possible]
    N = np.exp(log_n)
    low, high = np.quantile(along, [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {
            "N": N,
            "D": cost.tokens(N, C),
            "loss": along.mean(axis=0),
            "lower_95": low,
            "upper_95": high,
            "expected_regret": regret(log_n),
        }
    )


def _notes(
    interior: NDArray[np.bool_],
    choice_interior: bool,
    whole: bool,
    near_low: float,
    tolerance: float,
    expected: float,
) -> tuple[str, ...]:
    notes = []
    missing = float(np.mean(~interior))
    if missing > _FEW:
        notes.append(
            f"{missing:.1%} of the draws have no optimum inside the range searched and are left "
            "out of the intervals of N and D"
        )
    if not choice_interior:
        notes.append("the choice is at an end of the range searched: the law can't answer this")
    if np.isnan(near_low):
        notes.append(
            f"no N has an expected regret within {tolerance:g}: the best regrets {expected:.3g}"
        )
    elif not whole:
        notes.append("the near-optimal range has gaps: some N inside it regret more")
    return tuple(notes)
