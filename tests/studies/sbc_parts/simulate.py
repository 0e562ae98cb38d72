"""Truths drawn from a card's prior, and runs drawn from the truths."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from bayescale.coordinates import to_natural
from bayescale.density import (
    Position,
    group_coordinates,
    group_covariance,
    log_likelihood,
    log_prior,
)
from bayescale.framing import frame
from bayescale.law import Law
from bayescale.likelihoods import OnLine
from bayescale.model import Model, Reference, reference_inputs
from bayescale.noise import Noise
from bayescale.population_prior import sample_population_prior
from bayescale.posterior_tree import posterior_variables
from bayescale.predictive_draws import bend_paths
from bayescale.walks import Paths, bent_line

FAMILIES = 3
BEYOND = 10.0
TRIALS = 1000
SIZES = np.geomspace(1e-4, 1e4, 801)  # among which a law that bends has its best N, over a middle


@dataclass(frozen=True)
class Question:
    """One configuration to be calibrated."""

    law: Law
    table: pd.DataFrame
    reference: Reference
    options: dict[str, Any]

    @property
    def model(self) -> Model:
        with self.reference_held():
            return frame(self.law, self.table, **self.options).model

    @contextlib.contextmanager
    def reference_held(self) -> Iterator[None]:
        """Priors hold at this reference, and not at one measured from the simulated losses.

        A reference taken from the data would make the prior depend on them, and ranks would
        not be uniform even where everything is right.
        """
        where = "bayescale.model_from_runs.measure_reference"
        with mock.patch(where, lambda *_: self.reference):
            yield


def question(law: Law, options: dict[str, Any], place: dict, scales: dict) -> Question:
    """Lay out a small design around a card's own place."""
    table = _design(law, place)
    table[law.response.column] = scales["typical"]  # replaced by simulated ones
    if law.response.counts_of:
        table[law.response.counts_of] = TRIALS
    columns = {
        v.name: float(np.exp(np.log(table[v.column]).mean())) for v in law.variables.values()
    }
    reference = Reference(columns, abs(scales["typical"]), scales["smallest"])
    return Question(law, table, reference, options)


def _design(law: Law, place: dict[str, float]) -> pd.DataFrame:
    """Rows of every family over two decades of each large quantity, less of the others."""
    columns = list(place)
    rng = np.random.default_rng(5)
    if len(columns) <= 2:
        steps = [np.linspace(-1.0, 1.0, 9 if len(columns) == 1 else n) for n in (4, 3)]
        cells = list(product(*steps[: len(columns)]))
    else:
        cells = [tuple(rng.uniform(-1.0, 1.0, len(columns))) for _ in range(4 + 4 * len(columns))]
    rows = []
    for family, cell in product(range(FAMILIES), cells):
        row = {"family": f"family {family}"}
        for column, step in zip(columns, cell, strict=True):
            middle = place[column]
            wide = 1.0 if middle > 1e4 else 0.3
            value = middle * 10.0 ** (wide * step)
            row[column] = value if middle >= 1.0 else min(value, 0.5 + 0.5 * middle)
        rows.append(row)
    table = pd.DataFrame(rows)
    shares = [c for c in columns if c.startswith("r_")]
    if shares:
        table[shares] = table[shares].div(table[shares].sum(axis=1), axis=0)
    if {"U", "D"} <= set(columns):
        table["U"] = np.minimum(table["U"], table["D"])
    if "C" not in table and {"N", "D"} <= set(table):
        table["C"] = 6.0 * table["N"] * table["D"]
    if "C" not in table:
        table["C"] = table[columns[0]]
    return table.drop_duplicates(ignore_index=True)


@dataclass(frozen=True)
class Truths:
    """Positions (truth,) drawn from the prior, and a table of runs for each."""

    position: Position
    tables: list[pd.DataFrame]
    redrawn: int


def draw(question: Question, rng: np.random.Generator, size: int) -> Truths:
    """Draw truths and data; a truth under which a loss is none is drawn again.

    Such a truth (a loss of -1, an error rate of 1.2) has no likelihood whatever the data, so that
    leaving it out changes no posterior.
    """
    model = question.model
    found: list[tuple[Position, pd.DataFrame]] = []
    redrawn = 0
    lowest, highest = model.structure.likelihood.link.support
    counted = model.structure.response.counted
    while len(found) < size:
        position, drawn = _draw(model, rng, size)
        at = tuple(model.arrays.position.T)
        for i in range(size):
            seen = drawn[i][at]
            inside = (seen >= lowest) if counted else (seen > lowest) & (seen < highest)
            if not np.all(np.isfinite(seen) & inside):
                redrawn += 1
                continue
            table = question.table.copy()
            table[question.law.response.column] = seen
            found.append((part(position, slice(i, i + 1)), table))
        if redrawn > 50 * size:
            raise ValueError(f"{question.law.name}: the prior gives hardly any response there is")
    found = found[:size]
    parts = [p for p, _ in found]
    joined = Position(
        np.concatenate([p.population for p in parts]),
        *(
            tuple(np.concatenate(arrays) for arrays in zip(*(p[k] for p in parts), strict=True))
            for k in (1, 2, 3)
        ),
    )
    return Truths(joined, [t for _, t in found], redrawn)


def part(position: Position, at: slice | np.ndarray) -> Position:
    """Some of the positions."""
    return Position(
        position.population[at], *(tuple(a[at] for a in position[k]) for k in (1, 2, 3))
    )


def _draw(model: Model, rng: np.random.Generator, size: int) -> tuple[Position, np.ndarray]:
    structure, arrays = model.structure, model.arrays
    eta, _ = sample_population_prior(model, rng, size)
    effects, log_sds, corrs = [], [], []
    for factor in structure.factors:
        sds = [
            structure.parameters[factor.varied[k]].group_sd.sample(rng, size)
            for k in factor.learned_index
        ]
        log_sd = np.log(np.stack(sds, axis=-1)) if sds else np.zeros((size, 0))
        corr = np.arctanh(2.0 * rng.beta(2.0, 2.0, (size, len(factor.pairs))) - 1.0)  # LKJ(2)
        covariance = group_covariance(factor, log_sd, corr, np)
        z = rng.standard_normal((size, len(factor.levels), len(factor.varied)))
        effects.append(np.einsum("sij,slj->sli", np.linalg.cholesky(covariance), z))
        log_sds.append(log_sd)
        corrs.append(corr)
    position = Position(eta[:, list(structure.free)], tuple(effects), tuple(log_sds), tuple(corrs))
    with np.errstate(all="ignore"):
        groups = group_coordinates(structure, position, arrays.levels, np)
        values = to_natural(structure, groups, reference_inputs(arrays.reference), np)
        law_values = {p: values[p][..., None] for p in structure.law.parameters}
        mean = structure.law.mean(law_values, arrays.columns, np)
        likelihood, typical = structure.likelihood, arrays.reference.typical
        line = likelihood.link.line(mean, typical, np)
        if structure.bend is not None:
            floor = structure.bend.floor
            share = None if floor is None else values[floor][..., None] / mean
            line = bent_line(line, structure.bend.deviation(groups, arrays.features, np), share, np)
        line = np.broadcast_to(line, (size, *arrays.mask.shape[:2]))[..., None]
        if isinstance(likelihood, OnLine):
            line = line + _scatter(likelihood.noise, model, values, rng, size)
            return position, likelihood.link.value(line, typical, np)
        spread = {p.name: values[p.name][..., None, None] for p in likelihood.parameters}
        return position, likelihood.draw(spread, line, arrays.rows, typical, rng).value


def _scatter(
    noise: Noise, model: Model, values: dict, rng: np.random.Generator, size: int
) -> np.ndarray:
    """Deviations (truth, group, cell, seed): one draw a cell, one a run, one mixing a cell."""
    arrays = model.arrays
    shape = (size, *arrays.mask.shape)
    spread = {p.name: values[p.name][..., None, None] for p in noise.parameters}
    total = np.zeros(shape)
    for part in noise.parts:
        variance = np.broadcast_to(part.variance(spread, arrays.rows, np), shape)
        z = rng.standard_normal((*shape[:-1], 1) if part.shared else shape)
        total = total + np.sqrt(variance) * z
    per_cell = {name: value[..., 0] for name, value in spread.items()}
    mixing = noise.tail.mixing(per_cell, rng, shape[:-1])
    return total * mixing[..., None]


def quantities(
    question: Question, model: Model, position: Position, seed: int = 0
) -> dict[str, np.ndarray]:
    """Everything whose rank is taken, shape (draw,).

    Beyond the data bends go on by chance: by `seed`, of which truth and draws need different ones.
    """
    structure = model.structure
    with np.errstate(all="ignore"):
        found = {}
        for name, values in posterior_variables(model, position)[0].items():
            if values.ndim == 1:
                found[name] = values
            else:
                base = name.rpartition("_by_")[0]
                found |= {f"{base}[{k}]": values[:, k] for k in range(min(2, values.shape[1]))}
        inputs = model.arrays.inputs()
        found["log_likelihood"] = log_likelihood(structure, position, inputs, np)
        found["log_prior"] = log_prior(structure, position, inputs, np)
        eta = group_coordinates(structure, position, model.arrays.levels, np)
        values = to_natural(structure, eta, reference_inputs(model.arrays.reference), np)
        found |= _answers(question, model, position, values, seed)
    return {k: v for k, v in found.items() if not np.any(np.isnan(v))}


def _answers(
    question: Question,
    model: Model,
    position: Position,
    values: dict[str, np.ndarray],
    seed: int,
) -> dict[str, np.ndarray]:
    """What decisions ask: a target beyond the data, which group is better there, the best N."""
    law = model.structure.law
    target = {
        v.column: float(
            question.table[v.column].max()
            * (BEYOND if question.table[v.column].max() > 1e4 else 1.0)
        )
        for v in law.variables.values()
    }
    law_values = {p: values[p] for p in law.parameters}
    predicted = np.asarray(law.mean(law_values, target, np))  # on no line: it may be below 0
    predicted = np.broadcast_to(predicted, next(iter(law_values.values())).shape)
    paths = None
    if model.structure.bend is not None:
        paths = _paths(question, model, position, predicted.shape[1], seed)
        several = [paths[:, k : k + 1] for k in range(predicted.shape[1])]
        each = [{p: v[:, k : k + 1] for p, v in law_values.items()} for k in range(len(several))]
        predicted = np.concatenate(
            [p.bent(predicted[:, k : k + 1], target, each[k]) for k, p in enumerate(several)],
            axis=1,
        )
    found = {"prediction": predicted[:, 0]}
    if predicted.shape[1] > 1:
        found["first - second"] = predicted[:, 0] - predicted[:, 1]
        found["first is best"] = (np.argmin(predicted, axis=1) == 0).astype(float)
    if {"A", "alpha", "B", "beta"} <= set(law_values) and law.name == "chinchilla":
        budget = BEYOND * float(question.table["C"].max())
        found["log N_opt"] = _log_best_size(law_values, budget, law, paths)
    return found


def _log_best_size(
    values: dict[str, np.ndarray], budget: float, law: Law, paths: Paths | None
) -> np.ndarray:
    """Of the first group, at C = 6 N D: by the law's formula, or among sizes where it bends."""
    first = {name: v[:, :1] for name, v in values.items()}
    if paths is None:
        a, alpha, b, beta = (first[k][:, 0] for k in ("A", "alpha", "B", "beta"))
        log_n = np.log(alpha * a / (beta * b)) + beta * np.log(budget / 6.0)
        return log_n / (alpha + beta)
    sizes = np.sqrt(budget / 6.0) * SIZES
    columns = {"N": sizes, "D": budget / (6.0 * sizes)}
    losses = paths[:, :1].bent(np.asarray(law.mean(first, columns, np)), columns, first)
    return np.log(sizes[np.argmin(losses, axis=1)])


def _paths(question: Question, model: Model, position: Position, groups: int, seed: int) -> Paths:
    """How every group goes on, by the package's own way from weights to paths."""
    families = pd.DataFrame({"family": question.table["family"].unique()[:groups]})
    fit: Any = SimpleNamespace(model=model, position=position, law=model.structure.law)
    return bend_paths(fit, families, seed)
