"""Are ranks uniform: simultaneous bands of their ECDF (Säilynoja, Bürkner and Vehtari 2022)."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.stats import binom

POINTS = 20
SIMULATIONS = 20_000


def ecdf_p_value(ranks: np.ndarray, most: int) -> float:
    """Chance that uniform ranks in 0..most leave a band as narrow as these do.

    The statistic is the smallest pointwise two-sided binomial probability over the points of the
    ECDF; its distribution under uniform ranks is simulated (their algorithm 1).
    """
    statistics = _null(len(ranks), most)
    mine = float(_smallest(np.asarray(ranks)[None, :], most)[0])
    below = np.searchsorted(statistics, mine * (1 + 1e-12), side="right")
    return (below + 1.0) / (len(statistics) + 1.0)


def _points(most: int) -> np.ndarray:
    """Rank below which a share is counted, about `POINTS` of them."""
    return np.unique(np.linspace(0, most + 1, POINTS + 2).round().astype(int)[1:-1])


def _smallest(ranks: np.ndarray, most: int) -> np.ndarray:
    """Smallest pointwise probability of every row of ranks (set, replicate)."""
    n, points = ranks.shape[1], _points(most)
    table = _pointwise(n, most)
    counts = np.stack([(ranks < point).sum(axis=1) for point in points], axis=1)
    return np.min(np.take_along_axis(table, counts.T, axis=1), axis=0)


@cache
def _pointwise(n: int, most: int) -> np.ndarray:
    counts, share = np.arange(n + 1), _points(most)[:, None] / (most + 1)
    lower, upper = binom.cdf(counts, n, share), binom.sf(counts - 1, n, share)
    return np.minimum(1.0, 2.0 * np.minimum(lower, upper))


@cache
def _null(n: int, most: int) -> np.ndarray:
    rng = np.random.default_rng(n * 1000 + most)
    parts = [
        _smallest(rng.integers(0, most + 1, (1000, n)), most) for _ in range(SIMULATIONS // 1000)
    ]
    return np.sort(np.concatenate(parts))
