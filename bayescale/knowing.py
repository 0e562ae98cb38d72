"""What it is worth to a goal to know everything, or one parameter of the law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayescale.allocation import straight
from bayescale.evidence import Fits, joint_stakes, named_fits, perfect_worth, shares_of
from bayescale.goals import Allocate, Draws, read_goal
from bayescale.information import evppi, variance_reduction

if TYPE_CHECKING:
    from bayescale.fitting import Fit


def value_of_knowing(
    fit: Fit | Fits,
    goal: Any = None,
    weights: Mapping[str, float] | None = None,
    draws: Draws | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What knowing everything (EVPI), or one parameter of the law (EVPPI), is worth to a goal.

    Parameters
    ----------
    fit, goal, weights, seed
        As in `next_runs`; parameters are told apart where there is one law.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``value``, ``value_error``, ``share`` of the whole; the largest first.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.value_of_knowing(fit, goal={"C": 1e23})                      # doctest: +SKIP
    """
    if draws is None:
        from bayescale import predictive_draws

        draws = Draws(predictive_draws.parameter_draws, predictive_draws.loss_draws)
    fits = named_fits(fit)
    asked = read_goal(goal)
    if isinstance(asked, Allocate):
        fits = {name: straight(one) for name, one in fits.items()}
    index = shares_of(fits, weights, {k: _size(draws, f) for k, f in fits.items()}, seed)
    stakes = joint_stakes(asked, fits, draws, index)
    whole = perfect_worth(stakes)
    rows = [("everything", whole.value, whole.error)]
    names = stakes.parameters if len(fits) == 1 else {}
    for name, values in names.items():
        if stakes.losses is not None:
            one = evppi(stakes.losses, values, stakes.actions is not None, seed=seed)
        else:
            assert stakes.targets is not None
            one = variance_reduction(stakes.targets, values, seed=seed)
        rows.append((name, one.value, one.error))
    table = pd.DataFrame(rows, columns=["what", "value", "value_error"])
    table["share"] = table["value"] / whole.value if whole.value > 0 else 0.0
    order = ["value", "what"]
    return table.sort_values(order, ascending=[False, True], ignore_index=True)


def _size(draws: Draws, fit: Fit) -> int:
    groups = fit.runs.table.head(1)
    return len(next(iter(draws.parameters(fit, groups).values())))
