"""The interface of a cost, the usual rule 6 N D, and what may be asked of any cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescale.errors import DataError

Floats = NDArray[np.float64]


@runtime_checkable
class Cost(Protocol):
    """FLOPs of N parameters and D tokens; increasing in D, with an inverse.

    A cost may also have `spent(N, D)` and a `unit`, where a budget isn't in FLOPs, and
    `columns(N, D)`, which fills further columns of a law, such as U.
    """

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs of N parameters trained on D tokens."""
        ...

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens D that a budget of C pays for; zero or less where it doesn't suffice."""
        ...


@dataclass(frozen=True)
class SixND:
    """Training FLOPs by the usual rule, 6 N D (2 forward and 4 backward a weight and token).

    Examples
    --------
    >>> float(SixND().tokens(1e9, 6e19))
    10000000000.0
    """

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs, 6 N D."""
        return 6.0 * np.asarray(N, dtype=float) * np.asarray(D, dtype=float)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for, C / (6 N)."""
        return np.asarray(C, dtype=float) / (6.0 * np.asarray(N, dtype=float))


SIX_ND = SixND()


def spent(cost: Cost, N: ArrayLike, D: ArrayLike) -> Floats:
    """What N parameters and D tokens take from a budget, in the cost's own unit.

    Examples
    --------
    >>> float(spent(SixND(), 1e9, 2e10))
    1.2e+20
    """
    own = getattr(cost, "spent", cost.flops)
    return np.asarray(own(N, D), dtype=float)


def unit_of(cost: Cost) -> str:
    """Unit of a budget for this cost.

    Examples
    --------
    >>> unit_of(SixND())
    'FLOP'
    """
    return str(getattr(cost, "unit", "FLOP"))


def training_flops(cost: Cost, N: ArrayLike, D: ArrayLike) -> Floats:
    """FLOPs of training alone, as a law of C knows them: serving and prices left out."""
    inner = getattr(cost, "training", None)
    return cost.flops(N, D) if inner is None else training_flops(inner, N, D)


def further_columns(cost: Cost, N: ArrayLike, D: ArrayLike) -> dict[str, Floats]:
    """Columns other than N, D and C that a cost decides, such as U; of the broadcast shape."""
    own = getattr(cost, "columns", None)
    if own is not None:
        return own(N, D)
    inner = getattr(cost, "base", None) or getattr(cost, "training", None)
    return {} if inner is None else further_columns(inner, N, D)


def positive_fields(cost: Any, *names: str) -> None:
    """Refuse a cost whose named fields aren't all positive and finite."""
    for name in names:
        value = getattr(cost, name)
        if not (np.isfinite(value) and value > 0):
            raise DataError(
                f"{type(cost).__name__}: {name} is {value!r}: give a positive finite number"
            )


def in_flops(cost: Any, inner: Cost) -> None:
    """Refuse to count FLOPs of what is counted in another unit."""
    if unit_of(inner) != "FLOP":
        raise DataError(
            f"{type(cost).__name__} counts FLOPs and is given a cost in {unit_of(inner)}: put "
            f"the price outside, as in Money(..., base={type(cost).__name__}(...))"
        )


def fraction_field(cost: Any, name: str) -> None:
    """Refuse a field that is no fraction above 0, up to 1."""
    value = getattr(cost, name)
    if not 0 < value <= 1:
        raise DataError(f"{type(cost).__name__}: {name} is {value!r}: give a fraction in (0, 1]")
