"""Checkpoints thinned: a few of each run, evenly spaced in the logarithm of their step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayescale.errors import BayescaleError


def thin(table: pd.DataFrame, most: int) -> tuple[pd.DataFrame, str | None]:
    """Keep at most so many rows of every run (and evaluation), its last among them.

    Parameters
    ----------
    table
        Canonical columns; `run` tells runs apart, `step` (else `D`) orders their checkpoints.
    most
        At least 1.

    Returns
    -------
    table
        Rows in their order.
    note
        How many were left out; None where none were.

    Raises
    ------
    BayescaleError
        `most` is below 1.

    Examples
    --------
    >>> rows = pd.DataFrame({"run": "a", "step": [1, 2, 3, 10, 90, 100]})
    >>> thin(rows, 3)[0]["step"].tolist()
    [1, 10, 100]
    """
    if most < 1:
        raise BayescaleError(f"thin is the number of checkpoints to keep of a run, not {most}")
    order = next((c for c in ("step", "D") if c in table), None)
    if "run" not in table or order is None:
        return table, None
    keys = [c for c in ("run", "evaluation") if c in table]
    keep = np.zeros(len(table), bool)
    for places in table.groupby(keys, sort=False, dropna=False).indices.values():
        keep[places[spaced(table[order].to_numpy(float)[places], most)]] = True
    left = len(table) - int(keep.sum())
    if not left:
        return table, None
    return table[keep], f"{left} checkpoints are left out: at most {most} of a run are kept"


def spaced(at: np.ndarray, most: int) -> np.ndarray:
    """Places of at most so many values, evenly spaced in their logarithm, the last among them.

    Examples
    --------
    >>> spaced(np.array([0.0, 1.0, 2.0, 4.0, 8.0, 9.0]), 2).tolist()
    [1, 5]
    """
    if len(at) <= most:
        return np.arange(len(at))
    order = np.argsort(at, kind="stable")
    positive = order[at[order] > 0]
    if not len(positive):
        return order[-most:]
    if most == 1:
        return positive[-1:]
    logs = np.log(at[positive])
    nearest = [int(np.abs(logs - x).argmin()) for x in np.linspace(logs[0], logs[-1], most)]
    chosen = set(nearest) | {len(positive) - 1}
    return np.sort(positive[sorted(chosen)])
