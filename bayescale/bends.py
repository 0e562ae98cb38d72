"""Law discrepancy: the law bends, and errs more the further out one looks.

No law is exactly true. In the log of what the loss has above the law's floor (of the whole loss,
where the law has none), what it misses is taken to be smooth: along each of the law's variables,
and along the sum and the difference of every two of them (all in decades), it has a curvature that
wanders without memory, an integrated random walk that starts flat at the middle of the group's runs
(with four variables or more, along each alone). So a law that misses small models by 3% misses
large ones, nearer to the floor, by less, and no bend leads below the floor. Each direction has a
scale, ``sd(bend[D per N])`` that along the difference (``sd(bend)`` that of a law of one variable),
learnt with everything else from a prior that the fitted runs of public data sets gave: runs that
tell much of the ratio of tokens to parameters and little of compute leave the scale along compute
to its prior. A law of one variable, which has one direction, has the variance of four there. Beyond
the data the walk is drawn afresh, so that its spread grows with the distance to the power 3/2.

Beyond the largest runs, where a variable grows and none falls, the walk also drifts: its slope
loses a scale a decade. A law's floor that small runs tell stands too high more often than too low:
on most public ladders the larger runs come out below what the smaller foretell, by tenths of a
percent to some percent. How much was learnt across data sets, each left out in turn
(`tests/studies/backtests.py drift`). Where runs tell that the law hardly bends, it hardly drifts.
A law of one variable doesn't drift: it may be a ladder of sizes, or a curve along data, and curves
of language models flatten sooner than their beginnings foretell, if anything.

Inside the data a walk is a handful of weights on the leading eigenvectors of its covariance at the
runs (Nystrom); what those leave out is drawn with the predictions. Kennedy and O'Hagan (2001) set
a Gaussian process beside a model in this way; the walk is that of smoothing splines (Wahba 1978).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bayescale.priors import Prior
from bayescale.walks import SHARED, direction_names, weights_of

Array = Any

BEND = "bend"
SCALE = "sd(bend)"
DRIFT = -1.0  # scales a decade, of slopes beyond the largest runs, with several variables
PRIOR = "LogNormal(log(0.075), 0.95)"
PRIOR_ALONE = "LogNormal(log(0.15), 0.95)"  # one direction has what four share elsewhere
_NEAR = Prior.parse("Normal(0, 0.05)")


@dataclass(frozen=True)
class Weight:
    """A weight of the walk, of each group its own, normal with the sd that its direction has."""

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
    variables : tuple of str
        Columns of the law.
    floor : str, optional
        The law's parameter that bends leave as it is.
    one_scale : bool
        Whether all directions share a scale, as in fits from before each had its own.
    prior : str
        Of each scale.
    drift : float
        What slopes gain beyond the largest runs, in scales a decade.
    """

    groups: tuple[str, ...]
    variables: tuple[str, ...]
    floor: str | None = None
    one_scale: bool = False
    prior: str = PRIOR
    drift: float = field(default=0.0, repr=False, compare=False)  # no part in a fit

    @property
    def weights(self) -> tuple[int, ...]:
        """How many weights share each scale."""
        return (SHARED,) if self.one_scale else weights_of(len(direction_names(self.variables)))

    @property
    def scales(self) -> tuple[str, ...]:
        """Names of the scales."""
        names = direction_names(self.variables)
        single = self.one_scale or len(names) == 1
        return (SCALE,) if single else tuple(f"sd(bend[{name}])" for name in names)

    @property
    def parameters(self) -> tuple[Weight, ...]:
        scale = Prior.parse(self.prior)
        several = range(sum(self.weights))
        return tuple(Weight(weight_name(k), self.groups, scale) for k in several)

    def deviation(self, eta: Array, features: Array, xp: Any) -> Array:
        """How far the law is bent (..., groups, cells).

        At groups' coordinates (..., groups, P), the weights last; `features` (groups, cells,
        weights) are what each weight does.
        """
        weights = eta[..., eta.shape[-1] - features.shape[-1] :]
        return xp.sum(weights[..., None, :] * features, axis=-1)


def drift_of(variables: tuple[str, ...]) -> float:
    """What slopes of a law of these variables gain beyond the largest runs.

    Examples
    --------
    >>> drift_of(("N", "D")), drift_of(("D",))
    (-1.0, 0.0)
    """
    return DRIFT if len(variables) > 1 else 0.0


def prior_of(variables: tuple[str, ...]) -> str:
    """Prior of the scales of a law of these variables.

    Examples
    --------
    >>> prior_of(("N", "D")), prior_of(("D",))
    ('LogNormal(log(0.075), 0.95)', 'LogNormal(log(0.15), 0.95)')
    """
    return PRIOR if len(variables) > 1 else PRIOR_ALONE


def weight_name(k: int) -> str:
    """Name of a weight."""
    return f"bend {k + 1}"


def is_scale(name: str) -> bool:
    """Whether an sd is that of a bend's weights."""
    return name.startswith("sd(bend")


def is_weight(name: str) -> bool:
    """Whether a parameter is one of the weights, which mean nothing by themselves."""
    return name.startswith("bend ")
