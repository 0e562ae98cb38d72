"""Weights of a mixture, from how densely each of its members foretold what came."""

from __future__ import annotations

import numpy as np

Floats = np.ndarray

BOOTSTRAPS = 500
_ITERATIONS = 2000


def mixture_weights(log_density: Floats, count: Floats, prior: float = 0.0) -> Floats:
    """Weights that maximise the log score of the mixture, less a pull towards equal weights.

    The maximum of ``sum_r count_r log sum_k w_k p_rk + prior * mean_k log w_k`` over weights that
    sum to 1, by expectation and maximisation. The second term is what `prior` further observations
    would add in which every member had been right equally often.

    Parameters
    ----------
    log_density : array, shape (run, member)
    count : array, shape (..., run)
        How many observations each run stands for.
    prior : float

    Returns
    -------
    array, shape (..., member)

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), arXiv:1704.02030, for prior = 0 and densities left out.

    Examples
    --------
    >>> even = np.log([[0.5, 0.5]] * 8)
    >>> mixture_weights(even, np.ones(8), prior=1.0).round(3).tolist()
    [0.5, 0.5]
    >>> better = np.log([[0.9, 0.3]] * 8)
    >>> mixture_weights(better, np.ones(8)).round(2).tolist()
    [1.0, 0.0]
    """
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    members = density.shape[1]
    count = np.asarray(count, dtype=float)
    weights = np.full((*count.shape[:-1], members), 1.0 / members)
    total = count.sum(axis=-1, keepdims=True) + prior
    for _ in range(_ITERATIONS):
        mixed = weights @ density.T
        given = weights * ((count / mixed) @ density)
        better = (given + prior / members) / total
        moved = float(np.max(np.abs(better - weights)))
        weights = better
        if moved < 1e-7:
            break
    return weights / weights.sum(axis=-1, keepdims=True)


def pseudo_bma(log_density: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """Pseudo-BMA+: softmax of the summed log densities, averaged over a Bayesian bootstrap.

    Returns
    -------
    weights (member,), and those of every bootstrap draw (draw, member)

    References
    ----------
    Yao et al. (2018), section 3.4.
    """
    rng = np.random.default_rng([seed, 31])
    size = len(log_density)
    sums = rng.dirichlet(np.ones(size), BOOTSTRAPS) @ log_density * size
    drawn = np.exp(sums - sums.max(axis=1, keepdims=True))
    drawn /= drawn.sum(axis=1, keepdims=True)
    return drawn.mean(axis=0), drawn


def bootstrap_counts(block: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """How much each run counts: as observed, and in every draw of a bootstrap over blocks.

    A block counts as one observation, however many runs it has: runs predicted from the same
    smaller ones err together. The bootstrap is Bayesian (Rubin 1981), for blocks are few.

    Returns
    -------
    counts (run,), and of every bootstrap draw (draw, run)

    Examples
    --------
    >>> bootstrap_counts(np.array([1, 1, 2]))[0].tolist()
    [0.5, 0.5, 1.0]
    """
    rng = np.random.default_rng([seed, 29])
    _, code, sizes = np.unique(block, return_inverse=True, return_counts=True)
    one = 1.0 / sizes[code]
    drawn = rng.dirichlet(np.ones(len(sizes)), BOOTSTRAPS) * len(sizes)
    return one, drawn[:, code] * one
