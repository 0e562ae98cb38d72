"""The posterior's quadratic at its mode: the likelihood's, group by group, and the priors'."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bayescale import ridge, settling, spreads
from bayescale.cholesky import inverse_cholesky
from bayescale.density import Position, population_coordinates
from bayescale.model import Model, Structure


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
    """The posterior's quadratic over the arrow-shaped linear system; arguments, not constants.

    ``dd, d`` hold the dense precision and linear term (the population's prior included), ``uu, u``
    the blocks', ``ud`` the coupling, ``log_scale`` what the law's terms count for in the straight
    total. Blocks are a group's own straightened coordinates where ``tangent`` is given: the
    derivative of the varied coordinates by straightened ones at the population's mode, with
    ``offset`` the straight center of those that have no population value, and ``apart`` how far
    each group's terms lie from the population's, which is left out where groups differ in the
    floor.
    They are straightened effects where ``tangents`` are given, the derivatives of each factor's
    effects by those; and plain effects otherwise.
    ``spreads`` place the group sds' coordinates (`bayescale.spreads`), ``settle`` a bend's weights
    (`bayescale.settling`).
    """

    dd: np.ndarray
    ud: np.ndarray
    uu: np.ndarray
    d: np.ndarray
    u: np.ndarray
    tangent: np.ndarray | None = None
    offset: np.ndarray | None = None
    log_scale: np.ndarray | None = None
    apart: np.ndarray | None = None
    tangents: tuple[np.ndarray, ...] | None = None
    spreads: tuple[np.ndarray, ...] | None = None
    settle: dict | None = None

    @property
    def of_distinct(self) -> Quadratic:
        """For groups that differ in the floor, where one tangent does for all."""
        return replace(self, apart=None)

    @cached_property
    def alone(self) -> bool:
        """Whether there are no groups: the whitening is then the same everywhere."""
        return self.uu.size == 0

    def inputs(self) -> dict[str, Any]:
        """Arguments of `geometry.unwhiten`."""
        if self.alone:
            factor = inverse_cholesky(self.dd, np)
            mean = factor.T @ (factor @ self.d)
            values = {"factor": factor, "mean": mean, "log_scale": self.log_scale}
        else:
            values = {k: getattr(self, k) for k in self.__dataclass_fields__}
        return {k: v for k, v in values.items() if v is not None}


def dense_design(
    model: Model, center: np.ndarray | None = None, tangents: tuple[np.ndarray, ...] | None = None
) -> np.ndarray:
    """Derivative (groups, P, dense) of the groups' coordinates by the dense ones.

    `center` (P, P) and `tangents` are those by straight coordinates; identities where None.
    """
    structure = model.structure
    shape = layout(structure)
    design = np.zeros((len(model.groups) or 1, structure.size, shape.dense))
    center = np.eye(structure.size) if center is None else center
    design[:, :, : len(structure.free)] = center[:, list(structure.free)]
    start = len(structure.free)
    for f in shape.others:
        factor = structure.factors[f]
        for g, level in enumerate(model.arrays.levels[f]):
            n = len(factor.varied)
            tangent = np.eye(n) if tangents is None else tangents[f]
            design[g, list(factor.varied), start + level * n : start + (level + 1) * n] = tangent
        start += len(factor.levels) * len(factor.varied)
    return design


def _population_prior(
    structure: Structure, dense: int, mean: np.ndarray, sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n = len(structure.free)
    precision, linear = np.zeros((dense, dense)), np.zeros(dense)
    precision[:n, :n] = np.diag(1.0 / sd**2)
    linear[:n] = mean / sd**2
    return precision, linear


def _collect(
    model: Model,
    precision: np.ndarray,
    linear: np.ndarray,
    design: np.ndarray,
    block: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
) -> Quadratic:
    """Sum over groups what is linear in the dense coordinates and the blocks.

    `precision` (G, P, P) and `linear` (G, P) are the groups', `design` (G, P, dense) and `block`
    (P, varied) the derivatives of their coordinates, `prior` the precision and linear term of the
    dense ones.
    """
    shape, b = layout(model.structure), model.structure.block
    n_levels, n_varied = shape.block_shape
    ud = np.zeros((n_levels, n_varied, shape.dense))
    uu, u = np.zeros((n_levels, n_varied, n_varied)), np.zeros((n_levels, n_varied))
    if b is not None:
        level = model.arrays.levels[b]
        np.add.at(ud, level, np.einsum("pv,gpq,gqj->gvj", block, precision, design))
        np.add.at(uu, level, np.einsum("pv,gpq,qw->gvw", block, precision, block))
        np.add.at(u, level, linear @ block)
    dd = np.einsum("gpi,gpq,gqj->ij", design, precision, design) + prior[0]
    d = np.einsum("gpi,gp->i", design, linear) + prior[1]
    return Quadratic(dd, ud, uu, d, u)


def assemble(
    model: Model,
    precision: np.ndarray,
    linear: np.ndarray,
    prior_mean: np.ndarray,
    prior_sd: np.ndarray,
) -> Quadratic:
    """Collect the groups' precisions (G, P, P) and linear terms (G, P), effects as blocks."""
    structure = model.structure
    varied = () if structure.block is None else structure.factors[structure.block].varied
    block = np.eye(structure.size)[:, list(varied)]
    prior = _population_prior(structure, layout(structure).dense, prior_mean, prior_sd)
    linear = linear - precision @ structure.base
    return _collect(model, precision, linear, dense_design(model), block, prior)


def placeholder(model: Model) -> Quadratic:
    """A quadratic of the right shapes, to compile for before the mode is known."""
    structure = model.structure
    n, p, free = len(model.groups) or 1, structure.size, len(structure.free)
    center = np.broadcast_to(structure.base, (n, p))
    flat = np.zeros((n, p, p)), np.zeros((n, p)), center, np.zeros(free)
    position = Position(
        np.zeros(free),
        tuple(np.zeros((len(f.levels), len(f.varied))) for f in structure.factors),
        tuple(np.zeros(len(f.learned_index)) for f in structure.factors),
        tuple(np.zeros(len(f.pairs)) for f in structure.factors),
    )
    made = straighten(model, flat[0], flat[1], flat[2], position, np.zeros(free), np.ones(free))
    return replace(made, spreads=spreads.unknown(model), settle=settling.unknown(model))


def straighten(
    model: Model,
    precision: np.ndarray,
    gradient: np.ndarray,
    eta: np.ndarray,
    position: Position,
    prior_mean: np.ndarray,
    prior_sd: np.ndarray,
) -> Quadratic:
    """The quadratic in straightened coordinates at a mode.

    `precision` (G, P, P) and `gradient` (G, P) are the log likelihood's at the groups' coordinates
    `eta` (G, P), those of `position`. With two crossed factors, or where only some of
    what trades varies, a block has no coordinates of its own: blocks stay effects, straightened
    about the population.
    """
    structure = model.structure
    if not ridge.by_group(structure):
        return _straighten_effects(model, precision, gradient, position, prior_mean, prior_sd)
    shape = layout(structure)
    population = position.population
    center = population_coordinates(structure, population, np)
    log_scale = ridge.log_scale(model, center)
    inverse = ridge.inverse_derivative(structure, eta, log_scale, np)
    curved = np.einsum("gpi,gpq,gqj->gij", inverse, precision, inverse)
    straight = ridge.straighten(structure, eta, log_scale, np)
    linear = np.einsum("gij,gj->gi", curved, straight)
    linear = linear + np.einsum("gpi,gp->gi", inverse, gradient)

    tangent = ridge.inverse_derivative(structure, center, log_scale, np)
    free = np.array(structure.free, int)
    inner = tangent[np.ix_(free, free)]
    prior, prior_linear = _population_prior(structure, shape.dense, prior_mean, prior_sd)
    straight_center = ridge.straighten(structure, center, log_scale, np)
    prior_linear = inner.T @ (prior_linear + prior @ (inner @ straight_center[free] - population))
    prior = inner.T @ prior @ inner
    if structure.block is None:
        none = np.zeros((0, 0))
        return Quadratic(
            curved[0] + prior,
            none[..., None],
            none[..., None],
            linear[0] + prior_linear,
            none,
            tangent,
            structure.base,
            log_scale,
        )
    varied = np.array(structure.factors[0].varied)
    offset = np.where(np.isin(varied, free), 0.0, straight_center[varied])
    apart = ridge.off_floor(structure, eta - center, tuple(varied))[:, varied]
    rest = np.setdiff1d(np.arange(structure.size), varied)
    order = np.argsort(model.arrays.levels[0])
    shared = dense_design(model)[0][rest]
    return Quadratic(
        prior + np.einsum("pi,gpq,qj->ij", shared, curved[:, rest][:, :, rest], shared),
        (curved[:, varied][:, :, rest] @ shared)[order],
        curved[:, varied][:, :, varied][order],
        prior_linear + np.einsum("pi,gp->i", shared, linear[:, rest]),
        linear[:, varied][order],
        tangent[np.ix_(varied, varied)],
        offset,
        log_scale,
        apart[order],
    )


def _straighten_effects(
    model: Model,
    precision: np.ndarray,
    gradient: np.ndarray,
    position: Position,
    prior_mean: np.ndarray,
    prior_sd: np.ndarray,
) -> Quadratic:
    """The quadratic over the straightened population and the straightened effects."""
    structure = model.structure
    shape, levels = layout(structure), model.arrays.levels
    center = population_coordinates(structure, position.population, np)
    log_scale = ridge.log_scale(model, center)
    inner = ridge.inverse_derivative(structure, center, log_scale, np)
    n_factors = len(structure.factors)
    tangents = tuple(
        ridge.effect_tangent(structure, center, log_scale, f) for f in range(n_factors)
    )
    free = list(structure.free)
    straight = ridge.straighten(structure, center, log_scale, np)[free]
    effects = [
        ridge.straighten_effects(structure, part, center, log_scale, np, f)
        for f, part in enumerate(position.effects)
    ]
    b = structure.block
    assert b is not None
    varied = list(structure.factors[b].varied)
    design = dense_design(model, inner, tangents)
    block = np.zeros((structure.size, len(varied)))
    block[varied] = tangents[b]
    dense = np.concatenate([straight, *(np.ravel(effects[f]) for f in shape.others)])
    moved = design @ dense + effects[b][levels[b]] @ block.T
    linear = np.einsum("gij,gj->gi", precision, moved) + gradient

    plain, prior_linear = _population_prior(structure, shape.dense, prior_mean, prior_sd)
    n = len(free)
    jacobian = np.eye(shape.dense)
    jacobian[:n, :n] = inner[np.ix_(free, free)]
    offset = np.zeros(shape.dense)
    offset[:n] = jacobian[:n, :n] @ straight - position.population
    prior_linear = jacobian.T @ (prior_linear + plain @ offset)
    prior = jacobian.T @ plain @ jacobian, prior_linear
    collected = _collect(model, precision, linear, design, block, prior)
    return replace(collected, log_scale=log_scale, tangents=tangents)
