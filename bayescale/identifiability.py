"""Identifiability: whether the scales of the rows can tell a law's parameters apart."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayescale.errors import DataError

if TYPE_CHECKING:
    from bayescale.law import Law

JITTER = 1e-4  # sizes nearer than this in log are one size (digitised tables jitter)
_COLLINEAR = 0.95


def _levels(values: pd.Series) -> int:
    """Count the distinct sizes of a column, jitter aside; logs, where all have one."""
    sizes = np.sort(values.to_numpy(dtype=np.float64))
    scale = 1.0 if len(sizes) == 0 or sizes[0] > 0 else max(float(np.ptp(sizes)), 1e-300)
    logs = np.log(sizes) if len(sizes) and sizes[0] > 0 else sizes / scale
    return int(len(logs) > 0) + int(np.count_nonzero(np.diff(logs) > JITTER))


def _exponents(law: Law, variable: str) -> str:
    """Name the parameters that a formula raises a variable to, for a message."""
    text = law.formula.text if law.formula is not None else ""
    pattern = rf"\b{re.escape(variable)}\b\s*\)?\s*\*\*\s*\(?\s*-?\s*([A-Za-z_]\w*)"
    found = [name for name in re.findall(pattern, text) if name in law.parameters]
    return " and ".join(dict.fromkeys(found)) or "its share of the law"


def refuse_unidentified(
    table: pd.DataFrame, law: Law, source: str, variables: dict[str, str]
) -> None:
    """Refuse rows of which no fit can be had: fewer than two, or a variable that never varies.

    Parameters
    ----------
    table
        Checked rows; the law's columns are positive float64.
    law, source
        The law, and the name of the table for messages.
    variables
        The law's variables -> their columns.

    Raises
    ------
    DataError
        With every constant variable, the exponents that it leaves open, and the remedy.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> table = pd.DataFrame({"N": [1e7, 1e7], "D": [1e8, 2e8]})
    >>> try:
    ...     refuse_unidentified(table, load_law("chinchilla"), "runs", {"N": "N", "D": "D"})
    ... except DataError as error:
    ...     print(error.faults[0].split(" from")[0])
    constant N: alpha can't be identified
    """
    if len(table) < 2:
        rows = f"{len(table)} row" + ("" if len(table) == 1 else "s")
        raise DataError(
            f"{source}: {rows} left to fit; law {law.name!r} has {len(law.parameters)} "
            "parameters and needs runs at several scales"
        )
    faults = [
        f"constant {column}: {_exponents(law, name)} can't be identified from one value "
        f"({table[column].iloc[0]:g} in all {len(table)} rows); add runs at another {column}, "
        f"or take a law without {column}"
        for name, column in variables.items()
        if _levels(table[column]) < 2
    ]
    if faults:
        raise DataError(f"{source} can't identify law {law.name!r}", tuple(faults))


def identifiability_notes(table: pd.DataFrame, law: Law, variables: dict[str, str]) -> list[str]:
    """Warn of rows that hardly identify a law: few of them, two values, collinear logarithms.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> table = pd.DataFrame({"N": [1e6, 1e7, 1e8], "D": [2e7, 2e8, 2e9]})
    >>> notes = identifiability_notes(table, load_law("chinchilla"), {"N": "N", "D": "D"})
    >>> notes[-1].split(":")[1]
    ' log N and log D are collinear (correlation 1.000)'
    """
    notes = []
    if len(table) < len(law.parameters):
        notes.append(
            f"warning: {len(table)} rows for {len(law.parameters)} parameters: the prior decides"
        )
    for name, column in variables.items():
        if _levels(table[column]) < 3:
            notes.append(
                f"warning: {column} takes 2 values: {_exponents(law, name)} and a floor can't "
                "be told apart without the prior"
            )
    logged = [law.variables[name].column for name in variables if law.variables[name].least is None]
    logs = {c: np.log(table[c].to_numpy()) for c in dict.fromkeys(logged)}
    for first, second in itertools.combinations(logs, 2):
        r = float(np.corrcoef(logs[first], logs[second])[0, 1])
        if abs(r) > _COLLINEAR:
            notes.append(
                f"warning: log {first} and log {second} are collinear (correlation {r:.3f}): "
                "their terms can hardly be told apart; runs off that line would help"
            )
    return notes
