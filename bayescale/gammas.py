"""Gamma functions of numpy and jax arrays alike, exact where differences of large logs are not.

Those of counts are sums of Stirling's series ten above the argument and of ten factors: a handful
of products, quicker to compile and to run than the library's own, which must hold everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

_SHIFT = 10
_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


def gammaln(x: Array, xp: Any) -> Array:
    """Log of the gamma function."""
    if xp is np:
        from scipy.special import gammaln
    else:
        from jax.scipy.special import gammaln
    return gammaln(x)


def log_gamma(x: Array, xp: Any) -> Array:
    """Log of the gamma function of x > 0.

    Examples
    --------
    >>> round(float(log_gamma(0.5, np)), 10)     # log(pi) / 2
    0.5723649429
    """
    y = x + _SHIFT
    return (y - 0.5) * xp.log(y) - y + _HALF_LOG_2PI + _stirling_rest(y) - _log_factors(x, xp)


def log_rise(x: Array, k: Array, xp: Any) -> Array:
    """Log of Gamma(x + k) / (Gamma(x) x^k), which goes to 0 as x grows, for x > 0 and k >= 0.

    Examples
    --------
    >>> round(float(log_rise(1e10, 3.0, np)), 13)     # (1 + 1/x) (1 + 2/x)
    3e-10
    """
    y = x + _SHIFT
    shifted = (y + k - 0.5) * xp.log1p(k / y) - k + _stirling_rest(y + k) - _stirling_rest(y)
    factors = _log_factors(x, xp) - _log_factors(x + k, xp)
    return shifted + k * xp.log1p(_SHIFT / x) + factors


def _log_factors(x: Array, xp: Any) -> Array:
    """Log of x (x + 1) ... (x + 9)."""
    product = x
    for i in range(1, _SHIFT):
        product = product * (x + i)
    return xp.log(product)


def _stirling_rest(x: Array) -> Array:
    inverse = 1.0 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
