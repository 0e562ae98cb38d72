"""Coordinates in which the posterior is nearly a standard normal: conditional Laplace whitening.

Given the group sds, population and group effects are nearly Gaussian: each group's runs contribute
a quadratic, ``-eta' H eta / 2 + b' eta``, found once at the posterior mode. Group effects of the
largest factor are eliminated level by level, the rest (population, effects of the other factor)
densely, so the cost is linear in the groups. The Cholesky factors are redone at every group sd, so
neither the hierarchy's funnel nor a family's ridge between floor, scale and exponent is left. The
map is exact whatever the quadratic: a bad one costs speed, never correctness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bayescale.density import Position, group_precision
from bayescale.model import Model, Structure

Array = Any


@dataclass(frozen=True)
class Layout:
    """Where things stand in the sampler's flat vector."""

    n_population: int
    dense: int
    block_shape: tuple[int, int]
    others: tuple[int, ...]
    learned: tuple[int, ...]
    pairs: tuple[int, ...]

    @property
    def n_block(self) -> int:
        return self.block_shape[0] * self.block_shape[1]

    @property
    def size(self) -> int:
        return self.dense + self.n_block + sum(self.learned) + sum(self.pairs)


def layout(structure: Structure) -> Layout:
    """Sizes of the parts of the flat vector: dense | blocks | log sds | correlations."""
    others = tuple(f for f in range(len(structure.factors)) if f != structure.block)
    dense = len(structure.free) + sum(
        len(structure.factors[f].levels) * len(structure.factors[f].varied) for f in others
    )
    block = (0, 0)
    if structure.block is not None:
        factor = structure.factors[structure.block]
        block = (len(factor.levels), len(factor.varied))
    return Layout(
        len(structure.free),
        dense,
        block,
        others,
        tuple(len(f.learned_index) for f in structure.factors),
        tuple(len(f.pairs) for f in structure.factors),
    )


@dataclass(frozen=True)
class Quadratic:
    """Sums of the groups' quadratics over the arrow-shaped linear system; arguments, not constants.

    ``dd, ud, uu`` are the likelihood's precision between dense and block coordinates, ``d, u`` the
    linear terms, ``prior_precision, prior_linear`` the population's prior in the same form.
    """

    dd: np.ndarray
    ud: np.ndarray
    uu: np.ndarray
    d: np.ndarray
    u: np.ndarray
    prior_precision: np.ndarray
    prior_linear: np.ndarray

    def inputs(self) -> dict[str, np.ndarray]:
        return {k: getattr(self, k) for k in self.__dataclass_fields__}


def _dense_design(model: Model) -> np.ndarray:
    """0/1 design (groups, P, dense) of the dense coordinates."""
    structure = model.structure
    shape = layout(structure)
    design = np.zeros((len(model.groups) or 1, structure.size, shape.dense))
    for j, i in enumerate(structure.free):
        design[:, i, j] = 1.0
    start = len(structure.free)
    for f in shape.others:
        factor = structure.factors[f]
        for g, level in enumerate(model.arrays.levels[f]):
            for k, i in enumerate(factor.varied):
                design[g, i, start + level * len(factor.varied) + k] = 1.0
        start += len(factor.levels) * len(factor.varied)
    return design


def assemble(
    model: Model,
    precision: np.ndarray,
    linear: np.ndarray,
    prior_mean: np.ndarray,
    prior_sd: np.ndarray,
) -> Quadratic:
    """Collect the groups' quadratics (precision (G, P, P), linear (G, P)) into the arrow form."""
    structure = model.structure
    shape = layout(structure)
    design = _dense_design(model)
    linear = linear - precision @ structure.base
    dd = np.einsum("gpi,gpq,gqj->ij", design, precision, design)
    d = np.einsum("gpi,gp->i", design, linear)
    n_levels, n_varied = shape.block_shape
    ud = np.zeros((n_levels, n_varied, shape.dense))
    uu = np.zeros((n_levels, n_varied, n_varied))
    u = np.zeros((n_levels, n_varied))
    if structure.block is not None:
        varied = np.array(structure.factors[structure.block].varied)
        level = model.arrays.levels[structure.block]
        np.add.at(ud, level, np.einsum("gvq,gqj->gvj", precision[:, varied, :], design))
        np.add.at(uu, level, precision[:, varied][:, :, varied])
        np.add.at(u, level, linear[:, varied])
    return Quadratic(dd, ud, uu, d, u, 1.0 / prior_sd**2, prior_mean / prior_sd**2)


def inverse_cholesky(matrix: Array, xp: Any) -> Array:
    """Lower triangular W with ``W matrix W' = 1``, for one matrix or a batch."""
    if xp is np:
        return np.linalg.inv(np.linalg.cholesky(matrix))
    return _traced_inverse_cholesky()(matrix)


@cache
def _traced_inverse_cholesky() -> Any:
    """The same under JAX, its derivative written in matrix products alone.

    From ``dL = L P(L^-1 dK L^-T)``, with P the lower triangle and half the diagonal, follows
    ``dW = -P(W dK W') W``.
    """
    import jax
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    def lower_half(m: Array) -> Array:
        return jnp.tril(m, -1) + 0.5 * m * jnp.eye(m.shape[-1])

    @jax.custom_vjp
    def value(matrix: Array) -> Array:
        lower = jnp.linalg.cholesky(matrix)
        identity = jnp.broadcast_to(jnp.eye(matrix.shape[-1]), matrix.shape)
        return solve_triangular(lower, identity, lower=True)

    def forward(matrix: Array) -> tuple[Array, Array]:
        w = value(matrix)
        return w, w

    def backward(w: Array, cotangent: Array) -> tuple[Array]:
        inner = lower_half(cotangent @ jnp.swapaxes(w, -1, -2))
        inner = 0.5 * (inner + jnp.swapaxes(inner, -1, -2))
        return (-(jnp.swapaxes(w, -1, -2) @ inner @ w),)

    value.defvjp(forward, backward)
    return value


def _block_diagonal_add(xp: Any, matrix: Array, start: int, block: Array) -> Array:
    stop = start + block.shape[-1]
    if xp is np:
        matrix = np.array(matrix)
        matrix[..., start:stop, start:stop] += block
        return matrix
    return matrix.at[..., start:stop, start:stop].add(block)


def split_hyper(shape: Layout, flat: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Log sds and correlations of each factor from the tail of the flat vector."""
    start = shape.dense + shape.n_block
    parts: list[Array] = []
    for n in (*shape.learned, *shape.pairs):
        parts.append(flat[..., start : start + n])
        start += n
    k = len(shape.learned)
    return tuple(parts[:k]), tuple(parts[k:])


@dataclass(frozen=True)
class Factors:
    """Inverse Cholesky factors and conditional means at given group sds.

    ``cross`` and ``linear_block`` are the blocks' coupling to the dense part and their linear
    term, both already multiplied by the blocks' inverse factor.
    """

    inverse_dense: Array
    mean_dense: Array
    inverse_block: Array | None = None
    cross: Array | None = None
    linear_block: Array | None = None


def factorise(
    structure: Structure, log_sd: tuple, corr: tuple, quadratic: dict, xp: Any
) -> Factors:
    """Arrow elimination: the blocks level by level, then the dense Schur complement."""
    shape = layout(structure)
    batch = log_sd[0].shape[:-1] if log_sd else ()
    dense = xp.broadcast_to(quadratic["dd"], (*batch, shape.dense, shape.dense))
    population = xp.eye(shape.n_population) * quadratic["prior_precision"]
    dense = _block_diagonal_add(xp, dense, 0, population)
    padding = xp.zeros(shape.dense - shape.n_population)
    linear = quadratic["d"] + xp.concatenate([quadratic["prior_linear"], padding])
    start = shape.n_population
    for f in shape.others:
        factor = structure.factors[f]
        precision = group_precision(factor, log_sd[f], corr[f], xp)
        for _ in factor.levels:
            dense = _block_diagonal_add(xp, dense, start, precision)
            start += len(factor.varied)
    if structure.block is None:
        inverse = inverse_cholesky(dense, xp)
        return Factors(inverse, _solve(inverse, linear, xp))
    b = structure.block
    prior = group_precision(structure.factors[b], log_sd[b], corr[b], xp)
    inverse_block = inverse_cholesky(quadratic["uu"] + prior[..., None, :, :], xp)
    cross = inverse_block @ quadratic["ud"]
    linear_block = xp.einsum("...vw,...w->...v", inverse_block, quadratic["u"])
    flat = cross.reshape(*cross.shape[:-3], -1, shape.dense)
    dense = dense - xp.swapaxes(flat, -1, -2) @ flat
    linear = linear - xp.einsum(
        "...ki,...k->...i", flat, linear_block.reshape(*linear_block.shape[:-2], -1)
    )
    inverse = inverse_cholesky(dense, xp)
    return Factors(inverse, _solve(inverse, linear, xp), inverse_block, cross, linear_block)


def _solve(inverse: Array, right: Array, xp: Any) -> Array:
    """``matrix^-1 right`` from the matrix's inverse Cholesky factor."""
    half = xp.einsum("...ij,...j->...i", inverse, right)
    return xp.einsum("...ji,...j->...i", inverse, half)


def _log_diagonal(inverse: Array, xp: Any) -> Array:
    return xp.log(xp.diagonal(inverse, axis1=-2, axis2=-1))


def unwhiten(structure: Structure, flat: Array, quadratic: dict, xp: Any) -> tuple[Position, Array]:
    """Position and log |d position / d flat| of the sampler's flat vector, shape (..., size)."""
    shape = layout(structure)
    log_sd, corr = split_hyper(shape, flat)
    factors = factorise(structure, log_sd, corr, quadratic, xp)
    dense = factors.mean_dense + xp.einsum(
        "...ji,...j->...i", factors.inverse_dense, flat[..., : shape.dense]
    )
    log_jacobian = xp.sum(_log_diagonal(factors.inverse_dense, xp), axis=-1)
    effects: list[Array] = [np.zeros(0)] * len(structure.factors)
    start = shape.n_population
    for f in shape.others:
        factor = structure.factors[f]
        n = len(factor.levels) * len(factor.varied)
        part = dense[..., start : start + n]
        effects[f] = part.reshape(*part.shape[:-1], len(factor.levels), len(factor.varied))
        start += n
    if structure.block is not None:
        z = flat[..., shape.dense : shape.dense + shape.n_block]
        z = z.reshape(*z.shape[:-1], *shape.block_shape)
        inner = z + factors.linear_block - xp.einsum("...lvi,...i->...lv", factors.cross, dense)
        effects[structure.block] = xp.einsum("...lwv,...lw->...lv", factors.inverse_block, inner)
        log_jacobian = log_jacobian + xp.sum(
            _log_diagonal(factors.inverse_block, xp), axis=(-2, -1)
        )
    position = Position(dense[..., : shape.n_population], tuple(effects), log_sd, corr)
    return position, log_jacobian


def whiten(structure: Structure, position: Position, quadratic: dict) -> np.ndarray:
    """Flat vector of a position, in numpy: the inverse of `unwhiten`."""
    shape = layout(structure)
    factors = factorise(structure, position.log_sd, position.corr, quadratic, np)
    dense = np.concatenate(
        [position.population, *(np.ravel(position.effects[f]) for f in shape.others)]
    )
    parts = [np.linalg.solve(factors.inverse_dense.T, dense - factors.mean_dense)]
    if structure.block is not None:
        transposed = np.swapaxes(factors.inverse_block, -1, -2)
        effects = position.effects[structure.block]
        inner = np.linalg.solve(transposed, effects[..., None])[..., 0]
        parts.append(np.ravel(inner - factors.linear_block + factors.cross @ dense))
    return np.concatenate([*parts, *map(np.ravel, position.log_sd), *map(np.ravel, position.corr)])
