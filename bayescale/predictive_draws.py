"""Draws of what runs nobody has made would show: parameters, the bent law, one more run."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.bends import BEND, is_weight
from bayescale.coordinates import to_natural
from bayescale.density import Position, group_covariance, population_coordinates, with_slopes
from bayescale.errors import DataError
from bayescale.fitting import Fit
from bayescale.group_columns import target_values
from bayescale.likelihoods import Drawn, log_ways
from bayescale.model import reference_inputs
from bayescale.model_from_runs import logged_columns
from bayescale.targets import compute_of, group_labels, level_index, targets_frame
from bayescale.walks import Paths, bent_line

KINDS = ("new-run", "mean")


def _target_coordinates(fit: Fit, frame: pd.DataFrame, new_groups: str, seed: int) -> np.ndarray:
    """Coordinates (sample, target, P); a new group has one draw, shared by its targets."""
    structure, position = fit.model.structure, fit.position
    indices = level_index(fit, frame, new_groups)
    population = population_coordinates(structure, position.population, np)
    eta = np.repeat(population[:, None, :], len(frame), axis=1)
    rng = np.random.default_rng([seed, 11])
    for f, (factor, index) in enumerate(zip(structure.factors, indices, strict=True)):
        varied = np.array(factor.varied)
        effects = position.effects[f]
        named = group_labels(frame, factor.name) if factor.name else np.full(len(frame), "")
        for label in dict.fromkeys(named[index < 0]):
            drawn = _new_effects(fit, f, position, rng)
            effects = np.concatenate([effects, drawn[:, None, :]], axis=1)
            index = np.where(named == label, effects.shape[1] - 1, index)
        eta[:, :, varied] += effects[:, index, :]
    known = fit.model.covariates
    return with_slopes(structure, eta, target_values(known, frame, indices) if known else None)


def _new_effects(fit: Fit, f: int, position: Position, rng: np.random.Generator) -> np.ndarray:
    factor = fit.model.structure.factors[f]
    covariance = group_covariance(factor, position.log_sd[f], position.corr[f], np)
    lower = np.linalg.cholesky(covariance)
    z = rng.standard_normal((len(lower), len(factor.varied)))
    return np.einsum("sij,sj->si", lower, z)


def parameter_draws(
    fit: Fit | Average,
    targets: pd.DataFrame | Mapping[str, Any],
    new_groups: str = "error",
    seed: int = 0,
) -> dict[str, Any]:
    """Draws of every law and noise parameter of each target's group, in the card's units.

    Returns
    -------
    dict of arrays, shape (sample, target)
        Of a law that bends, also `Paths` under the name "bend": see `drawn_laws.values`. Of an
        average, those of its laws without bends (`Average.straight`).
    """
    if isinstance(fit, Average):
        fits = fit.straight.fits.values()
        return fit.mix_parameters([parameter_draws(f, targets, new_groups, seed) for f in fits])
    frame = pd.DataFrame(targets)
    params: dict[str, Any] = _parameter_draws(fit, frame, new_groups, seed)
    if fit.model.structure.bend is not None:
        params = {name: values for name, values in params.items() if not is_weight(name)}
        params[BEND] = bend_paths(fit, frame, seed)
    return params


def _parameter_draws(
    fit: Fit, frame: pd.DataFrame, new_groups: str, seed: int = 0
) -> dict[str, np.ndarray]:
    eta = _target_coordinates(fit, frame, new_groups, seed)
    reference = reference_inputs(fit.model.arrays.reference)
    return to_natural(fit.model.structure, eta, reference, np)


def log_loss_draws(
    fit: Fit | Average, frame: pd.DataFrame, kind: str, new_groups: str = "error", seed: int = 0
) -> np.ndarray:
    """Draws of log loss (sample, target) for checked targets, joint over targets.

    NaN or minus infinity where the response is not positive.
    """
    return response_draws(fit, frame, kind, new_groups, seed).log


def response_draws(
    fit: Fit | Average, frame: pd.DataFrame, kind: str, new_groups: str = "error", seed: int = 0
) -> Drawn:
    """Draws of the response and of its log (sample, target) for checked targets."""
    if isinstance(fit, Average):
        each = [response_draws(one, frame, kind, new_groups, seed) for one in fit.fits.values()]
        return Drawn(fit.mix([d.value for d in each]), fit.mix([d.log for d in each]))
    return _stages(fit, frame, kind, new_groups, seed).drawn


def drawn_with_shares(
    fit: Fit | Average, frame: pd.DataFrame, kind: str, new_groups: str, seed: int
) -> tuple[Drawn, dict[str, np.ndarray]]:
    """Draws of the response, and each source's share of their spread, (target,)."""
    if isinstance(fit, Average):
        return _mixed_with_shares(fit, frame, kind, new_groups, seed)
    told, line, mean, drawn = _stages(fit, frame, kind, new_groups, seed)
    positive = fit.model.structure.response.positive
    ends = [one.log if positive else one.value for one in (mean, drawn)]
    of_mean = np.clip(spread(ends[0]) / np.maximum(spread(ends[1]), 1e-300), 0.0, 1.0)
    known, beyond = spread(told), spread(line - told)
    share = known / np.maximum(known + beyond, 1e-300)
    shares = {"law": share * of_mean, "bend": (1.0 - share) * of_mean, "run": 1.0 - of_mean}
    if fit.model.structure.bend is None:
        del shares["bend"]
    if kind == "mean":
        del shares["run"]
    return drawn, shares


def _mixed_with_shares(
    fit: Average, frame: pd.DataFrame, kind: str, new_groups: str, seed: int
) -> tuple[Drawn, dict[str, np.ndarray]]:
    """The same of an average; between its laws is the weighted variance of their medians."""
    each = [drawn_with_shares(one, frame, kind, new_groups, seed) for one in fit.fits.values()]
    mixed = Drawn(fit.mix([d.value for d, _ in each]), fit.mix([d.log for d, _ in each]))
    positive = all(one.model.structure.response.positive for one in fit.fits.values())
    ends = [d.log if positive else d.value for d, _ in each]
    weights = np.array(list(fit.weights.values()))[:, None]
    medians = np.stack([np.median(end, axis=0) for end in ends])
    between = np.sum(weights * np.square(medians - np.sum(weights * medians, axis=0)), axis=0)
    own = weights * np.stack([spread(end) for end in ends])
    within = np.maximum(own.sum(axis=0), 1e-300)
    agreed = within / (within + between)
    names = dict.fromkeys(name for _, shares in each for name in shares)
    none = np.zeros(len(frame))
    parts = {name: [shares.get(name, none) for _, shares in each] for name in names}
    shares = {name: agreed * np.sum(own * part, axis=0) / within for name, part in parts.items()}
    return mixed, {**shares, "disagreement": 1.0 - agreed}


class _Stages(NamedTuple):
    """Draws (sample, target) as each source of their spread joins."""

    told: np.ndarray
    line: np.ndarray
    mean: Drawn
    drawn: Drawn


def _stages(fit: Fit, frame: pd.DataFrame, kind: str, new_groups: str, seed: int) -> _Stages:
    if kind not in KINDS:
        raise DataError(f"kind is 'new-run' or 'mean', not {kind!r}")
    values = _parameter_draws(fit, frame, new_groups, seed)
    told, line = _lines(fit, frame, values, seed)
    likelihood, unit = fit.model.structure.likelihood, fit.model.arrays.reference.typical
    link = likelihood.link
    drawn = mean = Drawn(link.value(line, unit, np), link.log_value(line, unit, np))
    if kind == "new-run":
        rng = np.random.default_rng([seed, 13])
        scatter = {p.name: values[p.name] for p in likelihood.parameters}
        drawn = likelihood.draw(scatter, line, noise_rows(fit, frame), unit, rng)
    return _Stages(told, line, mean, drawn)


def spread(draws: np.ndarray) -> np.ndarray:
    """Squared half width of the middle 68%: as a variance, but for tails of few degrees."""
    low, high = np.quantile(draws, [0.16, 0.84], axis=0)
    return np.square(0.5 * (high - low))


def _lines(
    fit: Fit, frame: pd.DataFrame, values: Mapping[str, np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the law on its link's line: bent as its runs tell, and as it goes on beyond them.

    The line is that of log loss, or another link's.
    """
    law, structure = fit.law, fit.model.structure
    columns = {v.column: frame[v.column].to_numpy(float) for v in law.variables.values()}
    with np.errstate(all="ignore"):
        mean = law.mean({p: values[p] for p in law.parameters}, columns, np)
        line = structure.likelihood.link.line(mean, fit.model.arrays.reference.typical, np)
    if structure.bend is None:
        return line, line
    floor = structure.bend.floor
    share = None if floor is None else values[floor] / mean
    told, drawn = (bend_paths(fit, frame, which).along(columns) for which in (None, seed))
    return bent_line(line, told, share, np), bent_line(line, drawn, share, np)


def bend_paths(fit: Fit, frame: pd.DataFrame, seed: int | None = 0) -> Paths:
    """How the law of each target's group bends, a function for each draw.

    A group has one path, whatever else is asked; a group that the fit has not seen one of its own.
    Without a seed, what the runs tell of it: the path that each draw's weights lead to expect.
    """
    structure = fit.model.structure
    assert structure.bend is not None
    (name,) = structure.bend.groups
    f = [factor.name for factor in structure.factors].index(name)
    factor, effects = structure.factors[f], fit.position.effects[f]
    places = [factor.learned_index.index(k) for k in factor.leaders]
    scale = np.exp(fit.position.log_sd[f][:, places])
    known = dict.fromkeys(group[f] for group in fit.model.groups)
    known = {label: k for k, label in enumerate(known)}
    of_row = group_labels(frame, factor.name) if factor.name else np.full(len(frame), "")
    drawn = {}
    for label in dict.fromkeys(of_row):
        code = zlib.crc32(label.encode())
        rng = None if seed is None else np.random.default_rng([seed, 17, code])
        seen = label in known
        level = factor.levels.index(label) if seen else 0
        weights = effects[:, level, : factor.weights] if seen else None
        drawn[label] = fit.model.walks[known.get(label, 0)].paths(
            weights, scale, rng, structure.bend.drift
        )
    paths = tuple(drawn[label] for label in of_row)
    link, unit = structure.likelihood.link, fit.model.arrays.reference.typical
    return Paths(tuple(logged_columns(fit.law)), paths, link, unit, structure.bend.floor)


def line_draws(
    fit: Fit, frame: pd.DataFrame, new_groups: str = "error", seed: int = 0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws (sample, target) of the law's place on its link's line, bent where it bends.

    And of the parameters of each target's scatter about it.
    """
    values = _parameter_draws(fit, frame, new_groups, seed)
    scatter = {p.name: values[p.name] for p in fit.model.structure.likelihood.parameters}
    return _lines(fit, frame, values, seed)[1], scatter


def noise_rows(fit: Fit, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the noise needs to know of new rows: a run measured as the data were."""
    rows = {"se2": np.full(len(frame), fit.model.mean_se2)}
    if fit.model.edges is not None:
        rows["z"] = fit.model.trend(compute_of(frame))
    if fit.model.structure.response.counts_of:
        rows["trials"] = trials_of(fit, frame)
    return rows


def trials_of(fit: Fit, frame: pd.DataFrame) -> np.ndarray:
    """Numbers of trials of new runs; the fitted rows' median where they don't say."""
    name = fit.model.structure.response.counts_of
    if name not in frame.columns:
        return np.full(len(frame), float(np.round(np.median(fit.runs.table[name]))))
    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
    faults = [
        f"target {i + 1}: {name} is {frame[name].iloc[i]!r}; give a whole number of trials"
        for i in np.flatnonzero(~((values >= 1) & (values == np.round(values))))
    ]
    if faults:
        raise DataError("the target can't be predicted:", tuple(faults))
    return values


def loss_draws(
    fit: Fit | Average,
    targets: pd.DataFrame | Mapping[str, Any],
    kind: str = "mean",
    new_groups: str = "error",
    seed: int = 0,
) -> np.ndarray:
    """Draws of the loss (sample, target); the same sample is the same set of parameters."""
    frame = targets_frame(fit, targets)
    return response_draws(fit, frame, kind, new_groups, seed).value


def log_predictive(
    fit: Fit | Average, table: pd.DataFrame, new_groups: str = "error"
) -> np.ndarray:
    """Log density of the observed log loss of a new run, shape (sample, row).

    Of counts it is their log probability; under the identity link it is of the response itself.
    """
    if isinstance(fit, Average):
        each = fit.fits.values()
        return fit.mix_densities([log_predictive(one, table, new_groups) for one in each])
    values = _parameter_draws(fit, table, new_groups)
    structure, unit = fit.model.structure, fit.model.arrays.reference.typical
    likelihood, response = structure.likelihood, structure.response
    _, line = _lines(fit, table, values, seed=0)
    measured = table[response.column].to_numpy(float)
    rows = noise_rows(fit, table)
    trials = rows.get("trials")
    observed = likelihood.observe(measured, trials, unit)
    if response.counted:
        rows["log_ways"] = log_ways(likelihood, observed, trials)
    rows = {k: v[:, None] for k, v in rows.items()}
    scatter = {p.name: values[p.name][..., None] for p in likelihood.parameters}
    mask = np.ones((*line.shape, 1))
    seen = likelihood.cell_log_density(scatter, line, observed[:, None], mask, rows, np)
    return seen if likelihood.link.name == "log" else seen + likelihood.log_measure(measured, unit)
