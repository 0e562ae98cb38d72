"""The loss of runs nobody has made: draws, intervals, and the sentence to print."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.bends import BEND, SCALE, is_weight, weight_name
from bayescale.cells import labels, numbers
from bayescale.coordinates import to_natural
from bayescale.density import Position, group_covariance, population_coordinates, with_slopes
from bayescale.errors import DataError
from bayescale.fitting import Fit
from bayescale.group_columns import target_values
from bayescale.likelihoods import Drawn, log_ways
from bayescale.measured import Coverage, measured_coverage
from bayescale.model import FEW_LEVELS, reference_inputs
from bayescale.model_from_runs import logged_columns
from bayescale.walks import WEIGHTS, Paths

if TYPE_CHECKING:
    import xarray as xr

KINDS = ("new-run", "mean")
NEW_GROUPS = ("error", "sample")
DEFAULT_PROB = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Predicted losses, one row a target.

    Attributes
    ----------
    table : pandas.DataFrame
        The target's columns, median, ``lower_50``, ``upper_50``, ... (equal-tailed), ``mean_log``,
        ``sd_log`` (of the log response; NaN where a draw is not positive), ``decades_beyond``
        (log10 of compute over the largest fitted), and shares of the squared spread (of the middle
        68% of log responses) that sum to 1: ``share_law`` (parameters, a new group's among them),
        ``share_bend`` (what the law may do beyond its runs, where it bends), ``share_run`` (one
        run's own deviation, in a "new-run").
    draws : xarray.DataArray
        Losses, dims (sample, target).
    kind : str
        "mean" (the law's value) or "new-run" (one more training run).
    sentences : list of str
        One for each target.
    warnings : list of str
    """

    table: pd.DataFrame
    draws: xr.DataArray
    kind: str
    sentences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *(f"note: {w}" for w in self.warnings)])

    def _repr_html_(self) -> str:
        from bayescale.display import prediction_html

        return prediction_html(self)

    def interval(self, prob: float = 0.95) -> np.ndarray:
        """Equal-tailed interval of every target, shape (target, 2)."""
        tail = (1.0 - prob) / 2.0
        return np.quantile(self.draws.to_numpy(), [tail, 1.0 - tail], axis=0).T


def targets_frame(fit: Fit | Average, targets: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
    """Check targets: the law's columns positive and finite, every fault in one error."""
    if isinstance(targets, Mapping):
        sized = {k: np.atleast_1d(np.asarray(v, dtype=object)) for k, v in targets.items()}
        length = max((len(v) for v in sized.values()), default=0)
        uneven = [k for k, v in sized.items() if len(v) not in (1, length)]
        if uneven:
            raise DataError(f"the target's columns differ in length: {', '.join(map(str, uneven))}")
        frame = pd.DataFrame({k: np.resize(v, length) for k, v in sized.items()}, dtype=object)
    else:
        frame = pd.DataFrame(targets).copy()
    if frame.empty:
        raise DataError("there is no target to predict")
    faults: list[str] = []
    for variable in fit.law.variables.values():
        column = variable.column
        if column == "C" and "C" not in frame and {"N", "D"} <= set(frame.columns):
            frame["C"] = 6.0 * numbers(frame["N"])[0] * numbers(frame["D"])[0]
        if column not in frame.columns:
            given = ", ".join(map(str, frame.columns))
            faults.append(f"no column {column!r} ({variable.unit}); the target has {given}")
            continue
        values, _ = numbers(frame[column])
        least = variable.least
        fits = (values > 0) if least is None else (values >= least)
        for i in np.flatnonzero(~(np.isfinite(values.to_numpy(float)) & fits.to_numpy())):
            given = frame[column].iloc[i]
            given = given.item() if isinstance(given, np.generic) else given
            number = "positive number" if least is None else f"number from {least:g} on"
            faults.append(f"target {i + 1}: {column} is {given!r}; give a {number}")
        frame[column] = values.astype(float)
    if "C" in frame.columns:
        frame["C"], _ = numbers(frame["C"])
    if faults:
        raise DataError("the target can't be predicted:", tuple(faults))
    return frame.reset_index(drop=True)


def group_labels(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A grouping column as the labels that fits know."""
    return labels(frame[name]).astype(str).to_numpy()


def _level_index(fit: Fit, frame: pd.DataFrame, new_groups: str) -> list[np.ndarray]:
    """Index of each target's level in each factor; -1 for a level never seen."""
    if new_groups not in NEW_GROUPS:
        raise DataError(f"new_groups is 'error' or 'sample', not {new_groups!r}")
    indices = []
    faults = _single_level_faults(fit, frame)
    for factor in fit.model.structure.factors:
        if not factor.name:
            indices.append(np.zeros(len(frame), int))
            continue
        if factor.name not in frame.columns:
            raise DataError(
                f"say which {factor.name} the target belongs to: {', '.join(factor.levels)}"
                f" (or a new one with new_groups='sample')"
            )
        named = group_labels(frame, factor.name)
        known = {level: i for i, level in enumerate(factor.levels)}
        index = np.array([known.get(label, -1) for label in named])
        unknown = list(dict.fromkeys(named[index < 0]))
        if unknown and new_groups == "error":
            faults.append(
                f"{factor.name} {', '.join(map(repr, unknown))} is not in the fit, which knows"
                f" {', '.join(factor.levels)}; new_groups='sample' draws it from the population"
            )
        indices.append(index)
    if faults:
        raise DataError("the target names an unknown group:", tuple(faults))
    return indices


def _single_level_faults(fit: Fit, frame: pd.DataFrame) -> list[str]:
    """Targets of another group than the only one fitted, about which the fit knows nothing."""
    fitted = fit.runs.table
    faults = []
    for name in fit.law.varies:
        if name in fit.groups or name not in fitted or name not in frame:
            continue
        known = dict.fromkeys(group_labels(fitted, name))
        strange = [
            label for label in dict.fromkeys(group_labels(frame, name)) if label not in known
        ]
        if len(known) == 1 and strange:
            faults.append(
                f"{name} {', '.join(map(repr, strange))} is not in the fit, whose runs are all of"
                f" {next(iter(known))}: nothing tells how others differ; fit runs of it too"
            )
    return faults


def _target_coordinates(fit: Fit, frame: pd.DataFrame, new_groups: str, seed: int) -> np.ndarray:
    """Coordinates (sample, target, P); a new group has one draw, shared by its targets."""
    structure, position = fit.model.structure, fit.position
    indices = _level_index(fit, frame, new_groups)
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
        Of a law that bends, also `Paths` under the name "bend": see `drawn_laws.values`.
    """
    if isinstance(fit, Average):
        fit.refuse_bends()
        each = [parameter_draws(one, targets, new_groups, seed) for one in fit.fits.values()]
        return fit.mix_parameters(each)
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
    return _drawn(fit, frame, kind, new_groups, seed)[0]


def _drawn(
    fit: Fit | Average, frame: pd.DataFrame, kind: str, new_groups: str, seed: int
) -> tuple[Drawn, dict[str, np.ndarray]]:
    """Draws of the response, and each source's share of their spread, (target,)."""
    if isinstance(fit, Average):
        each = [response_draws(one, frame, kind, new_groups, seed) for one in fit.fits.values()]
        return Drawn(fit.mix([d.value for d in each]), fit.mix([d.log for d in each])), {}
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
    positive = fit.model.structure.response.positive
    ends = [one.log if positive else one.value for one in (mean, drawn)]
    of_mean = np.clip(_spread(ends[0]) / np.maximum(_spread(ends[1]), 1e-300), 0.0, 1.0)
    known, beyond = _spread(told), _spread(line - told)
    share = known / np.maximum(known + beyond, 1e-300)
    shares = {"law": share * of_mean, "bend": (1.0 - share) * of_mean, "run": 1.0 - of_mean}
    if fit.model.structure.bend is None:
        del shares["bend"]
    if kind == "mean":
        del shares["run"]
    return drawn, shares


def _spread(draws: np.ndarray) -> np.ndarray:
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
    told, drawn = (bend_paths(fit, frame, which).along(columns) for which in (None, seed))
    return line + told, line + drawn


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
    first = factor.varied.index(structure.names.index(weight_name(0)))
    place = [structure.sd_name(factor, k) for k in factor.learned_index].index(SCALE)
    scale = np.exp(fit.position.log_sd[f][:, place])
    known = dict.fromkeys(group[f] for group in fit.model.groups)
    known = {label: k for k, label in enumerate(known)}
    of_row = group_labels(frame, factor.name) if factor.name else np.full(len(frame), "")
    drawn = {}
    for label in dict.fromkeys(of_row):
        code = zlib.crc32(label.encode())
        rng = None if seed is None else np.random.default_rng([seed, 17, code])
        seen = label in known
        level = factor.levels.index(label) if seen else 0
        weights = effects[:, level, first : first + WEIGHTS] if seen else None
        drawn[label] = fit.model.walks[known.get(label, 0)].paths(weights, scale, rng)
    paths = tuple(drawn[label] for label in of_row)
    link = structure.likelihood.link
    return Paths(tuple(logged_columns(fit.law)), paths, link, fit.model.arrays.reference.typical)


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


def compute_of(frame: pd.DataFrame) -> np.ndarray:
    """Training FLOPs of targets: their `C`, else 6ND."""
    if "C" in frame.columns and frame["C"].notna().all():
        return frame["C"].to_numpy(float)
    if {"N", "D"} <= set(frame.columns):
        return 6.0 * frame["N"].to_numpy(float) * frame["D"].to_numpy(float)
    return np.full(len(frame), np.nan)


def decades_beyond(fit: Fit | Average, frame: pd.DataFrame) -> np.ndarray:
    """Log10 of each target's compute over the largest fitted, both counted alike; 0 inside."""
    table = fit.runs.table
    own = "C" in frame.columns and frame["C"].notna().all()
    if not own and not {"N", "D"} <= set(table.columns):
        return np.zeros(len(frame))
    largest = np.nanmax(compute_of(table if own else table.drop(columns="C", errors="ignore")))
    return np.maximum(np.log10(compute_of(frame) / largest), 0.0)


def percent(prob: float) -> str:
    """0.95 -> '95', 0.999 -> '99.9'."""
    return f"{100 * prob:.6g}"


def predict(
    fit: Fit | Average,
    targets: pd.DataFrame | Mapping[str, Any],
    kind: str = "new-run",
    prob: Iterable[float] = DEFAULT_PROB,
    new_groups: str = "error",
    seed: int = 0,
) -> Prediction:
    """Predict the loss of runs that nobody has made.

    Parameters
    ----------
    fit : Fit or Average
    targets : DataFrame or dict of columns
        The law's columns in base units, and the group labels the fit knows.
    kind : {"new-run", "mean"}
        "mean": the law's value for that group (the median of a run's loss). "new-run": one more
        run, with the deviation of its configuration, its own, and its measurement error.
    prob : iterable of float
        Probabilities of the equal-tailed intervals.
    new_groups : {"error", "sample"}
        "sample" draws a group that the fit has not seen from the population.
    seed : int
        Of the new runs' deviations.

    Returns
    -------
    Prediction

    Raises
    ------
    DataError
        For columns missing or not positive, or an unknown group.

    Notes
    -----
    With Student-t deviations the mean loss of a new run does not exist: medians and quantiles are
    of the loss, mean and sd of its log.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> prediction = bs.predict(fit, {"N": 1e6, "D": 2e7})
    >>> bool(prediction.table["lower_95"][0] < prediction.table["upper_95"][0])
    True
    """
    frame = targets_frame(fit, targets)
    levels = _checked_levels(prob)
    (draws, log_draws), shares = _drawn(fit, frame, kind, new_groups, seed)
    positive = all(one.model.structure.response.positive for one in _each(fit))
    bad = ~np.all(np.isfinite(log_draws if positive else draws), axis=0)
    if bad.any():
        what = "finite positive" if positive else "finite"
        raise DataError(
            f"the law has no {what} {fit.law.response.column} there: "
            + ", ".join(f"target {i + 1}" for i in np.flatnonzero(bad))
        )
    table = frame.copy()
    table["median"] = np.median(draws, axis=0)
    for level in levels:
        tail = (1.0 - level) / 2.0
        table[f"lower_{percent(level)}"] = np.quantile(draws, tail, axis=0)
        table[f"upper_{percent(level)}"] = np.quantile(draws, 1.0 - tail, axis=0)
    log_draws = np.where(np.all(np.isfinite(log_draws), axis=0), log_draws, np.nan)
    table["mean_log"] = log_draws.mean(axis=0)
    table["sd_log"] = log_draws.std(axis=0, ddof=1)
    table["decades_beyond"] = decades_beyond(fit, frame)
    table = table.assign(**{f"share_{name}": share for name, share in shares.items()})
    trials = [said for one in _each(fit) for said in _trial_warnings(one, frame, kind)]
    beyond = table["decades_beyond"].to_numpy(float)
    narrow = [said for one in _each(fit) for said in _narrow_warnings(one, beyond, max(levels))]
    warnings = [*dict.fromkeys(trials), *_warnings(fit, frame, draws, max(levels))]
    warnings += dict.fromkeys(narrow)
    return Prediction(
        table, _labelled(draws), kind, _sentences(fit, table, kind, max(levels)), warnings
    )


def _checked_levels(prob: float | Iterable[float]) -> Sequence[float]:
    given = [prob] if isinstance(prob, int | float) else list(prob)
    try:
        levels = [float(p) for p in given]
    except (TypeError, ValueError):
        levels = []
    if not levels:
        raise DataError(f"prob is {prob!r}: give probabilities such as (0.5, 0.95)")
    for level in levels:
        if not 0.0 < level < 1.0:
            raise DataError(f"an interval's probability lies between 0 and 1, not {level}")
    return levels


def _labelled(draws: np.ndarray) -> xr.DataArray:
    import xarray as xr

    return xr.DataArray(
        draws,
        dims=("sample", "target"),
        coords={"target": np.arange(draws.shape[1])},
        name="loss",
    )


def _each(fit: Fit | Average) -> list[Fit]:
    """The fits of an average, or the one."""
    return list(fit.fits.values()) if isinstance(fit, Average) else [fit]


def _trial_warnings(fit: Fit, frame: pd.DataFrame, kind: str) -> list[str]:
    """Say how many trials a new run is taken to have, where it doesn't."""
    name = fit.model.structure.response.counts_of
    if not name or name in frame.columns or kind == "mean":
        return []
    return [f"a new run is taken to have {trials_of(fit, frame)[0]:g} {name}, the runs' median"]


def _warnings(
    fit: Fit | Average, frame: pd.DataFrame, draws: np.ndarray, level: float
) -> list[str]:
    if isinstance(fit, Average):
        said = [_group_warnings(one, frame) for one in fit.fits.values()]
        of_groups = list(dict.fromkeys(warning for one in said for warning in one))
        of_draws = _monte_carlo_warnings(fit.chains, draws, level)
        return [fit.disagreement(draws), *of_groups, *of_draws]
    return _group_warnings(fit, frame) + _monte_carlo_warnings(fit.settings.chains, draws, level)


def _group_warnings(fit: Fit, frame: pd.DataFrame) -> list[str]:
    out = [
        f"the target's {name} is not used: no parameter varies by it in this fit"
        for name in fit.law.varies
        if name in frame and name not in fit.groups and name not in fit.runs.table
    ]
    for factor in fit.model.structure.grouping:
        named = dict.fromkeys(group_labels(frame, factor.name))
        unseen = [label for label in named if label not in factor.levels]
        if unseen and len(factor.levels) < FEW_LEVELS:
            out.append(
                f"{factor.name} {', '.join(unseen)} is new, and {len(factor.levels)} levels"
                f" ({', '.join(factor.levels)}) define the population: its interval is mostly prior"
            )
    return out


def _monte_carlo_warnings(chains: int, draws: np.ndarray, level: float) -> list[str]:
    """Name interval ends whose Monte Carlo error is above 5% of the width."""
    from arviz_stats.base import array_stats

    shaped = draws.reshape(chains, -1, draws.shape[1])
    tail = (1.0 - level) / 2.0
    width = np.quantile(draws, 1.0 - tail, axis=0) - np.quantile(draws, tail, axis=0)
    worst = np.zeros(draws.shape[1])
    for q in (tail, 1.0 - tail):
        error = array_stats.mcse(shaped, chain_axis=0, draw_axis=1, method="quantile", prob=q)
        worst = np.maximum(worst, np.atleast_1d(error) / np.maximum(width, 1e-300))
    return [
        f"target {i + 1}: the ends of its {percent(level)}% interval have a Monte Carlo error of"
        f" {worst[i]:.0%} of the width; draw more"
        for i in np.flatnonzero(worst > 0.05)
    ]


def short(value: float) -> str:
    """A number as people write it: 7e10, 1.4e12, 3100."""
    if value == 0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _measured(fit: Fit | Average, decades: float, level: float) -> Coverage | None:
    """What was measured of fits like this one; nothing was of averages."""
    if isinstance(fit, Average):
        return None
    structure = fit.model.structure
    if structure.bend is None or structure.likelihood.link.name != "log":
        return None
    return measured_coverage(decades, level)


def _narrow_warnings(fit: Fit, decades: np.ndarray, level: float) -> list[str]:
    """Say where intervals of this kind were too narrow."""
    if fit.model.structure.bend is None and np.any(decades > 0):
        return [
            "without discrepancy the law is taken to be exactly true: beyond the runs such"
            " intervals are too narrow (README: coverage on real ladders)"
        ]
    failing = [_measured(fit, float(beyond), level) for beyond in decades]
    return list(
        dict.fromkeys(
            f"{percent(level)}% intervals as far beyond the runs held {told} only"
            for told in failing
            if told is not None and told.fails
        )
    )


def _sentences(fit: Fit | Average, table: pd.DataFrame, kind: str, level: float) -> list[str]:
    name = percent(level)
    factors = list(fit.groups)
    out = []
    for _, row in table.iterrows():
        what = "One more run" if kind == "new-run" else "The law's value"
        group = " of " + ", ".join(str(row[f]) for f in factors) if factors else ""
        at = ", ".join(
            f"{v.name}={short(float(row[v.column]))}" for v in fit.law.variables.values()
        )
        beyond = float(row["decades_beyond"])
        where = (
            f"{beyond:.1f} decades of compute beyond the data" if beyond > 0 else "inside the data"
        )
        told = _measured(fit, beyond, level)
        where += f"; measured coverage of such intervals: {told}" if told else ""
        out.append(
            f"{what}{group} at {at}: {row['median']:.4g} {fit.unit}, {name}% interval"
            f" {row[f'lower_{name}']:.4g} to {row[f'upper_{name}']:.4g} ({where})"
        )
    return out
