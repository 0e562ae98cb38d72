"""Law discrepancy: the law bends, and errs more the further out one looks.

No law is exactly true. In the log of what the loss has above the law's floor (of the whole loss,
where the law has none), what it misses is taken to be smooth: along each of the law's variables,
and along the sum and the difference of every two of them (all in decades), it has a curvature that
wanders without memory, an integrated random walk that starts flat at the middle of the group's runs
(with four variables or more, along each alone). So a law that misses small models by 3% misses
large ones, nearer to the floor, by less, and no bend leads below the floor. The scale ``sd(bend)``
is learnt with everything else, from a prior that other data sets gave; beyond the data the walk is
drawn afresh, so that its spread grows with the distance to the power 3/2.

Inside the data a walk is a handful of weights on the leading eigenvectors of its covariance at the
runs (Nystrom); what those leave out is drawn with the predictions. Kennedy and O'Hagan (2001) set
a Gaussian process beside a model in this way; the walk is that of smoothing splines (Wahba 1978).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayescale.priors import Prior
from bayescale.walks import WEIGHTS

Array = Any

BEND = "bend"
SCALE = "sd(bend)"
PRIOR = "LogNormal(log(0.15), 1.0)"
_NEAR = Prior.parse("Normal(0, 0.05)")


@dataclass(frozen=True)
class Weight:
    """A weight of the walk, of each group its own, normal with the sd that all weights share."""

    name: str
    varies: tuple[str, ...]
    group_sd: Prior
    prior: Prior = _NEAR  # where starts look; the population has no weights
    about: str = "how fast the law bends: sd of its slope after one decade, in log loss above floor"
    pooling: str = "none"


@dataclass(frozen=True)
class Bend:
    """The discrepancy's parameters and what they do to the law.

    Parameters
    ----------
    groups : tuple of str
        The grouping column whose levels bend apart; an empty name where all bend alike.
    floor : str, optional
        The law's parameter that bends leave as it is.
    """

    groups: tuple[str, ...]
    floor: str | None = None

    @property
    def parameters(self) -> tuple[Weight, ...]:
        scale = Prior.parse(PRIOR)
        return tuple(Weight(weight_name(k), self.groups, scale) for k in range(WEIGHTS))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the weights multiply."""
        return tuple(weight_name(k) for k in range(WEIGHTS))

    def deviation(self, values: Mapping[str, Array], columns: Mapping[str, Array]) -> Array:
        """How far the law is bent (..., groups, cells), at weights (..., groups)."""
        return sum(
            values[weight_name(k)][..., None] * columns[weight_name(k)] for k in range(WEIGHTS)
        )


def weight_name(k: int) -> str:
    """Name of a weight, and of the column that it multiplies."""
    return f"bend {k + 1}"


def is_weight(name: str) -> bool:
    """Whether a parameter is one of the weights, which mean nothing by themselves."""
    return name.startswith("bend ")
