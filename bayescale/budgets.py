"""The best split of a budget for draws of a loss surface, and what is lost near it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from bayescale.costs import Cost, Limits, SixND, unit_of
from bayescale.errors import DataError
from bayescale.optimum import Function, Minima, minimise, range_within
from bayescale.surfaces import Surface, at_budget, equivalent_budget, search_range, unlimited

Floats = NDArray[np.float64]
Utility = Callable[[Floats], Floats]

_GRID = 281
_WORST = 0.1
_FEW = 0.01
_SMOOTH = 0.1  # kernel of P(loss <= target), in sd of the losses: the choice moves smoothly


@dataclass(frozen=True, eq=False)
class Plan:
    """What an allocation says before anything is predicted; names as in `Allocation`."""

    N: float
    D: float
    N_interval: tuple[float, float]
    D_interval: tuple[float, float]
    near_optimal: tuple[float, float]
    expected_regret: float
    waste: float
    p_target: float
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
    target: float | None = None,
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
    tolerance, utility, target
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
    judge = judge_of(utility, target)
    low, high = search_range(C, cost)
    losses = at_budget(surface, cost, C)
    size = len(losses(np.array([[low]])))
    optima = minimise(losses, np.full((size, 1), low), high)
    choice = choose_size(losses, judge, low, high)
    if not np.isfinite(choice.value[0]) or not np.isfinite(optima.value).all():
        raise DataError(
            f"a budget of {C:g} {unit_of(cost)} leaves no N with at least one parameter and one "
            "token and a finite loss: raise C, lower inference_tokens or loosen the limits"
        )

    def regret(x: Floats) -> Floats:
        return np.mean(losses(x[None]) - optima.value, axis=0)

    best = float(choice.x[0])
    grid = np.unique(np.append(np.linspace(low, high, _GRID), best))
    near_low, near_high, whole = range_within(regret, grid, tolerance)
    expected = float(regret(choice.x)[0])
    interior = optima.interior[:, 0]
    free = search_range(C, unlimited(cost))
    inside = (optima.x[:, 0] > free[0] + 1e-6) & (optima.x[:, 0] < free[1] - 1e-6)
    limited = ~interior & inside & isinstance(cost, Limits)
    N = np.exp(optima.x[interior | limited, 0])
    missing = ~(interior | limited)
    notes = _notes(missing, bool(choice.interior[0]), whole, near_low, tolerance, expected)
    if limited.any():
        notes = (*notes, f"{limited.mean():.1%} of the draws have their optimum at a limit")
    reached = losses(choice.x[None])[:, 0]
    waste = _waste(surface, cost, C, best)
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
        waste=waste,
        p_target=float(np.mean(reached <= target)) if target is not None else np.nan,
        p_no_interior=float(np.mean(~interior)),
        curve=_curve(losses, regret, cost, C, np.linspace(ends[0], ends[1], 121)),
        optima=optima,
        notes=notes,
    )


def choose_size(losses: Function, judge: Utility, low: float, high: float) -> Minima:
    """Log N, of shape ``(1,)``, at which a utility of the draws' losses is least."""
    return minimise(lambda x: judge(losses(x[None])), np.array([low]), high, points=_GRID)


def judge_of(utility: str | Utility, target: float | None = None) -> Utility:
    """What is to be minimised: a function of losses ``(sample, k)`` that returns ``(k,)``.

    Parameters
    ----------
    utility, target
        As in `bayescale.allocate`.

    Examples
    --------
    >>> losses = np.array([[1.0, 2.0], [3.0, 2.0]])
    >>> judge_of("cvar")(losses), judge_of("reach", target=1.5)(losses).round(2)
    (array([3., 2.]), array([-0.5,  0. ]))
    """
    if utility == "reach":
        if target is None or not np.isfinite(target):
            raise DataError("utility 'reach' needs the loss to be reached: target=2.0")
        return lambda losses: _unreached(losses, target)
    if not isinstance(utility, str):
        return utility
    if utility == "mean":
        return lambda losses: np.mean(losses, axis=0)
    if utility == "cvar":
        return _worst
    raise DataError(f"utility is 'mean', 'cvar', 'reach' or a function of losses, not {utility!r}")


def _worst(losses: Floats) -> Floats:
    worst_few = max(1, int(np.ceil(_WORST * len(losses))))
    return np.mean(np.sort(losses, axis=0)[-worst_few:], axis=0)


def _unreached(losses: Floats, target: float) -> Floats:
    """Less P(loss <= target), smoothed so that it has one best N and not a step."""
    with np.errstate(invalid="ignore", divide="ignore"):
        width = np.maximum(_SMOOTH * np.std(losses, axis=0), 1e-12 * abs(target))
        chance = np.mean(ndtr((target - losses) / width), axis=0)
    possible = np.isfinite(losses).all(axis=0)
    level = np.mean(losses, axis=0)
    return np.where(possible, -chance + 1e-6 * np.tanh(level / abs(target)), np.inf)


def _waste(surface: Surface, cost: Cost, C: float, log_n: float) -> float:
    """Expected share of the budget that each draw's own optimum could have saved."""
    N = np.full((1, 1), np.exp(log_n))
    reached = surface(N, np.asarray(cost.tokens(N, C), dtype=float))[:, 0]
    return float(np.mean(1.0 - equivalent_budget(surface, cost, C, reached) / C))


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
    without: NDArray[np.bool_],
    choice_interior: bool,
    whole: bool,
    near_low: float,
    tolerance: float,
    expected: float,
) -> tuple[str, ...]:
    notes = []
    missing = float(np.mean(without))
    if missing > _FEW:
        notes.append(
            f"{missing:.1%} of the draws have no optimum inside the range searched and are left "
            "out of the intervals of N and D"
        )
    if not choice_interior:
        notes.append(
            "the choice is at an end of the range searched, or at a limit: nothing inside is better"
        )
    if np.isnan(near_low):
        notes.append(
            f"no N has an expected regret within {tolerance:g}: the best regrets {expected:.3g}"
        )
    elif not whole:
        notes.append("the near-optimal range has gaps: some N inside it regret more")
    return tuple(notes)
