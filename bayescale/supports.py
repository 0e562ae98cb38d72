"""Which values a law's columns can have, and what to do about those that they can't."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayescale import cells
from bayescale.columns import SHOWN, rows_text
from bayescale.elements import Variable
from bayescale.responses import RATE_LINKS, Response


def variable_faults(variable: Variable, values: pd.Series) -> list[str]:
    """Say which values a variable can't have, by their rows."""
    return cells.value_faults(variable.column, values, least=variable.least)


def response_faults(response: Response, values: pd.Series) -> list[str]:
    """Say which responses the likelihood can't have, by their rows.

    Examples
    --------
    >>> error = Response("error", "error rate", link="logit")
    >>> print(response_faults(error, pd.Series([0.4, 35.0], index=[1, 2]))[0])
    row 2: error is 35; it must be between 0 and 1: divide per cents by 100, counts by their trials
    """
    name = response.column
    rate = response.link in RATE_LINKS
    if not (rate or response.counted):
        return cells.value_faults(name, values, positive=response.positive)
    faults = cells.value_faults(name, values, positive=False)
    known = values[np.isfinite(values)]
    outside = known[(known < 0.0) | (known > (1.0 if rate else np.inf))]
    if len(outside) and rate:
        remedy = "divide per cents by 100, counts by their trials"
        faults.append(_named(outside, name, f"it must be between 0 and 1: {remedy}"))
    elif len(outside):
        faults.append(_named(outside, name, "it must be 0 or more: correct it"))
    ends = known[(known == 0.0) | (known == 1.0)]
    if len(ends) and not response.counted:
        remedy = (
            f"{response.likelihood} on the {response.link} link has no place for it: give the "
            'number of trials and likelihood = "binomial" or "beta-binomial", or leave the row out '
            f'with where="{name} > 0 and {name} < 1"'
        )
        faults.append(_named(ends, name, remedy))
    broken = known[(known >= 0) & (known != np.round(known))]
    if len(broken) and response.likelihood == "negative-binomial":
        faults.append(_named(broken, name, "a count is a whole number"))
    return faults


def trial_faults(response: Response, values: pd.Series) -> list[str]:
    """Say which numbers of trials are none, by their rows."""
    faults = cells.value_faults(response.trials, values)
    broken = values[np.isfinite(values) & (values > 0) & (values != np.round(values))]
    if len(broken):
        faults.append(_named(broken, response.trials, "a number of trials is whole"))
    return faults


def _named(values: pd.Series, column: str, remedy: str) -> str:
    shown = ", ".join(f"{value:g}" for value in values.iloc[:SHOWN])
    return f"{rows_text(values.index.tolist())}: {column} is {shown}; {remedy}"
