"""FLOPs as they were counted or measured at some sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayescale.costs.base import Floats
from bayescale.errors import DataError


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
