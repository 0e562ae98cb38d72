"""Rows of a tracker's log that are readings of a run, and those that are not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayescale import cells


def measured_rows(table: pd.DataFrame, response: str) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the steps at which the response wasn't measured; tokens are read between steps.

    Parameters
    ----------
    table
        Canonical columns, numbers read.
    response
        The measured column.

    Returns
    -------
    table
        Rows with a value; of a failed run that has none, its last row.
    notes
        What was left out or filled.

    Examples
    --------
    >>> log = pd.DataFrame({"run": "a", "step": [1, 2, 3], "D": [10, None, 30]})
    >>> table, notes = measured_rows(log.assign(loss=[None, 3.5, 3.4]), "loss")
    >>> table["D"].tolist(), notes[-1]
    ([20.0, 30.0], '1 rows of the log have no loss and are left out')
    """
    if response not in table or "run" not in table:
        return table, []
    notes = []
    empty = table[response].isna()
    if {"step", "D"} <= set(table) and table["D"].dtype.kind == "f":
        known = table["D"].notna()
        table = _between(table)
        if filled := int((table["D"].notna() & ~known & ~empty).sum()):
            notes.append(f"D is read between logged steps in {filled} rows")
    if not empty.any():
        return table, notes
    has = (~empty).groupby(table["run"]).transform("any")
    last = ~table["run"].duplicated(keep="last")
    keep = ~empty | (~has & last & cells.failed(table))
    without = sorted(set(table.loc[~has & ~cells.failed(table), "run"].astype(str)))
    if not (~empty).any():
        return table, notes
    if without:
        notes.append(
            f"runs without a {response} are left out: {', '.join(without[:10])}"
            + (f", ... ({len(without)} runs)" if len(without) > 10 else "")
        )
    steps = int((~keep & has).sum())
    if steps:
        notes.append(f"{steps} rows of the log have no {response} and are left out")
    return table[keep], notes


def _between(table: pd.DataFrame) -> pd.DataFrame:
    """Fill empty D of a run from its steps before and after, never beyond them."""
    D = table["D"].to_numpy(float).copy()
    step = cells.numbers(table["step"])[0].to_numpy()
    for places in table.groupby("run", sort=False).indices.values():
        own, at = D[places], step[places]
        known = np.isfinite(own) & np.isfinite(at)
        if known.all() or known.sum() < 2:
            continue
        order = np.argsort(at[known])
        inside = ~known & (at >= at[known].min()) & (at <= at[known].max())
        own[inside] = np.interp(at[inside], at[known][order], own[known][order])
        D[places] = own
    return table.assign(D=D)
