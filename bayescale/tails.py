"""The shape of scatter: what turns the summed covariance of one cell into a density and into draws.

Deviations are normal, Student-t, or normal about a height above the law that is never negative: a
run that was tuned less well than it could be loses by it, and none gains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from bayescale.errors import LawError
from bayescale.gammas import gammaln
from bayescale.priors import Prior

Array = Any

_FAR = 8.0  # below which a normal's distribution is taken from its continued fraction
_DEPTH = 12  # of it; each error is below 1e-15 from _FAR on


@dataclass(frozen=True)
class NoiseParameter:
    """A parameter of the scatter: its prior, meaning, and the prior sd of its group effects."""

    name: str
    prior: Prior
    about: str
    group_sd: Prior


@cache
def noise_parameter(name: str, prior: str, about: str) -> NoiseParameter:
    """A parameter of the scatter, its prior as text."""
    return NoiseParameter(name, Prior.parse(prior), about, Prior.parse("HalfNormal(0.3)"))


def restated(
    parameters: Iterable[NoiseParameter], priors: Iterable[tuple[str, str]]
) -> tuple[NoiseParameter, ...]:
    """Parameters of the scatter with the priors that a card or a fit states for them.

    Raises
    ------
    LawError
        Where one is possible at other values than the parameter.
    """
    stated = dict(priors)
    return tuple(
        replace(p, prior=alike(p.name, stated[p.name], p.prior)) if p.name in stated else p
        for p in parameters
    )


def alike(name: str, text: str, usual: Prior) -> Prior:
    """A prior in place of the usual one, possible at the same values."""
    prior = Prior.parse(text)
    if prior.support != usual.support:
        raise LawError(
            f"the prior {text!r} of {name} has values from {prior.support[0]:g} to"
            f" {prior.support[1]:g}; {name} has them from {usual.support[0]:g} to"
            f" {usual.support[1]:g}, as in the usual {usual.text!r}"
        )
    return prior


class CellSums(NamedTuple):
    """What a density needs of a cell's residuals r and their covariance S; each (..., cells).

    `mask` (..., cells, seeds) says which runs there are; `logdet` is of S, `quadratic` r' S^-1 r,
    `pull` 1' S^-1 r and `weight` 1' S^-1 1.
    """

    mask: Array
    logdet: Array
    quadratic: Array
    pull: Array
    weight: Array


class Tail(Protocol):
    """The density of a cell's deviations, and draws of them."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]: ...

    def log_density(self, values: Mapping[str, Array], cell: CellSums, xp: Any) -> Array: ...

    def mixing(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        """Factors of cells' normal deviations."""
        ...

    def height(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        """What cells lie above the law beside that, all their runs alike."""
        ...

    def height_moments(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Mean and variance of such heights."""
        ...


@dataclass(frozen=True)
class NormalTail:
    """Gaussian deviations."""

    name: str = "normal"

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return ()

    def log_density(self, values: Mapping[str, Array], cell: CellSums, xp: Any) -> Array:
        n = xp.sum(cell.mask, axis=-1)
        return -0.5 * (n * np.log(2.0 * np.pi) + cell.logdet + cell.quadratic)

    def mixing(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        return np.ones(shape)

    def height(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        return np.zeros(shape)

    def height_moments(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        return 0.0, 0.0


@dataclass(frozen=True)
class StudentTail:
    """Student-t deviations: a whole cell may lie far out (one common scale mixture a cell)."""

    name: str = "t"

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        about = "degrees of freedom: small means that a few runs lie far from the law"
        return (noise_parameter("nu", "2 + Gamma(2, 0.1)", about),)

    def log_density(self, values: Mapping[str, Array], cell: CellSums, xp: Any) -> Array:
        nu, n = values["nu"], xp.sum(cell.mask, axis=-1)
        return (
            _gamma_ratio(nu, n, cell.mask.shape[-1], xp)
            - 0.5 * n * xp.log(nu * np.pi)
            - 0.5 * cell.logdet
            - 0.5 * (nu + n) * xp.log1p(cell.quadratic / nu)
        )

    def mixing(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        nu = np.broadcast_to(values["nu"], shape)
        return np.sqrt(nu / rng.chisquare(nu))

    def height(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        return np.zeros(shape)

    def height_moments(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        return 0.0, 0.0


def _gamma_ratio(nu: Array, n: Array, most: int, xp: Any) -> Array:
    """Log of Gamma((nu + n) / 2) / Gamma(nu / 2) for whole n up to `most`.

    Looked up by n: a cell costs no gamma function of its own.
    """
    start = gammaln(0.5 * nu, xp)
    return sum(
        xp.where(n == k, gammaln(0.5 * (nu + k), xp) - start, 0.0) for k in range(1, most + 1)
    )


@dataclass(frozen=True)
class FrontierTail:
    """Gaussian deviations about a cell that lies above the law by what its tuning lost.

    The law is that of well-tuned runs, their frontier; a configuration lies above it by a height
    that its seeds share, exponential with mean and sd ``sd(tuning)`` (a stochastic frontier:
    Meeusen and van den Broeck 1977, Int. Economic Review 18; Aigner, Lovell and Schmidt 1977).
    Log loss is parabolic about its optimum, so two log hyper-parameters that miss theirs by normal
    amounts lose just so. The height is integrated out: with S the covariance of a cell's residuals
    r, ``b = 1'S^-1 1``, s the mean height and ``t = 1'S^-1 r / sqrt(b) - 1 / (s sqrt(b))``, the
    density is the normal's times ``Phi(t) exp(t^2 / 2) sqrt(2 pi) / (s sqrt(b))``.

    Step Law's 1,579 converged dense runs (17 grids of N and D, rates by batches) tell the shape:
    log loss above the grid's best has mean and sd 0.006 and 0.005 where rate and batch are within
    twice the best, 0.015 and 0.016 within four times, 0.027 and 0.028 over whole grids, and its
    quantiles correlate with an exponential's by 0.99 and with a half-normal's by 0.96 to 0.97. The
    prior's scale of 0.05 holds all of these.
    """

    name: str = "frontier"

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        about = (
            "mean that configurations lose in log loss for want of tuning; 0.006 where rate and"
            " batch are within twice the best, 0.03 over whole grids of them (Step Law)"
        )
        return (noise_parameter("sd(tuning)", "HalfNormal(0.05)", about),)

    def log_density(self, values: Mapping[str, Array], cell: CellSums, xp: Any) -> Array:
        root = xp.sqrt(xp.where(cell.weight > 0, cell.weight, 1.0))
        reach = values["sd(tuning)"] * root  # in sds of the cell's mean
        lifted = log_lift(cell.pull / root - 1.0 / reach, xp)
        normal = NormalTail().log_density(values, cell, xp)
        return normal + lifted - xp.log(reach) + 0.5 * np.log(0.5 * np.pi)

    def mixing(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        return np.ones(shape)

    def height(self, values: Mapping[str, Array], rng: np.random.Generator, shape: tuple) -> Array:
        return np.broadcast_to(values["sd(tuning)"], shape) * rng.standard_exponential(shape)

    def height_moments(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        return values["sd(tuning)"], values["sd(tuning)"] ** 2

    @staticmethod
    def log_spread(values: Mapping[str, Array], xp: Any) -> Array:
        """Log sd of one run about the law, its configuration's deviation and height counted in."""
        cell = values["sd(cell)"] ** 2 if "sd(cell)" in values else 0.0
        return 0.5 * xp.log(values["sigma"] ** 2 + cell + values["sd(tuning)"] ** 2)


def log_lift(t: Array, xp: Any) -> Array:
    """Log of ``2 Phi(t) exp(t^2 / 2)``, Phi the normal distribution; exact far out, slopes too.

    Below -8 by Laplace's continued fraction of Mills' ratio.

    Examples
    --------
    >>> log_lift(np.array([0.0, -1e6, 40.0]), np).round(4).tolist()
    [0.0, -14.0413, 800.6931]
    """
    if xp is np:
        from scipy.special import erfc
    else:
        from jax.scipy.special import erfc
    near = xp.maximum(t, -_FAR)
    far = xp.maximum(-t, _FAR)
    fraction = far
    for k in range(_DEPTH, 0, -1):
        fraction = far + k / fraction
    below = 0.5 * np.log(2.0 / np.pi) - xp.log(fraction)
    return xp.where(t < -_FAR, below, 0.5 * near**2 + xp.log(erfc(-near * np.sqrt(0.5))))
