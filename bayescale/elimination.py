"""Gaussian elimination of a quadratic at given group sds: blocks level by level, then the rest.

The groups of the largest factor are blocks on the diagonal that couple to the dense part alone
(population, effects of the other factors), so that the cost is linear in the groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescale.cholesky import inverse_cholesky
from bayescale.density import group_precision
from bayescale.model import Structure
from bayescale.places import diagonal
from bayescale.quadratic import layout

Array = Any

MANY_LEVELS = 8


@dataclass(frozen=True)
class Factors:
    """Inverse Cholesky factors and conditional means at given group sds.

    ``inverse_dense`` has the diagonal ``log_dense`` before its rows are put in order. ``cross`` and
    ``linear_block`` are the blocks' coupling to the dense part and their linear term, both already
    multiplied by the blocks' inverse factor.
    """

    inverse_dense: Array
    mean_dense: Array
    log_dense: Array
    inverse_block: Array | None = None
    cross: Array | None = None
    linear_block: Array | None = None


def factorise(
    structure: Structure, log_sd: tuple, corr: tuple, quadratic: dict, xp: Any
) -> Factors:
    """Arrow elimination: the blocks level by level, then the dense Schur complement."""
    shape = layout(structure)
    if "factor" in quadratic:
        return Factors(
            quadratic["factor"], quadratic["mean"], log_diagonal(quadratic["factor"], xp)
        )
    batch = log_sd[0].shape[:-1] if log_sd else quadratic["dd"].shape[:-2]
    dense = xp.broadcast_to(quadratic["dd"], (*batch, shape.dense, shape.dense))
    linear = quadratic["d"]
    start = shape.n_population
    for f in shape.others:
        factor = structure.factors[f]
        precision = _effect_precision(structure, f, log_sd, corr, quadratic, xp)
        n = len(factor.varied)
        for _ in factor.levels:
            place = np.eye(shape.dense)[start : start + n]
            dense = dense + place.T @ precision @ place
            start += n
    b = structure.block
    if b is None:
        inverse, log_dense = _eliminate(structure, dense, xp)
        return Factors(inverse, _solve(inverse, linear, xp), log_dense)
    prior = _effect_precision(structure, b, log_sd, corr, quadratic, xp)
    uu, ud, u = quadratic["uu"], quadratic["ud"], quadratic["u"]
    if "tangent" in quadratic:
        select, tangent = _population_of_block(structure), quadratic["tangent"]
        prior = tangent.T @ prior @ tangent
        if shape.block_shape[0] > MANY_LEVELS:
            # The blocks, given the population, are exact; for the population's own factor their
            # average will do, and one small factor is cheaper than one a group.
            uu, ud = (xp.mean(a, axis=-3, keepdims=True) for a in (uu, ud))
            u = xp.mean(u, axis=-2, keepdims=True)
        copies = shape.block_shape[0] / uu.shape[-3]
        pull = prior @ quadratic["offset"]
        inner = inverse_cholesky(uu + prior[..., None, :, :], xp)
        cross = inner @ (ud - (prior @ select)[..., None, :, :])
        right = xp.einsum("...lvw,...lw->...lv", inner, u + pull[..., None, :])
        removed = xp.einsum("...lvi,...lvj->...ij", cross, cross)
        n = shape.block_shape[0]
        dense = dense + n * (select.T @ prior @ select) - copies * removed
        linear = (
            linear - n * (pull @ select) - copies * xp.einsum("...lvi,...lv->...i", cross, right)
        )
        inverse, log_dense = _eliminate(structure, dense, xp)
        return Factors(inverse, _solve(inverse, linear, xp), log_dense)
    uu = uu + prior[..., None, :, :]
    inverse_block = inverse_cholesky(uu, xp)
    cross = inverse_block @ ud
    linear_block = xp.einsum("...vw,...w->...v", inverse_block, u)
    flat = cross.reshape(*cross.shape[:-3], -1, shape.dense)
    dense = dense - xp.swapaxes(flat, -1, -2) @ flat
    linear = linear - xp.einsum(
        "...ki,...k->...i", flat, linear_block.reshape(*linear_block.shape[:-2], -1)
    )
    inverse, log_dense = _eliminate(structure, dense, xp)
    mean = _solve(inverse, linear, xp)
    return Factors(inverse, mean, log_dense, inverse_block, cross, linear_block)


def weights_among_dense(structure: Structure) -> np.ndarray:
    """Which of the dense coordinates are a bend's weights."""
    shape = layout(structure)
    found = np.zeros(shape.dense, bool)
    start = shape.n_population
    for f in shape.others:
        factor = structure.factors[f]
        for _ in factor.levels:
            found[start : start + factor.weights] = True
            start += len(factor.varied)
    return found


def _eliminate(structure: Structure, dense: Array, xp: Any) -> tuple[Array, Array]:
    """Inverse Cholesky factor of the dense part, a bend's weights integrated out of the rest.

    A coordinate is normal given those after it; so weights are put first, and the rows, which
    belong to standard normals, are put back.
    """
    moved = weights_among_dense(structure)
    if not moved.any():
        inverse = inverse_cholesky(dense, xp)
        return inverse, log_diagonal(inverse, xp)
    order = np.eye(len(moved))[np.argsort(~moved, kind="stable")]
    inverse = inverse_cholesky(order @ dense @ order.T, xp)
    return order.T @ inverse @ order, log_diagonal(inverse, xp) @ order


def _effect_precision(
    structure: Structure, f: int, log_sd: tuple, corr: tuple, quadratic: dict, xp: Any
) -> Array:
    """Precision of a factor's effects, as they stand in the quadratic."""
    precision = group_precision(structure.factors[f], log_sd[f], corr[f], xp)
    if "tangents" not in quadratic:
        return precision
    tangent = quadratic["tangents"][f]
    return tangent.T @ precision @ tangent


def _population_of_block(structure: Structure) -> np.ndarray:
    """0/1 matrix (varied, dense): the population coordinate that each varied one scatters about."""
    assert structure.block is not None
    varied = structure.factors[structure.block].varied
    select = np.zeros((len(varied), layout(structure).dense))
    for v, i in enumerate(varied):
        if i in structure.free:
            select[v, structure.free.index(i)] = 1.0
    return select


def _solve(inverse: Array, right: Array, xp: Any) -> Array:
    """``matrix^-1 right`` from the matrix's inverse Cholesky factor."""
    half = xp.einsum("...ij,...j->...i", inverse, right)
    return xp.einsum("...ji,...j->...i", inverse, half)


def log_diagonal(inverse: Array, xp: Any) -> Array:
    """Logs of a factor's diagonal, whose sum is the log determinant."""
    return xp.log(diagonal(inverse, xp))
