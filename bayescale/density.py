"""The log posterior over arrays: priors, group effects, likelihood, as pure JAX functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayescale.coordinates import log_prior_population, to_natural
from bayescale.model import Factor, Structure
from bayescale.priors import Prior

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


def put(xp: Any, target: Array, index: Any, value: Array) -> Array:
    """`target` with `value` at `index`, for numpy and jax arrays alike."""
    if xp is np:
        target = np.array(target)
        target[index] = value
        return target
    return target.at[index].set(value)


def group_sds(factor: Factor, log_sd: Array, xp: Any) -> Array:
    """Sd of every varied coordinate, learned or fixed; shape (..., varied)."""
    fixed = xp.broadcast_to(
        xp.asarray(factor.fixed_sd, dtype=float), (*log_sd.shape[:-1], len(factor.varied))
    )
    if not factor.learned_index:
        return fixed
    return put(xp, fixed, (..., np.array(factor.learned_index)), xp.exp(log_sd))


def group_covariance(factor: Factor, log_sd: Array, corr: Array, xp: Any) -> Array:
    """Covariance of one level's effects; shape (..., varied, varied)."""
    sds = group_sds(factor, log_sd, xp)
    matrix = sds[..., :, None] ** 2 * xp.eye(len(factor.varied))
    for k, (i, j) in enumerate(factor.pairs):
        value = xp.tanh(corr[..., k]) * sds[..., i] * sds[..., j]
        matrix = put(xp, put(xp, matrix, (..., i, j), value), (..., j, i), value)
    return matrix


def group_precision(factor: Factor, log_sd: Array, corr: Array, xp: Any) -> Array:
    """Inverse of `group_covariance`, in closed form (pairs are disjoint)."""
    weight = 1.0 / group_sds(factor, log_sd, xp)
    matrix = weight[..., :, None] ** 2 * xp.eye(len(factor.varied))
    for k, (i, j) in enumerate(factor.pairs):
        rho = xp.tanh(corr[..., k])
        inflation = 1.0 / (1.0 - rho**2)
        cross = -rho * inflation * weight[..., i] * weight[..., j]
        matrix = put(xp, put(xp, matrix, (..., i, j), cross), (..., j, i), cross)
        for m in (i, j):
            matrix = put(xp, matrix, (..., m, m), inflation * weight[..., m] ** 2)
    return matrix


def group_coordinates(
    structure: Structure, position: Position, levels: tuple[Array, ...], xp: Any
) -> Array:
    """Coordinates of every group, shape (..., groups, P)."""
    population = population_coordinates(structure, position.population, xp)
    n_groups = len(levels[0]) if levels else 1
    eta = xp.broadcast_to(
        population[..., None, :], (*population.shape[:-1], n_groups, structure.size)
    )
    for factor, effects, level in zip(structure.factors, position.effects, levels, strict=True):
        varied = np.array(factor.varied)
        index = (..., varied)
        eta = put(xp, eta, index, eta[index] + effects[..., level, :])
    return eta


def population_coordinates(structure: Structure, population: Array, xp: Any) -> Array:
    """All coordinates at the population; separate-group parameters stand at their prior's mean."""
    base = xp.broadcast_to(xp.asarray(structure.base), (*population.shape[:-1], structure.size))
    return put(xp, base, (..., np.array(structure.free, int)), population)


def effects_log_prior(factor: Factor, effects: Array, log_sd: Array, corr: Array, xp: Any) -> Array:
    """Log density of the group effects given their sds and correlations, summed over levels."""
    sds = group_sds(factor, log_sd, xp)
    z = effects / sds[..., None, :]
    n_levels = effects.shape[-2]
    total = -0.5 * xp.sum(z**2, axis=(-2, -1)) - n_levels * xp.sum(xp.log(sds), axis=-1)
    total = total - 0.5 * n_levels * len(factor.varied) * np.log(2.0 * np.pi)
    for k, (i, j) in enumerate(factor.pairs):
        rho = xp.tanh(corr[..., k])
        zi, zj = z[..., i], z[..., j]
        joint = (zi**2 - 2.0 * rho[..., None] * zi * zj + zj**2) / (1.0 - rho[..., None] ** 2)
        total = total - 0.5 * xp.sum(joint - zi**2 - zj**2, axis=-1)
        total = total - 0.5 * n_levels * xp.log1p(-(rho**2))
    return total


def hyper_log_prior(factor: Factor, sd_priors: tuple[Prior, ...], log_sd: Array, corr: Array):
    """Log prior of log sds and inverse-tanh correlations (LKJ(2) for each pair)."""
    import jax.numpy as jnp

    total = 0.0
    for k, i in enumerate(factor.learned_index):
        total = total + sd_priors[i].log_prob(jnp.exp(log_sd[k])) + log_sd[k]
    for k in range(len(factor.pairs)):
        rho = jnp.tanh(corr[k])
        total = total + 2.0 * jnp.log1p(-(rho**2)) + np.log(0.75)
    return total


def sd_priors(structure: Structure, factor: Factor) -> tuple[Prior, ...]:
    """Prior of the group sd of each varied coordinate."""
    return tuple(structure.parameters[i].group_sd for i in factor.varied)


def log_prior(structure: Structure, position: Position, inputs: Mapping) -> Array:
    """Log prior density in the unconstrained coordinates."""
    import jax.numpy as jnp

    eta = population_coordinates(structure, position.population, jnp)
    values = to_natural(structure, eta, inputs["reference"], jnp)
    total = log_prior_population(structure, eta, values, inputs["reference"], jnp)
    for f, factor in enumerate(structure.factors):
        log_sd, corr = position.log_sd[f], position.corr[f]
        total = total + effects_log_prior(factor, position.effects[f], log_sd, corr, jnp)
        total = total + hyper_log_prior(factor, sd_priors(structure, factor), log_sd, corr)
    return total


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
    values = to_natural(structure, eta, inputs["reference"], xp)
    law_values = {p: values[p][..., None] for p in structure.law.parameters}
    mean = structure.law.mean(law_values, inputs["columns"], xp)
    residual = inputs["log_loss"] - xp.log(mean)[..., None]
    noise_values = {p.name: values[p.name][..., None, None] for p in structure.noise.parameters}
    return structure.noise.cell_log_density(
        noise_values, residual, inputs["mask"], inputs["rows"], xp
    )


def log_likelihood(structure: Structure, position: Position, inputs: Mapping) -> Array:
    """Log likelihood of all runs."""
    import jax.numpy as jnp

    eta = group_coordinates(structure, position, inputs["levels"], jnp)
    cells = cell_log_likelihood(structure, eta, inputs, jnp)
    return jnp.sum(jnp.where(jnp.sum(inputs["mask"], axis=-1) > 0, cells, 0.0))


def log_posterior(structure: Structure, position: Position, inputs: Mapping) -> Array:
    """Log posterior density up to a constant, in the unconstrained coordinates."""
    return log_prior(structure, position, inputs) + log_likelihood(structure, position, inputs)
