"""What runs are bought for: a decision, a precise prediction, or knowledge of the law.

A goal turns a fit into `Stakes`: joint draws of what each action would lose, or of what is to be
predicted, in the order of the fit's own draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale.allocation import decided_by, group_of, needs_sizes, positive, surface_of
from bayescale.arms import Costs
from bayescale.budgets import choose_size, judge_of
from bayescale.costs import (
    Cost,
    SixND,
    TrainingPlusInference,
    spent,
    training_flops,
    unit_of,
)
from bayescale.errors import DataError
from bayescale.optimum import minimise
from bayescale.recipe_questions import ask_recipes
from bayescale.surfaces import Surface, at_budget, search_range

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]

_ACTIONS = 21
_STEP = 0.02  # in log compute, for what a little more of it is worth
_BEYOND = 10.0  # compute of a target that nobody named, over the largest run's


@dataclass(frozen=True)
class Draws:
    """How draws are had from a fit; of hand-made ones in tests."""

    parameters: Callable[..., dict[str, Floats]]
    losses: Callable[..., Floats]


@dataclass(frozen=True, eq=False)
class Stakes:
    """What a goal comes to, over draws.

    Attributes
    ----------
    losses : numpy.ndarray or None
        Of each action, shape ``(sample, action)``; of a decision.
    targets : numpy.ndarray or None
        Log losses to be predicted, ``(sample, target)``.
    worth : float or None
        Units of the budget that one unit of loss is worth: what the decided run would have to
        spend more to gain as much.
    parameters : dict
        Draws of the law's parameters that the goal is about, each ``(sample,)``.
    unit : str
        Of the value.
    about : str
        The goal in words.
    sure : float
        Chance that the best action is known already; ``nan`` where it means nothing.
    actions : numpy.ndarray or None
        Log N of each action, where that is what is chosen.
    places : pandas.DataFrame or None
        Where in the law's variables the decision lies.
    """

    losses: Floats | None = None
    targets: Floats | None = None
    worth: float | None = None
    parameters: dict[str, Floats] = field(default_factory=dict)
    unit: str = "loss"
    about: str = ""
    sure: float = float("nan")
    actions: Floats | None = None
    places: pd.DataFrame | None = None


class Goal(Protocol):
    """What runs are bought for."""

    def stakes(self, fit: Fit, draws: Draws, actions: Floats | None = None) -> Stakes:
        """Draws of what is at stake; `actions` are those of a former call, to be used again."""
        ...


@dataclass(frozen=True)
class Allocate:
    """Split a budget well; arguments as of `bayescale.allocate`."""

    C: float
    at: Mapping[str, Any] | None = None
    cost: Cost | None = None
    inference_tokens: float = 0.0

    def stakes(self, fit: Fit, draws: Draws, actions: Floats | None = None) -> Stakes:
        """Losses of a range of N on the budget."""
        positive("C", self.C)
        needs_sizes(fit.law, "an allocation")
        training = SixND() if self.cost is None else self.cost
        served = self.inference_tokens
        whole = TrainingPlusInference(served, training) if served else training
        where = group_of(fit, self.at, decided_by(training))
        params = draws.parameters(fit, pd.DataFrame([where]))
        surface = surface_of(fit.law, params, where, training)
        grid, losses = sizes_to_choose(surface, whole, float(self.C), actions)
        best = float(np.exp(grid[np.argmin(losses.mean(axis=0))]))
        worth = worth_of_loss(surface, whole, best, float(whole.tokens(best, self.C)))
        about = f"to split {self.C:g} {unit_of(whole)} between N and D"
        own = {name: params[name][:, 0] for name in fit.law.parameters}
        N = np.exp(_likely(grid, losses))
        places = pd.DataFrame({"N": N, "D": whole.tokens(N, self.C)}).assign(**where)
        places["C"] = training_flops(training, places["N"], places["D"])
        unit = fit.law.response.unit
        return Stakes(losses, None, worth, own, unit, about, actions=grid, places=places)


@dataclass(frozen=True)
class Choose:
    """Choose the best recipe; arguments as of `bayescale.compare_recipes`."""

    by: str = "recipe"
    at: Mapping[str, Any] | None = None
    cost: Costs | None = None

    def stakes(self, fit: Fit, draws: Draws, actions: Floats | None = None) -> Stakes:
        """Losses of the recipes where they are compared."""
        question = ask_recipes(draws.parameters, fit, self.by, self.at, self.cost)
        losses = draws.losses(fit, question.targets, kind="mean")
        leader = int(np.argmin(losses.mean(axis=0)))
        arm, place = question.arms[leader], question.targets.iloc[leader]
        told = question.straight or question.params
        own = {name: values[:, [leader]] for name, values in told.items()}
        worth = None
        if {"N", "D"} <= set(question.targets.columns):
            surface = surface_of(fit.law, own, arm.target, arm.cost)
            worth = worth_of_loss(surface, arm.cost, float(place["N"]), float(place["D"]))
        parameters = {
            f"{name}[{one.name}]": question.params[name][:, i]
            for i, one in enumerate(question.arms)
            for name in fit.law.parameters
        }
        sure = float(np.mean(losses.argmin(axis=1) == leader))
        about = f"to choose a {self.by} of {', '.join(one.name for one in question.arms)}"
        unit = fit.law.response.unit
        return Stakes(losses, None, worth, parameters, unit, about, sure, places=question.targets)


@dataclass(frozen=True)
class Precision:
    """Predict the law's value at targets well: the least mean squared error of log loss.

    Without targets, those of ten times the compute of the largest run, of every group.
    """

    targets: pd.DataFrame | Mapping[str, Any] | None = None

    def stakes(self, fit: Fit, draws: Draws, actions: Floats | None = None) -> Stakes:
        """Log losses at the targets."""
        targets = default_targets(fit) if self.targets is None else self.targets
        values = np.log(draws.losses(fit, targets, kind="mean"))
        first = pd.DataFrame(targets) if self.targets is None else targets
        where = f"{values.shape[1]} targets" if values.shape[1] > 1 else "1 target"
        if self.targets is None:
            where += f" at {_BEYOND:g} times the compute of the largest run"
        own = draws.parameters(fit, first)
        several = values.shape[1] > 1
        parameters = {
            f"{name}[target {i + 1}]" if several else name: own[name][:, i]
            for i in range(values.shape[1])
            for name in fit.law.parameters
        }
        return Stakes(
            None,
            values,
            None,
            parameters,
            "squared log loss",
            f"to predict {where} precisely",
            places=pd.DataFrame({k: np.atleast_1d(v) for k, v in dict(targets).items()}),
        )


@dataclass(frozen=True)
class Knowledge:
    """Know the law as such: "d-optimal" or "information", in nats."""

    criterion: str = "information"

    def stakes(self, fit: Fit, draws: Draws, actions: Floats | None = None) -> Stakes:
        """Nothing is at stake but the law."""
        return Stakes(unit="nats of information", about="to know the law's parameters")


@dataclass(frozen=True)
class VOptimal(Precision):
    """As `Precision`, by the Gaussian closed form."""


def read_goal(goal: Any) -> Goal:
    """Read a goal from an object, a name, or a mapping that says what is decided.

    Parameters
    ----------
    goal
        A goal; None or "precision"; "v-optimal", "d-optimal", "information"; or a mapping: with
        "by", arguments of `Choose`; with C alone, of an allocation; else a target's columns.

    Examples
    --------
    >>> read_goal({"C": 1e24, "family": "dense"})
    Allocate(C=1e+24, at={'family': 'dense'}, cost=None, inference_tokens=0.0)
    >>> read_goal("d-optimal")
    Knowledge(criterion='d-optimal')
    """
    if goal is None:
        return Precision()
    if hasattr(goal, "stakes"):
        return goal
    if isinstance(goal, pd.DataFrame):
        return Precision(goal)
    if isinstance(goal, str):
        named: dict[str, Goal] = {
            "precision": Precision(),
            "v-optimal": VOptimal(),
            "d-optimal": Knowledge("d-optimal"),
            "information": Knowledge("information"),
        }
        if goal in named:
            return named[goal]
        raise DataError(
            f"goal {goal!r} is not known: {', '.join(named)}; a decision is given as "
            "bayescale.goals.Allocate(C=1e24) or Choose(by='recipe', at={'C': 1e22})"
        )
    if isinstance(goal, Mapping):
        rest = dict(goal)
        if "by" in rest:
            by = str(rest.pop("by"))
            at = rest.pop("at", None)
            return Choose(by, {**rest, **(at or {})})
        if "C" in rest and not {"N", "D"} & set(rest):
            C = positive("C", rest.pop("C"))
            at = {**rest.pop("at", {}), **rest}
            return Allocate(C, at or None)
        return Precision(rest)
    raise DataError(f"goal {goal!r} is no goal: see bayescale.goals")


def default_targets(fit: Fit) -> pd.DataFrame:
    """Targets of ten times the compute of the largest run, one for each group of the fit."""
    table = fit.runs.table
    place: dict[str, Any] = {}
    columns = [v.column for v in fit.law.variables.values()]
    for name in columns:
        values = table[name].to_numpy(float)
        place[name] = float(np.median(values))
        if name in ("N", "D"):
            both = {"N", "D"} <= set(columns)
            place[name] = float(values.max() * (np.sqrt(_BEYOND) if both else _BEYOND))
        elif name == "C":
            place[name] = float(values.max() * _BEYOND)
    factors = list(fit.groups)
    if not factors:
        return pd.DataFrame([place])
    groups = table[factors].astype(str).drop_duplicates().sort_values(factors)
    return groups.reset_index(drop=True).assign(**place)


def sizes_to_choose(
    surface: Surface, cost: Cost, C: float, actions: Floats | None = None
) -> tuple[Floats, Floats]:
    """Log N between which a budget's choice lies under any draw, and their losses by draw."""
    losses = at_budget(surface, cost, C)
    if actions is not None:
        return actions, losses(actions[None])
    low, high = search_range(C, cost)
    size = len(losses(np.array([[0.5 * (low + high)]])))
    own = minimise(losses, np.full((size, 1), low), high, iterations=20, polish=1).x[:, 0]
    now = float(choose_size(losses, judge_of("mean"), low, high).x[0])
    ends = np.quantile(own, [0.001, 0.999])
    ends = np.clip([min(ends[0], now) - 0.05, max(ends[1], now) + 0.05], low, high)
    grid = np.linspace(ends[0], ends[1], _ACTIONS)
    made = losses(grid[None])
    possible = np.isfinite(made).all(axis=0)
    if not possible.any():
        raise DataError(f"a budget of {C:g} {unit_of(cost)} pays for no model at all")
    return grid[possible], made[:, possible]


def _likely(grid: Floats, losses: Floats) -> Floats:
    """Log N between which half of the draws have their best."""
    return np.quantile(grid[losses.argmin(axis=1)], [0.25, 0.75])


def worth_of_loss(surface: Surface, cost: Cost, N: float, D: float) -> float:
    """Budget that would have to be added to gain one unit of expected loss, at N and D.

    At an optimum of a budget it doesn't matter in what direction more is spent.
    """
    step = np.exp(0.5 * _STEP)
    place = np.array([[1.0 / step, step]])
    losses = np.asarray(surface(N * place, D * place)).mean(axis=0)
    budget = spent(cost, N * place[0], D * place[0])
    fall = float(losses[0] - losses[1])
    return float((budget[1] - budget[0]) / fall) if fall > 0 else np.inf
