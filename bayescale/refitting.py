"""The model of a fit, fitted again to other rows: for leaving runs out, one or many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.diagnostics import diagnose
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit, correlates, fit, noise_pool
from bayescale.many_fits import fit_many


def options_of(one: Fit) -> dict[str, Any]:
    """What `fit` and `fit_many` must be told, beside the law, to make the same model."""
    structure = one.model.structure
    return {
        "pool": noise_pool(structure) or None,
        "noise": structure.noise_name,
        "discrepancy": "none" if structure.bend is None else "bend",
        "checkpoints": "all" if structure.serial else "final",
        "correlate": correlates(structure),
    }


def refit(
    one: Fit,
    tables: Sequence[pd.DataFrame],
    what: str,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = False,
) -> tuple[list[Fit], tuple[str, ...]]:
    """Fit the model of a fit to some of its rows, several times, by `fit_many`.

    Parameters
    ----------
    one : Fit
    tables : sequence of DataFrame
        Rows of its table, one table a fit.
    what : str
        Of the rows, for messages: "the runs of 5 growing prefixes".
    seed, store, progress
        As in `fit_many`.

    Returns
    -------
    list of Fit, tuple of str
        One a table, and what was noticed. A fit that `fit_many` left unconverged is made again
        alone, with more draws; one that diagnostics still refuse is kept and noted.

    Raises
    ------
    BayescaleError
        Where a table is too small for the law.
    """
    runs = [replace(one.runs, table=table) for table in tables]
    options = options_of(one)
    try:
        many = fit_many(one.law, runs, seed=seed, store=store, progress=progress, **options)
    except DataError as error:
        raise BayescaleError(f"{what} can't be fitted: {error}") from None
    converged = many.table["ok"].to_numpy(bool)
    fits, refused = [], 0
    for k, ok in enumerate(converged):
        again = (
            None
            if ok
            else fit(one.law, runs[k], seed=seed, strict=False, progress=progress, **options)
        )
        fits.append(many[k] if again is None else again)
        refused += again is not None and not diagnose(again).ok
    if not refused:
        return fits, ()
    return fits, (f"diagnostics refuse {refused} of {len(fits)} refits ({what}): take care",)
