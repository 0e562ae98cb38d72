"""Criteria for experiments that need no decision, and draws conditioned on a result to come.

``law[s, x]`` is log loss by the law of candidate x in draw s, ``noise[x]`` the variance of a run's
deviation from it. Draws are taken as jointly Gaussian, except by `information`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import differential_entropy

Floats = NDArray[np.float64]

_TINY = 1e-300


def noise_variance(law: Floats, observed: Floats) -> Floats:
    """Variance of a normal deviation as wide as the middle 68% of the deviations drawn.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(float(noise_variance(np.zeros((9999, 1)), rng.normal(0, 2, (9999, 1)))[0]), 0)
    4.0
    """
    low, high = np.quantile(observed - law, [0.15866, 0.84134], axis=0)
    return (0.5 * (high - low)) ** 2


def v_optimal(targets: Floats, law: Floats, noise: Floats) -> Floats:
    """Fall of the targets' variance, averaged, by seeing each candidate: Cov^2 / (Var + s^2).

    Parameters
    ----------
    targets
        Shape ``(sample, target)``.
    law, noise
        Shape ``(sample, candidate)`` and ``(candidate,)``.

    Examples
    --------
    >>> x = np.array([[-1.0], [1.0]])
    >>> v_optimal(x, x, np.array([1.0]))
    array([0.5])
    """
    t, f = targets - targets.mean(axis=0), law - law.mean(axis=0)
    shared = (t.T @ f / len(f)) ** 2
    return shared.mean(axis=0) / np.maximum((f**2).mean(axis=0) + noise, _TINY)


def d_optimal(law: Floats, noise: Floats) -> Floats:
    """Log of the factor by which the parameters' Gaussian volume shrinks: log(1 + Var/s^2) / 2.

    Examples
    --------
    >>> d_optimal(np.array([[-1.0], [1.0]]), np.array([1.0])).round(4)
    array([0.3466])
    """
    return 0.5 * np.log1p(law.var(axis=0) / np.maximum(noise, _TINY))


def information(law: Floats, observed: Floats) -> Floats:
    """Mutual information of a result and the law's value there, in nats, of any distribution.

    The entropy of the result less that of the deviation, both estimated from spacings (Vasicek
    1976). The deviation's scale counts as known no better than its draws.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> law, noise = rng.standard_normal((2, 20000, 1))
    >>> bool(abs(information(law, law + noise)[0] - 0.5 * np.log(2)) < 0.03)
    True
    """
    seen, alone = (differential_entropy(x, axis=0) for x in (observed, observed - law))
    return np.maximum(np.asarray(seen) - np.asarray(alone), 0.0)


def conditioned(values: Floats, law: Floats, noise: float, rng: np.random.Generator) -> Floats:
    """Draws as spread as they will be once a candidate's result is known (Matheron's rule).

    Parameters
    ----------
    values
        What is to be conditioned, shape ``(sample, k)``.
    law, noise
        Of the candidate seen: shape ``(sample,)``, and a variance.
    rng
        Of its deviation.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal(20000)
    >>> after = conditioned(x[:, None], x, 1.0, np.random.default_rng(1))
    >>> round(float(after.var()), 1)
    0.5
    """
    f = law - law.mean()
    gain = (values - values.mean(axis=0)).T @ f / len(f) / max(float(f.var()) + noise, _TINY)
    seen = f + np.sqrt(noise) * rng.standard_normal(len(f))
    return values - seen[:, None] * gain


def pool_information(law: Floats, noise: Floats) -> float:
    """Gaussian information of seeing every candidate at once, in nats."""
    scaled = (law - law.mean(axis=0)) / np.sqrt(np.maximum(noise, _TINY) * len(law))
    small = scaled.T @ scaled if scaled.shape[1] < scaled.shape[0] else scaled @ scaled.T
    return float(0.5 * np.log1p(np.maximum(np.linalg.eigvalsh(small), 0.0)).sum())
