"""R-hat and effective sample sizes of many parameters at once, to decide when chains may stop.

The same estimators as ArviZ's (Vehtari et al. 2021), over whole arrays: asked after every few
hundred draws of a thousand fits, ArviZ's own would cost more than the draws. Tests hold the two
together; what a fit says of itself (`diagnose`) comes from ArviZ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


class Convergence(NamedTuple):
    """The worst over parameters."""

    r_hat: float
    ess_bulk: float
    ess_tail: float


def quick_convergence(draws: np.ndarray) -> Convergence:
    """Largest rank-normalised R-hat, smallest bulk and tail ESS of draws (chain, draw, parameter).

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 500, 3))
    >>> quick_convergence(draws).r_hat < 1.01
    True
    """
    halves = _split(draws)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    ranked = _rank_normal(halves)
    r_hat = np.maximum(_r_hat(ranked), _r_hat(_rank_normal(folded)))
    low, high = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
    tails = np.minimum(_ess((halves <= low) * 1.0), _ess((halves <= high) * 1.0))
    worst = np.max(np.nan_to_num(r_hat, nan=np.inf))
    return Convergence(float(worst), float(np.min(_ess(ranked))), float(np.min(tails)))


def _split(draws: np.ndarray) -> np.ndarray:
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _rank_normal(draws: np.ndarray) -> np.ndarray:
    flat = draws.reshape(-1, draws.shape[-1])
    ranks = rankdata(flat, axis=0)
    return ndtri((ranks - 0.375) / (len(flat) + 0.25)).reshape(draws.shape)


def _r_hat(draws: np.ndarray) -> np.ndarray:
    n = draws.shape[1]
    within = np.mean(np.var(draws, axis=1, ddof=1), axis=0)
    between = np.var(np.mean(draws, axis=1), axis=0, ddof=1)
    with np.errstate(all="ignore"):
        return np.sqrt(between / within + (n - 1) / n)


def _ess(draws: np.ndarray) -> np.ndarray:
    """Effective draws of every parameter, by Geyer's initial monotone sequence."""
    chains, n, _ = draws.shape
    centred = draws - draws.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=1)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    total = within * (n - 1) / n + np.var(draws.mean(axis=1), axis=0, ddof=1)
    with np.errstate(all="ignore"):
        rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: 2 * ((n - 1) // 2)].reshape(-1, 2, rho.shape[-1])
    sums = pairs.sum(axis=1)
    positive = np.cumprod(sums > 0, axis=0)
    length = positive.sum(axis=0)
    monotone = np.minimum.accumulate(sums, axis=0) * positive
    following = np.minimum(length, len(sums) - 1)
    tail = np.take_along_axis(pairs[:, 0], following[None], axis=0)[0]
    time = -1.0 + 2.0 * monotone.sum(axis=0) + np.maximum(tail, 0.0) * (length < len(sums))
    size = chains * n
    ess = size / np.maximum(time, 1.0 / np.log10(size))
    return np.where(np.isfinite(ess), ess, 0.0)
