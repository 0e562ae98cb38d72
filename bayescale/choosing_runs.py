"""Which run to buy next: the value of each candidate for a goal, beside its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import misfit
from bayescale.allocation import straight
from bayescale.costs import Cost, SixND
from bayescale.errors import DataError
from bayescale.evidence import Fits, Judge, gather, named_fits
from bayescale.goals import Allocate, Draws, Stakes, read_goal

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]

_SURE = 0.95
_SCREENED = 48  # candidates looked at again for each further run of a batch


def next_runs(
    fit: Fit | Fits,
    candidates: pd.DataFrame | Mapping[str, Any],
    cost: str | Cost = "C",
    goal: Any = None,
    budget: float | None = None,
    batch: int = 1,
    worth: float | None = None,
    rule: str = "net",
    power: float = 1.0,
    weights: Mapping[str, float] | None = None,
    new_groups: str = "error",
    seed: int = 0,
    stray: float = 0.0,
) -> pd.DataFrame:
    """Rank candidate runs by what they are worth to a goal, less what they cost.

    A decision's value of a run is its expected value of sample information: how much less the
    decision is expected to lose once the run's result is known (`bayescale.information`).

    Parameters
    ----------
    fit
        A posterior; or several by the name of their law, whose disagreement then counts.
    candidates
        A row a run: the law's columns, the group's labels, and the cost's column where it isn't
        6 N D. ``extra_sd``, where given, is the sd by which log loss of a partial run misses that
        of the whole one.
    cost
        Column of what a run costs, or an object of `bayescale.costs`.
    goal
        `bayescale.goals.Allocate`, `Choose`, `Precision`, `VOptimal`, `Knowledge`; or as
        `goals.read_goal` understands. Precision at ten times the largest run's compute without it.
    budget
        For these runs; no more is spent.
    batch
        Runs to choose together; each further one is judged beside those already chosen.
    worth
        Units of cost that one unit of value is worth. Where None, a decision on a budget is worth
        the compute that would gain as much loss; anything else is worth the budget (the whole
        pool's cost without one) were it known exactly.
    rule
        "net" ranks by value times worth less cost; "rate" by value over cost to `power`.
    power
        See `rule`.
    weights
        Of several posteriors; equal without them.
    new_groups
        "sample" allows candidates of groups that the fit has not seen.
    seed
        Of the results that are imagined.
    stray
        How fast the law may depart from what holds where the decision lies: sd of its slope in
        log loss after one decade outside (`bayescale.misfit`, whose scale is 0.05). 0 takes the
        law as exact, so that many small runs far from the decision may seem to settle it.

    Returns
    -------
    pandas.DataFrame
        Best first: ``candidate`` (its ``run``, else its row number), ``value``, ``cost``, ``net``,
        ``rank``, ``value_error`` (Monte Carlo), ``affordable``, ``chosen``, and the candidate's
        columns. ``attrs``: ``stop`` (True where nothing is worth its cost), ``reason``, ``goal``,
        ``unit``, ``worth``, ``perfect`` (value of knowing everything), ``chosen``,
        ``chosen_value`` (of all the chosen together).

    Raises
    ------
    DataError
        For candidates, costs or a goal that can't be used.

    References
    ----------
    Strong, Oakley, Brennan & Breeze (2015), Medical Decision Making 35; Claxton & Posnett (1996),
    Health Economics 5, for the expected net benefit of sampling.

    Examples
    --------
    >>> import bayescale as bs
    >>> pool = pd.DataFrame({"N": [1e8, 1e9], "D": [2e9, 2e10]})
    >>> bs.next_runs(fit, pool, goal={"C": 1e23}, budget=1e21)          # doctest: +SKIP
    """
    from bayescale import predictive_draws

    own = Draws(predictive_draws.parameter_draws, predictive_draws.loss_draws)
    return next_runs_with(
        own,
        fit,
        candidates,
        cost=cost,
        goal=goal,
        budget=budget,
        batch=batch,
        worth=worth,
        rule=rule,
        power=power,
        weights=weights,
        new_groups=new_groups,
        seed=seed,
        stray=stray,
    )


def next_runs_with(
    draws: Draws,
    fit: Fit | Fits,
    candidates: pd.DataFrame | Mapping[str, Any],
    cost: str | Cost = "C",
    goal: Any = None,
    budget: float | None = None,
    batch: int = 1,
    worth: float | None = None,
    rule: str = "net",
    power: float = 1.0,
    weights: Mapping[str, float] | None = None,
    new_groups: str = "error",
    seed: int = 0,
    stray: float = 0.0,
) -> pd.DataFrame:
    """Rank with given functions for draws; see `next_runs`."""
    if rule not in ("net", "rate"):
        raise DataError(f"rule is 'net' or 'rate', not {rule!r}")
    if batch < 1:
        raise DataError(f"batch is {batch}: choose one run or more")
    if budget is not None and not budget > 0:
        raise DataError(f"budget is {budget!r}: give a positive number, such as 1e21")
    if not (np.isfinite(stray) and stray >= 0):
        raise DataError(f"stray is {stray!r}: give 0 or more, such as {misfit.SCALE}")
    if worth is not None and not (np.isfinite(worth) and worth > 0):
        raise DataError(f"worth is {worth!r}: give a positive number of cost a unit of value")
    pool = _pool(candidates)
    price = costs_of(pool, cost)
    fits = named_fits(fit)
    asked = read_goal(goal)
    if isinstance(asked, Allocate):
        fits = {name: straight(one) for name, one in fits.items()}
    evidence = gather(draws, fits, pool, asked, weights, new_groups, seed, stray)
    judge = Judge(asked, evidence, seed)
    perfect = judge.perfect
    limit = float(np.inf if budget is None else budget)
    fund = limit if np.isfinite(limit) else float(price.sum())
    if worth is None:
        worth = evidence.stakes.worth
    if worth is None:
        worth = fund / perfect if perfect > 0 else 0.0
    alone = [judge.worth([i]) for i in range(len(pool))]
    value = np.array([one.value for one in alone])
    net = _net(value, worth, price)
    score = net if rule == "net" else value / price**power
    affordable = price <= limit
    chosen, together = _batch(judge, score, price, limit, batch, worth, rule, power, value)
    rank = np.empty(len(pool), dtype=int)
    rest = [i for i in np.lexsort((-score, ~affordable)) if i not in chosen]
    for place, i in enumerate([*chosen, *rest]):
        rank[i] = place + 1
    table = pd.DataFrame(
        {
            "candidate": pool["run"].tolist() if "run" in pool else list(range(len(pool))),
            "value": value,
            "cost": price,
            "net": net,
            "rank": rank,
            "value_error": [one.error for one in alone],
            "affordable": affordable,
            "chosen": [i in chosen for i in range(len(pool))],
        }
    )
    kept = [c for c in pool.columns if c not in table.columns and c != "run"]
    table = pd.concat([table, pool[kept]], axis=1).sort_values("rank", ignore_index=True)
    stop, reason = _stop(evidence.stakes, net, affordable, limit)
    table.attrs |= {
        "stop": stop,
        "reason": reason,
        "goal": evidence.stakes.about,
        "unit": evidence.stakes.unit,
        "worth": worth,
        "perfect": perfect,
        "chosen": [] if stop else table["candidate"].tolist()[: len(chosen)],
        "chosen_value": together,
    }
    return table


def costs_of(pool: pd.DataFrame, cost: str | Cost) -> Floats:
    """What each candidate costs, positive and finite."""
    if not isinstance(cost, str):
        price = np.asarray(cost.flops(*_sizes(pool)), dtype=float)
    elif cost in pool:
        price = pd.to_numeric(pool[cost], errors="coerce").to_numpy(float)
    elif cost == "C":
        price = SixND().flops(*_sizes(pool))
    else:
        raise DataError(
            f"no column {cost!r} says what a candidate costs: they have {', '.join(map(str, pool))}"
        )
    bad = np.flatnonzero(~(np.isfinite(price) & (price > 0)))
    if bad.size:
        faults = tuple(f"candidate {i + 1}: its cost is {price[i]:g}" for i in bad[:20])
        raise DataError("a candidate's cost must be a positive number:", faults)
    return price


def _batch(
    judge: Judge,
    score: Floats,
    price: Floats,
    limit: float,
    batch: int,
    worth: float,
    rule: str,
    power: float,
    value: Floats,
) -> tuple[list[int], float]:
    """Greedy choice of a batch: each run by what it adds to those before it."""
    chosen: list[int] = []
    have, left = 0.0, limit
    while len(chosen) < batch:
        open_to = [int(i) for i in np.argsort(-score) if price[i] <= left and i not in chosen]
        if not open_to:
            break
        if not chosen:
            best, total = open_to[0], float(value[open_to[0]])
        else:
            totals = {i: judge.worth([*chosen, i]).value for i in open_to[:_SCREENED]}
            gains = {i: max(total - have, 0.0) for i, total in totals.items()}
            if rule == "net":
                best = max(gains, key=lambda i: _net(gains[i], worth, price[i]))
            else:
                best = max(gains, key=lambda i: gains[i] / price[i] ** power)
            total = max(totals[best], have)
        chosen.append(best)
        have, left = total, left - float(price[best])
    return chosen, have


def _net(value: Any, worth: float, price: Any) -> Any:
    with np.errstate(invalid="ignore"):
        gained = np.where(np.asarray(value) > 0, np.asarray(value) * worth, 0.0)
    return gained - price


def _stop(
    stakes: Stakes, net: Floats, affordable: NDArray[np.bool_], limit: float
) -> tuple[bool, str]:
    if not affordable.any():
        return True, f"no candidate costs {limit:g} or less"
    if stakes.sure > _SURE:
        return True, f"the choice is known with probability {stakes.sure:.3f} already"
    if float(net[affordable].max()) <= 0:
        return True, "no candidate is worth its cost"
    return False, "the first candidate is worth more than it costs"


def _pool(candidates: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
    pool = pd.DataFrame(candidates).reset_index(drop=True)
    if pool.empty:
        raise DataError("there is no candidate to choose from")
    return pool


def _sizes(pool: pd.DataFrame) -> tuple[Floats, Floats]:
    missing = [name for name in ("N", "D") if name not in pool]
    if missing:
        raise DataError(
            f"candidates have no {', '.join(missing)} and no column of their cost: name it by cost="
        )
    sizes = [pd.to_numeric(pool[name], errors="coerce").to_numpy(float) for name in ("N", "D")]
    return sizes[0], sizes[1]
