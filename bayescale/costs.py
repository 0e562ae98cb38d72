"""What a budget buys: FLOPs of a model and its tokens, and the tokens that a budget leaves.

A cost is any object with `flops(N, D)` and its inverse `tokens(N, C)`; C is not 6 N D for every
recipe, and a model that will be used must also be paid for at inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayescale.errors import DataError

Floats = NDArray[np.float64]


@runtime_checkable
class Cost(Protocol):
    """FLOPs of N parameters and D tokens; increasing in D, with an inverse."""

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs of N parameters trained on D tokens."""
        ...

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens D at which N parameters cost C FLOPs; zero or less where C doesn't suffice."""
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


@dataclass(frozen=True)
class TrainingPlusInference:
    """Training and then serving: the training cost plus 2 N for each token served.

    Parameters
    ----------
    tokens_served
        Tokens processed over the model's life, 0 or more.
    training
        What training costs.

    References
    ----------
    Sardana et al. (2024), Beyond Chinchilla-Optimal, arXiv:2401.00448.

    Examples
    --------
    >>> float(TrainingPlusInference(1e10).flops(1e9, 1e10))
    8e+19
    """

    tokens_served: float
    training: Cost = SixND()

    def __post_init__(self) -> None:
        """Refuse a negative or infinite demand."""
        if not (np.isfinite(self.tokens_served) and self.tokens_served >= 0):
            raise DataError(
                f"inference tokens of {self.tokens_served} make no cost: give 0 or more, e.g. 1e13"
            )

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs of training and serving."""
        return self.training.flops(N, D) + self._serving(N)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Training tokens that remain affordable once serving is paid for."""
        return self.training.tokens(N, np.asarray(C, dtype=float) - self._serving(N))

    def _serving(self, N: ArrayLike) -> Floats:
        return 2.0 * np.asarray(N, dtype=float) * self.tokens_served


@dataclass(frozen=True)
class Measured:
    """FLOPs a token as measured at some sizes, interpolated in logarithms between them.

    Beyond the measured sizes the FLOPs a parameter and token stay at the nearest measured value.

    Parameters
    ----------
    sizes
        Parameter counts N, increasing.
    per_token
        FLOPs a token at each size, C / D.

    Examples
    --------
    >>> cost = Measured(sizes=(1e6, 1e8), per_token=(9e6, 6e8))
    >>> round(float(cost.flops(1e9, 1e10) / 1e19), 6)      # 6 N D beyond the largest
    6.0
    """

    sizes: tuple[float, ...]
    per_token: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse a table that is no increasing positive function."""
        sizes, per_token = np.array(self.sizes), np.array(self.per_token)
        whole = len(sizes) > 0 and sizes.shape == per_token.shape
        if not whole or (sizes <= 0).any() or (per_token <= 0).any() or (np.diff(sizes) <= 0).any():
            raise DataError(
                "a measured cost needs increasing positive sizes and one positive number of "
                f"FLOPs a token for each; got sizes {self.sizes} and {self.per_token}"
            )

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs, D times the FLOPs a token at N."""
        return self._rate(N) * np.asarray(D, dtype=float)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for at N."""
        return np.asarray(C, dtype=float) / self._rate(N)

    def _rate(self, N: ArrayLike) -> Floats:
        N = np.asarray(N, dtype=float)
        weight = np.log(np.array(self.per_token) / np.array(self.sizes))
        return N * np.exp(np.interp(np.log(N), np.log(self.sizes), weight))


def from_rows(table: pd.DataFrame) -> Measured:
    """Cost that a table's own rows show: the median C / D at each of its sizes N.

    Parameters
    ----------
    table
        Rows with columns ``N``, ``D`` and ``C``; rows where any is missing are left out.

    Returns
    -------
    Measured

    Raises
    ------
    DataError
        If a column is missing or no row has all three.

    Examples
    --------
    >>> rows = pd.DataFrame({"N": [1e6, 1e6], "D": [1e8, 2e8], "C": [7e14, 14e14]})
    >>> from_rows(rows).per_token
    (7000000.0,)
    """
    missing = [name for name in ("N", "D", "C") if name not in table.columns]
    if missing:
        raise DataError(
            f"no cost can be read from rows without {', '.join(missing)}: pass cost=SixND()"
        )
    rows = table[["N", "D", "C"]].dropna().astype(float)
    if rows.empty:
        raise DataError("no row has N, D and C together: pass cost=SixND()")
    per_token = (rows["C"] / rows["D"]).groupby(rows["N"]).median()
    return Measured(tuple(per_token.index.astype(float)), tuple(per_token.astype(float)))
