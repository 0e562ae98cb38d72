"""What the sliders of a page compute with: the formula's tree, thinned draws, noise and costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayescale import costs
from bayescale.fitting import Fit
from bayescale.grammar import Binary, Call, Minus, Name, Node, Number, Solve, children
from bayescale.likelihoods import OnLine
from bayescale.noise import Noise
from bayescale.predictive_draws import parameter_draws
from bayescale.reporting.answers import MOST_GROUPS, cost_of, groups
from bayescale.targets import compute_of

DRAWS = 500
# Of `law.js`.
PAGE_FUNCTIONS = frozenset(
    "exp log log10 log2 sqrt abs minimum maximum log1p expm1 tanh softplus sigmoid logit"
    " inv_cloglog".split()
)
_DIGITS = 8
TOLERANCE = 0.005


def payload_of(fit: Fit, draws: int = DRAWS, seed: int = 0) -> dict[str, Any] | None:
    """Everything that a page needs to answer as `predict` and `allocate` do; plain JSON.

    Parameters
    ----------
    fit : Fit
    draws : int
        At most so many posterior draws, evenly spaced.
    seed : int
        Of the new runs' deviations.

    Returns
    -------
    dict or None
        None where a page can't compute the law's value: of a Python function, of an implicit law,
        with a function that the page has not, of a law that bends, or of runs that scatter
        otherwise than on the log.
    """
    law = fit.law
    if law.formula is None or fit.model.structure.bend is not None or _noise(fit) is None:
        return None
    if any(v.least is not None for v in law.variables.values()):
        return None
    if not computable(law.formula.program):
        return None
    chosen = groups(fit)[:MOST_GROUPS]
    columns = [v.column for v in law.variables.values()]
    table = fit.runs.table
    total = len(fit.position.population)
    few = np.unique(np.linspace(0, total - 1, draws).astype(int))
    edges = fit.model.edges
    own = compute_of(table if "C" in columns else table.drop(columns="C", errors="ignore"))
    return {
        "response": law.response.column,
        "unit": fit.unit,
        "tree": tree_of(law.formula.program),
        "variables": [_slider(fit, name) for name in law.variables],
        "parameters": list(law.parameters),
        "groups": _groups(fit, chosen, few, seed),
        "trend": None if edges is None else [*edges, fit.model.centre],
        "largest": _finite(np.nanmax(own)) if np.isfinite(own).any() else None,
        "sized": {"N", "D"} <= set(columns),
        "budget": _budget(table),
        "tolerance": TOLERANCE,
        "shown": len(few),
        "draws": total,
    }


def _noise(fit: Fit) -> Noise | None:
    """The scatter of log loss; None where runs scatter otherwise, which a page can't draw."""
    likelihood = fit.model.structure.likelihood
    on_log = isinstance(likelihood, OnLine) and likelihood.link.name == "log"
    return likelihood.noise if on_log else None


def computable(node: Node) -> bool:
    """Whether `law.js` can walk a tree."""
    if isinstance(node, Solve) or (isinstance(node, Call) and node.function not in PAGE_FUNCTIONS):
        return False
    return all(map(computable, children(node)))


def tree_of(node: Node) -> list[Any]:
    """A formula's tree as nested lists, which a page walks and never executes.

    Examples
    --------
    >>> from bayescale.formula import Expression
    >>> tree_of(Expression.parse("E + A / N**2").tree)
    ['+', ['name', 'E'], ['/', ['name', 'A'], ['**', ['name', 'N'], ['number', 2.0]]]]
    """
    match node:
        case Number(value=value):
            return ["number", float(value)]
        case Name(id=name):
            return ["name", name]
        case Minus(operand=operand):
            return ["minus", tree_of(operand)]
        case Call(function=function, arguments=arguments):
            return ["call", function, *map(tree_of, arguments)]
        case Binary(symbol=symbol, left=left, right=right):
            return [symbol, tree_of(left), tree_of(right)]
    raise TypeError(f"a page can't evaluate a {type(node).__name__}")


def _slider(fit: Fit, name: str) -> dict[str, Any]:
    """A variable's range: from below the smallest run to a hundred times the largest."""
    variable = fit.law.variables[name]
    values = fit.runs.table[variable.column].astype(float)
    low, high = float(values.min()), float(values.max())
    grows = variable.column in ("N", "D", "C", "U")
    return {
        "name": name,
        "column": variable.column,
        "unit": variable.unit,
        "about": variable.about,
        "low": low / 3.0,
        "high": high * (100.0 if grows else 3.0),
        "start": high * (10.0**0.5 if grows else 1.0),
    }


def _budget(table: pd.DataFrame) -> list[float] | None:
    """Range and start of the budget's slider."""
    C = compute_of(table)
    if not np.isfinite(C).any():
        return None
    low, high = float(np.nanmin(C)), float(np.nanmax(C))
    return [low, 1e4 * high, 10.0 * high]


def _groups(
    fit: Fit, chosen: list[tuple[dict[str, str], pd.DataFrame]], few: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    frame = pd.DataFrame([labels for labels, _ in chosen], index=range(len(chosen)))
    values = parameter_draws(fit, frame)
    noise = _noise(fit)
    assert noise is not None
    rng = np.random.default_rng([seed, 17])
    found = []
    for i, (labels, rows) in enumerate(chosen):
        own = {
            name: np.broadcast_to(v, (len(v), len(chosen)))[few, i] for name, v in values.items()
        }
        level = {"se2": np.asarray(fit.model.mean_se2), "z": np.zeros(())}
        noises = {p.name: own[p.name] for p in noise.parameters}
        whole = sum(np.broadcast_to(v, few.shape) for v in noise.shares(noises, level).values())
        slope = own.get("sigma_slope", np.zeros(few.shape))
        moving = own["sigma"] ** 2 if fit.model.edges is not None else np.zeros(few.shape)
        deviate = noise.tail.mixing(noises, rng, few.shape) * rng.standard_normal(few.shape)
        height = noise.tail.height(noises, rng, few.shape)
        found.append(
            {
                "label": " / ".join(labels.values()),
                "parameters": {name: _rounded(own[name]) for name in fit.law.parameters},
                "noise": {
                    "fixed": _rounded(np.maximum(whole - moving, 0.0)),
                    "moving": _rounded(moving),
                    "slope": _rounded(slope),
                    "deviate": _rounded(deviate),
                    **({"height": _rounded(height)} if np.any(height) else {}),
                },
                "cost": _cost(rows),
            }
        )
    return found


def _cost(rows: pd.DataFrame) -> list[list[float]]:
    """Sizes, and FLOPs a parameter and token at each."""
    cost = cost_of(rows)
    if isinstance(cost, costs.SixND):
        return [[1.0], [6.0]]
    sizes = np.unique(rows["N"].dropna().astype(float))
    return [sizes.tolist(), (np.asarray(cost.flops(sizes, 1.0)) / sizes).tolist()]


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{v:.{_DIGITS}g}") for v in np.asarray(values, dtype=float)]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
