"""Law discrepancy: the law bends, and errs more the further out one looks.

No law is exactly true. In log loss, what it misses is taken to be smooth: along each of the law's
variables, and along the sum and the difference of every two of them (all in decades), it has a
curvature that wanders without memory, an integrated random walk that starts flat at the middle of
the group's runs. Its scale ``sd(bend)`` is learnt with everything else, from a prior that other
data sets gave; the walk beyond the data is drawn afresh in every prediction, so that its spread
grows with the distance to the power 3/2.

Inside the data a walk is a handful of weights on the leading eigenvectors of its covariance at the
runs (Nystrom); what those leave out is drawn with the predictions. Kennedy and O'Hagan (2001) set
a Gaussian process beside a model in this way; the walk is that of smoothing splines (Wahba 1978).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bayescale.noise import NoiseParameter
from bayescale.priors import Prior

Array = Any

WEIGHTS = 10
SCALE = "sd(bend)"
_JITTER = 1e-10
_UNIT, _HALF = Prior.parse("Normal(0, 1)"), Prior.parse("HalfNormal(1)")


@dataclass(frozen=True)
class Weight:
    """A weight of the walk, of each group its own: a standard normal."""

    name: str
    varies: tuple[str, ...]
    prior: Prior = _UNIT
    group_sd: Prior = _HALF
    about: str = "weight of a bend"
    pooling: str = "none"


@dataclass(frozen=True)
class Bend:
    """The discrepancy's parameters and what they do to log loss.

    Parameters
    ----------
    groups : tuple of str
        The grouping column whose levels bend apart; empty where nothing is grouped.
    """

    groups: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[NoiseParameter | Weight, ...]:
        scale = NoiseParameter(
            SCALE,
            Prior.parse("LogNormal(log(0.05), 0.7)"),
            "how fast the law bends: sd of its slope in log loss after one decade",
            Prior.parse("HalfNormal(0.3)"),
        )
        return (scale, *(Weight(weight_name(k), self.groups) for k in range(WEIGHTS)))

    def deviation(self, values: Mapping[str, Array], columns: Mapping[str, Array]) -> Array:
        """Log loss above the law's (..., groups, cells), at weights (..., groups)."""
        bent = sum(
            values[weight_name(k)][..., None] * columns[weight_name(k)] for k in range(WEIGHTS)
        )
        return values[SCALE][..., None] * bent


def weight_name(k: int) -> str:
    """Name of a weight, and of the column that it multiplies."""
    return f"bend {k + 1}"


def is_weight(name: str) -> bool:
    """Whether a parameter is one of the weights, which mean nothing by themselves."""
    return name.startswith("bend ")


def directions(decades: np.ndarray) -> np.ndarray:
    """Places along every direction (rows, directions) from places (rows, variables)."""
    columns = list(decades.T)
    pairs = combinations(range(len(columns)), 2)
    for i, j in pairs:
        columns += [
            (decades[:, i] + decades[:, j]) / np.sqrt(2.0),
            (decades[:, i] - decades[:, j]) / np.sqrt(2.0),
        ]
    return np.stack(columns, axis=1)


def covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Covariance of walks of unit scale between places (n, directions) and (m, directions).

    Examples
    --------
    >>> one_decade = np.array([[1.0]])
    >>> round(float(covariance(one_decade, one_decade)[0, 0]), 4)    # 1/3: sd 0.58 at unit scale
    0.3333
    """
    a, b = np.abs(one)[:, None], np.abs(other)[None, :]
    near, far = np.minimum(a, b), np.maximum(a, b)
    same = one[:, None] * other[None, :] > 0
    return np.sum(np.where(same, near**2 * (3.0 * far - near) / 6.0, 0.0), axis=-1)


@dataclass(frozen=True)
class Walk:
    """The walk of one group: where its runs are, and the weights' places among them.

    Attributes
    ----------
    middle : array, shape (variables,)
        Mean log10 of the runs' columns.
    at : array, shape (runs, directions)
    loading : array, shape (runs, WEIGHTS)
        From covariances with the runs to what each weight does.
    """

    middle: np.ndarray
    at: np.ndarray
    loading: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray) -> Walk:
        """The walk of a group whose runs have these columns, (runs, variables)."""
        decades = np.log10(columns)
        middle = decades.mean(axis=0)
        at = np.unique(directions(decades - middle), axis=0)
        size, vectors = np.linalg.eigh(covariance(at, at))
        size, vectors = size[::-1][:WEIGHTS], vectors[:, ::-1][:, :WEIGHTS]
        kept = size > 1e-8 * max(float(size.max()), 1e-12)
        loading = np.zeros((len(at), WEIGHTS))
        loading[:, : len(size)][:, kept] = vectors[:, kept] / np.sqrt(size[kept])
        return cls(middle, at, loading)

    def places(self, columns: np.ndarray) -> np.ndarray:
        """Places (rows, directions) of rows of columns (rows, variables)."""
        return directions(np.log10(columns) - self.middle)

    def features(self, columns: np.ndarray) -> np.ndarray:
        """What each weight does at rows, (rows, WEIGHTS)."""
        return covariance(self.places(columns), self.at) @ self.loading

    def draw(
        self, columns: np.ndarray, weights: np.ndarray | None, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Walks of unit scale (size, rows), joint over rows, given weights (size, WEIGHTS).

        Without weights, of a group that was never seen.
        """
        at = self.places(columns)
        left = covariance(at, at)
        known = np.zeros((size, len(at)))
        if weights is not None:
            features = self.features(columns)
            left = left - features @ features.T
            known = weights @ features.T
        values, vectors = np.linalg.eigh(0.5 * (left + left.T))
        root = vectors * np.sqrt(np.maximum(values, _JITTER))
        return known + rng.standard_normal((size, len(at))) @ root.T


def walks(groups: Sequence[np.ndarray]) -> tuple[Walk, ...]:
    """The walk of every group, from its rows' columns (rows, variables)."""
    return tuple(Walk.of(columns) for columns in groups)
