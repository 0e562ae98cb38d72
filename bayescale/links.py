"""Links: the line on which runs scatter about a law, and on which laws bend.

A response and the law's value stand in the card's unit (a loss, an error rate, a probability). Both
are carried to a line, where a deviation means the same anywhere: the log of a loss, the logit of a
rate. `unit` is the typical response of the runs, which the identity link alone needs: deviations
there are shares of it, so that priors of scatter have no unit.

Every function works on numpy and jax arrays alike (`xp`). Outside a link's support the line is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Array = Any

_LEAST, _MOST = 1e-290, 1.0 - 2.0**-53  # rates are kept off 0 and 1, whose line has no end


class Link(Protocol):
    """One way from the response to the line and back."""

    @property
    def name(self) -> str: ...

    @property
    def support(self) -> tuple[float, float]:
        """Open interval of the responses that have a place on the line."""
        ...

    def line(self, value: Array, unit: Array, xp: Any) -> Array:
        """Place of a response on the line."""
        ...

    def value(self, line: Array, unit: Array, xp: Any) -> Array:
        """The response at a place on the line."""
        ...

    def log_value(self, line: Array, unit: Array, xp: Any) -> Array:
        """Log of the response at a place on the line; NaN where it is not positive."""
        ...

    def gain(self, value: Array, unit: Array) -> np.ndarray:
        """How fast the response moves along the line, d value / d line."""
        ...

    def words(self, column: str) -> str:
        """What the line is called."""
        ...


@dataclass(frozen=True)
class Log:
    """Positive responses: a deviation of 0.01 is one per cent."""

    name: str = "log"
    support: tuple[float, float] = (0.0, np.inf)

    def line(self, value: Array, unit: Array, xp: Any) -> Array:
        return xp.log(value)

    def value(self, line: Array, unit: Array, xp: Any) -> Array:
        return xp.exp(line)

    def log_value(self, line: Array, unit: Array, xp: Any) -> Array:
        return line

    def gain(self, value: Array, unit: Array) -> np.ndarray:
        return np.asarray(value)

    def words(self, column: str) -> str:
        return f"log {column}"


@dataclass(frozen=True)
class Identity:
    """Responses of any sign: a deviation of 0.01 is one per cent of the typical response."""

    name: str = "identity"
    support: tuple[float, float] = (-np.inf, np.inf)

    def line(self, value: Array, unit: Array, xp: Any) -> Array:
        return value / unit

    def value(self, line: Array, unit: Array, xp: Any) -> Array:
        return line * unit

    def log_value(self, line: Array, unit: Array, xp: Any) -> Array:
        with np.errstate(all="ignore"):
            return xp.log(line * unit)

    def gain(self, value: Array, unit: Array) -> np.ndarray:
        return np.ones_like(np.asarray(value, float)) * unit

    def words(self, column: str) -> str:
        return f"{column} / typical {column}"


class RateLink(Link, Protocol):
    """A link of rates, which also gives a rate's logarithms without rounding."""

    def log_rest(self, line: Array, xp: Any) -> Array:
        """Log of 1 - rate."""
        ...

    def log_gain(self, line: Array, xp: Any) -> Array:
        """Log of how fast the rate moves along the line."""
        ...


def _rate(value: Array, xp: Any) -> Array:
    """A rate off the ends; NaN for what is no rate."""
    kept = xp.minimum(xp.maximum(value, _LEAST), _MOST)
    return xp.where((value >= 0.0) & (value <= 1.0), kept, np.nan)


@dataclass(frozen=True)
class Logit:
    """Rates, symmetric: the log odds."""

    name: str = "logit"
    support: tuple[float, float] = (0.0, 1.0)

    def line(self, value: Array, unit: Array, xp: Any) -> Array:
        rate = _rate(value, xp)
        return xp.log(rate) - xp.log1p(-rate)

    def value(self, line: Array, unit: Array, xp: Any) -> Array:
        return xp.exp(-xp.logaddexp(0.0, -line))

    def log_value(self, line: Array, unit: Array, xp: Any) -> Array:
        return -xp.logaddexp(0.0, -line)

    def log_rest(self, line: Array, xp: Any) -> Array:
        return -xp.logaddexp(0.0, line)

    def log_gain(self, line: Array, xp: Any) -> Array:
        return self.log_value(line, 1.0, xp) + self.log_rest(line, xp)

    def gain(self, value: Array, unit: Array) -> np.ndarray:
        return np.asarray(value * (1.0 - value))

    def words(self, column: str) -> str:
        return f"logit of {column}"


@dataclass(frozen=True)
class Cloglog:
    """Rates of at least one success: log(-log(1 - rate)), the log of a hazard."""

    name: str = "cloglog"
    support: tuple[float, float] = (0.0, 1.0)

    def line(self, value: Array, unit: Array, xp: Any) -> Array:
        return xp.log(-xp.log1p(-_rate(value, xp)))

    def value(self, line: Array, unit: Array, xp: Any) -> Array:
        return -xp.expm1(-xp.exp(line))

    def log_value(self, line: Array, unit: Array, xp: Any) -> Array:
        return _log_of_complement(line, xp)

    def log_rest(self, line: Array, xp: Any) -> Array:
        return -xp.exp(line)

    def log_gain(self, line: Array, xp: Any) -> Array:
        return line - xp.exp(line)

    def gain(self, value: Array, unit: Array) -> np.ndarray:
        return np.asarray(-(1.0 - value) * np.log1p(-value))

    def words(self, column: str) -> str:
        return f"cloglog of {column}"


@dataclass(frozen=True)
class Loglog:
    """Rates whose log is a power law: log(-log(rate)), the cloglog of what is missed."""

    name: str = "loglog"
    support: tuple[float, float] = (0.0, 1.0)

    def line(self, value: Array, unit: Array, xp: Any) -> Array:
        return xp.log(-xp.log(_rate(value, xp)))

    def value(self, line: Array, unit: Array, xp: Any) -> Array:
        return xp.exp(-xp.exp(line))

    def log_value(self, line: Array, unit: Array, xp: Any) -> Array:
        return -xp.exp(line)

    def log_rest(self, line: Array, xp: Any) -> Array:
        return _log_of_complement(line, xp)

    def log_gain(self, line: Array, xp: Any) -> Array:
        return line - xp.exp(line)

    def gain(self, value: Array, unit: Array) -> np.ndarray:
        return np.asarray(-value * np.log(value))

    def words(self, column: str) -> str:
        return f"log(-log({column}))"


def _log_of_complement(line: Array, xp: Any) -> Array:
    """Log(1 - exp(-exp(line))); the line itself where the exponential is too small to tell."""
    safe = xp.maximum(line, -30.0)
    return xp.where(line < -30.0, line, xp.log(-xp.expm1(-xp.exp(safe))))


LINKS: dict[str, Link] = {
    link.name: link for link in (Log(), Identity(), Logit(), Cloglog(), Loglog())
}
RATES: dict[str, RateLink] = {link.name: link for link in (Logit(), Cloglog(), Loglog())}
