"""Priors as text: `LogNormal(log(0.35), 0.4)`, `2 + Gamma(2, 0.1)`, read, checked and usable.

scipy gives quantiles and draws, NumPyro the traceable density; both are imported when needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayescale.errors import FormulaError
from bayescale.formula import constant
from bayescale.grammar import FUNCTIONS, Binary, Call, Minus, Node, Parser, nearest

if TYPE_CHECKING:
    from numpyro.distributions import Distribution

_REAL, _POSITIVE = (-math.inf, math.inf), (0.0, math.inf)


@dataclass(frozen=True)
class _Family:
    """How one family of distributions is written, checked and built."""

    signature: tuple[str, ...]
    positive: tuple[str, ...]
    support: Callable[..., tuple[float, float]]
    scipy: Callable[..., Any]
    numpyro: Callable[..., Any]
    optional: tuple[tuple[str, float], ...] = ()


def _truncated(stats: Any, loc: float, scale: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)


def _truncated_numpyro(d: Any, loc: float, scale: float, low: float, high: float) -> Any:
    ends = {"low": low, "high": high}
    return d.TruncatedNormal(loc, scale, **{k: v for k, v in ends.items() if math.isfinite(v)})


FAMILIES: dict[str, _Family] = {
    "Normal": _Family(
        ("loc", "scale"),
        ("scale",),
        lambda *_: _REAL,
        lambda s, loc, scale: s.norm(loc, scale),
        lambda d, loc, scale: d.Normal(loc, scale),
    ),
    "LogNormal": _Family(
        ("loc", "scale"),
        ("scale",),
        lambda *_: _POSITIVE,
        lambda s, loc, scale: s.lognorm(scale, scale=math.exp(loc)),
        lambda d, loc, scale: d.LogNormal(loc, scale),
    ),
    "HalfNormal": _Family(
        ("scale",),
        ("scale",),
        lambda *_: _POSITIVE,
        lambda s, scale: s.halfnorm(scale=scale),
        lambda d, scale: d.HalfNormal(scale),
    ),
    "Gamma": _Family(
        ("shape", "rate"),
        ("shape", "rate"),
        lambda *_: _POSITIVE,
        lambda s, shape, rate: s.gamma(shape, scale=1 / rate),
        lambda d, shape, rate: d.Gamma(shape, rate),
    ),
    "Beta": _Family(
        ("a", "b"),
        ("a", "b"),
        lambda *_: (0.0, 1.0),
        lambda s, a, b: s.beta(a, b),
        lambda d, a, b: d.Beta(a, b),
    ),
    "Uniform": _Family(
        ("low", "high"),
        (),
        lambda low, high: (low, high),
        lambda s, low, high: s.uniform(low, high - low),
        lambda d, low, high: d.Uniform(low, high),
    ),
    "Exponential": _Family(
        ("rate",),
        ("rate",),
        lambda *_: _POSITIVE,
        lambda s, rate: s.expon(scale=1 / rate),
        lambda d, rate: d.Exponential(rate),
    ),
    "StudentT": _Family(
        ("df", "loc", "scale"),
        ("df", "scale"),
        lambda *_: _REAL,
        lambda s, df, loc, scale: s.t(df, loc, scale),
        lambda d, df, loc, scale: d.StudentT(df, loc, scale),
    ),
    "TruncatedNormal": _Family(
        ("loc", "scale", "low", "high"),
        ("scale",),
        lambda loc, scale, low, high: (low, high),
        _truncated,
        _truncated_numpyro,
        optional=(("low", -math.inf), ("high", math.inf)),
    ),
}


def _split(tree: Node, text: str) -> tuple[Call, float]:
    """Return the distribution of `shift + Family(...)` and the shift."""
    if isinstance(tree, Call) and tree.function in FAMILIES:
        return tree, 0.0
    if isinstance(tree, Binary) and tree.symbol == "+":
        for dist, other in ((tree.left, tree.right), (tree.right, tree.left)):
            if isinstance(dist, Call) and dist.function in FAMILIES:
                _no_family(other, text)
                return dist, constant(other, text)
    raise FormulaError(
        "a prior is one distribution, or a number plus one: LogNormal(log(0.35), 0.4), "
        f"2 + Gamma(2, 0.1). Distributions: {', '.join(FAMILIES)}",
        text,
        tree.position,
    )


def _no_family(node: Node, text: str) -> None:
    if isinstance(node, Call) and node.function in FAMILIES:
        raise FormulaError("only one distribution can stand in a prior", text, node.position)
    if isinstance(node, Call):
        for child in (*node.arguments, *(value for _, value in node.keywords)):
            _no_family(child, text)
        if node.keywords:
            raise FormulaError(f"{node.function} takes no named arguments", text, node.position)
    elif isinstance(node, Binary):
        _no_family(node.left, text)
        _no_family(node.right, text)
    elif isinstance(node, Minus):
        _no_family(node.operand, text)


def _arguments(call: Call, text: str) -> dict[str, float]:
    family = FAMILIES[call.function]
    usage = f"{call.function}({', '.join(family.signature)})"
    if len(call.arguments) > len(family.signature):
        raise FormulaError(
            f"{usage} takes {len(family.signature)} arguments, not {len(call.arguments)}",
            text,
            call.arguments[len(family.signature)].position,
        )
    nodes = dict(zip(family.signature, call.arguments, strict=False))
    for key, node in call.keywords:
        if key not in family.signature:
            guess = nearest(key, family.signature)
            raise FormulaError(f"{usage} has no argument {key!r}.{guess}", text, node.position)
        if key in nodes:
            raise FormulaError(f"{usage}: {key} is given twice", text, node.position)
        nodes[key] = node
    for node in nodes.values():
        _no_family(node, text)
    values = dict(family.optional)
    values |= {key: constant(node, text) for key, node in nodes.items()}
    missing = [key for key in family.signature if key not in values]
    if missing:
        raise FormulaError(f"{usage}: {', '.join(missing)} is missing", text, call.position)
    for key in family.positive:
        if values[key] <= 0:
            raise FormulaError(
                f"{usage}: {key} must be above 0, not {values[key]:g}", text, nodes[key].position
            )
    low, high = values.get("low", -math.inf), values.get("high", math.inf)
    if low >= high:
        raise FormulaError(f"{usage}: low must be below high", text, call.position)
    return {key: values[key] for key in family.signature}


@dataclass(frozen=True)
class Prior:
    """A prior distribution, read from text.

    Attributes
    ----------
    text : str
        As written; equal texts are equal priors.
    family : str
        One of `FAMILIES`.
    args : tuple of float
        The family's arguments in their order (Gamma and Exponential by rate).
    shift : float
        Added to the variable: 2 in "2 + Gamma(2, 0.1)".

    Examples
    --------
    >>> prior = Prior.parse("LogNormal(log(0.35), 0.4)")
    >>> round(float(prior.quantile(0.5)), 3), prior.support
    (0.35, (0.0, inf))
    """

    text: str
    family: str
    args: tuple[float, ...]
    shift: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Read a prior.

        Parameters
        ----------
        text : str
            Normal(loc, scale), LogNormal(loc, scale), HalfNormal(scale), Gamma(shape, rate),
            Beta(a, b), Uniform(low, high), Exponential(rate), StudentT(df, loc, scale) or
            TruncatedNormal(loc, scale, low=, high=), with constant arithmetic as arguments,
            and perhaps a number added.

        Raises
        ------
        FormulaError
            With the position of the fault.
        """
        tree = Parser(text, (*FUNCTIONS, *FAMILIES), allowed=(), keywords=True).whole()
        call, shift = _split(tree, text)
        values = _arguments(call, text)
        return cls(text, call.function, tuple(values.values()), shift)

    @property
    def support(self) -> tuple[float, float]:
        """Lowest and highest value; infinite where there is none."""
        low, high = FAMILIES[self.family].support(*self.args)
        return low + self.shift, high + self.shift

    @cached_property
    def _scipy(self) -> Any:
        from scipy import stats

        return FAMILIES[self.family].scipy(stats, *self.args)

    def quantile(self, q: Any) -> np.ndarray:
        """Return the values below which a share `q` of the prior lies (shape of `q`)."""
        return np.asarray(self._scipy.ppf(np.asarray(q, dtype=float)) + self.shift)

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...] = ()) -> np.ndarray:
        """Draw independent values of shape `size`."""
        return np.asarray(self._scipy.rvs(size=size, random_state=rng) + self.shift)

    @property
    def mean(self) -> float:
        """The mean (NaN or infinite where there is none)."""
        return float(self._scipy.mean()) + self.shift

    @property
    def sd(self) -> float:
        """The standard deviation (NaN or infinite where there is none)."""
        return float(self._scipy.std())

    def numpyro(self) -> Distribution:
        """Return the NumPyro distribution."""
        from numpyro import distributions

        base = FAMILIES[self.family].numpyro(distributions, *self.args)
        if self.shift == 0.0:
            return base
        shift = distributions.transforms.AffineTransform(self.shift, 1.0, domain=base.support)
        return distributions.TransformedDistribution(base, shift)

    def log_prob(self, x: Any) -> Any:
        """Log density at `x`, traceable by JAX; minus infinity outside the support."""
        import jax.numpy as jnp

        low, high = self.support
        inside = (x > low) & (x < high) if math.isfinite(low) else x < high
        if not math.isfinite(low) and not math.isfinite(high):
            return self.numpyro().log_prob(x)
        # the density is asked inside only, so that its gradient is finite everywhere
        safe = jnp.where(inside, x, float(self.quantile(0.5)))
        return jnp.where(inside, self.numpyro().log_prob(safe), -jnp.inf)

    def to_real(self, x: Any, xp: ModuleType = np) -> Any:
        """Map the support onto the real line: identity, log(x - low), or a logit."""
        low, high = self.support
        if math.isfinite(low) and math.isfinite(high):
            return xp.log(x - low) - xp.log(high - x)
        if math.isfinite(low):
            return xp.log(x - low)
        return -xp.log(high - x) if math.isfinite(high) else x

    def from_real(self, z: Any, xp: ModuleType = np) -> Any:
        """Undo `to_real`."""
        low, high = self.support
        if math.isfinite(low) and math.isfinite(high):
            return low + (high - low) * xp.exp(-xp.logaddexp(0.0, -z))
        if math.isfinite(low):
            return low + xp.exp(z)
        return high - xp.exp(-z) if math.isfinite(high) else z

    def log_jacobian(self, z: Any, xp: ModuleType = np) -> Any:
        """Log of dx/dz of `from_real` (positive everywhere, as the map rises)."""
        low, high = self.support
        if math.isfinite(low) and math.isfinite(high):
            return math.log(high - low) - xp.logaddexp(0.0, z) - xp.logaddexp(0.0, -z)
        if math.isfinite(low):
            return z + 0.0
        return -z if math.isfinite(high) else z * 0.0
