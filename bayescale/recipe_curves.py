"""Recipes over scale, what keeping one is worth, and recipes judged by several metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale.errors import DataError
from bayescale.frontiers import Frontier

Floats = NDArray[np.float64]


def chances(draws: Floats) -> Floats:
    """Probability of the least loss, ties shared; draws (sample, alternative, ...).

    Examples
    --------
    >>> chances(np.array([[1.0, 2.0], [1.0, 1.0]])).tolist()
    [0.75, 0.25]
    """
    winners = draws == draws.min(axis=1, keepdims=True)
    return np.asarray((winners / winners.sum(axis=1, keepdims=True)).mean(axis=0))


def keeping(draws: Floats) -> Floats:
    """What each alternative is worth as an option, were the truth to come out before choosing.

    The expected least loss without the alternative, minus that with it: no experiment can make
    it worth more. An arm whose keeping is worth less than anyone would notice may be stopped.

    Parameters
    ----------
    draws
        Joint draws of the losses, shape ``(sample, alternative)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(alternative,)``, in the unit of the loss.

    Examples
    --------
    >>> keeping(np.array([[1.0, 2.0, 3.0], [2.0, 1.5, 3.0]])).tolist()
    [0.5, 0.25, 0.0]
    """
    order = np.sort(draws, axis=1)
    best, second = order[:, :1], order[:, 1:2]
    return np.where(draws == best, second - best, 0.0).mean(axis=0)


def stoppable(table: pd.DataFrame, tolerance: float = 0.001) -> list[str]:
    """Recipes that no more runs need to be spent on.

    The one kept is the one of least expected regret; others go, the least valuable first, as long
    as what is given up with them sums to no more than the tolerance.

    Parameters
    ----------
    table
        From `compare_recipes`: ``recipe``, ``expected_regret``, ``keeping``.
    tolerance
        In the unit of the loss.

    Examples
    --------
    >>> table = pd.DataFrame({"recipe": ["a", "b", "c"], "expected_regret": [0.0, 0.1, 0.5],
    ...                       "keeping": [0.1, 0.01, 0.0]})
    >>> stoppable(table)
    ['c']
    """
    if not tolerance >= 0:
        raise DataError(f"tolerance is {tolerance!r}: give 0 or more")
    rest = table.sort_values("expected_regret", kind="stable").iloc[1:].sort_values("keeping")
    given_up = rest["keeping"].cumsum() <= tolerance
    return rest.loc[given_up, "recipe"].astype(str).tolist()


def over_scale(names: Sequence[str], frontiers: Sequence[Frontier], log_c: Floats) -> pd.DataFrame:
    """Chance of being best, expected regret and loss of each recipe along the budget.

    Parameters
    ----------
    names, frontiers
        Of the recipes; joint draws.
    log_c
        Log FLOPs.

    Returns
    -------
    pandas.DataFrame
        ``C``, ``recipe``, ``p_best``, ``expected_regret``, ``median``, ``lower_95``, ``upper_95``.

    Examples
    --------
    >>> grid = np.linspace(0, 4, 9)
    >>> a, b = Frontier(grid, 2 - 0.1 * grid[None]), Frontier(grid, 2.2 - 0.2 * grid[None])
    >>> over_scale(["a", "b"], [a, b], np.array([1.0, 3.0]))["p_best"].tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    rows = []
    for one in log_c:
        losses = np.column_stack([frontier.at(one) for frontier in frontiers])
        losses = losses[np.isfinite(losses).all(axis=1)]
        if not len(losses):
            continue
        won, regret = chances(losses), (losses - losses.min(axis=1, keepdims=True)).mean(axis=0)
        low, middle, high = np.quantile(losses, [0.025, 0.5, 0.975], axis=0)
        for i, name in enumerate(names):
            values = (won[i], regret[i], middle[i], low[i], high[i])
            rows.append((float(np.exp(one)), name, *map(float, values)))
    columns = ["C", "recipe", "p_best", "expected_regret", "median", "lower_95", "upper_95"]
    return pd.DataFrame(rows, columns=columns)


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
    dominated = (better & strictly).any(axis=1)  # some other recipe (axis 1) is better (axis 2)
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
