"""How often intervals held: the coverage that the backtest suite measured, by distance.

The table is made by ``python tests/studies/backtests.py measured``, from ordered splits of public
ladders (rulings: a data set weighs 1, its splits equally). It is of fits that bend, on the log
line; of others nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

FAILS_BELOW = 0.05  # by so much less than stated, coverage is called failing


@dataclass(frozen=True)
class Coverage:
    """What was measured at one probability and distance.

    Attributes
    ----------
    prob, share : float
        Stated, and the share of intervals that held.
    lower, upper : float
        95% interval of the share, from resampled data sets.
    datasets : int
    """

    prob: float
    share: float
    lower: float
    upper: float
    datasets: int

    @property
    def fails(self) -> bool:
        """Whether such intervals are too narrow."""
        return self.share < self.prob - FAILS_BELOW

    def __str__(self) -> str:
        return f"{self.share:.0%} on {self.datasets} data sets"


@cache
def _table() -> pd.DataFrame:
    with (files("bayescale") / "data" / "measured_coverage.csv").open(encoding="utf-8") as text:
        return pd.read_csv(text)


def measured_coverage(decades: float, prob: float, curve: bool = False) -> Coverage | None:
    """Coverage measured of intervals of a probability, so many decades of compute beyond the runs.

    That is on ladders of runs; with `curve`, of a law of one variable, on ladders and on curves,
    whose readings are often of one run. None where it wasn't measured: inside the runs, or at
    another probability.

    Examples
    --------
    >>> measured_coverage(0.0, 0.95) is None
    True
    """
    table = _table()
    rows = table[
        (table["kind"] == ("all" if curve else "ladder"))
        & (table["prob"].sub(prob).abs() < 1e-9)
        & (table["above"] < decades)
        & (decades <= table["to"])
    ]
    if rows.empty:
        return None
    row = rows.iloc[0]
    ends = float(row["lower"]), float(row["upper"])
    return Coverage(prob, float(row["coverage"]), *ends, int(row["n_datasets"]))
