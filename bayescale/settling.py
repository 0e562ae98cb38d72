"""A bend's weights given everything else: nearly normal, whatever the law's parameters.

Near the mode all of a posterior is taken for one quadratic; but what a bend must make up for moves
in curves when the floor does, since it acts on what stands above the floor. Given the law's
parameters a bend is linear in its weights, so their conditional mean and Cholesky factor are
found anew at every position, from what the law leaves over there. The rest of the coordinates are
whitened as if the weights had been integrated out. How much each cell counts is kept from the mode,
times the scatter's change. The map is exact whatever these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayescale.cholesky import inverse_cholesky
from bayescale.density import (
    Position,
    group_coordinates,
    group_sds,
    membership,
    straight_line,
)
from bayescale.gathered_cells import MOST, gathered
from bayescale.likelihoods import OnLine
from bayescale.model import Factor, Model, Structure
from bayescale.places import diagonal, spread
from bayescale.tails import FrontierTail
from bayescale.walks import bent_line, unbent

Array = Any

SIGMA = "sigma"
STEP = 1e-4  # on the link's line
LEAST = 1e-6  # weight of a cell, of the largest
FARTHEST = 3.0  # that a cell lies from the law, on the line


def bending(structure: Structure) -> int | None:
    """The factor whose levels bend apart."""
    found = [f for f, factor in enumerate(structure.factors) if factor.weights]
    return found[0] if found else None


def unknown(model: Model) -> dict[str, Any] | None:
    """What `settle` is told, of the right shapes."""
    if model.structure.bend is None:
        return None
    shape = model.arrays.mask.shape[:2]
    told = _told(model, *np.zeros((2, *shape)), np.zeros(shape[0]))
    n = told["features"].shape[-1]
    zero = {"precision": np.zeros((shape[0], n, n)), "linear": np.zeros((shape[0], n))}
    return padded({**told, **zero}, shape[1])


def learn(model: Model, eta: np.ndarray) -> dict[str, Any] | None:
    """What `settle` is told, from the groups' coordinates (groups, P) at a mode."""
    if model.structure.bend is None:
        return None
    return gathered(model.structure, _learnt(model, eta), eta)


def _learnt(model: Model, eta: np.ndarray) -> dict[str, Any]:
    """The same of every cell."""
    structure, arrays = model.structure, model.arrays
    assert structure.bend is not None
    data = arrays.inputs()
    values, line, share = straight_line(structure, eta, data, np)
    line = bent_line(line, structure.bend.deviation(eta, arrays.features, np), share, np)
    likelihood, mask = structure.likelihood, arrays.mask
    scatter = {p.name: values[p.name][..., None, None] for p in likelihood.parameters}
    if isinstance(likelihood, OnLine) and structure.response.frontier:
        weight, left = likelihood.noise.as_normal(
            scatter, arrays.observed - line[..., None], mask, arrays.rows
        )
        target = line + np.clip(left, -FARTHEST, FARTHEST)
        return _told(model, target, weight, _log_scatter(structure, values, np))
    below, here, above = (
        likelihood.cell_log_density(scatter, line + step, arrays.observed, mask, arrays.rows, np)
        for step in (-STEP, 0.0, STEP)
    )
    slope = (above - below) / (2.0 * STEP)
    curvature = -(above - 2.0 * here + below) / STEP**2
    if structure.response.counted:
        weight, left = curvature, np.zeros_like(slope)
    else:  # of an outlier the slope tells what it counts for, as in reweighted least squares
        n = np.maximum(mask.sum(-1), 1.0)
        left = np.sum(mask * (arrays.observed - line[..., None]), axis=-1) / n
        with np.errstate(all="ignore"):
            weight = np.where(np.abs(left) > STEP, slope / left, curvature)
    weight = np.nan_to_num(weight)
    weight = np.where(mask.sum(-1) > 0, np.maximum(weight, LEAST * np.max(weight)), 0.0)
    if structure.response.counted:
        left = np.divide(slope, weight, out=np.zeros_like(slope), where=weight > 0)
    target = line + np.clip(np.nan_to_num(left), -FARTHEST, FARTHEST)
    return _told(model, target, weight, _log_scatter(structure, values, np))


def _told(
    model: Model, target: np.ndarray, weight: np.ndarray, log_scatter: np.ndarray
) -> dict[str, Any]:
    inputs = model.arrays.inputs()
    data = {k: inputs[k] for k in ("reference", "levels", "covariates") if k in inputs}
    more = {"target": target, "weight": weight, "log_scatter": log_scatter}
    return {**data, **more, "columns": inputs["columns"], "features": inputs["features"]}


def padded(told: Mapping[str, Any], cells: int) -> dict[str, Any]:
    """The same in a layout of so many cells a group, at most `MOST` of which are kept."""
    cells = min(cells, MOST)

    def fit(values: np.ndarray, mode: Any = "edge") -> np.ndarray:
        more = max(cells - values.shape[1], 0)
        rest = [(0, 0)] * (values.ndim - 2)
        return np.pad(values[:, :cells], [(0, 0), (0, more), *rest], mode=mode)

    return {
        **told,
        "columns": {name: fit(values) for name, values in told["columns"].items()},
        "target": fit(told["target"]),
        "weight": fit(told["weight"], "constant"),
        "features": fit(told["features"]),
    }


def _log_scatter(structure: Structure, values: Mapping[str, Array], xp: Any) -> Array:
    """Log of the runs' scatter in each group, where one number scales it."""
    if SIGMA not in values or structure.response.counted:
        return 0.0 * next(iter(values.values()))
    if structure.response.frontier:
        return FrontierTail.log_spread(values, xp)
    return xp.log(values[SIGMA])


def settle(
    structure: Structure, position: Position, z: Array, told: Mapping, xp: Any
) -> tuple[Array, Array]:
    """Weights (..., levels, weights) at their standard normal coordinates, and the log Jacobian."""
    inverse, half = _conditional(structure, position, told, xp)
    weights = xp.einsum("...lwv,...lw->...lv", inverse, z + half)
    return weights, xp.sum(xp.log(diagonal(inverse, xp)), axis=(-2, -1))


def unsettle(structure: Structure, position: Position, told: Mapping) -> np.ndarray:
    """Undo `settle`: coordinates of the position's own weights."""
    inverse, half = _conditional(structure, position, told, np)
    f = bending(structure)
    assert f is not None
    weights = position.effects[f][..., : structure.factors[f].weights]
    return np.linalg.solve(np.swapaxes(inverse, -1, -2), weights[..., None])[..., 0] - half


def _conditional(
    structure: Structure, position: Position, told: Mapping, xp: Any
) -> tuple[Array, Array]:
    """Inverse Cholesky factor of the weights' precision, and it times their linear term."""
    f = bending(structure)
    assert f is not None and structure.bend is not None
    factor = structure.factors[f]
    n = factor.weights
    kept = np.arange(len(factor.varied)) >= n
    effects = tuple(e * kept if k == f else e for k, e in enumerate(position.effects))
    eta = group_coordinates(structure, position._replace(effects=effects), told["levels"], xp)
    values, line, share = straight_line(structure, eta, told, xp)
    away, gain = unbent(line, told["target"], share, xp)
    change = xp.exp(-2.0 * (_log_scatter(structure, values, xp) - told["log_scatter"]))
    seen = told["weight"] > 0
    weight = xp.where(seen, told["weight"] * change[..., None] * gain**2, 0.0)
    away = xp.where(seen, away, 0.0)
    features = told["features"]
    precision = xp.swapaxes(features * weight[..., None], -1, -2) @ features
    precision = precision + change[..., None, None] * told["precision"]
    linear = xp.einsum("...gc,gcv->...gv", weight * away, features)
    linear = linear + change[..., None] * told["linear"]
    if len(factor.levels) == 1:
        precision = xp.sum(precision, axis=-3, keepdims=True)
        linear = xp.sum(linear, axis=-2, keepdims=True)
    elif structure.crossed:
        member = membership(factor, told["levels"][f])
        precision = xp.einsum("gl,...gvw->...lvw", member, precision)
        linear = xp.einsum("gl,...gv->...lv", member, linear)
    prior = weights_precision(factor, position.log_sd[f], xp)
    inverse = inverse_cholesky(precision + prior[..., None, :, :], xp)
    return inverse, xp.einsum("...lvw,...lw->...lv", inverse, linear)


def weights_precision(factor: Factor, log_sd: Array, xp: Any) -> Array:
    """Prior precision (..., weights, weights) of one level's weights."""
    n = factor.weights
    sd = group_sds(factor, log_sd, xp)[..., :n]
    return xp.where(np.eye(n) > 0, (sd**-2.0)[..., None, :], 0.0)


def integrated(structure: Structure, log_sd: tuple, quadratic: Mapping, xp: Any) -> dict[str, Any]:
    """What the quadratic of `Structure.without_bend` is where block weights are integrated out."""
    b = structure.block
    assert b is not None
    factor = structure.factors[b]
    n = factor.weights
    uu, ud, u = quadratic["uu"], quadratic["ud"], quadratic["u"]
    rest, dense = uu.shape[-1] - n, ud.shape[-1]
    prior = weights_precision(factor, log_sd[b], xp)
    inverse = inverse_cholesky(uu[:, :n, :n] + prior[..., None, :, :], xp)
    coupled = inverse @ xp.concatenate([uu[:, :n, n:], ud[:, :n], u[:, :n, None]], axis=-1)
    told = xp.swapaxes(coupled, -1, -2) @ coupled
    places = slice(None, rest), slice(rest, rest + dense)
    return {
        "dd": quadratic["dd"] - xp.sum(told[..., places[1], places[1]], axis=-3),
        "d": quadratic["d"] - xp.sum(told[..., places[1], -1], axis=-2),
        "uu": uu[:, n:, n:] - told[..., places[0], places[0]],
        "ud": ud[:, n:] - told[..., places[0], places[1]],
        "u": u[:, n:] - told[..., places[0], -1],
    }


def kept(structure: Structure, quadratic: Mapping) -> dict[str, Any]:
    """The rest of that quadratic, whatever the weights' sds."""
    b = structure.block
    assert b is not None
    n = structure.factors[b].weights
    of = {
        "tangent": lambda a: a[n:, n:],
        "offset": lambda a: a[n:],
        "apart": lambda a: a[:, n:],
        "log_scale": lambda a: a[: structure.without_bend.size],
        "tangents": lambda a: (*a[:b], a[b][n:, n:], *a[b + 1 :]),
    }
    return {k: part(quadratic[k]) for k, part in of.items() if k in quadratic}


def replaced(structure: Structure, effects: tuple[Array, ...], weights: Array, xp: Any) -> tuple:
    """Effects of every factor with other weights."""
    f = bending(structure)
    assert f is not None
    n = len(structure.factors[f].varied)
    kept = np.arange(n) >= structure.factors[f].weights
    places = tuple(range(structure.factors[f].weights))
    return tuple(
        e * kept + spread(weights, places, n) if k == f else e for k, e in enumerate(effects)
    )
