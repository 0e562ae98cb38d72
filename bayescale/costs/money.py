"""Budgets in money: devices by the hour, at the share of their peak that work attains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayescale.costs.base import SIX_ND, Cost, Floats, fraction_field, in_flops, positive_fields
from bayescale.costs.serving import TrainingPlusInference
from bayescale.errors import DataError


@dataclass(frozen=True)
class Money:
    """Price of training, and of serving, at a price an hour of one device.

    Parameters
    ----------
    price
        Of one device for an hour, in `unit`.
    peak
        Its peak FLOPs a second, in the precision used.
    mfu
        Model FLOPs utilisation in training: the share of the peak that counts.
    serving_mfu
        The same in serving; `mfu` without it.
    base
        Training, or `TrainingPlusInference`.
    unit
        Of the money.
    fixed
        Paid whatever is trained (data, people), in `unit`.

    References
    ----------
    Chowdhery et al. (2022), arXiv:2204.02311, section 4.1, for model FLOPs utilisation.

    Examples
    --------
    >>> cost = Money(price=2.0, peak=1e15, mfu=0.4)
    >>> round(float(cost.spent(1e9, 2e10)))        # 6 N D = 1.2e20 FLOP: 83 hours
    167
    >>> float(cost.flops(1e9, 2e10))
    1.2e+20
    """

    price: float
    peak: float
    mfu: float
    serving_mfu: float | None = None
    base: Cost = SIX_ND
    unit: str = "USD"
    fixed: float = 0.0

    def __post_init__(self) -> None:
        """Refuse prices that are no prices."""
        positive_fields(self, "price", "peak")
        fraction_field(self, "mfu")
        in_flops(self, self.base)
        if self.serving_mfu is not None:
            fraction_field(self, "serving_mfu")
        if not (np.isfinite(self.fixed) and self.fixed >= 0):
            raise DataError(f"Money: fixed is {self.fixed!r}: give 0 or more")

    @property
    def training(self) -> Cost:
        """What is trained; its FLOPs are not changed by their price."""
        return self.base

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs that are paid for."""
        return self.base.flops(N, D)

    def spent(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total price, in `unit`."""
        if isinstance(self.base, TrainingPlusInference):
            trained = self.base.training.flops(N, D) * self._rate(self.mfu)
            return self.fixed + trained + self._serving(N)
        return self.fixed + self.base.flops(N, D) * self._rate(self.mfu)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Training tokens that C of money pays for."""
        left = np.asarray(C, dtype=float) - self.fixed
        if isinstance(self.base, TrainingPlusInference):
            left = left - self._serving(N)
            return self.base.training.tokens(N, left / self._rate(self.mfu))
        return self.base.tokens(N, left / self._rate(self.mfu))

    def _serving(self, N: ArrayLike) -> Floats:
        assert isinstance(self.base, TrainingPlusInference)
        return self.base.serving(N) * self._rate(self.serving_mfu or self.mfu)

    def _rate(self, mfu: float) -> float:
        return self.price / (3600.0 * self.peak * mfu)
