"""Coordinates in which the posterior is nearly a standard normal: conditional Laplace whitening.

Given the group sds, population and groups are nearly Gaussian: each group's runs contribute a
quadratic, found once at the posterior mode. The groups of the largest factor are eliminated level
by level, the rest (population, effects of the other factor) densely, so the cost is linear in the
groups. The Cholesky factors are redone at every group sd, so neither the hierarchy's funnel nor a
family's ridge is left. Where a law is a floor plus terms, the floor's coordinate is first replaced
by the loss at the reference (`ridge`), which straightens the curved surface on which they trade.
The map is exact whatever the quadratic: a bad one costs speed, never correctness.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np

from bayescale import ridge, settling, spreads
from bayescale.cholesky import inverse_cholesky
from bayescale.density import Position, group_precision, population_coordinates
from bayescale.elimination import Factors, factorise, log_diagonal, weights_among_dense
from bayescale.model import Structure
from bayescale.places import pick, spread
from bayescale.quadratic import Layout, layout

Array = Any
Step = Callable[[Any, dict], Any]

TANGENTS = 2  # the second is taken at the conditional mean that the first gives


def split_hyper(shape: Layout, flat: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Group sds' coordinates and correlations of each factor from the tail of the flat vector."""
    start = shape.dense + shape.n_block
    parts: list[Array] = []
    for n in (*shape.learned, *shape.pairs):
        parts.append(flat[..., start : start + n])
        start += n
    k = len(shape.learned)
    return tuple(parts[:k]), tuple(parts[k:])


def unwhiten(structure: Structure, flat: Array, quadratic: dict, xp: Any) -> tuple[Position, Array]:
    """Position and log |d position / d flat| of the sampler's flat vector, shape (..., size)."""
    at: Any = flat
    for step in unwhitening(structure, quadratic, xp):
        at = step(at, quadratic)
    return at


def unwhitening(structure: Structure, told: Collection[str], xp: Any) -> tuple[Step, ...]:
    """`unwhiten` in steps, each of what the one before gave and of the quadratic.

    Parameters
    ----------
    told : collection of str
        What the quadratic tells.
    """
    if "settle" not in told:
        return (partial(_placed_at_once, structure, xp),)
    if settling.bending(structure) == structure.block:
        first = (partial(_without_weights, structure, xp), partial(_placed_without, structure, xp))
    else:
        first = (partial(_placed_with, structure, xp),)
    return (*first, partial(_settled, structure, xp))


def _split(
    structure: Structure, flat: Array, quadratic: dict, xp: Any
) -> tuple[Array, Array, tuple[Array, ...], tuple[Array, ...], Array]:
    """Dense part, blocks, log sds, correlations and the sds' log Jacobian."""
    shape = layout(structure)
    hyper, corr = split_hyper(shape, flat)
    log_sd, log_jacobian = spreads.log_sds(structure, hyper, quadratic, xp)
    block = flat[..., shape.dense : shape.dense + shape.n_block]
    block = block.reshape(*block.shape[:-1], *shape.block_shape)
    return flat[..., : shape.dense], block, log_sd, corr, log_jacobian


def _placed_at_once(
    structure: Structure, xp: Any, flat: Array, quadratic: dict
) -> tuple[Position, Array]:
    dense, block, log_sd, corr, log_jacobian = _split(structure, flat, quadratic, xp)
    position, extra = _laid_out(structure, dense, block, log_sd, corr, quadratic, xp)
    return position, log_jacobian + extra


def _without_weights(structure: Structure, xp: Any, flat: Array, quadratic: dict) -> tuple:
    """The parts of the flat vector, and the quadratic that integrating the weights out leaves."""
    split = _split(structure, flat, quadratic, xp)
    return split, settling.integrated(structure, split[2], quadratic, xp)


def _placed_without(
    structure: Structure, xp: Any, at: tuple, quadratic: dict
) -> tuple[Position, Array, Array]:
    """Position without the weights, log Jacobian, and the weights' standard normals."""
    (dense, block, log_sd, corr, log_jacobian), left = at
    assert structure.block is not None
    n = structure.factors[structure.block].weights
    position, extra = _laid_out(
        structure.without_bend,
        dense,
        block[..., n:],
        *_sds_without_bend(structure, log_sd, corr),
        {**left, **settling.kept(structure, quadratic)},
        xp,
    )
    effects = _with_room_for_weights(structure, position.effects, xp)
    position = Position(position.population, effects, log_sd, corr)
    return position, log_jacobian + extra, block[..., :n]


def _placed_with(
    structure: Structure, xp: Any, flat: Array, quadratic: dict
) -> tuple[Position, Array, Array]:
    """The same where the weights are among the dense part, by the linear map."""
    dense, block, log_sd, corr, log_jacobian = _split(structure, flat, quadratic, xp)
    f = settling.bending(structure)
    assert f is not None
    own = _dense_weights(structure, f, dense)
    position, extra = _laid_out(structure, dense, block, log_sd, corr, quadratic, xp)
    return position, log_jacobian + extra, own


def _settled(
    structure: Structure, xp: Any, at: tuple[Position, Array, Array], quadratic: dict
) -> tuple[Position, Array]:
    position, log_jacobian, own = at
    weights, settled = settling.settle(structure, position, own, quadratic["settle"], xp)
    effects = settling.replaced(structure, position.effects, weights, xp)
    return position._replace(effects=effects), log_jacobian + settled


def _sds_without_bend(
    structure: Structure, log_sd: tuple[Array, ...], corr: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Log sds and correlations of `Structure.without_bend`."""
    kept = [f for f, factor in enumerate(structure.factors) if factor.without_weights.varied]
    sds = tuple(log_sd[f][..., len(structure.factors[f].tied) :] for f in kept)
    return sds, tuple(corr[f] for f in kept)


def _with_room_for_weights(
    structure: Structure, effects: tuple[Array, ...], xp: Any
) -> tuple[Array, ...]:
    """Effects of `Structure.without_bend` as those of the structure, whose law is not bent."""
    left, found = list(effects), []
    for factor in structure.factors:
        n, size = factor.weights, len(factor.varied)
        if n == size:
            found.append(np.zeros((len(factor.levels), size)))
        else:
            found.append(spread(left.pop(0), tuple(range(n, size)), size))
    return tuple(found)


def _laid_out(
    structure: Structure,
    dense: Array,
    block: Array,
    log_sd: tuple[Array, ...],
    corr: tuple[Array, ...],
    quadratic: dict,
    xp: Any,
) -> tuple[Position, Array]:
    """Position and log Jacobian at standard normals of the dense part and of the blocks.

    Where a bend's weights are still to be settled, what the linear map does to them is left out.
    """
    shape = layout(structure)
    factors = factorise(structure, log_sd, corr, quadratic, xp)
    dense = factors.mean_dense + xp.einsum("...ji,...j->...i", factors.inverse_dense, dense)
    later = weights_among_dense(structure) if "settle" in quadratic else np.zeros(shape.dense)
    log_jacobian = xp.sum(factors.log_dense * (1.0 - later), axis=-1)
    curved = "tangent" in quadratic
    population = dense[..., : shape.n_population]
    if "log_scale" in quadratic:
        population, extra = ridge.bend(
            structure, population, quadratic["log_scale"], xp, structure.free
        )
        log_jacobian = log_jacobian + extra
    if structure.block is None:
        return Position(population, (), log_sd, corr), log_jacobian
    effects: list[Array] = [np.zeros(0)] * len(structure.factors)
    start = shape.n_population
    for f in shape.others:
        factor = structure.factors[f]
        n = len(factor.levels) * len(factor.varied)
        part = dense[..., start : start + n]
        effects[f] = part.reshape(*part.shape[:-1], len(factor.levels), len(factor.varied))
        start += n
    inverse_block, half = _blocks(
        structure, factors, dense, population, log_sd, corr, quadratic, xp
    )
    block = xp.einsum("...lwv,...lw->...lv", inverse_block, block + half)
    log_jacobian = log_jacobian + xp.sum(log_diagonal(inverse_block, xp), axis=(-2, -1))
    if curved:
        varied = structure.factors[structure.block].varied
        block, extra = ridge.bend(structure, block, quadratic["log_scale"], xp, varied)
        center = pick(population_coordinates(structure, population, xp), varied)
        block = block - center[..., None, :]
        log_jacobian = log_jacobian + xp.sum(extra, axis=-1)
    effects[structure.block] = block
    if "tangents" in quadratic:
        center = population_coordinates(structure, population, xp)
        for f, straight in enumerate(effects):
            effects[f], extra = ridge.bend_effects(
                structure, straight, center, quadratic["log_scale"], xp, f
            )
            log_jacobian = log_jacobian + extra
    return Position(population, tuple(effects), log_sd, corr), log_jacobian


def _dense_weights(structure: Structure, f: int, dense: Array) -> Array:
    """Those of the dense coordinates that are a factor's weights, (..., levels, weights)."""
    start = int(np.argmax(weights_among_dense(structure)))
    levels, varied = len(structure.factors[f].levels), len(structure.factors[f].varied)
    own = dense[..., start : start + levels * varied]
    return own.reshape(*own.shape[:-1], levels, varied)[..., : structure.factors[f].weights]


def _blocks(
    structure: Structure,
    factors: Factors,
    dense: Array,
    population: Array,
    log_sd: tuple,
    corr: tuple,
    quadratic: dict,
    xp: Any,
) -> tuple[Array, Array]:
    """Blocks given the dense part: inverse factors, and their linear terms multiplied by them.

    In straight coordinates a group's prior is a curved sheet where families are nearly alike in the
    floor. It is taken tangent at the population's floor as it stands, and at terms as far from the
    population's as the group's are at the mode. Where groups are known to differ (no ``apart``),
    one tangent at the population does for all, at less than half the cost.
    """
    if "tangent" not in quadratic:
        half = factors.linear_block - xp.einsum("...lvi,...i->...lv", factors.cross, dense)
        return factors.inverse_block, half
    b = structure.block
    assert b is not None
    varied = structure.factors[b].varied
    scale = quadratic["log_scale"]
    center = pick(population_coordinates(structure, population, xp), varied)[..., None, :]
    alike = "apart" in quadratic
    own, tangents = (center + quadratic["apart"], TANGENTS) if alike else (center, 1)
    precision = group_precision(structure.factors[b], log_sd[b], corr[b], xp)[..., None, :, :]
    fixed = quadratic["u"] - xp.einsum("...lvj,...j->...lv", quadratic["ud"], dense)
    for step in range(tangents):
        tangent = ridge.inverse_derivative(structure, own, scale, xp, varied)
        straight = ridge.straighten(structure, own, scale, xp, varied)
        pull = precision @ tangent
        prior = xp.swapaxes(tangent, -1, -2) @ pull
        inverse = inverse_cholesky(quadratic["uu"] + prior, xp)
        right = fixed + xp.einsum("...lvw,...lw->...lv", prior, straight)
        right = right + xp.einsum("...lwv,...lw->...lv", pull, center - own)
        half = xp.einsum("...lvw,...lw->...lv", inverse, right)
        if step + 1 < tangents:
            mean = xp.einsum("...lwv,...lw->...lv", inverse, half)
            own = ridge.on_floor(structure, mean, center, xp, varied)
    return inverse, half


def whiten(structure: Structure, position: Position, quadratic: dict) -> np.ndarray:
    """Flat vector of a position, in numpy: the inverse of `unwhiten`."""
    f = settling.bending(structure) if "settle" in quadratic else None
    own = None if f is None else settling.unsettle(structure, position, quadratic["settle"])
    if f is not None and f == structure.block:
        effects = tuple(
            e[..., factor.weights :]
            for e, factor in zip(position.effects, structure.factors, strict=True)
            if factor.without_weights.varied
        )
        sds = _sds_without_bend(structure, position.log_sd, position.corr)
        dense, block = _standard(
            structure.without_bend,
            Position(position.population, effects, *sds),
            {
                **settling.integrated(structure, position.log_sd, quadratic, np),
                **settling.kept(structure, quadratic),
            },
            None,
        )
        block = own if block is None else np.concatenate([own, block], axis=-1)
    else:
        dense, block = _standard(structure, position, quadratic, own)
    hyper = spreads.coordinates(structure, position.log_sd, quadratic)
    parts = [dense, np.zeros(0) if block is None else block, *hyper, *position.corr]
    return np.concatenate([np.ravel(part) for part in parts])


def _standard(
    structure: Structure, position: Position, quadratic: dict, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Undo `_laid_out`: the dense part and the blocks; `own` are weights among the dense part."""
    shape = layout(structure)
    factors = factorise(structure, position.log_sd, position.corr, quadratic, np)
    curved = "tangent" in quadratic
    population, effects = position.population, list(position.effects)
    if "tangents" in quadratic:
        center = population_coordinates(structure, population, np)
        for f, bent in enumerate(effects):
            effects[f] = ridge.straighten_effects(
                structure, bent, center, quadratic["log_scale"], np, f
            )
    if "log_scale" in quadratic:
        scale = quadratic["log_scale"]
        population = ridge.straighten(structure, population, scale, np, structure.free)
    dense = np.concatenate([population, *(np.ravel(effects[f]) for f in shape.others)])
    standard = np.linalg.solve(factors.inverse_dense.T, dense - factors.mean_dense)
    if own is not None:  # blocks stand by the linear map's
        standard[weights_among_dense(structure)] = np.ravel(own)
        dense = factors.mean_dense + factors.inverse_dense.T @ standard
    if structure.block is None:
        return standard, None
    block = effects[structure.block]
    if curved:
        varied = structure.factors[structure.block].varied
        center = pick(population_coordinates(structure, position.population, np), varied)
        block = ridge.straighten(structure, block + center, quadratic["log_scale"], np, varied)
    inverse_block, half = _blocks(
        structure,
        factors,
        dense,
        position.population,
        position.log_sd,
        position.corr,
        quadratic,
        np,
    )
    transposed = np.swapaxes(inverse_block, -1, -2)
    return standard, np.linalg.solve(transposed, block[..., None])[..., 0] - half
