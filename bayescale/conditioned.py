"""Draws of a population's prior that beliefs condition: tempered particles, moved at each step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LogDensity = Callable[[np.ndarray], np.ndarray]

_LEFT = 0.5  # share of the particles that stays effective in a tempering step
_MOVES, _LAST_MOVES = 6, 12
_AIM = 0.3  # of proposals to be accepted
_FEWEST = 1e-6  # of a tempering step


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Weights that sum to 1; what isn't finite counts for nothing.

    Examples
    --------
    >>> normalised(np.log([1.0, 3.0, 2.0])).round(2).tolist()
    [0.17, 0.5, 0.33]
    """
    finite = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    best = np.max(finite)
    if not np.isfinite(best):
        return np.full(len(finite), 1.0 / len(finite))
    weights = np.exp(finite - best)
    return weights / weights.sum()


def sample_conditioned(
    first: np.ndarray, log_prior: LogDensity, log_factor: LogDensity, rng: np.random.Generator
) -> np.ndarray:
    """Turn draws of a prior into draws of the prior times a factor.

    A sequential Monte Carlo sampler (Del Moral et al. 2006): the factor is raised to powers that
    grow to 1; at each, particles are resampled and moved by random-walk Metropolis steps, whose
    covariance is theirs and whose size follows their acceptance.

    Parameters
    ----------
    first
        Draws of the prior, (particle, d).
    log_prior, log_factor
        (particle, d) -> log density, and log factor, up to constants.

    Returns
    -------
    array, shape (particle, d)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> first = rng.standard_normal((4000, 2))
    >>> normal = lambda z: -0.5 * np.sum(z**2, axis=1)
    >>> near_one = lambda z: -0.5 * ((z.sum(axis=1) - 1) / 0.01) ** 2
    >>> drawn = sample_conditioned(first, normal, near_one, rng)
    >>> drawn.mean(axis=0).round(1).tolist(), drawn.std(axis=0).round(1).tolist()
    ([0.5, 0.5], [0.7, 0.7])
    """
    at, size = first.copy(), first.shape
    factor = _finite(log_factor, at)
    power, scale = 0.0, 2.4 / np.sqrt(size[1])
    while power < 1.0:
        step = _step(factor, 1.0 - power)
        weights = normalised(step * factor)
        power = min(1.0, power + step)
        places = np.searchsorted(
            np.cumsum(weights), (rng.random() + np.arange(size[0])) / size[0]
        ).clip(max=size[0] - 1)
        at, factor = at[places], factor[places]
        prior = _finite(log_prior, at)
        root = np.linalg.cholesky(np.cov(at.T).reshape(size[1], size[1]) + 1e-10 * np.eye(size[1]))
        for _ in range(_LAST_MOVES if power == 1.0 else _MOVES):
            tried = at + scale * rng.standard_normal(size) @ root.T
            new_prior, new_factor = _finite(log_prior, tried), _finite(log_factor, tried)
            gain = new_prior - prior + power * (new_factor - factor)
            accepted = np.log(rng.random(size[0])) < gain
            at[accepted] = tried[accepted]
            prior, factor = (
                np.where(accepted, new_prior, prior),
                np.where(accepted, new_factor, factor),
            )
            scale *= np.exp(2.0 * (float(np.mean(accepted)) - _AIM))
    return at


def _finite(log_density: LogDensity, at: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        values = np.asarray(log_density(at), float)
    return np.where(np.isfinite(values), values, -1e300)


def _step(factor: np.ndarray, most: float) -> float:
    """The largest further power that leaves enough particles effective."""

    def effective(step: float) -> float:
        weights = normalised(step * factor)
        return float(1.0 / np.sum(weights**2) / len(weights))

    if effective(most) >= _LEFT:
        return most
    low, high = 0.0, most
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= _LEFT else (low, middle)
    return max(low, _FEWEST)
