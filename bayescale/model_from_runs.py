"""A model made of a law and a table: what varies by which column, and rows laid out in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayescale.bends import SCALE, Bend, Weight, drift_of, prior_of
from bayescale.errors import BayescaleError, LawError
from bayescale.formula import log_name
from bayescale.group_columns import LevelValues, centred, level_values
from bayescale.law import Law, Parameter
from bayescale.likelihoods import build_likelihood, log_ways
from bayescale.model import Arrays, Factor, Model, Reference, Structure, find_trade, stands_apart
from bayescale.noise import NoiseParameter
from bayescale.priors import Prior
from bayescale.responses import CONTINUOUS, DISCREPANCIES, Response
from bayescale.tails import alike, restated
from bayescale.walks import Walk, walks

CORRELATE_FROM = 8
CONTRAST_LEVELS = 2
MOST_BENDS = 24  # groups that bend apart; more bend alike
MOST_BENT = 2  # variables of a law that is bent where nobody says
LONG = 1e6  # decades before a run's first checkpoint, about which nothing is remembered


def varying_columns(law: Law, noise_pool: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Grouping columns named by any parameter, in order of first mention."""
    names: list[str] = []
    for columns in [*(p.varies for p in law.parameters.values()), *noise_pool.values()]:
        names += [c for c in columns if c not in names]
    return tuple(names)


def measure_reference(law: Law, table: pd.DataFrame, response: Response | None = None) -> Reference:
    """Geometric means of the law's columns and of the losses over the rows to be fitted.

    The arithmetic mean of a column that may be zero.
    """
    response = response or law.response
    loss = table[response.column].to_numpy(float)
    columns = {}
    for v in law.variables.values():
        values = table[v.column].to_numpy(float)
        logged = v.least is None
        columns[v.name] = float(np.exp(np.mean(np.log(values))) if logged else np.mean(values))
    return Reference(columns, *response.scale(loss, _trials(response, table)))


def _trials(response: Response, table: pd.DataFrame) -> np.ndarray | None:
    return table[response.counts_of].to_numpy(float) if response.counts_of else None


def build_model(
    law: Law,
    table: pd.DataFrame,
    *,
    noise: str | None = None,
    noise_pool: Mapping[str, Sequence[str]] | None = None,
    discrepancy: str | None = None,
    checkpoints: str = "final",
    correlate: bool | None = None,
    reference: Reference | None = None,
    one_scale: bool = False,
    bend_prior: str | None = None,
) -> Model:
    """Lay out `table` (validated rows) for `law`.

    Parameters
    ----------
    law : Law
        With its final priors and pooling.
    table : pandas.DataFrame
        One row a run (or run and evaluation), canonical columns.
    noise : str, optional
        A likelihood, one of `responses.LIKELIHOODS`; the card's own where None.
    noise_pool : mapping, optional
        Grouping columns of noise parameters, e.g. ``{"sigma": ["family"]}``.
    discrepancy : {"none", "bend"}, optional
        None is "none".
    checkpoints : {"final", "all"}
        With "all", rows of a run follow one another and deviate together.
    correlate : bool, optional
        Learn correlations of the card's pairs between groups; from 8 levels on where None.
    reference : Reference, optional
        Measured from `table` where None.
    one_scale : bool
        Whether the law bends as in older saved fits, with one scale along all directions.
    bend_prior : str, optional
        Of the scales of a bend, as an older saved fit had it; `bends.prior_of` where None.
    """
    response = law.response.scattering(noise)
    if discrepancy not in (None, *DISCREPANCIES):
        known = ", ".join(DISCREPANCIES)
        raise BayescaleError(f"discrepancy {discrepancy!r} is not known; choose one of {known}")
    notes: list[str] = []
    noise_pool = dict(noise_pool or {})
    reference = reference or measure_reference(law, table, response)
    _check_shares(law, reference)

    factor_levels: dict[str, tuple[str, ...]] = {}
    for column in varying_columns(law, noise_pool):
        if column not in table.columns:
            notes.append(f"no column {column!r} in the runs: nothing varies by it")
            continue
        levels = tuple(dict.fromkeys(table[column].astype(str)))
        if len(levels) < 2:
            notes.append(f"{column} has one level ({levels[0]}): nothing varies by it")
            continue
        factor_levels[column] = levels
    if len(factor_levels) > 2:
        raise LawError(
            f"parameters vary by {', '.join(factor_levels)}: at most two crossed grouping columns"
        )

    variables = [v.column for v in law.variables.values()]
    cell_keys = [*factor_levels, *variables]
    if "evaluation" in table.columns and "evaluation" not in factor_levels:
        cell_keys.append("evaluation")
    cells = table.groupby(cell_keys, sort=False, dropna=False).ngroup().to_numpy()
    repeated = bool(np.max(np.bincount(cells)) > 1) and int(np.sum(np.bincount(cells) > 1)) >= 3
    serial = checkpoints == "all"
    if serial and response.frontier:
        raise BayescaleError(
            "noise='frontier' is of finished runs: what a run's tuning loses grows along it, which"
            " checkpoints='all' has no model of; take checkpoints='final', or noise='t'"
        )
    if serial or not repeated:
        repeated, cells = False, np.arange(len(table))
    se_column = f"{response.column}_se"
    measured = se_column in table.columns and bool(table[se_column].notna().all())
    if response.likelihood not in CONTINUOUS:
        if repeated:
            notes.append(f"runs that repeat a configuration are independent: {response.likelihood}")
        if measured:
            notes.append(f"{se_column} is not used: the likelihood is {response.likelihood}")
        repeated = measured = False
    if measured:
        typical = float(np.median(np.abs(table[se_column] / table[response.column])))
        notes.append(
            f"{se_column} (median {typical:.2%}) is taken as each row's own independent error;"
            f" leave it out where all rows were scored on one held-out text, whose error they share"
        )
    built = build_likelihood(response, repeated=repeated, measured=measured, serial=serial)
    slopes = _slopes(law, table, factor_levels, notes)

    bend = None
    if discrepancy == "bend":
        if not logged_columns(law):
            raise LawError(f"{law.name} has no positive variable along whose decades it could bend")
        own = len(factor_levels) == 1 and len(*factor_levels.values()) <= MOST_BENDS
        if len(factor_levels) > 0 and not own:
            by = " and ".join(factor_levels)
            notes.append(f"the law bends alike for every {by}: one bend for all groups")
        if not own:
            factor_levels[""] = ("",)
        variables = tuple(logged_columns(law))
        drift = 0.0 if one_scale else drift_of(variables)
        usual = bend_prior or prior_of(variables)
        prior = alike(SCALE, dict(response.priors).get(SCALE, usual), Prior.parse(usual)).text
        bend = Bend(tuple(factor_levels)[-1:], variables, floor_of(law), one_scale, prior, drift)
    parameters = [
        *law.parameters.values(),
        *restated(built.parameters, response.priors),
        *(one.slope for one in slopes),
        *(() if bend is None else bend.parameters),
    ]
    names = [p.name for p in parameters]
    unused = {name for name, _ in response.priors} - {*names, *(() if bend is None else [SCALE])}
    notes += [f"the prior of {name} is not used: this fit has none" for name in sorted(unused)]
    for missing in set(noise_pool) - set(names):
        raise BayescaleError(
            f"pool names {missing!r}, which is neither a parameter of {law.name} nor of its noise"
            f" ({', '.join(names)})"
        )
    pinned: list[tuple[int, float]] = []
    members: dict[str, list] = {f: [] for f in factor_levels}
    for i, parameter in enumerate(parameters):
        varies = noise_pool.get(parameter.name, getattr(parameter, "varies", ()))
        present = [f for f in varies if f in factor_levels]
        for f in present:
            members[f].append((i, parameter))
        if present and getattr(parameter, "pooling", "partial") == "none":
            pinned.append((i, _real_moments(parameter.prior)[0]))
    factors = tuple(
        _build_factor(f, factor_levels[f], members[f], law, bend, correlate, notes)
        for f in factor_levels
        if members[f]
    )
    active = tuple(one.slope for one in slopes)
    structure = Structure(law, response, built, factors, tuple(pinned), bend, active)
    arrays, groups, extra, walked = _lay_out(structure, table, cells, reference, measured)
    if slopes:
        arrays = replace(arrays, covariates=centred(slopes, arrays.levels))
    more = {"walks": walked, "covariates": slopes}
    return Model(structure, arrays, groups, *extra, notes=tuple(notes), **more)


def _slopes(
    law: Law, table: pd.DataFrame, levels: Mapping[str, tuple[str, ...]], notes: list[str]
) -> tuple[LevelValues, ...]:
    """What the covariates are in every group that there is."""
    found = []
    for p in law.parameters.values():
        present = {k: (f, levels[f]) for k, f in enumerate(levels) if f in p.varies}
        for slope in p.slopes:
            column = slope.covariate.column
            if not present or column not in table.columns:
                why = "there are no groups to tell it" if not present else f"no column {column!r}"
                notes.append(f"{slope.name} is left out: {why}")
                continue
            found.append(level_values(slope, table, present))
            notes.append(found[-1].note)
    return tuple(found)


def _check_shares(law: Law, reference: Reference) -> None:
    """A share of the smallest response needs one above zero."""
    if reference.smallest > 0:
        return
    for p in law.parameters.values():
        if p.share is not None and p.of == "smallest":
            raise LawError(
                f"the prior of {p.name} is on a share of the smallest {law.response.column},"
                f' which is {reference.smallest:g}: say of = "one", or a prior without a share'
            )


def default_discrepancy(law: Law, checkpoints: str = "final") -> str:
    """What a law's fits take where neither they nor the card say.

    A floor and what one or two counts remove from it, on the line of log loss, is bent, as was
    measured on real ladders (README); laws of more variables, or of another line, are not, nor all
    checkpoints of runs.
    """
    if law.response.discrepancy:
        return law.response.discrepancy
    logged = logged_columns(law)
    plain = law.response.likelihood in CONTINUOUS and len(logged) == len(law.variables)
    plain = plain and checkpoints == "final"
    return "bend" if plain and 0 < len(logged) <= MOST_BENT and floor_of(law) else "none"


def floor_of(law: Law) -> str | None:
    """The parameter that stands under the law's other terms, on the line of log loss."""
    trade = find_trade(law) if law.response.link == "log" else None
    return list(law.parameters)[trade[0]] if trade and stands_apart(law) else None


def _build_factor(
    name: str,
    levels: tuple[str, ...],
    members: Sequence[tuple[int, Parameter | NoiseParameter | Weight]],
    law: Law,
    bend: Bend | None,
    correlate: bool | None,
    notes: list[str],
) -> Factor:
    members = sorted(members, key=lambda member: not isinstance(member[1], Weight))
    varied = tuple(i for i, _ in members)
    learned, fixed = [], []
    weights = [k for k, (_, parameter) in enumerate(members) if isinstance(parameter, Weight)]
    tied = bend.weights if bend is not None and weights else ()
    leaders = np.cumsum((0, *tied))[:-1]
    for k, (_, parameter) in enumerate(members):
        if k in weights:
            learned.append(k in leaders)
            fixed.append(float(parameter.group_sd.quantile(0.5)))
            continue
        separate = getattr(parameter, "pooling", "partial") == "none"
        is_learned = not separate and len(levels) > CONTRAST_LEVELS
        learned.append(is_learned)
        if separate:
            fixed.append(_real_moments(parameter.prior)[1])
        else:
            fixed.append(float(parameter.group_sd.args[0]))
    unlearned = len(members) - len(weights) - sum(learned[len(weights) :])
    if len(levels) == CONTRAST_LEVELS and unlearned:
        notes.append(
            f"{name} has two levels: their differences are contrasts with a stated prior, "
            f"not a learned spread"
        )
    names = [p.name for _, p in members]
    pairs: list[tuple[int, int]] = []
    use = correlate if correlate is not None else len(levels) >= CORRELATE_FROM
    for a, b in law.pairs:
        if a in names and b in names and use:
            i, j = names.index(a), names.index(b)
            if learned[i] and learned[j]:
                pairs.append((i, j))
        elif a in names and b in names and len(levels) > CONTRAST_LEVELS and correlate is None:
            notes.append(
                f"cor({a}, {b}|{name}) is fixed at 0: {len(levels)} levels can't tell it"
                f" (learned from {CORRELATE_FROM} on)"
            )
    return Factor(name, levels, varied, tuple(pairs), tuple(learned), tuple(fixed), tied)


def _real_moments(prior: Prior) -> tuple[float, float]:
    """Mean and sd of a prior on its real-line coordinate, by quadrature over its quantiles."""
    grid = (np.arange(400) + 0.5) / 400
    real = prior.to_real(np.asarray(prior.quantile(grid)), np)
    return float(np.mean(real)), float(np.std(real))


def _lay_out(
    structure: Structure,
    table: pd.DataFrame,
    cells: np.ndarray,
    reference: Reference,
    measured: bool,
) -> tuple[Arrays, tuple[tuple[str, ...], ...], tuple, tuple[Walk, ...]]:
    law = structure.law
    labels = [tuple(row) for row in _labels(structure, table)]
    groups = tuple(dict.fromkeys(labels))
    group_of = {g: i for i, g in enumerate(groups)}
    group = np.array([group_of[label] for label in labels])

    cell_in_group = np.zeros(len(table), int)
    seed_in_cell = np.zeros(len(table), int)
    next_cell = dict.fromkeys(range(len(groups)), 0)
    seen: dict[int, tuple[int, int]] = {}
    for row, (g, c) in enumerate(zip(group, cells, strict=True)):
        if c not in seen:
            seen[c] = (next_cell[g], 0)
            next_cell[g] += 1
        index, count = seen[c]
        cell_in_group[row], seed_in_cell[row] = index, count
        seen[c] = (index, count + 1)
    shape = (len(groups), _bucket(max(next_cell.values())), int(seed_in_cell.max()) + 1)
    position = np.stack([group, cell_in_group, seed_in_cell], axis=1)

    columns = {}
    for v in law.variables.values():
        padded = np.full(shape[:2], reference.columns[v.name])
        padded[group, cell_in_group] = table[v.column].to_numpy(float)
        columns[v.column] = padded
        if structure.law.function is None and v.least is None:
            columns[log_name(v.column)] = np.log(padded)
    walked: tuple[Walk, ...] = ()
    features = None
    if structure.bend is not None:
        table_columns = table[logged_columns(law)].to_numpy(float)
        if structure.bend.groups == ("",):
            of_groups = [table_columns]
        else:
            of_groups = [table_columns[group == g] for g in range(len(groups))]
        walked = walks(of_groups, structure.bend.one_scale)
        features = np.zeros((*shape[:2], sum(structure.bend.weights)))
        for g in range(len(groups)):
            rows_of, walk = group == g, walked[g if len(walked) > 1 else 0]
            features[g, cell_in_group[rows_of]] = walk.features(table_columns[rows_of])
    at = tuple(position.T)
    likelihood, typical = structure.likelihood, reference.typical
    loss = table[structure.response.column].to_numpy(float)
    trials = _trials(structure.response, table)
    pad = (
        0.0
        if structure.response.counted
        else float(likelihood.observe(np.array(typical), None, typical))
    )
    observed = np.full(shape, pad)
    observed[at] = likelihood.observe(loss, trials, typical)
    mask = np.zeros(shape)
    mask[at] = 1.0

    rows: dict[str, np.ndarray] = {}
    mean_se2 = 0.0
    if measured:
        error = table[f"{structure.response.column}_se"].to_numpy(float)
        se2 = (error / likelihood.link.gain(loss, typical)) ** 2
        rows["se2"] = np.full(shape, float(np.mean(se2)))
        rows["se2"][at] = se2
        mean_se2 = float(np.mean(se2))
    if structure.response.counted:
        rows["log_ways"] = np.zeros(shape)
        rows["log_ways"][at] = log_ways(likelihood, observed[at], trials)
    if trials is not None:
        rows["trials"] = np.ones(shape)
        rows["trials"][at] = trials
    edges, centre = None, 0.0
    if "sigma_slope" in structure.names:
        log_compute = np.log10(table["C"].to_numpy(float))
        edges = (float(log_compute.min()), float(log_compute.max()))
        centre = float(log_compute.mean())
        rows["z"] = np.zeros(shape)
        rows["z"][at] = log_compute - centre
    if structure.serial:
        rows["gap"] = np.full(shape, LONG)
        rows["gap"][at] = gaps(table)
    levels = tuple(
        np.array([f.levels.index(g[k]) for g in groups]) for k, f in enumerate(structure.factors)
    )
    arrays = Arrays(columns, observed, mask, rows, levels, reference, position, features=features)
    return arrays, groups, (edges, centre, mean_se2), walked


def gaps(table: pd.DataFrame) -> np.ndarray:
    """Decades of tokens since the checkpoint before, of the same run and evaluation set."""
    decades = np.log10(table["D"].to_numpy(float))
    series = table[[c for c in ("run", "evaluation") if c in table]].astype(str)
    first = np.append(True, (series.to_numpy()[1:] != series.to_numpy()[:-1]).any(axis=1))
    return np.where(first, LONG, np.diff(decades, prepend=decades[0]))


def logged_columns(law: Law) -> list[str]:
    """Columns of the law whose decades count: those that can't be zero."""
    return [v.column for v in law.variables.values() if v.least is None]


def _bucket(n: int) -> int:
    """Pad to sizes that repeat, so that data sets of like size share a compiled program."""
    if n <= 8:
        return n
    step = 2 ** max(int(np.log2(n)) - 2, 2)
    return int(np.ceil(n / step) * step)


def _labels(structure: Structure, table: pd.DataFrame) -> np.ndarray:
    if not structure.factors:
        return np.full((len(table), 0), "")
    blank = np.full(len(table), "")
    named = [table[f.name].astype(str).to_numpy() if f.name else blank for f in structure.factors]
    return np.stack(named, axis=1)
