"""The functions that formulas may call: how each is computed and set.

One table. Every entry works on numpy and jax arrays alike and has finite derivatives wherever it
has a finite value, so that a new function is one line here and is then known to the parser, to
LaTeX and to the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Function:
    """A function of formulas.

    Attributes
    ----------
    arity : int
        How many arguments it takes.
    compute : callable
        ``compute(xp, *arguments)``, xp being numpy or jax.numpy.
    latex : str
        How a call is set, with ``{0}`` for the arguments.
    """

    arity: int
    compute: Callable[..., Array]
    latex: str


def _named(name: str) -> Callable[..., Array]:
    return lambda xp, *arguments: getattr(xp, name)(*arguments)


def _softplus(xp: ModuleType, x: Array) -> Array:
    return xp.logaddexp(0.0, x)


def _sigmoid(xp: ModuleType, x: Array) -> Array:
    return xp.exp(-_softplus(xp, -x))


def _logit(xp: ModuleType, p: Array) -> Array:
    return xp.log(p) - xp.log1p(-p)


def _inverse_cloglog(xp: ModuleType, x: Array) -> Array:
    return -xp.expm1(-xp.exp(x))


def _lgamma(xp: ModuleType, x: Array) -> Array:
    if xp is np:
        from scipy.special import gammaln
    else:
        from jax.scipy.special import gammaln
    return gammaln(x)


def _call(command: str) -> str:
    return rf"{command}\left({{0}}\right)"


FUNCTIONS: dict[str, Function] = {
    "exp": Function(1, _named("exp"), _call(r"\exp")),
    "log": Function(1, _named("log"), _call(r"\log")),
    "log10": Function(1, _named("log10"), _call(r"\log_{{10}}")),
    "log2": Function(1, _named("log2"), _call(r"\log_{{2}}")),
    "sqrt": Function(1, _named("sqrt"), r"\sqrt{{{0}}}"),
    "abs": Function(1, _named("abs"), r"\left|{0}\right|"),
    "minimum": Function(2, _named("minimum"), _call(r"\min")),
    "maximum": Function(2, _named("maximum"), _call(r"\max")),
    "log1p": Function(1, _named("log1p"), _call(r"\operatorname{{log1p}}")),
    "expm1": Function(1, _named("expm1"), _call(r"\operatorname{{expm1}}")),
    "tanh": Function(1, _named("tanh"), _call(r"\tanh")),
    "softplus": Function(1, _softplus, _call(r"\operatorname{{softplus}}")),
    "sigmoid": Function(1, _sigmoid, _call(r"\operatorname{{sigmoid}}")),
    "logit": Function(1, _logit, _call(r"\operatorname{{logit}}")),
    "inv_cloglog": Function(1, _inverse_cloglog, _call(r"\operatorname{{cloglog}}^{{-1}}")),
    "lgamma": Function(1, _lgamma, _call(r"\log\Gamma")),
}
