"""The loss of runs nobody has made: draws, intervals, and the sentence to print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale.bends import SCALE, WEIGHTS, weight_name
from bayescale.cells import labels, numbers
from bayescale.coordinates import to_natural
from bayescale.density import Position, group_covariance, population_coordinates
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit
from bayescale.model import FEW_LEVELS, reference_inputs

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
        ``sd_log`` (of log loss), ``decades_beyond`` (log10 of compute over the largest fitted).
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


def targets_frame(fit: Fit, targets: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
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
        for i in np.flatnonzero(~(np.isfinite(values.to_numpy(float)) & (values > 0).to_numpy())):
            given = frame[column].iloc[i]
            given = given.item() if isinstance(given, np.generic) else given
            faults.append(f"target {i + 1}: {column} is {given!r}; give a positive number")
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
        named = group_labels(frame, factor.name)
        for label in dict.fromkeys(named[index < 0]):
            drawn = _new_effects(fit, f, position, rng)
            effects = np.concatenate([effects, drawn[:, None, :]], axis=1)
            index = np.where(named == label, effects.shape[1] - 1, index)
        eta[:, :, varied] += effects[:, index, :]
    return eta


def _new_effects(fit: Fit, f: int, position: Position, rng: np.random.Generator) -> np.ndarray:
    factor = fit.model.structure.factors[f]
    covariance = group_covariance(factor, position.log_sd[f], position.corr[f], np)
    lower = np.linalg.cholesky(covariance)
    z = rng.standard_normal((len(lower), len(factor.varied)))
    return np.einsum("sij,sj->si", lower, z)


def parameter_draws(
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any],
    new_groups: str = "error",
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Draws of every law and noise parameter of each target's group, in the card's units.

    Returns
    -------
    dict of arrays, shape (sample, target)

    Raises
    ------
    BayescaleError
        For a fit whose law bends: its parameters are not the whole of it.
    """
    if fit.model.structure.bend is not None:
        raise BayescaleError(
            "this fit's law bends (discrepancy='bend'), so that its parameters alone don't say what"
            " a run loses: predict losses, or decide by a fit without discrepancy"
        )
    return _parameter_draws(fit, pd.DataFrame(targets), new_groups, seed)


def _parameter_draws(
    fit: Fit, frame: pd.DataFrame, new_groups: str, seed: int = 0
) -> dict[str, np.ndarray]:
    eta = _target_coordinates(fit, frame, new_groups, seed)
    reference = reference_inputs(fit.model.arrays.reference)
    return to_natural(fit.model.structure, eta, reference, np)


def log_loss_draws(
    fit: Fit, frame: pd.DataFrame, kind: str, new_groups: str = "error", seed: int = 0
) -> np.ndarray:
    """Draws of log loss (sample, target) for checked targets, joint over targets."""
    if kind not in KINDS:
        raise DataError(f"kind is 'new-run' or 'mean', not {kind!r}")
    values = _parameter_draws(fit, frame, new_groups, seed)
    log_mean = _log_mean(fit, frame, values, seed)
    if kind == "mean":
        return log_mean
    rng = np.random.default_rng([seed, 13])
    noise = fit.model.structure.noise
    noise_values = {p.name: values[p.name] for p in noise.parameters}
    return log_mean + noise.draw(noise_values, noise_rows(fit, frame), rng, log_mean.shape)


def _log_mean(
    fit: Fit, frame: pd.DataFrame, values: Mapping[str, np.ndarray], seed: int
) -> np.ndarray:
    """Log of the law's value (sample, target), bent where the fit's law bends."""
    law, structure = fit.law, fit.model.structure
    columns = {v.column: frame[v.column].to_numpy(float) for v in law.variables.values()}
    with np.errstate(all="ignore"):
        log_mean = np.log(law.mean({p: values[p] for p in law.parameters}, columns, np))
    if structure.bend is None:
        return log_mean
    rng = np.random.default_rng([seed, 17])
    rows = np.stack(list(columns.values()), axis=1)
    weights = np.stack([values[weight_name(k)] for k in range(WEIGHTS)], axis=-1)
    named = [group[0] if group else "" for group in fit.model.groups]
    known = dict(zip(named, fit.model.walks, strict=True))
    if structure.factors:
        (factor,) = structure.factors
        of_row = group_labels(frame, factor.name)
    else:
        of_row = np.full(len(frame), "")
    for label in dict.fromkeys(of_row):
        mine = np.flatnonzero(of_row == label)
        seen = label in known
        walk = known[label] if seen else fit.model.walks[0]
        of_group = weights[:, mine[0]] if seen else None
        drawn = walk.draw(rows[mine], of_group, len(log_mean), rng)
        log_mean[:, mine] += values[SCALE][:, mine[:1]] * drawn
    return log_mean


def noise_rows(fit: Fit, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the noise needs to know of new rows: a run measured as the data were."""
    rows = {"se2": np.full(len(frame), fit.model.mean_se2)}
    if fit.model.edges is not None:
        rows["z"] = fit.model.trend(compute_of(frame))
    return rows


def loss_draws(
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any],
    kind: str = "mean",
    new_groups: str = "error",
    seed: int = 0,
) -> np.ndarray:
    """Draws of the loss (sample, target); the same sample is the same set of parameters."""
    frame = targets_frame(fit, targets)
    return np.exp(log_loss_draws(fit, frame, kind, new_groups, seed))


def log_predictive(fit: Fit, table: pd.DataFrame, new_groups: str = "error") -> np.ndarray:
    """Log density of the observed log loss of a new run, shape (sample, row)."""
    values = _parameter_draws(fit, table, new_groups)
    law, noise = fit.law, fit.model.structure.noise
    log_mean = _log_mean(fit, table, values, seed=0)
    residual = np.log(table[law.response.column].to_numpy(float)) - log_mean
    rows = {k: v[:, None] for k, v in noise_rows(fit, table).items()}
    noise_values = {p.name: values[p.name][..., None] for p in noise.parameters}
    mask = np.ones((*residual.shape, 1))
    return noise.cell_log_density(noise_values, residual[..., None], mask, rows, np)


def compute_of(frame: pd.DataFrame) -> np.ndarray:
    """Training FLOPs of targets: their `C`, else 6ND."""
    if "C" in frame.columns and frame["C"].notna().all():
        return frame["C"].to_numpy(float)
    if {"N", "D"} <= set(frame.columns):
        return 6.0 * frame["N"].to_numpy(float) * frame["D"].to_numpy(float)
    return np.full(len(frame), np.nan)


def decades_beyond(fit: Fit, frame: pd.DataFrame) -> np.ndarray:
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
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any],
    kind: str = "new-run",
    prob: Iterable[float] = DEFAULT_PROB,
    new_groups: str = "error",
    seed: int = 0,
) -> Prediction:
    """Predict the loss of runs that nobody has made.

    Parameters
    ----------
    fit : Fit
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
    log_draws = log_loss_draws(fit, frame, kind, new_groups, seed)
    bad = ~np.all(np.isfinite(log_draws), axis=0)
    if bad.any():
        raise DataError(
            "the law has no finite positive loss there: "
            + ", ".join(f"target {i + 1}" for i in np.flatnonzero(bad))
        )
    draws = np.exp(log_draws)
    table = frame.copy()
    table["median"] = np.median(draws, axis=0)
    for level in levels:
        tail = (1.0 - level) / 2.0
        table[f"lower_{percent(level)}"] = np.quantile(draws, tail, axis=0)
        table[f"upper_{percent(level)}"] = np.quantile(draws, 1.0 - tail, axis=0)
    table["mean_log"] = log_draws.mean(axis=0)
    table["sd_log"] = log_draws.std(axis=0, ddof=1)
    table["decades_beyond"] = decades_beyond(fit, frame)
    warnings = _warnings(fit, frame, draws, max(levels))
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


def _warnings(fit: Fit, frame: pd.DataFrame, draws: np.ndarray, level: float) -> list[str]:
    out = [
        f"the target's {name} is not used: no parameter varies by it in this fit"
        for name in fit.law.varies
        if name in frame and name not in fit.groups and name not in fit.runs.table
    ]
    for factor in fit.model.structure.factors:
        named = dict.fromkeys(group_labels(frame, factor.name))
        unseen = [label for label in named if label not in factor.levels]
        if unseen and len(factor.levels) < FEW_LEVELS:
            out.append(
                f"{factor.name} {', '.join(unseen)} is new, and {len(factor.levels)} levels"
                f" ({', '.join(factor.levels)}) define the population: its interval is mostly prior"
            )
    out += _monte_carlo_warnings(fit, draws, level)
    return out


def _monte_carlo_warnings(fit: Fit, draws: np.ndarray, level: float) -> list[str]:
    """Name interval ends whose Monte Carlo error is above 5% of the width."""
    from arviz_stats.base import array_stats

    settings = fit.settings
    shaped = draws.reshape(settings.chains, -1, draws.shape[1])
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


def _sentences(fit: Fit, table: pd.DataFrame, kind: str, level: float) -> list[str]:
    name = percent(level)
    factors = [f.name for f in fit.model.structure.factors]
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
        out.append(
            f"{what}{group} at {at}: {row['median']:.4g} {fit.unit}, {name}% interval"
            f" {row[f'lower_{name}']:.4g} to {row[f'upper_{name}']:.4g} ({where})"
        )
    return out
