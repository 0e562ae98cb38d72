"""Training compute: how FLOPs follow from parameters and tokens where nothing better is known."""

from __future__ import annotations

from typing import Any

import numpy as np

PF_DAY = 8.64e19
"""FLOPs in one petaflop/s-day (1e15 FLOP/s for 86400 s), the unit of Kaplan and Henighan."""


def flops_6nd(N: Any, D: Any) -> np.ndarray:
    """Return 6 N D: forward and backward multiplications and additions, attention left out.

    Kaplan et al. 2020, arXiv:2001.08361, eq. 2.2 (N there without embeddings).

    Parameters
    ----------
    N : float or array
        Parameters.
    D : float or array
        Training tokens.

    Returns
    -------
    ndarray of float64
        FLOPs, of the broadcast shape; integers can't overflow.

    Examples
    --------
    >>> print(f"{flops_6nd(70e9, 1.4e12):.3g}")
    5.88e+23
    """
    return 6.0 * np.asarray(N, dtype=np.float64) * np.asarray(D, dtype=np.float64)
