"""Serving a model: its tokens cost FLOPs too, and how many there will be is not known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from bayescale.costs.base import SIX_ND, Cost, Floats, in_flops, positive_fields
from bayescale.errors import DataError


@dataclass(frozen=True)
class Demand:
    """Tokens that will be served, known up to a log-normal factor.

    A plan that counts the cost it expects needs only the mean of the demand, since cost is linear
    in it; one that must stay inside its budget with some confidence needs a quantile.

    Parameters
    ----------
    median
        Tokens.
    factor
        The demand lies within this factor of the median, up or down, with 95% probability.
    confidence
        Plan for the demand that is not exceeded with this probability; for the mean without it.

    Examples
    --------
    >>> demand = Demand(1e12, factor=10.0)
    >>> f"{demand.planned:.3g}", f"{Demand(1e12, 10.0, confidence=0.9).planned:.3g}"
    ('1.99e+12', '4.51e+12')
    """

    median: float
    factor: float = 1.0
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Refuse a demand that is no distribution."""
        positive_fields(self, "median", "factor")
        if self.factor < 1:
            raise DataError(f"Demand: factor is {self.factor!r}: give 1 or more")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise DataError(f"Demand: confidence is {self.confidence!r}: give one in (0, 1)")

    @property
    def sd(self) -> float:
        """Standard deviation of the log."""
        return float(np.log(self.factor) / norm.ppf(0.975))

    @property
    def mean(self) -> float:
        """Expected tokens."""
        return float(self.median * np.exp(0.5 * self.sd**2))

    @property
    def planned(self) -> float:
        """Tokens that a plan sets aside for."""
        if self.confidence is None:
            return self.mean
        return float(self.median * np.exp(norm.ppf(self.confidence) * self.sd))


@dataclass(frozen=True)
class TrainingPlusInference:
    """Training and then serving: the training cost plus 2 N for each token served.

    Parameters
    ----------
    tokens_served
        Tokens processed over the model's life, 0 or more; or a `Demand`, which is integrated out.
    training
        What training costs.
    active
        Parameters that work for a served token over N: below 1 for experts, above for loops.

    References
    ----------
    Sardana et al. (2024), Beyond Chinchilla-Optimal, arXiv:2401.00448.

    Examples
    --------
    >>> float(TrainingPlusInference(1e10).flops(1e9, 1e10))
    8e+19
    """

    tokens_served: float | Demand
    training: Cost = SIX_ND
    active: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a negative or infinite demand."""
        positive_fields(self, "active")
        in_flops(self, self.training)
        if isinstance(self.tokens_served, Demand):
            return
        if not (np.isfinite(self.tokens_served) and self.tokens_served >= 0):
            raise DataError(
                f"inference tokens of {self.tokens_served} make no cost: give 0 or more, e.g. 1e13"
            )

    @property
    def planned(self) -> float:
        """Served tokens that are paid for."""
        served = self.tokens_served
        return served.planned if isinstance(served, Demand) else float(served)

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs of training and serving."""
        return self.training.flops(N, D) + self.serving(N)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Training tokens that remain affordable once serving is paid for."""
        return self.training.tokens(N, np.asarray(C, dtype=float) - self.serving(N))

    def serving(self, N: ArrayLike) -> Floats:
        """FLOPs of serving."""
        return 2.0 * self.active * np.asarray(N, dtype=float) * self.planned
