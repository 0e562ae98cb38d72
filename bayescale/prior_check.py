"""What the priors alone say of the runs, before any fitting."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayescale.catalog import require_law
from bayescale.law import Law
from bayescale.model import Model
from bayescale.model_from_runs import build_model, varying_columns
from bayescale.population_prior import sample_population_prior
from bayescale.rows import select_rows
from bayescale.runs import Runs, as_runs


def prior_lines(model: Model, size: int, seed: int) -> np.ndarray:
    """Prior draws of the law's log loss (its place on the link's line) at every fitted row.

    The population's law is drawn, shape (draw, row); differences between groups and scatter, which
    are smaller, are left out.
    """
    _, values = sample_population_prior(model, np.random.default_rng(seed), size)
    arrays = model.arrays
    parameters = {p: np.asarray(values[p])[:, None, None] for p in model.structure.law.parameters}
    with np.errstate(all="ignore"):
        mean = model.structure.law.mean(parameters, arrays.columns, np)
        line = model.structure.likelihood.link.line(mean, arrays.reference.typical, np)
    group, cell, _ = arrays.position.T
    drawn = np.broadcast_to(line, (size, *arrays.mask.shape[:2]))[:, group, cell]
    return drawn[np.all(np.isfinite(drawn), axis=1)]


def observed_lines(model: Model) -> np.ndarray:
    """Where the fitted rows lie on the link's line, shape (row,)."""
    places = model.structure.likelihood.places(model.arrays.observed, model.arrays.rows)
    return places[tuple(model.arrays.position.T)]


def prior_conflict(model: Model, size: int = 2000) -> float:
    """Sd by which the observed mean log loss departs from its prior predictive mean."""
    predicted = prior_lines(model, size, 3).mean(axis=1)
    observed = float(np.mean(observed_lines(model)))
    return float((observed - np.mean(predicted)) / np.std(predicted))


def prior_predictive(
    law: Law, runs: Runs, prob: float = 0.95, size: int = 4000, seed: int = 0
) -> pd.DataFrame:
    """Compare every run's loss with what the priors alone expect there.

    Parameters
    ----------
    law : Law
    runs : Runs
    prob : float
        Probability of the equal-tailed prior interval.
    size, seed : int
        Prior draws.

    Returns
    -------
    pandas.DataFrame
        Indexed by the runs' row numbers: observed, prior_lower, prior_median, prior_upper (losses)
        and z, the observed log loss in prior predictive sds (under another link, its place on that
        line). ``attrs["conflict"]`` is z of their mean: beyond 3 in size, look at units and priors
        before fitting.

    Raises
    ------
    DataError
        For rows that can't be fitted.

    Examples
    --------
    >>> import bayescale as bs
    >>> table = prior_predictive(bs.load_law("chinchilla"), bs.datasets.load("ladder"))
    >>> bool(abs(table.attrs["conflict"]) < 3)
    True
    """
    runs = as_runs(runs, require_law(law))
    groups = [c for c in varying_columns(law, {}) if c in runs.table.columns]
    table = select_rows(runs, law, groups, on_failed="drop").table
    model = build_model(law, table)
    draws = prior_lines(model, size, seed)
    tail = (1.0 - prob) / 2.0
    link, unit = model.structure.likelihood.link, model.arrays.reference.typical
    low, middle, high = link.value(np.quantile(draws, [tail, 0.5, 1.0 - tail], axis=0), unit, np)
    observed = table[law.response.column].to_numpy(float)
    z = (observed_lines(model) - draws.mean(axis=0)) / draws.std(axis=0)
    result = pd.DataFrame(
        {
            "observed": observed,
            "prior_lower": low,
            "prior_median": middle,
            "prior_upper": high,
            "z": z,
        },
        index=table.index,
    )
    result.attrs["conflict"] = prior_conflict(model)
    return result
