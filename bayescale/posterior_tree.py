"""Draws as a labelled tree: parameters in the user's units, statistics, likelihoods, data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bayescale.bends import is_weight
from bayescale.coordinates import to_natural
from bayescale.density import (
    Position,
    cell_log_likelihood,
    group_coordinates,
    population_coordinates,
    with_slopes,
)
from bayescale.model import Model, reference_inputs
from bayescale.sampling import Sampled


def posterior_tree(
    model: Model, table: pd.DataFrame, position: Position, sampled: Sampled
) -> xr.DataTree:
    """Draws at `position` (sample, ...), with what ArviZ and predictions need of them."""
    from arviz_base import from_dict

    structure = model.structure
    chains, draws = sampled.energy.shape

    def by_chain(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values).reshape(chains, draws, *values.shape[1:])

    posterior, dims, coords = posterior_variables(model, position)
    rows = np.array([str(i) for i in table.index])
    run_of_row = table["run"].astype(str).to_numpy() if "run" in table.columns else rows
    column = structure.response.column
    row_likelihood = _row_log_likelihood(model, position, table[column].to_numpy(float))
    run_names = np.array(list(dict.fromkeys(run_of_row)))
    by_run = np.zeros((len(row_likelihood), len(run_names)))
    index = {name: i for i, name in enumerate(run_names)}
    np.add.at(by_run.T, [index[r] for r in run_of_row], row_likelihood.T)
    coordinates: dict[str, np.ndarray] = {"population": by_chain(position.population)}
    for f, factor in enumerate(structure.factors):
        coordinates[f"effects_{factor.name}"] = by_chain(position.effects[f])
        coordinates[f"log_sd_{factor.name}"] = by_chain(position.log_sd[f])
        coordinates[f"corr_{factor.name}"] = by_chain(position.corr[f])
    response = structure.law.response.column
    names = dict.fromkeys([v.column for v in structure.law.variables.values()])
    one_each = len(run_names) == len(rows)
    row = "run" if one_each else "row"  # rows are named by their runs where that names them
    tree = from_dict(
        {
            "posterior": {k: by_chain(v) for k, v in posterior.items()},
            "sample_stats": {
                "diverging": sampled.diverging.astype(bool),
                "energy": sampled.energy,
                "n_steps": sampled.n_steps,
                "lp": sampled.log_prior + sampled.log_likelihood,
                "log_prior": sampled.log_prior,
                "log_likelihood": sampled.log_likelihood,
            },
            "log_likelihood": {response: by_chain(by_run)},
            "coordinates": {k: v for k, v in coordinates.items() if v.size},
        },
        coords={**coords, "run": run_names},
        dims={**dims, response: ["run"]},
    )
    of_rows = from_dict(
        {
            "log_likelihood_rows": {response: by_chain(row_likelihood)},
            "observed_data": {response: table[response].to_numpy(float)},
            "constant_data": {c: table[c].to_numpy(float) for c in names if c != response},
        },
        coords={row: run_names if one_each else rows},
        dims={c: [row] for c in (*names, response)},
    )
    for name, group in of_rows.children.items():
        labelled = group.dataset if one_each else group.dataset.assign_coords(run=(row, run_of_row))
        tree[name] = xr.DataTree(labelled)
    tree["log_likelihood"].attrs["about"] = "log density of each run given its configuration's rest"
    tree["log_likelihood_rows"].attrs["about"] = (
        "log density of each row given the parameters and the other rows of its configuration,"
        " as leaving one out needs; where configurations repeat, rows do not sum to the total"
    )
    if len(structure.grouping) > 1:  # a label of two columns, and each of them
        for f, factor in enumerate(structure.factors):
            if not factor.name:  # where a bend that all share stands
                continue
            labels = np.array([group[f] for group in model.groups])
            whole = tree["posterior"].dataset.assign_coords({factor.name: ("group", labels)})
            tree["posterior"] = xr.DataTree(whole)
    return tree


def posterior_variables(
    model: Model, position: Position
) -> tuple[dict[str, np.ndarray], dict[str, list[str]], dict[str, np.ndarray]]:
    """Population, group and hyper parameters in the user's units, with dims and coords."""
    structure = model.structure
    reference = reference_inputs(model.arrays.reference)
    population = to_natural(
        structure, population_coordinates(structure, position.population, np), reference, np
    )
    told = {i for i, name in enumerate(structure.names) if not is_weight(name)}
    posterior = {structure.names[i]: population[structure.names[i]] for i in structure.free}
    posterior = {name: values for name, values in posterior.items() if not is_weight(name)}
    dims: dict[str, list[str]] = {}
    coords: dict[str, np.ndarray] = {}
    if structure.grouping:
        dim = structure.grouping[0].name if len(structure.grouping) == 1 else "group"
        labels = np.array([",".join(filter(None, g)) for g in model.groups])
        coords[dim] = labels
        eta = group_coordinates(structure, position, model.arrays.levels, np)
        moved = with_slopes(structure, eta, model.arrays.covariates)
        values = to_natural(structure, moved, reference, np)
        varied = told & {i for f in structure.factors for i in f.varied}
        for i in sorted(varied):
            name = f"{structure.names[i]}_by_{dim}"
            posterior[name] = values[structure.names[i]]
            dims[name] = [dim]
    for f, factor in enumerate(structure.factors):
        for k, i in enumerate(factor.learned_index):
            posterior[structure.sd_name(factor, i)] = np.exp(position.log_sd[f][..., k])
        for k, (i, j) in enumerate(factor.pairs):
            a, b = structure.names[factor.varied[i]], structure.names[factor.varied[j]]
            posterior[f"cor({a}, {b}|{factor.name})"] = np.tanh(position.corr[f][..., k])
    return posterior, dims, coords


def _row_log_likelihood(model: Model, position: Position, response: np.ndarray) -> np.ndarray:
    """Log density of each row given the parameters and its cell's other rows; (sample, row)."""
    structure, arrays = model.structure, model.arrays
    inputs = arrays.inputs()
    at = tuple(arrays.position.T)
    n_samples = len(position.population)
    out = np.zeros((n_samples, len(arrays.position)))
    batch = max(1, int(2e6 / max(arrays.mask.size, 1)))
    n_seeds = arrays.mask.shape[2]
    for start in range(0, n_samples, batch):
        part = slice(start, start + batch)
        piece = Position(
            position.population[part],
            tuple(e[part] for e in position.effects),
            tuple(s[part] for s in position.log_sd),
            tuple(c[part] for c in position.corr),
        )
        eta = group_coordinates(structure, piece, arrays.levels, np)
        whole = cell_log_likelihood(structure, eta, inputs, np)
        for seed in range(n_seeds):
            mask = arrays.mask.copy()
            mask[..., seed] = 0.0
            rest = cell_log_likelihood(structure, eta, {**inputs, "mask": mask}, np)
            rest = np.where(mask.sum(-1) > 0, rest, 0.0)
            mine = at[2] == seed
            out[part, mine] = (whole - rest)[:, at[0][mine], at[1][mine]]
    likelihood = structure.likelihood
    if likelihood.link.name != "log":
        out += likelihood.log_measure(response, arrays.reference.typical)
    return out
