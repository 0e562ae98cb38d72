"""The log posterior over arrays: priors, group effects, likelihood; `xp` is numpy or jax.numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bayescale.coordinates import log_prior_population, to_natural
from bayescale.model import Factor, Structure
from bayescale.places import pick, spread
from bayescale.prior_table import PriorTable
from bayescale.walks import bent_line

Array = Any


class Position(NamedTuple):
    """A point in parameter space.

    Attributes
    ----------
    population : array (..., free coordinates)
    effects : tuple of arrays (..., levels, varied)
        Group effects of each factor, added to the population's coordinates.
    log_sd : tuple of arrays (..., learned)
        Log sd of the learned group effects of each factor.
    corr : tuple of arrays (..., pairs)
        Inverse hyperbolic tangent of the correlations.
    """

    population: Array
    effects: tuple[Array, ...]
    log_sd: tuple[Array, ...]
    corr: tuple[Array, ...]


def joined(parts: Sequence[Position]) -> Position:
    """Positions one after another along their first axis."""

    def several(of: Any) -> tuple[np.ndarray, ...]:
        return tuple(np.concatenate(field) for field in zip(*of, strict=True))

    population = np.concatenate([part.population for part in parts])
    effects = several(part.effects for part in parts)
    log_sd, corr = several(p.log_sd for p in parts), several(p.corr for p in parts)
    return Position(population, effects, log_sd, corr)


def group_sds(factor: Factor, log_sd: Array, xp: Any) -> Array:
    """Sd of every varied coordinate, learned or fixed; shape (..., varied)."""
    n = len(factor.varied)
    fixed = np.where(factor.learned, 0.0, factor.fixed_sd) if n else np.zeros(0)
    fixed[: factor.weights] = 0.0
    if not factor.learned_index:
        return xp.broadcast_to(xp.asarray(fixed), (*log_sd.shape[:-1], n))
    if not factor.tied:
        return spread(xp.exp(log_sd), factor.learned_index, n) + fixed
    whose = np.zeros((len(factor.learned_index), n))
    for row, k in enumerate(factor.learned_index):
        whose[row, factor.members(k)] = 1.0
    return xp.exp(log_sd) @ whose + fixed


def _pair_masks(factor: Factor) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each pair, ones at its diagonal places and ones at its two crossings."""
    n = len(factor.varied)
    masks = []
    for i, j in factor.pairs:
        diagonal, crossing = np.zeros((n, n)), np.zeros((n, n))
        diagonal[i, i] = diagonal[j, j] = 1.0
        crossing[i, j] = crossing[j, i] = 1.0
        masks.append((diagonal, crossing))
    return masks


def group_covariance(factor: Factor, log_sd: Array, corr: Array, xp: Any) -> Array:
    """Covariance of one level's effects; shape (..., varied, varied)."""
    sds = group_sds(factor, log_sd, xp)
    matrix = np.eye(len(factor.varied))
    for k, (_, crossing) in enumerate(_pair_masks(factor)):
        matrix = matrix + xp.tanh(corr[..., k])[..., None, None] * crossing
    return matrix * sds[..., :, None] * sds[..., None, :]


def group_precision(factor: Factor, log_sd: Array, corr: Array, xp: Any) -> Array:
    """Inverse of `group_covariance`, in closed form (pairs are disjoint)."""
    weight = 1.0 / group_sds(factor, log_sd, xp)
    matrix = np.eye(len(factor.varied))
    for k, (diagonal, crossing) in enumerate(_pair_masks(factor)):
        sinh, cosh = xp.sinh(corr[..., k]), xp.cosh(corr[..., k])
        matrix = matrix + (sinh**2)[..., None, None] * diagonal
        matrix = matrix - (sinh * cosh)[..., None, None] * crossing
    return matrix * weight[..., :, None] * weight[..., None, :]


def group_coordinates(
    structure: Structure, position: Position, levels: tuple[Array, ...], xp: Any
) -> Array:
    """Coordinates of every group, shape (..., groups, P)."""
    eta = population_coordinates(structure, position.population, xp)[..., None, :]
    for factor, effects, level in zip(structure.factors, position.effects, levels, strict=True):
        if structure.crossed and len(factor.levels) > 1:
            effects = membership(factor, level) @ effects
        eta = eta + spread(effects, factor.varied, structure.size)
    return eta


def membership(factor: Factor, level: Array) -> Array:
    """1 where a group is of a level (groups, levels), else 0; dear where both are many."""
    return (level[:, None] == np.arange(len(factor.levels))) * 1.0


def population_coordinates(structure: Structure, population: Array, xp: Any) -> Array:
    """All coordinates at the population; separate-group parameters stand at their prior's mean."""
    return spread(population, structure.free, structure.size) + structure.base


def with_slopes(structure: Structure, eta: Array, covariates: Array | None) -> Array:
    """Coordinates (..., groups, P) moved by slopes times the groups' covariates."""
    if covariates is None or not structure.slopes:
        return eta
    slopes, moved = structure.sloped
    return eta + spread(pick(eta, slopes) * covariates, moved, structure.size)


def effects_log_prior(factor: Factor, effects: Array, log_sd: Array, corr: Array, xp: Any) -> Array:
    """Log density of the group effects given their sds and correlations, summed over levels."""
    precision = group_precision(factor, log_sd, corr, xp)
    n_levels = effects.shape[-2]
    total = -0.5 * xp.sum((effects @ precision) * effects, axis=(-2, -1))
    log_scale = xp.sum(xp.log(group_sds(factor, log_sd, xp)), axis=-1)
    log_scale = log_scale - xp.sum(_log_cosh(corr, xp), axis=-1)
    return total - n_levels * (log_scale + 0.5 * len(factor.varied) * np.log(2.0 * np.pi))


def _log_cosh(x: Array, xp: Any) -> Array:
    return xp.logaddexp(x, -x) - np.log(2.0)


def hyper_log_prior(structure: Structure, factor: Factor, log_sd: Array, corr: Array, xp: Any):
    """Log prior of log sds and inverse-tanh correlations (LKJ(2) for each pair)."""
    priors = [structure.parameters[factor.varied[k]].group_sd for k in factor.learned_index]
    total = PriorTable.of(priors).log_density(log_sd, xp)
    return total + xp.sum(np.log(0.75) - 4.0 * _log_cosh(corr, xp), axis=-1)


def log_prior(structure: Structure, position: Position, inputs: Mapping, xp: Any) -> Array:
    """Log prior density in the unconstrained coordinates."""
    total = log_prior_population(structure, position.population, inputs["reference"], xp)
    for f, factor in enumerate(structure.factors):
        log_sd, corr = position.log_sd[f], position.corr[f]
        total = total + effects_log_prior(factor, position.effects[f], log_sd, corr, xp)
        total = total + hyper_log_prior(structure, factor, log_sd, corr, xp)
    return total


def straight_line(
    structure: Structure, eta: Array, inputs: Mapping, xp: Any
) -> tuple[dict[str, Array], Array, Array | None]:
    """The law without bends at groups' coordinates (..., groups, P).

    Returns
    -------
    values, line, floor_share
        Every parameter (..., groups), the law's places on its link's line (..., groups, cells), and
        the share of the law that bends leave as it is, None where there is none.
    """
    eta = with_slopes(structure, eta, inputs.get("covariates"))
    values = to_natural(structure, eta, inputs["reference"], xp)
    law_values = {p: values[p][..., None] for p in structure.law.parameters}
    mean = structure.law.mean(law_values, inputs["columns"], xp)
    line = structure.likelihood.link.line(mean, inputs["reference"]["typical"], xp)
    floor = None if structure.bend is None else structure.bend.floor
    return values, line, None if floor is None else values[floor][..., None] / mean


def cell_log_likelihood(structure: Structure, eta: Array, inputs: Mapping, xp: Any) -> Array:
    """Log density of each cell's runs given every group's coordinates.

    Parameters
    ----------
    eta : array, shape (..., groups, P)

    Returns
    -------
    array, shape (..., groups, cells)
        Zero at padding.
    """
    values, line, floor_share = straight_line(structure, eta, inputs, xp)
    likelihood = structure.likelihood
    if structure.bend is not None:
        away = structure.bend.deviation(eta, inputs["features"], xp)
        line = bent_line(line, away, floor_share, xp)
    scatter = {p.name: values[p.name][..., None, None] for p in likelihood.parameters}
    return likelihood.cell_log_density(
        scatter, line, inputs["observed"], inputs["mask"], inputs["rows"], xp
    )


def log_likelihood(structure: Structure, position: Position, inputs: Mapping, xp: Any) -> Array:
    """Log likelihood of all runs."""
    eta = group_coordinates(structure, position, inputs["levels"], xp)
    cells = cell_log_likelihood(structure, eta, inputs, xp)
    present = xp.sum(inputs["mask"], axis=-1) > 0
    return xp.sum(xp.where(present, cells, 0.0), axis=(-2, -1))


def log_posterior(structure: Structure, position: Position, inputs: Mapping, xp: Any) -> Array:
    """Log posterior density up to a constant, in the unconstrained coordinates."""
    prior = log_prior(structure, position, inputs, xp)
    return prior + log_likelihood(structure, position, inputs, xp)
