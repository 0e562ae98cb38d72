"""How to split a compute budget between parameters and tokens, under the whole posterior."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import floor_priors, what_changes
from bayescale.budgets import Utility, choose_size, judge_of, plan_budget
from bayescale.costs import (
    Cost,
    SixND,
    TrainingPlusInference,
    further_columns,
    training_flops,
    unit_of,
)
from bayescale.errors import DataError, LawError
from bayescale.surfaces import GroupSurface, at_budget, search_range
from bayescale.what_changes import Index

if TYPE_CHECKING:
    from bayescale.fitting import Fit
    from bayescale.law import Law
    from bayescale.prediction import Prediction

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Allocation:
    """A split of a compute budget, with what is lost by not knowing the law better.

    Attributes
    ----------
    C : float
        The budget, FLOPs.
    N, D : float
        Bayes choice, parameters and tokens: the least expected loss (or other utility).
    N_interval, D_interval : tuple of float
        Equal-tailed 95% of each draw's own optimum, of the draws that have one inside the range.
    near_optimal : tuple of float
        Smallest and largest N whose expected regret is at most `tolerance`; ``nan`` where even
        the best N regrets more.
    expected_regret : float
        Mean over draws of the loss at the choice minus that draw's least loss, in the unit of the
        loss: what knowing the law exactly would gain (EVPI).
    waste, waste_flops : float
        Expected share of the budget, and part of it in its unit, that is spent for nothing: with
        the rest each draw's own optimum reaches the same loss.
    p_target : float
        P(loss <= target) of the law's value at the choice; ``nan`` without a target.
    unit : str
        Of the budget.
    sensitivities : pandas.DataFrame or None
        What would change the choice: see `bayescale.what_changes`.
    unsettled : str or None
        Why the choice would have been refused, where `force` was given.
    loss : Prediction
        Of the law's value at the choice.
    p_no_interior : float
        Fraction of draws whose best N is an end of the range searched.
    curve : pandas.DataFrame
        ``N``, ``D``, ``loss`` (mean over draws), ``lower_95``, ``upper_95``, ``expected_regret``
        along the budget.
    tolerance : float
    notes : tuple of str
    """

    C: float
    N: float
    D: float
    N_interval: tuple[float, float]
    D_interval: tuple[float, float]
    near_optimal: tuple[float, float]
    expected_regret: float
    loss: Prediction
    p_no_interior: float
    curve: pd.DataFrame
    tolerance: float = 0.005
    notes: tuple[str, ...] = ()
    waste: float = float("nan")
    p_target: float = float("nan")
    unit: str = "FLOP"
    sensitivities: pd.DataFrame | None = None
    unsettled: str | None = None

    @property
    def waste_flops(self) -> float:
        """Expected part of the budget, in its unit, that is spent for nothing."""
        return self.waste * self.C

    def _repr_html_(self) -> str:
        from bayescale.display import allocation_html

        return allocation_html(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [
            f"C = {self.C:.3g}: N = {self.N:.3g}, D = {self.D:.3g}",
            f"N of the draws' own optima: {self.N_interval[0]:.3g} to {self.N_interval[1]:.3g}",
            f"N within {self.tolerance:g} of the best: {self.near_optimal[0]:.3g} to "
            f"{self.near_optimal[1]:.3g}; expected regret {self.expected_regret:.2g} "
            f"({self.waste:.1%} of the budget)",
        ]
        if np.isfinite(self.p_target):
            lines.append(f"P(loss <= target) = {self.p_target:.2f}")
        if self.sensitivities is not None:
            lines.append(what_changes.sentence(self.sensitivities))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def allocate(
    fit: Fit,
    C: float,
    cost: Cost | None = None,
    inference_tokens: float = 0,
    tolerance: float = 0.005,
    utility: str | Utility = "mean",
    at: Mapping[str, Any] | None = None,
    target: float | None = None,
    force: bool = False,
) -> Allocation:
    """Split a compute budget between parameters and tokens.

    The choice is the N of least expected loss over the posterior draws, not the mean of their
    optima; how little it matters near there is the near-optimal range. Of a fit that bends, where
    the optimum lies is told by the law fitted without (`Fit.straight`, sampled when first asked
    for); the loss there is the bent law's.

    Parameters
    ----------
    fit
        Posterior of a law of N and D, or an average of such (`bayescale.average`).
    C
        Budget in FLOPs, for training and, with `inference_tokens`, for serving.
    cost
        What N parameters and D tokens cost; 6 N D without it. `bayescale.costs` has more, among
        them limits (constraints), serving, and money, in which case C is in its unit.
    inference_tokens
        Tokens to be served, at 2 N FLOPs each.
    tolerance
        Expected regret that is still called near-optimal, in the unit of the loss.
    utility
        "mean" loss, "cvar" (mean of the worst tenth of the draws), "reach" (the greatest
        P(loss <= target)), or a function of losses of shape ``(sample, k)`` that returns ``(k,)``,
        to be minimised.
    at
        Group labels, such as ``{"family": "dense"}``, and values of the law's other variables.
    target
        Loss to be reached.
    force
        Choose although the choice rests on a prior; `unsettled` then says so.

    Returns
    -------
    Allocation

    Raises
    ------
    UnsettledError
        If the data don't tell the law's floor and, had its prior lain one sd elsewhere, another
        split would have been chosen and this one lost more than `tolerance`; unless `force`.
    LawError
        If the law isn't one of both N and D.
    DataError
        If C, the tolerance or the tokens can't be used, or the fit has several groups and `at`
        doesn't say which.

    References
    ----------
    Hoffmann et al. (2022), arXiv:2203.15556, eq. 4, for one known law.

    Examples
    --------
    >>> import bayescale as bs
    >>> plan = bs.allocate(fit, C=1e24, at={"family": "dense"})         # doctest: +SKIP
    >>> plan.N, plan.near_optimal                                       # doctest: +SKIP
    """
    from bayescale import prediction, predictive_draws

    return allocate_with(
        predictive_draws.parameter_draws,
        prediction.predict,
        fit,
        C,
        cost=cost,
        inference_tokens=inference_tokens,
        tolerance=tolerance,
        utility=utility,
        at=at,
        target=target,
        reweightings=what_changes.reweightings,
        shifts=floor_priors.shifted_floors,
        force=force,
    )


def allocate_with(
    parameter_draws: Callable[..., dict[str, Floats]],
    predict: Callable[..., Prediction],
    fit: Fit,
    C: float,
    cost: Cost | None = None,
    inference_tokens: float = 0,
    tolerance: float = 0.005,
    utility: str | Utility = "mean",
    at: Mapping[str, Any] | None = None,
    target: float | None = None,
    reweightings: Callable[[Fit], Sequence[what_changes.Reweighting]] | None = None,
    shifts: Callable[[Fit, pd.DataFrame], Sequence[what_changes.Reweighting]] | None = None,
    force: bool = False,
) -> Allocation:
    """Allocate with given functions for draws and predictions; see `allocate`."""
    for name, value in (("C", C), ("tolerance", tolerance)):
        positive(name, value)
    needs_sizes(fit.law, "allocate")
    training = SixND() if cost is None else cost
    whole = TrainingPlusInference(inference_tokens, training) if inference_tokens else training
    where = group_of(fit, at, decided_by(training))
    params = parameter_draws(straight(fit), pd.DataFrame([where]))
    plan = plan_budget(
        surface_of(fit.law, params, where, training), float(C), whole, tolerance, utility, target
    )
    point = {**where, "N": plan.N, "D": plan.D}
    if cost is not None:
        point["C"] = float(training_flops(training, plan.N, plan.D))
        point |= {k: float(v) for k, v in further_columns(training, plan.N, plan.D).items()}
    judge = judge_of(utility, target)
    low, high = search_range(C, whole)

    def again(index: Index) -> tuple[float, float]:
        """Log N that some draws would choose, and what the plan's N would lose by them."""
        some = {name: values[index] for name, values in params.items()}
        losses = at_budget(surface_of(fit.law, some, where, training), whole, float(C))
        other = float(choose_size(losses, judge, low, high).x[0])
        each = losses(np.array([[np.log(plan.N), other]]))
        return other, float(np.mean(each[:, 0] - each[:, 1]))

    def otherwise(index: Index) -> tuple[str, float]:
        log_n, lost = again(index)
        return f"N = {np.exp(log_n):.3g}", lost

    moved = [] if shifts is None else shifts(straight(fit), pd.DataFrame([point]))
    unsettled = floor_priors.unsettled(moved, otherwise, f"N = {plan.N:.3g}", tolerance)
    forced = floor_priors.settle(unsettled, force, fit)
    loss = predict(fit, pd.DataFrame([point]), kind="mean")
    notes = plan.notes if cost is not None else (*plan.notes, *_other_cost(fit.runs.table))
    sensitivities = None
    if reweightings is not None:
        changes = [*reweightings(straight(fit)), *moved]
        sensitivities = what_changes.changed_answers(
            lambda index: float(np.exp(again(index)[0])), plan.N, changes, "N"
        )
    return Allocation(
        C=float(C),
        N=plan.N,
        D=plan.D,
        N_interval=plan.N_interval,
        D_interval=plan.D_interval,
        near_optimal=plan.near_optimal,
        expected_regret=plan.expected_regret,
        loss=loss,
        p_no_interior=plan.p_no_interior,
        curve=plan.curve,
        tolerance=float(tolerance),
        notes=(*forced, *notes),
        waste=plan.waste,
        p_target=plan.p_target if target is None else _chance(loss, target),
        unit=unit_of(whole),
        sensitivities=sensitivities,
        unsettled=unsettled,
    )


def _chance(loss: Prediction, target: float) -> float:
    """P(loss <= target), the law's bends counted."""
    return float(np.mean(loss.draws.to_numpy() <= target))


def straight(fit: Any) -> Any:
    """The fit that says where an optimum lies."""
    return getattr(fit, "straight", fit)


def draws_of(
    parameter_draws: Callable[..., dict[str, Any]], fit: Any, where: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Draws for where an optimum lies, and those for the losses there if they are others."""
    own = straight(fit)
    return parameter_draws(own, where), None if own is fit else parameter_draws(fit, where)


def surface_of(
    law: Law,
    params: Mapping[str, Floats],
    others: Mapping[str, Any],
    training: Cost,
    bent: Mapping[str, Any] | None = None,
) -> GroupSurface:
    """Loss of each draw of one group's parameters, as a function of N and D.

    Parameters
    ----------
    law
        Law of N and D.
    params
        Draws of its parameters, each of shape ``(sample, 1)``.
    others
        Values of the law's other variables, by column.
    training
        Fills the column C, where the law has it.
    bent
        Draws of the law that bends, with its paths (`drawn_laws.values`).

    Returns
    -------
    GroupSurface
        ``(N, D) -> (sample, k)``.
    """
    columns = [v.column for v in law.variables.values()]
    fixed = {name: others[name] for name in columns if name in others}

    def inputs(N: Floats, D: Floats) -> dict[str, Any]:
        compute = {"C": training_flops(training, N, D)} if "C" in columns else {}
        return {**fixed, **further_columns(training, N, D), **compute, "N": N, "D": D}

    return GroupSurface(law, params, inputs, bent)


def decided_by(cost: Cost) -> tuple[str, ...]:
    """Columns that an allocation itself decides: N, D, C, and those that its cost fills."""
    return ("N", "D", "C", *further_columns(cost, 1.0, 1.0))


def needs_sizes(law: Law, verb: str) -> None:
    """Refuse a law that isn't one of both N and D, or whose response is better the higher."""
    law.response.require_lower(law.name, verb)
    columns = {v.column for v in law.variables.values()}
    if not {"N", "D"} <= columns:
        raise LawError(
            f"{verb} divides compute between N and D, and the law {law.name!r} is one of "
            f"{', '.join(sorted(columns))}: fit a law of both, such as chinchilla"
        )


def group_of(
    fit: Fit, at: Mapping[str, Any] | None, free: tuple[str, ...] = ("N", "D", "C")
) -> dict[str, Any]:
    """Group labels and values of other variables that a question is about, checked.

    A factor that `at` doesn't name is filled in where the rows that agree with `at` have one
    label of it.

    Parameters
    ----------
    fit
        Knows the groups, the law and the rows.
    at
        Labels by column, and values of the law's variables other than `free`.
    free
        Columns that the question itself varies.

    Returns
    -------
    dict
        Column to label or value: a target without the free columns.

    Raises
    ------
    DataError
        For a group left open, a label that isn't there, or a variable without a value.
    """
    at = dict(at or {})
    table = fit.runs.table
    variables = [v.column for v in fit.law.variables.values() if v.column not in free]
    values = {name: float(positive(name, at[name])) for name in variables if name in at}
    lacking = [name for name in variables if name not in at]
    if lacking:
        raise DataError(
            f"the law {fit.law.name!r} also needs {', '.join(lacking)}: at={{{lacking[0]!r}: ...}}"
        )
    labels = {name: str(label) for name, label in at.items() if name not in variables}
    for name, label in labels.items():
        if name not in table:
            known = ", ".join([*fit.groups, *variables]) or "nothing"
            raise DataError(f"at names {name!r}, which is no column; the fit asks for {known}")
        rows = table[name].astype(str) == label
        if not rows.any():
            there = ", ".join(sorted(table[name].dropna().astype(str).unique())[:20])
            raise DataError(f"no run has {name} {label!r} (as at asks for): there are {there}")
        table = table[rows]
    open_factors = {}
    for factor in fit.groups:
        found = sorted(table[factor].astype(str).unique())
        if len(found) > 1:
            open_factors[factor] = found
        labels[factor] = found[0]
    if open_factors:
        faults = tuple(f"{name}: {', '.join(found)}" for name, found in open_factors.items())
        first, found = next(iter(open_factors.items()))
        raise DataError(
            f"the fit has several groups; say which, e.g. at={{{first!r}: {found[0]!r}}}", faults
        )
    return {**labels, **values}


def positive(name: str, value: Any) -> float:
    """Give the value back, or refuse what is no positive finite number.

    Examples
    --------
    >>> positive("C", 1e24)
    1e+24
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not (np.isfinite(number) and number > 0):
        raise DataError(f"{name} is {value!r}: give a positive number, such as {name}=1e22")
    return number


def _other_cost(table: pd.DataFrame) -> tuple[str, ...]:
    """Say where the runs' own FLOPs are not 6 N D, which was assumed."""
    if not {"N", "D", "C"} <= set(table.columns):
        return ()
    ratio = float((table["C"] / (6.0 * table["N"] * table["D"])).median())
    if not abs(np.log(ratio)) > 0.1:
        return ()
    return (
        f"compute is counted as 6 N D; the fitted runs' own C is {ratio:.3g} times that: to plan "
        "in their FLOPs pass cost=bayescale.costs.from_rows(fit.runs.table)",
    )
