"""Which runs are predicted from which: blocks in order of scale, and folds at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from bayescale.errors import DataError
from bayescale.held_out import run_names
from bayescale.targets import compute_of

if TYPE_CHECKING:
    from bayescale.law import Law

TIE = 0.01  # runs whose logs of scale differ by less stand on one rung
FEWEST = 4  # runs of a group of which some are predicted


def scale_of(table: pd.DataFrame, law: Law, by: str | None = None) -> np.ndarray:
    """What orders the rows: the column `by`, else compute, else the law's first variable."""
    if by is None:
        compute = compute_of(table)
        if np.isfinite(compute).all():
            return compute
        by = next(iter(law.variables.values())).column
    if by not in table.columns:
        raise DataError(f"by={by!r} is no column of the runs: {', '.join(map(str, table))}")
    values = pd.to_numeric(table[by], errors="coerce").to_numpy(float)
    if not np.all(values > 0):
        raise DataError(f"by={by!r} orders the runs, and must be a positive number in every row")
    return values


def scale_blocks(
    table: pd.DataFrame,
    scale: np.ndarray,
    groups: Sequence[str] = (),
    blocks: int = 4,
    first: float = 0.5,
) -> np.ndarray:
    """Block of each row: 0 is always fitted, block b is predicted from all blocks below it.

    Within each group the runs are ordered by scale; those below the fraction `first` are block 0
    and the rest is cut at equal fractions. So every prediction is of larger runs than its group's
    fitted ones, and every group is among the fitted. Runs that repeat a scale stay together; a
    group of fewer than four runs is always fitted.

    Parameters
    ----------
    table
        Rows; those of one run stay together.
    scale
        Of each row.
    groups
        Grouping columns.
    blocks, first
        Predicted blocks, and the fraction of the runs below them.

    Examples
    --------
    >>> table = pd.DataFrame({"family": ["a"] * 8})
    >>> scale_blocks(table, 10.0 ** np.arange(8), ["family"], blocks=2).tolist()
    [0, 0, 0, 0, 1, 1, 2, 2]
    """
    if not (blocks >= 1 and 0.0 < first < 1.0):
        raise DataError(f"blocks is 1 or more and first between 0 and 1, not {blocks} and {first}")
    names = run_names(table)
    label = table[list(groups)].astype(str).agg(" / ".join, axis=1) if groups else ""
    rows = pd.DataFrame({"run": names, "scale": np.log(scale), "group": label})
    runs = rows.groupby("run", sort=False).agg(
        scale=("scale", "max"), group=("group", lambda labels: "; ".join(dict.fromkeys(labels)))
    )
    block = pd.Series(0, index=runs.index)
    for _, members in runs.groupby("group", sort=False):
        if len(members) < FEWEST:
            continue
        rung = _rungs(members["scale"].to_numpy())
        place = (rankdata(rung) - 0.5) / len(members)
        above = np.floor((place - first) / (1.0 - first) * blocks).astype(int) + 1
        block[members.index] = np.where((place < first) | (rung == 0), 0, above)
    used = {b: k for k, b in enumerate(sorted({0, *block}))}
    numbers = block.map(used).loc[names].to_numpy(int)
    if not numbers.any():
        raise DataError(
            f"no larger runs are left to predict: {len(runs)} runs, of which the smaller"
            f" {first:.0%} of each group are fitted"
        )
    return numbers


def _rungs(log_scale: np.ndarray) -> np.ndarray:
    """The same number for scales that can't be told apart, in order of scale."""
    order = np.argsort(log_scale, kind="stable")
    steps = np.cumsum(np.diff(log_scale[order], prepend=log_scale[order[0]]) > TIE)
    out = np.empty(len(order))
    out[order] = steps
    return out


def random_folds(
    table: pd.DataFrame, k: int, groups: Sequence[str] = (), seed: int = 0
) -> np.ndarray:
    """Fold of each row, 0 to k - 1, by whole runs, each fold with about as many of every group.

    Examples
    --------
    >>> folds = random_folds(pd.DataFrame({"run": ["a", "a", "b", "c", "d"]}), 2)
    >>> bool(folds[0] == folds[1]), np.bincount(folds[1:]).tolist()
    (True, [2, 2])
    """
    names = run_names(table)
    label = table[list(groups)].astype(str).agg(" / ".join, axis=1) if groups else ""
    runs = pd.DataFrame({"run": names, "group": label}).groupby("run", sort=False)["group"].first()
    if not 2 <= k <= len(runs):
        raise DataError(f"k is from 2 to {len(runs)}, the number of runs, not {k}")
    rng = np.random.default_rng([seed, 23])
    mixed = runs.iloc[rng.permutation(len(runs))].sort_values(kind="stable")
    fold = pd.Series(np.arange(len(mixed)) % k, index=mixed.index)
    return fold.loc[names].to_numpy(int)
