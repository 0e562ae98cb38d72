"""Simplex variables: columns that are shares of one whole, checked row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayescale.columns import SHOWN, rows_text

if TYPE_CHECKING:
    from bayescale.law import Law

ROUNDING = 0.005  # of each share: two digits after the point


def simplex_faults(table: pd.DataFrame, law: Law) -> list[str]:
    """Say in which rows the shares of a whole do not add up to 1, within rounding.

    Parameters
    ----------
    table
        Checked rows; the law's columns are float64.
    law
        Whose `simplexes` name the columns.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> law = load_law("data_mixing").with_index(domain=["web", "code"])
    >>> table = pd.DataFrame({"r_web": [0.5, 0.5], "r_code": [0.5, 0.4]}, index=[1, 2])
    >>> simplex_faults(table, law)
    ['row 2: r_web, r_code add up to 0.9, not 1; r is the shares of one whole']
    """
    faults = []
    for name, columns in law.simplexes.items():
        total = table[list(columns)].sum(axis=1)
        low = table[list(columns)].min(axis=1) < 0
        off = np.abs(total - 1.0) > ROUNDING * len(columns)
        rows = table.index[off | low].tolist()
        if not rows:
            continue
        sums = ", ".join(f"{total[row]:.4g}" for row in rows[:SHOWN])
        percent = np.allclose(total[rows], 100.0, atol=1.0)
        advice = "divide them by 100" if percent else f"{name} is the shares of one whole"
        what = f"{', '.join(columns[:4])}{', ...' if len(columns) > 4 else ''}"
        faults.append(f"{rows_text(rows)}: {what} add up to {sums}, not 1; {advice}")
    return faults
