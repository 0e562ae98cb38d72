"""What a comparison of recipes asks: each at its own best split of a budget, or at N and D."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import drawn_laws
from bayescale.allocation import draws_of, positive, surface_of
from bayescale.arms import FREE, Arm, Costs, arms_of
from bayescale.budgets import plan_budget
from bayescale.errors import DataError
from bayescale.surfaces import Surface

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RecipeQuestion:
    """Recipes, the parameters' draws of each (sample, recipe), and where each is asked.

    ``straight`` are the draws that say where an optimum lies, if they are others.
    """

    arms: list[Arm]
    params: dict[str, Any]
    targets: pd.DataFrame
    straight: dict[str, Any] | None = None


def ask_recipes(
    parameter_draws: Callable[..., dict[str, Floats]],
    fit: Fit,
    by: str,
    at: Mapping[str, Any] | None,
    cost: Costs | None,
) -> RecipeQuestion:
    """Find the recipes and where to ask them; arguments as in `compare_recipes`."""
    fit.law.response.require_lower(fit.law.name, "compare_recipes")
    at = dict(at or {})
    point = {name: positive(name, at[name]) for name in FREE if name in at}
    _refuse_unclear(point, fit)
    arms = arms_of(fit, by, {name: v for name, v in at.items() if name not in FREE}, cost)
    where = pd.DataFrame([arm.target for arm in arms])
    own, bent = draws_of(parameter_draws, fit, where)
    targets = _targets(arms, recipe_surfaces(fit, arms, None, own), point, is_sized(fit))
    return RecipeQuestion(arms, bent or own, targets, own if bent else None)


def is_sized(fit: Fit) -> bool:
    """Whether the law is one of N and D."""
    return {"N", "D"} <= {v.column for v in fit.law.variables.values()}


def is_of_compute(fit: Fit) -> bool:
    """Whether the law is one of compute alone."""
    return {v.column for v in fit.law.variables.values()} & set(FREE) == {"C"}


def _refuse_unclear(point: Mapping[str, float], fit: Fit) -> None:
    own = {v.column for v in fit.law.variables.values()} & set(FREE)
    allowed = [
        own,
        *([{"C"}] if is_sized(fit) else []),
        *([{"N", "D"}] if is_of_compute(fit) else []),
    ]
    if set(point) not in allowed:
        ways = " or ".join(", ".join(sorted(way)) for way in allowed)
        raise DataError(
            f"say at what scale to compare: {ways}, e.g. at={{'C': 1e22}} or "
            f"at={{'N': 7e9, 'D': 1.4e11}}; got {', '.join(point) or 'none of them'}"
        )


def recipe_surfaces(
    fit: Fit,
    arms: list[Arm],
    straight: Mapping[str, Any] | None,
    params: Mapping[str, Any],
) -> list[Surface]:
    """Loss of each draw at N and D, a recipe; of a law of compute alone, at C in N's place.

    With draws of the straight law, those say where an optimum lies, and `params` the losses there.
    """

    def of(draws: Mapping[str, Any], i: int) -> dict[str, Any]:
        return {name: values[:, [i]] for name, values in drawn_laws.named(fit.law, draws).items()}

    surfaces = []
    for i, arm in enumerate(arms):
        own = of(params, i)
        if not is_sized(fit):
            surfaces.append(_compute_surface(fit, own, arm))
        elif straight is None:
            surfaces.append(surface_of(fit.law, own, arm.target, arm.cost))
        else:
            surfaces.append(surface_of(fit.law, of(straight, i), arm.target, arm.cost, own))
    return surfaces


def _compute_surface(fit: Fit, own: Mapping[str, Floats], arm: Arm) -> Surface:
    columns = {v.column for v in fit.law.variables.values()} & set(arm.target)
    fixed = {name: arm.target[name] for name in columns}
    return lambda C, _: drawn_laws.values(fit.law, own, {**fixed, "C": C})


def _targets(
    arms: list[Arm], surfaces: list[Surface], point: Mapping[str, float], sized: bool
) -> pd.DataFrame:
    """Where each recipe is asked: its own best split of a budget, or the N and D given."""
    rows = []
    for arm, surface in zip(arms, surfaces, strict=True):
        where = dict(point)
        if "C" in point and sized:
            plan = plan_budget(surface, point["C"], arm.cost)
            where = {"N": plan.N, "D": plan.D, "C": point["C"]}
        elif {"N", "D"} <= set(point):
            where["C"] = float(arm.cost.flops(point["N"], point["D"]))
        rows.append({**arm.target, **where})
    return pd.DataFrame(rows)
