"""How runs scatter about a law: one interface over logs, levels, rates and counts.

The law gives a place on the link's line (bent there, where it bends); a likelihood gives the
density of what was observed about it, and draws of what a new run would show. On the line itself
runs scatter by `noise.Noise`: normal or Student-t, with repeated cells and measured errors. Rates
may scatter by a beta, counts by a binomial, a beta-binomial or a negative binomial; there ``sigma``
is the deviation of a run's own rate along the line, and rows that repeat a configuration are
independent about the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from bayescale.gammas import gammaln, log_gamma, log_rise
from bayescale.links import LINKS, RATES, Link, RateLink
from bayescale.noise import (
    SCALES,
    Noise,
    NoiseParameter,
    build_noise,
    noise_parameter,
)
from bayescale.responses import CONTINUOUS, Response

Array = Any
Values = Mapping[str, Array]


class Drawn(NamedTuple):
    """Responses and their logs, NaN or minus infinity where a response is not positive."""

    value: np.ndarray
    log: np.ndarray


class Likelihood(Protocol):
    """The density of observations about the law, and draws of new ones.

    `values` hold the parameters, `line` the law's place, `rows` what is known of every row
    (``trials``, ``se2``, ...), `unit` the typical response.
    """

    @property
    def link(self) -> Link: ...

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]: ...

    def observe(self, response: np.ndarray, trials: np.ndarray | None, unit: float) -> np.ndarray:
        """What the density is of, from the table's responses."""
        ...

    def places(self, observed: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where observations lie on the line, counts of none and all drawn inwards."""
        ...

    def log_measure(self, response: np.ndarray, unit: float) -> np.ndarray:
        """What turns the density's log into that of log response.

        Of the response itself, where it may be negative; of counts, nothing.
        """
        ...

    def cell_log_density(
        self, values: Values, line: Array, observed: Array, mask: Array, rows: Mapping, xp: Any
    ) -> Array:
        """Log density of every cell: line (..., cells), observed and mask (..., cells, seeds)."""
        ...

    def draw(
        self, values: Values, line: Array, rows: Mapping, unit: float, rng: np.random.Generator
    ) -> Drawn:
        """What new runs would show, each in a configuration of its own."""
        ...


@dataclass(frozen=True)
class OnLine:
    """Deviations on the link's line: the log of a loss, the logit of a rate."""

    link: Link
    noise: Noise

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return self.noise.parameters

    def observe(self, response: np.ndarray, trials: np.ndarray | None, unit: float) -> np.ndarray:
        return self.link.line(response, unit, np)

    def places(self, observed: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        return observed

    def log_measure(self, response: np.ndarray, unit: float) -> np.ndarray:
        slope = np.log(self.link.gain(response, unit))
        if self.link.support[0] < 0:
            return -slope
        return np.log(response) - slope

    def cell_log_density(
        self, values: Values, line: Array, observed: Array, mask: Array, rows: Mapping, xp: Any
    ) -> Array:
        return self.noise.cell_log_density(values, observed - line[..., None], mask, rows, xp)

    def draw(
        self, values: Values, line: Array, rows: Mapping, unit: float, rng: np.random.Generator
    ) -> Drawn:
        moved = line + self.noise.draw(values, rows, rng, line.shape)
        return Drawn(self.link.value(moved, unit, np), self.link.log_value(moved, unit, np))


def _sigma(prior: str, about: str) -> NoiseParameter:
    return noise_parameter("sigma", prior, about)


_RATE_SIGMA = _sigma(
    SCALES["logit"].run,
    "scale of a run's deviation on the link's line, beyond the chance of counting",
)


_MOST_LOG_SIZE = 60.0  # a beta so narrow that it is none


def _sum_rows(log_density: Array, mask: Array, xp: Any) -> Array:
    return xp.sum(xp.where(mask > 0, log_density, 0.0), axis=-1)


def _beta_parameters(link: RateLink, sigma: Array, line: Array, xp: Any) -> tuple[Array, Array]:
    """Both shapes of a beta whose mean is at `line` and whose sd is `sigma` along the line.

    To first order: with v = (sigma dp/dline)^2 / (p (1 - p)) the variance is p (1 - p) v / (1 + v).
    """
    log_rate, log_rest = link.log_value(line, 1.0, xp), link.log_rest(line, xp)
    log_size = log_rate + log_rest - 2.0 * (xp.log(sigma) + link.log_gain(line, xp))
    log_size = xp.minimum(log_size, _MOST_LOG_SIZE)
    return xp.exp(log_size + log_rate), xp.exp(log_size + log_rest)


@dataclass(frozen=True)
class BetaRates:
    """Rates between 0 and 1 that are no counts: a beta about the law."""

    link: RateLink

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return (_RATE_SIGMA,)

    def observe(self, response: np.ndarray, trials: np.ndarray | None, unit: float) -> np.ndarray:
        return np.asarray(response, float)

    def places(self, observed: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.link.line(observed, 1.0, np)

    def log_measure(self, response: np.ndarray, unit: float) -> np.ndarray:
        return np.log(response)

    def cell_log_density(
        self, values: Values, line: Array, observed: Array, mask: Array, rows: Mapping, xp: Any
    ) -> Array:
        a, b = _beta_parameters(self.link, values["sigma"], line[..., None], xp)
        density = log_gamma(a + b, xp) - log_gamma(a, xp) - log_gamma(b, xp)
        density = density + (a - 1.0) * xp.log(observed) + (b - 1.0) * xp.log1p(-observed)
        return _sum_rows(density, mask, xp)

    def draw(
        self, values: Values, line: Array, rows: Mapping, unit: float, rng: np.random.Generator
    ) -> Drawn:
        a, b = _beta_parameters(self.link, values["sigma"], line, np)
        rate = rng.beta(*np.broadcast_arrays(a, b))
        return Drawn(rate, _log(rate))


@dataclass(frozen=True)
class Counts:
    """Successes in a stated number of trials: binomial, or beta-binomial where runs differ."""

    link: RateLink
    overdispersed: bool = False

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return (_RATE_SIGMA,) if self.overdispersed else ()

    def observe(self, response: np.ndarray, trials: np.ndarray | None, unit: float) -> np.ndarray:
        assert trials is not None
        return np.round(response * trials)

    def places(self, observed: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.link.line((observed + 0.5) / (rows["trials"] + 1.0), 1.0, np)

    def log_measure(self, response: np.ndarray, unit: float) -> np.ndarray:
        return np.zeros(np.shape(response))

    def cell_log_density(
        self, values: Values, line: Array, observed: Array, mask: Array, rows: Mapping, xp: Any
    ) -> Array:
        missed, line = rows["trials"] - observed, line[..., None]
        density = observed * self.link.log_value(line, 1.0, xp)
        density = density + missed * self.link.log_rest(line, xp)
        if self.overdispersed:
            a, b = _beta_parameters(self.link, values["sigma"], line, xp)
            density = density + log_rise(a, observed, xp) + log_rise(b, missed, xp)
            density = density - log_rise(a + b, rows["trials"], xp)
        return _sum_rows(density + rows["log_ways"], mask, xp)

    def draw(
        self, values: Values, line: Array, rows: Mapping, unit: float, rng: np.random.Generator
    ) -> Drawn:
        rate = self.link.value(line, unit, np)
        if self.overdispersed:
            a, b = _beta_parameters(self.link, values["sigma"], line, np)
            rate = rng.beta(*np.broadcast_arrays(a, b))
        trials = np.asarray(rows["trials"])
        safe = np.where(np.isfinite(rate), rate, 0.0)
        drawn = np.where(np.isfinite(rate), rng.binomial(trials.astype(np.int64), safe), np.nan)
        return Drawn(drawn / trials, _log(drawn / trials))


_COUNT_SIGMA = _sigma(
    "LogNormal(log(0.1), 1.0)",
    "relative sd of a run's own mean, beyond the chance of counting",
)


@dataclass(frozen=True)
class OverdispersedCounts:
    """Counts without a number of trials, about the law's mean: a negative binomial."""

    link: Link

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return (_COUNT_SIGMA,)

    def observe(self, response: np.ndarray, trials: np.ndarray | None, unit: float) -> np.ndarray:
        return np.round(response)

    def places(self, observed: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.log(observed + 0.5)

    def log_measure(self, response: np.ndarray, unit: float) -> np.ndarray:
        return np.zeros(np.shape(response))

    def cell_log_density(
        self, values: Values, line: Array, observed: Array, mask: Array, rows: Mapping, xp: Any
    ) -> Array:
        log_size, line = -2.0 * xp.log(values["sigma"]), line[..., None]
        log_size = xp.minimum(log_size, _MOST_LOG_SIZE)
        size, excess = xp.exp(log_size), xp.logaddexp(0.0, line - log_size)
        density = log_rise(size, observed, xp) + observed * line - (observed + size) * excess
        density = density + rows["log_ways"]
        return _sum_rows(density, mask, xp)

    def draw(
        self, values: Values, line: Array, rows: Mapping, unit: float, rng: np.random.Generator
    ) -> Drawn:
        size = np.broadcast_to(values["sigma"] ** -2.0, line.shape)
        mean = np.exp(line) * rng.gamma(size) / size
        safe = np.minimum(np.where(np.isfinite(mean), mean, 0.0), 1e18)
        drawn = np.where(np.isfinite(mean), rng.poisson(safe), np.nan)
        return Drawn(drawn, _log(drawn))


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log(values)


def log_ways(likelihood: Likelihood, observed: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
    """The part of a count's log probability that no parameter changes."""
    if isinstance(likelihood, Counts):
        assert trials is not None
        both = gammaln(observed + 1.0, np) + gammaln(trials - observed + 1.0, np)
        return gammaln(trials + 1.0, np) - both
    return -gammaln(observed + 1.0, np)


def build_likelihood(
    response: Response, *, repeated: bool, measured: bool, serial: bool = False
) -> Likelihood:
    """The likelihood that a response names.

    Parameters
    ----------
    response : Response
    repeated, measured : bool
        Whether some configurations are repeated and every row has a standard error; on the
        link's line these are parts of the scatter.
    serial : bool
        Whether rows are runs' checkpoints; on the link's line alone.
    """
    name = response.likelihood
    if name in CONTINUOUS:
        noise = build_noise(
            name, repeated=repeated, measured=measured, serial=serial, link=response.link
        )
        return OnLine(LINKS[response.link], noise)
    if name == "negative-binomial":
        return OverdispersedCounts(LINKS[response.link])
    link = RATES[response.link]
    return BetaRates(link) if name == "beta" else Counts(link, name == "beta-binomial")
