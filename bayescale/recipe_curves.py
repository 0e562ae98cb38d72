"""Recipes over scale, and what keeping one is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale.errors import DataError

Floats = NDArray[np.float64]
Along = Callable[[float], Floats]


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


def over_scale(names: Sequence[str], losses: Sequence[Along], log_c: Floats) -> pd.DataFrame:
    """Chance of being best, expected regret and loss of each recipe along the budget.

    Parameters
    ----------
    names
        Of the recipes.
    losses
        Of each, joint draws ``(sample,)`` at a log budget.
    log_c
        Log FLOPs.

    Returns
    -------
    pandas.DataFrame
        ``C``, ``recipe``, ``p_best``, ``expected_regret``, ``median``, ``lower_95``, ``upper_95``.

    Examples
    --------
    >>> a, b = (lambda x: np.array([2 - 0.1 * x])), (lambda x: np.array([2.2 - 0.2 * x]))
    >>> over_scale(["a", "b"], [a, b], np.array([1.0, 3.0]))["p_best"].tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    rows = []
    for one in log_c:
        draws = np.column_stack([along(float(one)) for along in losses])
        draws = draws[np.isfinite(draws).all(axis=1)]
        if not len(draws):
            continue
        won, regret = chances(draws), (draws - draws.min(axis=1, keepdims=True)).mean(axis=0)
        low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
        for i, name in enumerate(names):
            values = (won[i], regret[i], middle[i], low[i], high[i])
            rows.append((float(np.exp(one)), name, *map(float, values)))
    columns = ["C", "recipe", "p_best", "expected_regret", "median", "lower_95", "upper_95"]
    return pd.DataFrame(rows, columns=columns)
