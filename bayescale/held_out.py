"""How well a fit foretold runs that it had not seen: log predictive density, run by run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayescale.fitting import Fit
from bayescale.likelihoods import OnLine, log_ways
from bayescale.model_from_runs import gaps
from bayescale.predictive_draws import line_draws, noise_rows
from bayescale.targets import compute_of


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
    line, scatter = line_draws(fit, held, new_groups, seed)
    rows = _row_log_density(fit, held, line, scatter)
    names = run_names(held)
    by_run = {
        name: float(logsumexp(rows[:, names == name].sum(axis=1)) - np.log(len(rows)))
        for name in dict.fromkeys(names)
    }
    unit = fit.model.arrays.reference.typical
    expected = fit.model.structure.likelihood.link.log_value(np.median(line, axis=0), unit, np)
    with np.errstate(all="ignore"):  # a count of none has no log
        error = np.log(held[response].to_numpy(float)) - expected
    return Foretold(pd.Series(by_run, dtype=float), pd.Series(error, index=held.index))


def _row_log_density(
    fit: Fit, held: pd.DataFrame, line: np.ndarray, scatter: dict[str, np.ndarray]
) -> np.ndarray:
    """Log density (sample, row) of each row given the fitted rows of its own configuration.

    Of a checkpoint, given the one before it of the same run.
    """
    structure, unit = fit.model.structure, fit.model.arrays.reference.typical
    likelihood, response = structure.likelihood, structure.response
    beside = _siblings(fit, held)
    most = max(map(len, beside))
    mask = np.zeros((len(held), 1 + most))
    observed = np.zeros(mask.shape)
    rows = {"se2": np.full(mask.shape, fit.model.mean_se2), "z": np.zeros(mask.shape)}
    more = noise_rows(fit, held)
    trials = more.get("trials")
    for i, siblings in enumerate(beside):
        table, size = pd.concat([held.iloc[[i]], siblings]), 1 + len(siblings)
        mask[i, :size] = 1.0
        measured = table[response.column].to_numpy(float)
        of_row = None if trials is None else trials[[i]]
        observed[i, :size] = likelihood.observe(measured, of_row, unit)
        error = f"{response.column}_se"
        if fit.model.mean_se2 > 0 and error in table.columns and table[error].notna().all():
            gain = likelihood.link.gain(measured, unit)
            rows["se2"][i, :size] = (table[error].to_numpy(float) / gain) ** 2
        if fit.model.edges is not None:
            rows["z"][i, :size] = fit.model.trend(compute_of(table))
    if trials is not None:
        rows["trials"] = trials[:, None]
    if response.counted:
        rows["log_ways"] = log_ways(likelihood, observed[:, 0], trials)[:, None]
    if structure.serial:
        rows["gap"] = gaps(held)[:, None]
    own = {name: v[..., None] for name, v in scatter.items()}
    alone = mask.copy()
    alone[:, 0] = 0.0
    density = likelihood.cell_log_density(own, line, observed, mask, rows, np)
    if most:
        rest = likelihood.cell_log_density(own, line, observed, alone, rows, np)
        density = density - np.where(alone.sum(axis=-1) > 0, rest, 0.0)
    if likelihood.link.name != "log":
        density = density + likelihood.log_measure(held[response.column].to_numpy(float), unit)
    return np.where(np.isfinite(density), density, -np.inf)


def _siblings(fit: Fit, held: pd.DataFrame) -> list[pd.DataFrame]:
    """For each row, the fitted rows whose configuration's deviation it shares."""
    table, structure = fit.runs.table, fit.model.structure
    none = table.iloc[:0]
    parts = structure.likelihood.noise.parts if isinstance(structure.likelihood, OnLine) else ()
    if not any(part.shared for part in parts):
        return [none] * len(held)
    columns = [v.column for v in fit.law.variables.values()]
    keys = [c for c in dict.fromkeys([*fit.groups, *columns, "evaluation"]) if c in table]
    keys = [c for c in keys if c in held]
    found = dict(iter(table.groupby(keys, sort=False, dropna=False)))
    places = held[keys].itertuples(index=False, name=None)
    return [found.get(place, none) for place in places]
