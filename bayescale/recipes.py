"""Which recipe is best at a scale: probabilities, regrets, crossovers and compute multipliers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import floor_priors, scoring, what_changes
from bayescale.allocation import positive
from bayescale.arms import FREE, Arm, Costs, cost_notes
from bayescale.costs import Cost
from bayescale.frontiers import Frontier, crossover, multiplier
from bayescale.prediction_words import floor_warnings
from bayescale.recipe_curves import Along, chances, keeping, over_scale, stoppable
from bayescale.recipe_questions import (
    ask_recipes,
    is_of_compute,
    is_sized,
    recipe_surfaces,
)
from bayescale.surfaces import Surface, bent, reached, trace
from bayescale.targets import decades_beyond

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]

_DRAWS = 1000  # draws that crossovers and multipliers are found for
_BEYOND = 4.0 * np.log(10.0)
_GRID = 33
_SCALES = 41  # budgets of the curve over scale
_STEP = 0.6  # in log C, between the budgets at which frontiers are found
_PAIR_COLUMNS = ["pair", "a", "b", "median", "lower", "upper", "p_none"]


@dataclass(frozen=True, eq=False, repr=False)
class RecipeComparison:
    """Recipes side by side under the joint posterior.

    Attributes
    ----------
    table : pandas.DataFrame
        A row a recipe, least expected regret first: ``recipe``, ``p_best``, ``expected_regret``
        (mean over draws of its loss minus the best recipe's), ``median``, ``lower_50``,
        ``upper_50``, ..., ``upper_95`` of its loss, ``keeping`` (what the recipe is worth as an
        option: see `recipe_curves.keeping`), and the ``N``, ``D``, ``C`` it was asked at.
    crossovers : pandas.DataFrame
        A row a pair: ``pair``, ``a``, ``b``, ``median``, ``lower``, ``upper`` (95%) of the FLOPs
        at which their best losses cross, of the draws in which they do; ``p_none``, the
        fraction in which they don't, from the smallest run to 4 decades beyond the largest;
        ``p_a_ahead``, the fraction in which a is better at the far end.
    multipliers : pandas.DataFrame
        A row a pair: ``pair``, ``a``, ``b``, ``median``, ``lower``, ``upper`` of the factor by
        which b needs more compute than a for the same loss; ``p_none``, the fraction of draws
        in which none between 1e-4 and 1e4 will do.
    curve : pandas.DataFrame or None
        Over scale, from the smallest run to 4 decades beyond the largest: ``C``, ``recipe``,
        ``p_best``, ``expected_regret``, ``median``, ``lower_95``, ``upper_95`` of the laws, each
        recipe at one split of the budget (the median of the draws' own best).
    sensitivities : pandas.DataFrame or None
        What would change the leader's chance of being best: see `bayescale.what_changes`.
    kind : str
    notes : tuple of str
    unsettled : str or None
        Why the leader would have been refused, where ``force`` was given.
    """

    table: pd.DataFrame
    crossovers: pd.DataFrame
    multipliers: pd.DataFrame
    kind: str = "mean"
    notes: tuple[str, ...] = ()
    curve: pd.DataFrame | None = None
    sensitivities: pd.DataFrame | None = None
    unsettled: str | None = None

    def stoppable(self, tolerance: float = 0.001) -> list[str]:
        """Recipes on which no more runs need to be spent; `recipe_curves.stoppable`."""
        return stoppable(self.table, tolerance)

    def _repr_html_(self) -> str:
        from bayescale.display import comparison_html

        return comparison_html(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        shown = ["recipe", "p_best", "expected_regret", "median", "lower_95", "upper_95"]
        lines = [self.table[shown].to_string(index=False, float_format="{:.4g}".format)]
        if self.sensitivities is not None:
            lines.append(what_changes.sentence(self.sensitivities))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def compare_recipes(
    fit: Fit,
    by: str = "recipe",
    at: Mapping[str, Any] | None = None,
    kind: str = "mean",
    cost: Costs | None = None,
    seed: int = 0,
    tolerance: float = 0.005,
    force: bool = False,
) -> RecipeComparison:
    """Compare recipes at one budget, or at one N and D.

    At a budget every recipe gets its own best split, by its own law and its own cost. Draws are
    joint: what recipes share, such as a hyper-parameter, doesn't blur their difference.

    Parameters
    ----------
    fit
        Posterior in which each recipe is a group of its own, or an average of such.
    by
        Column that names the recipes.
    at
        ``{"C": 1e22}`` or ``{"N": 7e9, "D": 1.4e11}``; with labels that single out what is
        compared, such as ``{"corpus": "prose"}``.
    kind
        "mean" compares the laws, "new-run" one more run of each, with independent deviations.
        Crossovers and multipliers are of the laws.
    cost
        One cost, or one a recipe; without it the C of each recipe's own rows.
    seed
        Of the new runs' deviations.
    tolerance
        Loss, in its unit, that is not worth a refusal.
    force
        Compare although the leader leads by a prior; `unsettled` then says so.

    Returns
    -------
    RecipeComparison

    Raises
    ------
    UnsettledError
        If the data don't tell the law's floor and, had its prior lain one sd elsewhere, another
        recipe would be expected to be better by more than `tolerance`; unless `force`.
    DataError
        If the recipes can't be told apart or aren't alone in what differs: several corpora,
        several groups a recipe, losses from different evaluation sets.

    Examples
    --------
    >>> import bayescale as bs
    >>> choice = bs.compare_recipes(fit, at={"C": 1e22, "corpus": "prose"})   # doctest: +SKIP
    >>> choice.table[["recipe", "p_best"]]                                    # doctest: +SKIP
    """
    from bayescale import predictive_draws

    return compare_with(
        predictive_draws.parameter_draws,
        predictive_draws.loss_draws,
        fit,
        by=by,
        at=at,
        kind=kind,
        cost=cost,
        seed=seed,
        reweightings=what_changes.reweightings,
        warnings_of=lambda targets: floor_warnings(fit, decades_beyond(fit, targets)),
        shifts=floor_priors.shifted_floors,
        tolerance=tolerance,
        force=force,
    )


def compare_with(
    parameter_draws: Callable[..., dict[str, Floats]],
    loss_draws: Callable[..., Floats],
    fit: Fit,
    by: str = "recipe",
    at: Mapping[str, Any] | None = None,
    kind: str = "mean",
    cost: Costs | None = None,
    seed: int = 0,
    reweightings: Callable[[Fit], Sequence[what_changes.Reweighting]] | None = None,
    warnings_of: Callable[[pd.DataFrame], list[str]] = lambda targets: [],
    shifts: Callable[[Fit, pd.DataFrame], Sequence[what_changes.Reweighting]] | None = None,
    tolerance: float = 0.005,
    force: bool = False,
) -> RecipeComparison:
    """Compare recipes with given functions for draws; see `compare_recipes`."""
    positive("tolerance", tolerance)
    question = ask_recipes(parameter_draws, fit, by, at, cost)
    arms, targets, params = question.arms, question.targets, question.params
    draws = loss_draws(fit, targets, kind=kind, seed=seed)
    names = [arm.name for arm in arms]
    table = rank(draws, names)
    leader = names.index(table["recipe"].iloc[0])
    moved = [] if shifts is None else shifts(fit, targets)

    def otherwise(index: NDArray[np.intp]) -> tuple[str, float]:
        losses = draws[index].mean(axis=0)
        return names[int(np.argmin(losses))], float(losses[leader] - losses.min())

    unsettled = floor_priors.unsettled(moved, otherwise, names[leader], tolerance)
    forced = floor_priors.settle(unsettled, force, fit)
    asked = targets[[name for name in FREE if name in targets]]
    asked = asked.assign(recipe=names)
    table = table.merge(asked, on="recipe", validate="one_to_one")
    notes = cost_notes(arms) if cost is None else ()
    notes = (*forced, *notes, *warnings_of(targets))
    changes = None
    if reweightings is not None:
        changes = _changes(draws, names, table, [*reweightings(fit), *moved])
    if not (is_sized(fit) or is_of_compute(fit)):
        why = "the law knows no compute: crossovers and multipliers need one of C, or of N and D"
        empty = pd.DataFrame(columns=_PAIR_COLUMNS)
        notes = (*notes, why)
        return RecipeComparison(
            table, empty, empty.copy(), kind, notes, sensitivities=changes, unsettled=unsettled
        )
    few = np.unique(np.linspace(0, len(draws) - 1, _DRAWS).astype(int))
    thin = {name: values[few] for name, values in params.items()}
    surfaces = recipe_surfaces(fit, arms, question.straight, thin)
    measured = np.concatenate([_measured(arm) for arm in arms])
    budgets = targets["C"].to_numpy(float)
    frontiers = _frontiers(arms, surfaces, np.append(measured, budgets), is_sized(fit))
    crossovers, multipliers = _pairs(arms, frontiers, measured, budgets)
    scales = np.linspace(np.log(measured.min()), np.log(measured.max()) + _BEYOND, _SCALES)
    along = [
        _along(arm.cost, surface, frontier)
        for arm, surface, frontier in zip(arms, surfaces, frontiers, strict=True)
    ]
    curve = over_scale(names, along, scales)
    return RecipeComparison(table, crossovers, multipliers, kind, notes, curve, changes, unsettled)


def rank(draws: Floats, names: list[str]) -> pd.DataFrame:
    """Probability of being best, expected regret and loss of each alternative.

    Parameters
    ----------
    draws
        Joint draws of the losses, shape ``(sample, alternative)``.
    names
        Of the alternatives.

    Returns
    -------
    pandas.DataFrame
        As `RecipeComparison.table`, without N, D and C. Ties share their draw.

    Examples
    --------
    >>> table = rank(np.array([[2.0, 2.1], [2.0, 2.3], [2.4, 2.2]]), ["a", "b"])
    >>> table[["recipe", "p_best", "expected_regret"]].round(3).values.tolist()
    [['a', 0.667, 0.067], ['b', 0.333, 0.133]]
    """
    best = draws.min(axis=1, keepdims=True)
    table = pd.DataFrame(
        {
            "recipe": names,
            "p_best": chances(draws),
            "expected_regret": (draws - best).mean(axis=0),
            "keeping": keeping(draws),
            "median": np.median(draws, axis=0),
        }
    )
    for level in scoring.LEVELS:
        low, high = scoring.interval(draws, level)
        table[f"lower_{scoring.percent(level)}"] = low
        table[f"upper_{scoring.percent(level)}"] = high
    return table.sort_values("expected_regret", kind="stable", ignore_index=True)


def _along(cost: Cost, surface: Surface, frontier: Frontier) -> Along:
    """Losses at a log budget, of one split for all draws: the median of their own best."""
    if frontier.log_n is None:
        return frontier.at
    log_n = np.median(frontier.log_n, axis=0)

    def losses(log_c: float) -> Floats:
        N = np.exp(np.interp(log_c, frontier.log_c, log_n)).reshape(1, 1)
        D = np.asarray(cost.tokens(N, np.exp(log_c)), dtype=float)
        return reached(surface, N, D)[:, 0]

    return losses


def _changes(
    draws: Floats,
    names: list[str],
    table: pd.DataFrame,
    changes: Sequence[what_changes.Reweighting],
) -> pd.DataFrame:
    """The leader's chance of being best under each reweighting."""
    leader = names.index(table["recipe"].iloc[0])
    base = float(table["p_best"].iloc[0])

    def again(index: NDArray[np.intp]) -> float:
        return float(chances(draws[index])[leader])

    return what_changes.changed_answers(again, base, changes, f"p_best of {names[leader]}")


def _measured(arm: Arm) -> Floats:
    """FLOPs of the recipe's own runs."""
    if "C" in arm.rows:
        return arm.rows["C"].dropna().to_numpy(float)
    return np.asarray(arm.cost.flops(arm.rows["N"], arm.rows["D"]), dtype=float)


def _frontiers(
    arms: list[Arm], surfaces: list[Surface], budgets: Floats, sized: bool
) -> list[Frontier]:
    """Each recipe's least loss over budgets from 4 decades below to 4 above those given."""
    ends = np.log([budgets.min(), budgets.max()]) + np.array([-1.0, 1.0]) * _BEYOND
    log_c = np.linspace(ends[0], ends[1], max(_GRID, int(np.ceil(np.ptp(ends) / _STEP)) + 1))
    C = np.exp(log_c)[None]
    frontiers = []
    for arm, surface in zip(arms, surfaces, strict=True):
        if sized:
            frontiers.append(bent(trace(surface, arm.cost, log_c), surface, arm.cost))
        else:
            frontiers.append(Frontier(log_c, reached(surface, C, C)))
    return frontiers


def _pairs(
    arms: list[Arm], frontiers: list[Frontier], measured: Floats, budgets: Floats
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Crossovers and multipliers of all pairs."""
    low, high = np.log(measured.min()), np.log(measured.max()) + _BEYOND
    crossings, factors = [], []
    for i, j in combinations(range(len(arms)), 2):
        a, b = frontiers[i], frontiers[j]
        names = {
            "pair": f"{arms[i].name} vs {arms[j].name}",
            "a": arms[i].name,
            "b": arms[j].name,
        }
        ahead = float(np.mean(a.at(high) < b.at(high)))
        crossing = _quantiles(crossover(a, b, low, high))
        crossings.append({**names, **crossing, "p_a_ahead": ahead})
        factors.append({**names, **_quantiles(multiplier(a, b, np.log(budgets[i]), _BEYOND))})
    columns = [*_PAIR_COLUMNS, "p_a_ahead"]
    return pd.DataFrame(crossings, columns=columns), pd.DataFrame(factors, columns=_PAIR_COLUMNS)


def _quantiles(logs: Floats) -> dict[str, float]:
    """Median and 95% of the draws that have a value, and the fraction that have none."""
    there = np.exp(logs[np.isfinite(logs)])
    low, middle, high = (
        np.quantile(there, [0.025, 0.5, 0.975]) if there.size else np.full(3, np.nan)
    )
    return {
        "median": float(middle),
        "lower": float(low),
        "upper": float(high),
        "p_none": float(1 - there.size / logs.size),
    }
