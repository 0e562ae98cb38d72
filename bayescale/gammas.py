"""Gamma functions of numpy and jax arrays alike, exact where differences of large logs are not."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

_STIRLING_FROM = 10.0


def gammaln(x: Array, xp: Any) -> Array:
    """Log of the gamma function."""
    if xp is np:
        from scipy.special import gammaln
    else:
        from jax.scipy.special import gammaln
    return gammaln(x)


def log_rise(x: Array, k: Array, xp: Any) -> Array:
    """Log of Gamma(x + k) / (Gamma(x) x^k), which goes to 0 as x grows, for x > 0 and k >= 0.

    From 10 on by Stirling's series, each part of which has the digits of the whole.

    Examples
    --------
    >>> round(float(log_rise(1e15, 3.0, np)), 18)     # (1 + 1/x) (1 + 2/x)
    3e-15
    """
    large, small = xp.maximum(x, _STIRLING_FROM), xp.minimum(x, _STIRLING_FROM)
    far = (large + k - 0.5) * xp.log1p(k / large) - k
    far = far + _stirling_rest(large + k) - _stirling_rest(large)
    near = gammaln(small + k, xp) - gammaln(small, xp) - k * xp.log(small)
    return xp.where(x > _STIRLING_FROM, far, near)


def _stirling_rest(x: Array) -> Array:
    inverse = 1.0 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
