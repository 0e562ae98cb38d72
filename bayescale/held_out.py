"""How well a fit foretold runs that it had not seen: log predictive density, run by run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayescale.fitting import Fit
from bayescale.prediction import compute_of, log_loss_draws, noise_draws


@dataclass(frozen=True, eq=False)
class Foretold:
    """Runs held out, scored.

    Attributes
    ----------
    log_density : pandas.Series
        By run: log of the mean over draws of the density of all its rows' log losses.
    error : pandas.Series
        By row: log of observed over the law's median, positive where the loss is above.
    """

    log_density: pd.Series
    error: pd.Series


def run_names(table: pd.DataFrame) -> np.ndarray:
    """The run of each row; a row without one is a run of its own, named by its number.

    Examples
    --------
    >>> run_names(pd.DataFrame({"run": ["a", "a"]})).tolist()
    ['a', 'a']
    >>> run_names(pd.DataFrame({"N": [1e6]}, index=[7])).tolist()
    ['7']
    """
    column = table["run"] if "run" in table.columns else pd.Series(table.index, table.index)
    return column.astype(str).to_numpy(dtype=object)


def foretell(fit: Fit, held: pd.DataFrame, new_groups: str = "error", seed: int = 0) -> Foretold:
    """Score rows that a fit has not seen; rows of one run are scored together.

    Where configurations repeat, a run is foretold given its configuration's fitted runs, whose
    common deviation it shares, as in p(run | the other runs).

    Parameters
    ----------
    fit : Fit
    held : pandas.DataFrame
        Rows with the law's columns, its response, and the fit's groups.
    new_groups : {"error", "sample"}
    seed : int

    Returns
    -------
    Foretold
    """
    response = fit.law.response.column
    log_mean = log_loss_draws(fit, held, "mean", new_groups, seed)
    observed = np.log(held[response].to_numpy(float))
    rows = _row_log_density(fit, held, log_mean, noise_draws(fit, held, new_groups, seed))
    names = run_names(held)
    by_run = {
        name: float(logsumexp(rows[:, names == name].sum(axis=1)) - np.log(len(rows)))
        for name in dict.fromkeys(names)
    }
    error = observed - np.median(log_mean, axis=0)
    return Foretold(pd.Series(by_run, dtype=float), pd.Series(error, index=held.index))


def _row_log_density(
    fit: Fit, held: pd.DataFrame, log_mean: np.ndarray, values: dict[str, np.ndarray]
) -> np.ndarray:
    """Log density (sample, row) of each row given the fitted rows of its own configuration."""
    noise, response = fit.model.structure.noise, fit.law.response.column
    beside = _siblings(fit, held)
    most = max(map(len, beside))
    residual = np.zeros((*log_mean.shape, 1 + most))
    mask = np.zeros((len(held), 1 + most))
    tables = [pd.concat([held.iloc[[i]], rows]) for i, rows in enumerate(beside)]
    measured = {"se2": np.full(mask.shape, fit.model.mean_se2), "z": np.zeros(mask.shape)}
    for i, table in enumerate(tables):
        size = len(table)
        mask[i, :size] = 1.0
        residual[:, i, :size] = np.log(table[response].to_numpy(float)) - log_mean[:, [i]]
        error = f"{response}_se"
        if fit.model.mean_se2 > 0 and error in table.columns and table[error].notna().all():
            measured["se2"][i, :size] = (table[error] / table[response]).to_numpy(float) ** 2
        if fit.model.edges is not None:
            measured["z"][i, :size] = fit.model.trend(compute_of(table))
    own = {name: v[..., None] for name, v in values.items()}
    alone = mask.copy()
    alone[:, 0] = 0.0
    density = noise.cell_log_density(own, residual, mask, measured, np)
    if most:
        rest = noise.cell_log_density(own, residual, alone, measured, np)
        density = density - np.where(alone.sum(axis=-1) > 0, rest, 0.0)
    return np.where(np.isfinite(density), density, -np.inf)


def _siblings(fit: Fit, held: pd.DataFrame) -> list[pd.DataFrame]:
    """For each row, the fitted rows whose configuration's deviation it shares."""
    table, structure = fit.runs.table, fit.model.structure
    none = table.iloc[:0]
    if not any(part.shared for part in structure.noise.parts):
        return [none] * len(held)
    columns = [v.column for v in fit.law.variables.values()]
    keys = [c for c in dict.fromkeys([*fit.groups, *columns, "evaluation"]) if c in table]
    keys = [c for c in keys if c in held]
    found = dict(iter(table.groupby(keys, sort=False, dropna=False)))
    places = held[keys].itertuples(index=False, name=None)
    return [found.get(place, none) for place in places]
