"""A law set against a table of runs: which coordinates exist, what varies by group, padded arrays.

`Structure` is what a compiled program depends on; `Arrays` is what it is called with. Every fit of
the same structure and shapes shares one compilation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeGuard

import numpy as np
import pandas as pd

from bayescale.errors import BayescaleError, LawError
from bayescale.formula import log_name
from bayescale.law import Law, Parameter
from bayescale.noise import NOISE_NAMES, Noise, NoiseParameter, build_noise
from bayescale.priors import Prior

CORRELATE_FROM = 8
CONTRAST_LEVELS = 2
FEW_LEVELS = 5


@dataclass(frozen=True)
class Reference:
    """Where priors on shares hold: geometric means of the runs, and their losses.

    Attributes
    ----------
    columns : dict
        Geometric mean of every law variable, in the law's units.
    typical, smallest : float
        Geometric mean and minimum of the fitted losses.
    """

    columns: Mapping[str, float]
    typical: float
    smallest: float

    def loss(self, of: str) -> float:
        return self.smallest if of == "smallest" else self.typical


def has_share(parameter: Parameter | NoiseParameter) -> TypeGuard[Parameter]:
    """Whether a parameter multiplies a term of the law, whose size is then its coordinate."""
    return isinstance(parameter, Parameter) and parameter.share is not None


@dataclass(frozen=True)
class Factor:
    """A grouping column and the coordinates whose values differ by its levels."""

    name: str
    levels: tuple[str, ...]
    varied: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    learned: tuple[bool, ...] = ()
    fixed_sd: tuple[float, ...] = ()

    @property
    def learned_index(self) -> tuple[int, ...]:
        return tuple(i for i, learned in enumerate(self.learned) if learned)


@dataclass(frozen=True)
class Structure:
    """The statistical model, apart from its data.

    Coordinates are unconstrained: the law's parameters in card order, then the noise's. A parameter
    with a `share` has the log of its contribution at the reference as its coordinate, so that a
    group effect on it is a relative change of that contribution, whatever the exponent.
    """

    law: Law
    noise: Noise
    noise_name: str
    factors: tuple[Factor, ...]
    pinned: tuple[tuple[int, float], ...] = ()

    @cached_property
    def parameters(self) -> tuple[Parameter | NoiseParameter, ...]:
        return (*self.law.parameters.values(), *self.noise.parameters)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @property
    def size(self) -> int:
        return len(self.parameters)

    @cached_property
    def trade(self) -> tuple[int, tuple[int, ...]] | None:
        """Coordinates of a floor and of the terms that stand on it, if the law is so built."""
        return find_trade(self.law)

    @cached_property
    def free(self) -> tuple[int, ...]:
        """Coordinates with a population value; the others are separate for each group."""
        pinned = {i for i, _ in self.pinned}
        return tuple(i for i in range(self.size) if i not in pinned)

    @cached_property
    def base(self) -> np.ndarray:
        base = np.zeros(self.size)
        for i, value in self.pinned:
            base[i] = value
        return base

    @cached_property
    def block(self) -> int | None:
        """The factor whose effects are eliminated level by level: the one with most levels."""
        if not self.factors:
            return None
        return max(range(len(self.factors)), key=lambda f: len(self.factors[f].levels))

    @cached_property
    def key(self) -> tuple:
        """Equal keys share compiled programs."""
        law = self.law
        described = tuple(
            (p.name, p.prior.text, getattr(p, "on", ""), p.group_sd.text) for p in self.parameters
        )
        formula = law.text or id(law.function)
        factors = tuple(
            (len(f.levels), f.varied, f.pairs, f.learned, f.fixed_sd) for f in self.factors
        )
        return (law.name, formula, described, self.noise, factors, self.pinned)


@dataclass(frozen=True)
class Arrays:
    """Rows laid out as (groups, cells, seeds), padded; a pytree's worth of numpy arrays.

    A group is a combination of factor levels that occurs; a cell is one configuration of the law's
    variables in a group; its seeds are the runs that repeat it.
    """

    columns: dict[str, np.ndarray]
    log_loss: np.ndarray
    mask: np.ndarray
    rows: dict[str, np.ndarray]
    levels: tuple[np.ndarray, ...]
    reference: Reference
    position: np.ndarray = field(repr=False, default_factory=lambda: np.zeros((0, 3), int))

    def inputs(self) -> dict:
        """Arguments of compiled functions."""
        return {
            "columns": self.columns,
            "log_loss": self.log_loss,
            "mask": self.mask,
            "rows": self.rows,
            "levels": self.levels,
            "reference": reference_inputs(self.reference),
        }


def padded(arrays: Arrays, cells: int, seeds: int) -> Arrays:
    """The same rows in a larger layout, (groups, cells, seeds)."""
    shape = arrays.mask.shape
    more = [(0, 0), (0, cells - shape[1]), (0, seeds - shape[2])]

    def pad(values: np.ndarray) -> np.ndarray:
        return np.pad(values, more[: values.ndim], mode="edge")

    return replace(
        arrays,
        columns={name: pad(values) for name, values in arrays.columns.items()},
        log_loss=pad(arrays.log_loss),
        mask=np.pad(arrays.mask, more),
        rows={name: pad(values) for name, values in arrays.rows.items()},
    )


def reference_inputs(reference: Reference) -> dict:
    """The reference as arguments of `coordinates.to_natural`."""
    return {
        "columns": {k: np.float64(v) for k, v in reference.columns.items()},
        "typical": np.float64(reference.typical),
        "smallest": np.float64(reference.smallest),
    }


@dataclass(frozen=True)
class Model:
    """A structure with its data, the labels of its groups, and what was noticed on the way."""

    structure: Structure
    arrays: Arrays
    groups: tuple[tuple[str, ...], ...]
    edges: tuple[float, float] | None
    centre: float
    mean_se2: float
    notes: tuple[str, ...] = ()

    def trend(self, compute: np.ndarray) -> np.ndarray:
        """Decades of compute from the data's middle, held at the data's edges."""
        if self.edges is None:
            return np.zeros_like(np.asarray(compute, float))
        low, high = self.edges
        return np.clip(np.log10(compute), low, high) - self.centre


def find_trade(law: Law) -> tuple[int, tuple[int, ...]] | None:
    """Index of the parameter that is its own share, a floor, and of the terms that stand on it."""
    names = list(law.parameters)
    shares = {n: p for n, p in law.parameters.items() if p.share is not None}
    logged = all(p.on == "value" or p.prior.support == (0.0, np.inf) for p in shares.values())
    floors = [n for n, p in shares.items() if p.share is not None and p.share.names == (n,)]
    if len(floors) != 1 or len(shares) < 2 or not logged:
        return None
    rng = np.random.default_rng(0)
    values = {n: rng.uniform(0.2, 0.8, 5) for n in names}
    columns = {v.name: rng.uniform(1.0, 9.0, 5) for v in law.variables.values()}
    by_column = {v.column: columns[v.name] for v in law.variables.values()}
    with np.errstate(all="ignore"):
        loss = law.mean(values, by_column, np)
        raised = law.mean({**values, floors[0]: values[floors[0]] + 1.0}, by_column, np)
        if not np.allclose(raised - loss, 1.0, rtol=1e-9):
            return None
    return names.index(floors[0]), tuple(names.index(n) for n in shares if n != floors[0])


def _bucket(n: int) -> int:
    """Pad to sizes that repeat, so that data sets of like size share a compiled program."""
    if n <= 8:
        return n
    step = 2 ** max(int(np.log2(n)) - 2, 2)
    return int(np.ceil(n / step) * step)


def _real_moments(prior: Prior) -> tuple[float, float]:
    """Mean and sd of a prior on its real-line coordinate, by quadrature over its quantiles."""
    grid = (np.arange(400) + 0.5) / 400
    real = prior.to_real(np.asarray(prior.quantile(grid)), np)
    return float(np.mean(real)), float(np.std(real))


def _build_factor(
    name: str,
    levels: tuple[str, ...],
    members: Sequence[tuple[int, Parameter | NoiseParameter]],
    law: Law,
    correlate: bool | None,
    notes: list[str],
) -> Factor:
    varied = tuple(i for i, _ in members)
    learned, fixed = [], []
    for _, parameter in members:
        separate = getattr(parameter, "pooling", "partial") == "none"
        is_learned = not separate and len(levels) > CONTRAST_LEVELS
        learned.append(is_learned)
        if separate:
            fixed.append(_real_moments(parameter.prior)[1])
        else:
            fixed.append(float(parameter.group_sd.args[0]))
    if len(levels) == CONTRAST_LEVELS and any(not x for x in learned):
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
    return Factor(name, levels, varied, tuple(pairs), tuple(learned), tuple(fixed))


def measure_reference(law: Law, table: pd.DataFrame) -> Reference:
    """Geometric means of the law's columns and of the losses over the rows to be fitted."""
    loss = table[law.response.column].to_numpy(float)
    columns = {
        v.name: float(np.exp(np.mean(np.log(table[v.column].to_numpy(float)))))
        for v in law.variables.values()
    }
    return Reference(columns, float(np.exp(np.mean(np.log(loss)))), float(np.min(loss)))


def varying_columns(law: Law, noise_pool: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Grouping columns named by any parameter, in order of first mention."""
    names: list[str] = []
    for columns in [*(p.varies for p in law.parameters.values()), *noise_pool.values()]:
        names += [c for c in columns if c not in names]
    return tuple(names)


def build_model(
    law: Law,
    table: pd.DataFrame,
    *,
    noise: str | None = None,
    noise_pool: Mapping[str, Sequence[str]] | None = None,
    correlate: bool | None = None,
    reference: Reference | None = None,
) -> Model:
    """Lay out `table` (validated rows) for `law`.

    Parameters
    ----------
    law : Law
        With its final priors and pooling.
    table : pandas.DataFrame
        One row a run (or run and evaluation), canonical columns.
    noise : {"t", "normal", "t+scale"}, optional
        The card's own where None.
    noise_pool : mapping, optional
        Grouping columns of noise parameters, e.g. ``{"sigma": ["family"]}``.
    correlate : bool, optional
        Learn correlations of the card's pairs between groups; from 8 levels on where None.
    reference : Reference, optional
        Measured from `table` where None.
    """
    name = noise or law.response.noise
    if name not in NOISE_NAMES:
        raise BayescaleError(f"noise {name!r} is not known; choose one of {', '.join(NOISE_NAMES)}")
    notes: list[str] = []
    noise_pool = dict(noise_pool or {})
    reference = reference or measure_reference(law, table)

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
    if not repeated:
        cells = np.arange(len(table))
    se_column = f"{law.response.column}_se"
    measured = se_column in table.columns and bool(table[se_column].notna().all())
    if measured:
        typical = float(np.median(table[se_column] / table[law.response.column]))
        notes.append(
            f"{se_column} (median {typical:.2%}) is taken as each row's own independent error;"
            f" leave it out where all rows were scored on one held-out text, whose error they share"
        )
    built = build_noise(name, repeated=repeated, measured=measured)

    parameters = [*law.parameters.values(), *built.parameters]
    names = [p.name for p in parameters]
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
        _build_factor(f, factor_levels[f], members[f], law, correlate, notes)
        for f in factor_levels
        if members[f]
    )
    structure = Structure(law, built, name, factors, tuple(pinned))
    arrays, groups, extra = _lay_out(structure, table, cells, reference, measured)
    return Model(structure, arrays, groups, *extra, notes=tuple(notes))


def _lay_out(
    structure: Structure,
    table: pd.DataFrame,
    cells: np.ndarray,
    reference: Reference,
    measured: bool,
) -> tuple[Arrays, tuple[tuple[str, ...], ...], tuple]:
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
        if structure.law.function is None:
            columns[log_name(v.column)] = np.log(padded)
    at = tuple(position.T)
    loss = table[law.response.column].to_numpy(float)
    log_loss = np.full(shape, np.log(reference.typical))
    log_loss[at] = np.log(loss)
    mask = np.zeros(shape)
    mask[at] = 1.0

    rows: dict[str, np.ndarray] = {}
    mean_se2 = 0.0
    if measured:
        se2 = (table[f"{law.response.column}_se"].to_numpy(float) / loss) ** 2
        rows["se2"] = np.full(shape, float(np.mean(se2)))
        rows["se2"][at] = se2
        mean_se2 = float(np.mean(se2))
    edges, centre = None, 0.0
    if "sigma_slope" in structure.names:
        log_compute = np.log10(table["C"].to_numpy(float))
        edges = (float(log_compute.min()), float(log_compute.max()))
        centre = float(log_compute.mean())
        rows["z"] = np.zeros(shape)
        rows["z"][at] = log_compute - centre
    levels = tuple(
        np.array([f.levels.index(g[k]) for g in groups]) for k, f in enumerate(structure.factors)
    )
    arrays = Arrays(columns, log_loss, mask, rows, levels, reference, position)
    return arrays, groups, (edges, centre, mean_se2)


def _labels(structure: Structure, table: pd.DataFrame) -> np.ndarray:
    if not structure.factors:
        return np.full((len(table), 0), "")
    return np.stack([table[f.name].astype(str).to_numpy() for f in structure.factors], axis=1)
