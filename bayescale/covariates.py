"""Covariates of groups: ``1 + log(width) + (1 | family)``.

A parameter's coordinate in a group is the population's, plus a slope times what the covariate is in
that group less its mean over the groups, plus the group's own effect. The slope is one more
population parameter with a stated prior: of a change of the coordinate (the log of a share or of a
positive parameter) a unit of the covariate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescale.errors import FormulaError
from bayescale.grammar import nearest, tokens
from bayescale.priors import Prior

_GROUP = r"\( 1 \| ([A-Za-z]\w*) \)"
_LOG = r"log \( ([A-Za-z]\w*) \)"
_PLAIN = r"([A-Za-z]\w*)"
_WRITTEN = (
    'what varies is written "1" (one value for all) or "1 + (1 | family)", with one '
    "(1 | column) for each grouping column"
)
_SHAPE = re.compile(rf"1(?: \+ (?:{_GROUP}|{_LOG}|{_PLAIN}))*")


@dataclass(frozen=True)
class Covariate:
    """A column that has one value in every group, or its logarithm."""

    column: str
    log: bool = False

    @property
    def text(self) -> str:
        """As a card writes it."""
        return f"log({self.column})" if self.log else self.column

    def of(self, values: Any) -> np.ndarray:
        """The covariate at values of the column."""
        values = np.asarray(values, dtype=float)
        return np.log(values) if self.log else values


@dataclass(frozen=True)
class Slope:
    """How fast a parameter's coordinate changes with a covariate: a population parameter."""

    name: str
    of: str
    covariate: Covariate
    prior: Prior
    group_sd: Prior
    about: str
    pooling: str = "partial"
    varies: tuple[str, ...] = ()


def read_terms(text: str) -> tuple[tuple[str, ...], tuple[Covariate, ...]]:
    """Read what varies into its grouping columns and its covariates.

    Raises
    ------
    FormulaError
        For anything that is not an intercept, covariates and grouping columns.

    Examples
    --------
    >>> groups, covariates = read_terms("1 + log(width) + (1 | family)")
    >>> groups, [c.text for c in covariates]
    (('family',), ['log(width)'])
    """
    pieces = [token.text for token in tokens(text)]
    shape = " ".join(pieces).strip()
    if not _SHAPE.fullmatch(shape):
        raise FormulaError(f"{_WRITTEN}, and perhaps columns that a group has one value of", text)
    groups: list[str] = []
    covariates: list[Covariate] = []
    for group, logged, plain in re.findall(rf"\+ (?:{_GROUP}|{_LOG}|{_PLAIN})", shape):
        if group:
            groups.append(group)
        else:
            covariates.append(Covariate(logged or plain, bool(logged)))
    if len(set(groups)) != len(groups):
        raise FormulaError("a grouping column is named twice", text)
    if len(set(covariates)) != len(covariates):
        raise FormulaError("a covariate is named twice", text)
    if covariates and not groups:
        known = covariates[0].text
        remedy = f"{known} tells groups apart, and there is none: 1 + {known} + (1 | family)"
        raise FormulaError(f"{_WRITTEN}; {remedy}", text)
    return tuple(groups), tuple(covariates)


def read_slopes(
    name: str, covariates: tuple[Covariate, ...], priors: Mapping[str, str], group_sd: Prior
) -> tuple[Slope, ...]:
    """The slopes of a parameter, whose priors a card may give: ``{"log(width)": "Normal(0, 1)"}``.

    Without one, a factor e of a column moves the coordinate by a normal of the groups' own prior
    scale. A column that enters as it is has a unit, and needs a prior in it.
    """
    known = [c.text for c in covariates]
    for text in priors:
        if text not in known:
            raise FormulaError(
                f"{name} has no covariate {text!r}.{nearest(text, known)} It has: "
                f"{', '.join(known) or 'none'}",
                text,
            )
    slopes = []
    for covariate in covariates:
        text = covariate.text
        if text not in priors and not covariate.log:
            raise FormulaError(
                f"say how far {name} may move a unit of {text}: "
                f'slopes = {{ "{text}" = "Normal(0, 0.1)" }}',
                text,
            )
        prior = Prior.parse(priors.get(text, f"Normal(0, {group_sd.args[0]:g})"))
        about = f"change of {name}'s coordinate a unit of {text} between groups"
        slopes.append(Slope(f"slope({name}, {text})", name, covariate, prior, group_sd, about))
    return tuple(slopes)


def without_slopes(keys: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's keys in a card, less priors of slopes that it no longer has."""
    kept = dict(keys)
    if "slopes" in kept:
        _, covariates = read_terms(kept.get("varies", "1"))
        known = {c.text for c in covariates}
        kept["slopes"] = {k: v for k, v in kept["slopes"].items() if k in known}
    return kept
