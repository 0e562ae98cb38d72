"""Models and data that a budget could pay for, but that can't be had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayescale.costs.base import SIX_ND, Cost, Floats, SixND, spent, unit_of
from bayescale.errors import DataError


@dataclass(frozen=True)
class Limits:
    """Keep a plan within limits; what lies outside gets no tokens and is never chosen.

    Parameters
    ----------
    base
        What is limited.
    min_parameters, max_parameters, max_tokens
        Bounds of N, and of D.
    min_ratio, max_ratio
        Bounds of tokens for each parameter, D / N. Tokens are left unbought above the larger.

    Examples
    --------
    >>> cost = Limits(max_parameters=1e9, max_tokens=1e12)
    >>> cost.tokens([1e9, 2e9], 6e30)
    array([1.e+12, 0.e+00])
    """

    base: Cost = SIX_ND
    min_parameters: float = 0.0
    max_parameters: float = np.inf
    max_tokens: float = np.inf
    min_ratio: float = 0.0
    max_ratio: float = np.inf

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing."""
        pairs = (
            ("min_parameters", "max_parameters"),
            ("min_ratio", "max_ratio"),
        )
        for low, high in pairs:
            if not 0 <= getattr(self, low) < getattr(self, high):
                raise DataError(
                    f"Limits: {low}={getattr(self, low):g} and {high}={getattr(self, high):g} "
                    "leave nothing: the first must be the smaller"
                )
        if not self.max_tokens > 0:
            raise DataError(f"Limits: max_tokens is {self.max_tokens!r}: give a positive number")

    @property
    def training(self) -> Cost:
        """What is limited; the FLOPs of training are its own."""
        return self.base

    @property
    def unit(self) -> str:
        """Unit of the budget."""
        return unit_of(self.base)

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs."""
        return self.base.flops(N, D)

    def spent(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """What is taken from the budget."""
        return spent(self.base, N, D)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that a budget pays for and the limits allow; 0 where N isn't allowed."""
        N = np.asarray(N, dtype=float)
        bought = np.minimum(self.base.tokens(N, C), self.max_tokens)
        bought = np.minimum(bought, self.max_ratio * N)
        near = 1.0 + 1e-12
        allowed = (N * near >= self.min_parameters) & (N <= self.max_parameters * near)
        return np.where(allowed & (bought >= self.min_ratio * N), bought, 0.0)


def memory_limit(
    bytes_available: float, bytes_per_parameter: float = 16.0, base: Cost | None = None
) -> Limits:
    """Largest model that memory holds, as a limit of N.

    Parameters
    ----------
    bytes_available
        Of all devices that share the model's state.
    bytes_per_parameter
        16 for training in mixed precision with Adam (weights and gradients of 2 bytes, and three
        states of 4: Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1); 2 for serving in
        bfloat16, 1 in int8.
    base
        What is limited; 6 N D without it.

    Examples
    --------
    >>> memory_limit(8 * 80e9).max_parameters
    40000000000.0
    """
    if not (bytes_available > 0 and bytes_per_parameter > 0):
        raise DataError("a memory limit needs positive bytes, and positive bytes a parameter")
    return Limits(base or SixND(), max_parameters=bytes_available / bytes_per_parameter)
