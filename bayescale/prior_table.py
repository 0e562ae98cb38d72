"""Log densities of many priors at once, on the real line where the sampler moves.

A prior of ``x`` is a density of its coordinate ``z = to_real(x)``, Jacobian included. For Normal,
LogNormal, HalfNormal, Gamma and Exponential, shifted or not, it has one form::

    constant - precision (z - loc)^2 / 2 + linear z - rate exp(power z)

so a vector of such coordinates costs a handful of array operations, however many they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, gammaln, log_ndtr

from bayescale.priors import Prior

Array = Any

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class _Form:
    """Coefficients of the common form."""

    loc: float = 0.0
    precision: float = 0.0
    linear: float = 0.0
    rate: float = 0.0
    power: float = 0.0
    constant: float = 0.0


def _form(prior: Prior) -> _Form | None:
    args, shift = prior.args, prior.shift
    if prior.family in ("Normal", "LogNormal"):
        loc, scale = args
        loc += shift if prior.family == "Normal" else 0.0
        return _Form(loc, scale**-2, constant=-math.log(scale) - _HALF_LOG_2PI)
    if prior.family == "HalfNormal":
        (scale,) = args
        constant = math.log(2.0) - math.log(scale) - _HALF_LOG_2PI
        return _Form(linear=1.0, rate=0.5 * scale**-2, power=2.0, constant=constant)
    if prior.family == "Gamma":
        shape, rate = args
        constant = shape * math.log(rate) - float(gammaln(shape))
        return _Form(linear=shape, rate=rate, power=1.0, constant=constant)
    if prior.family == "Exponential":
        (rate,) = args
        return _Form(linear=1.0, rate=rate, power=1.0, constant=math.log(rate))
    return None


def _single(prior: Prior, z: Array, xp: Any) -> Array:
    """Log density of one coordinate of a family without the common form."""
    args = prior.args
    if prior.family in ("Beta", "Uniform"):
        a, b = args if prior.family == "Beta" else (1.0, 1.0)
        return -a * xp.logaddexp(0.0, -z) - b * xp.logaddexp(0.0, z) - float(betaln(a, b))
    x = prior.from_real(z, xp) - prior.shift
    if prior.family == "StudentT":
        df, loc, scale = args
        constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * math.log(df * math.pi)
        tail = -0.5 * (df + 1.0) * xp.log1p(((x - loc) / scale) ** 2 / df)
        return tail + float(constant) - math.log(scale)
    assert prior.family == "TruncatedNormal", prior.family
    loc, scale, low, high = args
    ends = (low - loc) / scale, (high - loc) / scale
    if ends[0] > 0:  # the tail far below zero keeps its digits
        ends = -ends[1], -ends[0]
    inside = log_ndtr(ends[1]) + np.log1p(-np.exp(log_ndtr(ends[0]) - log_ndtr(ends[1])))
    constant = -_HALF_LOG_2PI - math.log(scale) - float(inside)
    return -0.5 * ((x - loc) / scale) ** 2 + constant + prior.log_jacobian(z, xp)


@dataclass(frozen=True)
class PriorTable:
    """Independent priors of a vector of real-line coordinates.

    Examples
    --------
    >>> table = PriorTable.of([Prior.parse("Normal(0, 1)"), Prior.parse("HalfNormal(1)")])
    >>> round(float(table.log_density(np.zeros(2), np)), 4)
    -1.6447
    """

    priors: tuple[Prior, ...]
    common: np.ndarray
    constant: float
    single: tuple[int, ...]

    @classmethod
    def of(cls, priors: Sequence[Prior]) -> PriorTable:
        """Collect the coefficients of priors, in the order of their coordinates."""
        forms = [_form(p) for p in priors]
        known = [f or _Form() for f in forms]
        rows = [(f.loc, f.precision, f.linear, f.rate, f.power) for f in known]
        common = np.array(rows, dtype=float).reshape(len(rows), 5).T
        single = tuple(i for i, f in enumerate(forms) if f is None)
        return cls(tuple(priors), common, sum(f.constant for f in known), single)

    def log_density(self, z: Array, xp: Any) -> Array:
        """Log density at coordinates of shape (..., priors), Jacobians included."""
        loc, precision, linear, rate, power = self.common
        terms = -0.5 * precision * (z - loc) ** 2 + linear * z
        if np.any(rate):
            terms = terms - rate * xp.exp(power * z)
        total = self.constant + xp.sum(terms, axis=-1)
        for i in self.single:
            total = total + _single(self.priors[i], z[..., i], xp)
        return total
