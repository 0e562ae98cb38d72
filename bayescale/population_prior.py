"""The prior of the population's coordinates: draws, and their middle and spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayescale.conditioned import sample_conditioned
from bayescale.coordinates import from_natural, log_prior_population, to_natural
from bayescale.factors import log_factors
from bayescale.model import Model, has_share, reference_inputs
from bayescale.places import spread

BELIEVED = 4096  # draws at least, where beliefs condition a prior


def sample_population_prior(
    model: Model, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Prior draws of the population: coordinates (size, P) and natural values."""
    if model.structure.law.beliefs:
        eta = _believed(model, rng, size)
        return eta, to_natural(model.structure, eta, reference_inputs(model.arrays.reference), np)
    return sample_stated_prior(model, rng, size)


def _believed(model: Model, rng: np.random.Generator, size: int) -> np.ndarray:
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    plain = replace(structure, law=replace(structure.law, beliefs=()))
    free = list(structure.free)
    first, _ = sample_stated_prior(model, rng, max(size, BELIEVED))

    def factor(z: np.ndarray) -> np.ndarray:
        eta = spread(z, structure.free, structure.size) + structure.base
        return log_factors(structure.law, to_natural(structure, eta, reference, np), np)

    drawn = sample_conditioned(
        first[:, free], lambda z: log_prior_population(plain, z, reference, np), factor, rng
    )
    chosen = rng.permutation(len(drawn))[:size]
    return spread(drawn[chosen], structure.free, structure.size) + structure.base


def sample_stated_prior(
    model: Model, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws of the parameters' own priors, whatever beliefs the law has beside them."""
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    eta = np.zeros((size, structure.size))
    by_value = []
    for i, p in enumerate(structure.parameters):
        draws = np.asarray(p.prior.sample(rng, size), float)
        if has_share(p) and p.on == "value":
            by_value.append((p.name, draws))
        else:
            eta[:, i] = p.prior.to_real(draws, np)
    values = to_natural(structure, eta, reference, np)
    if by_value:
        values.update(dict(by_value))
        eta = from_natural(structure, values, reference)
        values = to_natural(structure, eta, reference, np)
    return eta, values


_MOMENTS: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}


def prior_moments(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Median and half the central 68% of each coordinate's prior."""
    parameters = model.structure.parameters
    by_value = any(has_share(p) and p.on == "value" for p in parameters)
    by_value = by_value or bool(model.structure.law.beliefs)
    key = model.structure.key
    if by_value or key not in _MOMENTS:  # shares have the same prior whatever the data
        eta, _ = sample_population_prior(model, np.random.default_rng(0), 4000)
        low, middle, high = np.quantile(eta, [0.16, 0.5, 0.84], axis=0)
        moments = middle, np.maximum((high - low) / 2.0, 1e-6)
        if by_value:
            return moments
        _MOMENTS[key] = moments
    return _MOMENTS[key]
