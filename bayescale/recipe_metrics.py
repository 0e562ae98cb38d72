"""Recipes judged by several metrics at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale.arms import Costs
from bayescale.errors import DataError
from bayescale.recipe_curves import chances
from bayescale.recipe_questions import ask_recipes

if TYPE_CHECKING:
    from bayescale.fitting import Fit


def compare_metrics(
    fits: Mapping[str, Fit],
    by: str = "recipe",
    at: Mapping[str, Any] | None = None,
    kind: str = "mean",
    cost: Costs | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare recipes by several metrics, each fitted on its own.

    Parameters
    ----------
    fits
        By metric, the posterior of a law of it; of losses or errors, so that less is better.
    by, at, kind, cost, seed
        As in `compare_recipes`. At a budget, each metric's law takes its own best split.
    weights
        Of the metrics in one sum.

    Returns
    -------
    pandas.DataFrame
        As `recipe_curves.several_metrics`.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.compare_metrics({"loss": a, "error": b}, at={"C": 1e22})     # doctest: +SKIP
    """
    from bayescale import predictive_draws

    losses = {}
    for place, (metric, fit) in enumerate(fits.items()):
        question = ask_recipes(predictive_draws.parameter_draws, fit, by, at, cost)
        draws = predictive_draws.loss_draws(fit, question.targets, kind=kind, seed=seed)
        mixed = np.random.default_rng([seed, place]).permutation(len(draws))  # fits are apart
        losses[metric] = pd.DataFrame(draws[mixed], columns=[arm.name for arm in question.arms])
    return several_metrics(losses, weights)


def several_metrics(
    losses: Mapping[str, pd.DataFrame], weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Recipes judged by several metrics at once, each with a posterior of its own.

    Parameters
    ----------
    losses
        By metric, draws of each recipe's loss: a column a recipe, a row a draw. Less is better.
        Metrics fitted apart have independent draws.
    weights
        Of each metric's loss in one sum; without them each counts by its own spread between
        recipes (sd over recipes of the median).

    Returns
    -------
    pandas.DataFrame
        A row a recipe, the least expected weighted regret first: ``recipe``, ``p_best_<metric>``,
        ``p_best_all`` (best in every metric), ``p_undominated`` (no other recipe is at least as
        good in all), ``p_best_sum`` and ``expected_regret`` of the weighted sum.

    Raises
    ------
    DataError
        If the metrics are of different recipes, or a weight is missing.

    Examples
    --------
    >>> one = pd.DataFrame({"a": [1.0, 1.0], "b": [2.0, 0.5]})
    >>> two = pd.DataFrame({"a": [3.0, 3.0], "b": [4.0, 4.0]})
    >>> table = several_metrics({"loss": one, "error": two}, {"loss": 1.0, "error": 1.0})
    >>> table[["recipe", "p_best_all", "p_undominated"]].values.tolist()
    [['a', 0.5, 1.0], ['b', 0.0, 0.5]]
    """
    names = [str(c) for c in next(iter(losses.values())).columns]
    for metric, table in losses.items():
        if set(map(str, table.columns)) != set(names):
            raise DataError(f"{metric}: is of {', '.join(map(str, table))}, not {', '.join(names)}")
    if weights is not None and (missing := [m for m in losses if m not in weights]):
        raise DataError(f"weights name no weight of {', '.join(missing)}")
    size = min(len(table) for table in losses.values())
    stacked = np.stack([t[names].to_numpy(float)[:size] for t in losses.values()], axis=2)
    if weights is None:
        spread = np.median(stacked, axis=0).std(axis=0)
        share = 1.0 / np.where(spread > 0, spread, 1.0)
    else:
        share = np.array([float(weights[metric]) for metric in losses])
    best = stacked == stacked.min(axis=1, keepdims=True)
    better = (stacked[:, :, None] <= stacked[:, None, :]).all(axis=3)
    strictly = (stacked[:, :, None] < stacked[:, None, :]).any(axis=3)
    dominated = np.any(better & strictly, axis=1)  # some recipe of axis 1 beats that of axis 2
    total = stacked @ share
    columns = {f"p_best_{m}": chances(stacked[:, :, k]) for k, m in enumerate(losses)}
    table = pd.DataFrame(
        {
            "recipe": names,
            **columns,
            "p_best_all": best.all(axis=2).mean(axis=0),
            "p_undominated": (~dominated).mean(axis=0),
            "p_best_sum": chances(total),
            "expected_regret": (total - total.min(axis=1, keepdims=True)).mean(axis=0),
        }
    )
    return table.sort_values("expected_regret", kind="stable", ignore_index=True)
