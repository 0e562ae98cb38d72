"""A first ladder, planned before any run: from the prior of a law alone.

Each prior draw is a guess of the truth. Around it the law of log loss is linear in the sampler's
coordinates, so that runs add to its precision as in any linear model, and what a target's
prediction or a budget's split would lose follows by the delta method. A plan is good on average
over the draws: a Bayesian (pseudo-) optimal design.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale.catalog import require_law
from bayescale.choosing_runs import costs_of
from bayescale.coordinates import to_natural
from bayescale.costs import Cost, SixND
from bayescale.errors import DataError
from bayescale.goals import worth_of_loss
from bayescale.law import Law
from bayescale.model import reference_inputs
from bayescale.model_from_runs import build_model
from bayescale.optimum import minimise
from bayescale.population_prior import sample_population_prior
from bayescale.surfaces import at_budget, search_range

Floats = NDArray[np.float64]

_GUESSES = 64
_POWERS = (1.0, 0.7, 0.4, 0.2, 0.0)
_NUDGE = 1e-3  # of a coordinate, for its derivative


@dataclass(frozen=True, eq=False)
class _Linear:
    """The law about each guess: rows of the runs' design, of what is wanted, and the prior."""

    design: Floats  # (guess, candidate, coordinate), over the noise
    wanted: Floats  # (guess, target, coordinate), scaled so that its squared error is the value
    covariance: Floats  # (coordinate, coordinate)


def plan_ladder(
    law: Law,
    candidates: pd.DataFrame | Mapping[str, Any],
    budget: float,
    goal: Mapping[str, Any] | pd.DataFrame | None = None,
    cost: str | Cost = "C",
    typical_loss: float = 3.0,
    noise: float = 0.01,
    most: int = 40,
    repeats: int = 2,
    power: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Plan a first ladder from the prior alone.

    Parameters
    ----------
    law
        With the priors that are to be believed.
    candidates
        A row a run that could be made.
    budget
        For all of them, in the unit of the cost.
    goal
        ``{"C": 1e24}``: to split that budget well; or targets, a table of the law's columns, to be
        predicted. Ten times the compute of the largest candidate without it.
    cost
        Column of what a run costs, or an object of `bayescale.costs`; 6 N D without either.
    typical_loss
        Guess of the candidates' losses, in the response's unit; the priors are shares of it.
    noise
        Sd of log loss between runs of one configuration.
    most
        Runs at most.
    repeats
        Times that one candidate may be made; the law's own lack of fit, which no repeat averages
        out, isn't modelled.
    power
        Runs are taken by value over cost to this power; of several powers, the one that leaves
        the least at stake where None.
    seed
        Of the guesses.

    Returns
    -------
    pandas.DataFrame
        In the order to make them: the candidate's columns, ``candidate`` (row number), ``cost``,
        ``spent`` (so far), ``expected_loss`` (what remains at stake after it: the variance of log
        loss at the targets, or the regret of the split in the unit of the loss), ``value`` (what it
        removes). ``attrs``: ``before`` (at stake before any run), ``worth`` (units of cost a unit
        of value, for a split) and ``enough`` (runs after which the next isn't worth its cost).

    Raises
    ------
    DataError
        For candidates that lack a column, or a budget that pays for none of them.

    References
    ----------
    Chaloner & Verdinelli (1995), Bayesian experimental design: a review, Statistical Science 10.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> pool = pd.DataFrame({"N": [1e7, 1e7, 1e8, 1e8], "D": [2e8, 2e9, 2e8, 2e9]})
    >>> plan = plan_ladder(load_law("chinchilla"), pool, budget=3e18, goal={"C": 1e21}, most=4)
    >>> bool((plan["spent"] <= 3e18).all() and plan["expected_loss"].is_monotonic_decreasing)
    True
    """
    pool = pd.DataFrame(candidates).reset_index(drop=True)
    columns = [v.column for v in require_law(law).variables.values()]
    if "C" in columns and "C" not in pool and {"N", "D"} <= set(pool):
        pool["C"] = SixND().flops(pool["N"], pool["D"])
    missing = [name for name in columns if name not in pool]
    if pool.empty or missing:
        raise DataError(f"the candidates have no {', '.join(missing) or 'rows'}")
    values = pool[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not (np.isfinite(values) & (values > 0)).all():
        row = int(np.argwhere(~(np.isfinite(values) & (values > 0)))[0][0])
        raise DataError(f"candidate {row + 1}: {', '.join(columns)} must be positive numbers")
    price = costs_of(pool, cost)
    if not budget >= price.min():
        raise DataError(
            f"a budget of {budget:g} pays for no candidate: the least costs {price.min():g}"
        )
    linear, worth = _linearised(law, pool, goal, cost, typical_loss, noise, seed)
    limits = (float(budget), most, repeats)
    plans = [
        _greedy(linear, pool, price, limits, one, worth)
        for one in (_POWERS if power is None else (power,))
    ]
    return min(plans, key=lambda plan: plan["expected_loss"].iloc[-1])


def _linearised(
    law: Law,
    pool: pd.DataFrame,
    goal: Mapping[str, Any] | pd.DataFrame | None,
    cost: str | Cost,
    typical_loss: float,
    noise: float,
    seed: int,
) -> tuple[_Linear, float | None]:
    law = law.varying("complete")
    table = pool.assign(**{law.response.column: float(typical_loss)})
    model = build_model(law, table, noise="normal")
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    rng = np.random.default_rng([seed, 43])
    many, _ = sample_population_prior(model, rng, 4000)
    place = [structure.names.index(name) for name in law.parameters]
    covariance = np.atleast_2d(np.cov(many[:, place].T))
    inputs = {name: pool[name].to_numpy(float)[None] for name in pool if name in _columns(law)}

    def natural(eta: Floats) -> dict[str, Floats]:
        made = to_natural(structure, eta, reference, np)
        return {name: np.asarray(made[name])[:, None] for name in law.parameters}

    def runs(eta: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.log(law.mean(natural(eta), inputs, np))

    decision = isinstance(goal, Mapping) and "C" in goal and not {"N", "D"} & set(goal)
    good = np.isfinite(runs(many)).all(axis=1)
    eta = many[good][:_GUESSES]
    worth = None
    if decision:
        assert isinstance(goal, Mapping)
        split = SixND() if isinstance(cost, str) else cost
        others = {k: v for k, v in goal.items() if k != "C"}
        wanted, eta, worth = _split(law, natural, eta, place, float(goal["C"]), split, others)
    else:
        targets = _targets(law, pool, goal)

        def aimed(eta: Floats) -> Floats:
            return np.log(law.mean(natural(eta), targets, np))

        wanted = _slopes(aimed, eta, place)
        wanted = wanted / np.sqrt(wanted.shape[1])
    return _Linear(_slopes(runs, eta, place) / noise, wanted, covariance), worth


def _split(
    law: Law,
    natural: Any,
    eta: Floats,
    place: list[int],
    C: float,
    cost: Cost,
    others: Mapping[str, Any],
) -> tuple[Floats, Floats, float]:
    """Slopes of the best log N, times the root of half the curvature: their square is regret."""
    low, high = search_range(C, cost)

    def losses(eta: Floats) -> Any:
        values = natural(eta)

        def surface(N: Floats, D: Floats) -> Floats:
            own = {**others, "N": N, "D": D, "C": cost.flops(N, D)}
            return np.asarray(law.mean(values, own, np), dtype=float)

        return surface, at_budget(surface, cost, C)

    def best(eta: Floats) -> Floats:
        _, along = losses(eta)
        return minimise(along, np.full((len(eta), 1), low), high).x

    surface, along = losses(eta)
    found = minimise(along, np.full((len(eta), 1), low), high)
    keep = found.interior[:, 0]
    if keep.sum() < 4:
        raise DataError(
            f"under the prior a budget of {C:g} has no best split: no goal for a ladder"
        )
    eta = eta[keep]
    surface, along = losses(eta)
    x, h = found.x[keep], 0.05
    bend = (along(x + h) - 2.0 * along(x) + along(x - h)) / h**2
    slopes = _slopes(best, eta, place)
    wanted = np.sqrt(np.maximum(0.5 * bend, 0.0))[:, :, None] * slopes
    middle = float(np.exp(np.median(x)))
    return wanted, eta, worth_of_loss(surface, cost, middle, float(cost.tokens(middle, C)))


def _slopes(function: Any, eta: Floats, place: list[int]) -> Floats:
    """Derivative (guess, output, coordinate) of a function of coordinates (guess, P)."""
    columns = []
    for k in place:
        step = np.zeros(eta.shape[1])
        step[k] = _NUDGE
        columns.append((function(eta + step) - function(eta - step)) / (2.0 * _NUDGE))
    return np.nan_to_num(np.stack(columns, axis=-1))


def _targets(law: Law, pool: pd.DataFrame, goal: Any) -> dict[str, Floats]:
    columns = _columns(law)
    if goal is None:
        both = {"N", "D"} <= set(columns)
        grown = {"N": np.sqrt(10.0) if both else 10.0, "D": np.sqrt(10.0) if both else 10.0}
        grown["C"] = 10.0
        named = {c: [pool[c].max() * grown[c] if c in grown else pool[c].median()] for c in columns}
        goal = pd.DataFrame(named)
    targets = pd.DataFrame({k: np.atleast_1d(v) for k, v in dict(goal).items()})
    if "C" in columns and "C" not in targets and {"N", "D"} <= set(targets):
        targets["C"] = SixND().flops(targets["N"], targets["D"])
    missing = [name for name in columns if name not in targets]
    if missing:
        raise DataError(f"the goal's targets have no {', '.join(missing)}")
    return {name: targets[name].to_numpy(float)[None] for name in columns}


def _columns(law: Law) -> list[str]:
    return [v.column for v in law.variables.values()]


def _greedy(
    linear: _Linear,
    pool: pd.DataFrame,
    price: Floats,
    limits: tuple[float, int, int],
    power: float,
    worth: float | None,
) -> pd.DataFrame:
    """Take runs one by one, each the most valuable for its cost given those before it."""
    budget, most, repeats = limits
    left = np.full(len(pool), repeats)
    guesses = len(linear.design)
    covariance = np.repeat(linear.covariance[None], guesses, axis=0)
    rows, spent, at_stake = [], 0.0, _stake(linear.wanted, covariance)
    before, enough = at_stake, None
    for _ in range(most):
        spread = np.einsum("gcp,gpq->gcq", linear.design, covariance)
        seen = 1.0 + np.einsum("gcq,gcq->gc", spread, linear.design)
        shared = np.einsum("gtp,gcp->gtc", linear.wanted, spread)
        value = np.mean(np.sum(shared**2, axis=1) / seen, axis=0)
        value = np.where((price <= budget - spent) & (left > 0), value, -np.inf)
        score = np.where(np.isfinite(value), value / price**power, -np.inf)
        best = int(np.argmax(score))
        if not np.isfinite(score[best]):
            break
        if enough is None and worth is not None and value[best] * worth <= price[best]:
            enough = len(rows)
        row = spread[:, best] / np.sqrt(seen[:, best])[:, None]
        covariance = covariance - row[:, :, None] * row[:, None, :]
        after = _stake(linear.wanted, covariance)
        spent += float(price[best])
        left[best] -= 1
        rows.append((best, float(price[best]), spent, after, at_stake - after))
        at_stake = after
    names = ["candidate", "cost", "spent", "expected_loss", "value"]
    plan = pd.DataFrame(rows, columns=names)
    kept = pool.drop(columns=[c for c in names if c in pool]).iloc[plan["candidate"]]
    plan = pd.concat([kept.reset_index(drop=True), plan], axis=1)
    plan.attrs |= {"before": before, "worth": worth, "enough": enough}
    return plan


def _stake(wanted: Floats, covariance: Floats) -> float:
    """Mean over guesses of what the wanted quantities' uncertainty loses."""
    return float(np.mean(np.einsum("gtp,gpq,gtq->g", wanted, covariance, wanted)))
