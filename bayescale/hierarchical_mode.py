"""A posterior mode of population and groups, and the geometry of the posterior there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayescale import settling, spreads
from bayescale.density import (
    Position,
    effects_log_prior,
    group_coordinates,
    group_precision,
    group_sds,
)
from bayescale.geometry import unwhiten
from bayescale.group_likelihood import Terms, positive
from bayescale.model import Model, Structure
from bayescale.prior_table import PriorTable
from bayescale.priors import Prior
from bayescale.quadratic import Layout, Quadratic, assemble, layout, straighten
from bayescale.scatter_freedom import STEP, few_runs, of_scatter, scatter_tilt
from bayescale.settling import SIGMA

MODE_STEPS = 60


@dataclass(frozen=True)
class Mode:
    """A posterior mode given its group sds, with the geometry there.

    Attributes
    ----------
    position : Position
    quadratic : Quadratic
    objective : float
        Penalised log likelihood at the mode.
    distinct : float
        How far groups differ in the law's floor: the squared spread over what is left open by a
        group's own runs, in the middle of the groups. Infinite without a floor that varies.
    """

    position: Position
    quadratic: Quadratic
    objective: float
    distinct: float = np.inf


def hierarchical_mode(
    model: Model, terms: Terms, eta: np.ndarray, mean: np.ndarray, sd: np.ndarray
) -> Mode:
    """Mode of population and group effects, group sds set by expectation-maximisation."""
    structure = model.structure
    shape = layout(structure)
    free = np.array(structure.free, int)
    prior_mean, prior_sd = mean[free], sd[free]
    log_sd, corr = _fixed_hyper(structure)
    levels = model.arrays.levels
    population = np.mean(eta, axis=0)[free]
    alike = few_runs(model) and SIGMA in structure.names
    if alike:  # each group alone passes through its runs, where nothing holds scatter up
        scale = free == structure.names.index(SIGMA)
        population[scale] = np.maximum(population, prior_mean)[scale]
    effects = []
    for f, factor in enumerate(structure.factors):
        varied = np.array(factor.varied)
        deviation = 0.0 if alike else eta[:, varied] - np.mean(eta[:, varied], axis=0)
        pinned = np.isin(varied, [i for i, _ in structure.pinned])
        deviation = np.where(pinned, eta[:, varied] - structure.base[varied], deviation)
        part = np.zeros((len(factor.levels), len(varied)))
        counts = np.zeros(len(factor.levels))
        np.add.at(part, levels[f], deviation / len(structure.factors))
        np.add.at(counts, levels[f], 1.0)
        effects.append(part / np.maximum(counts, 1)[:, None])
    position = Position(population, tuple(effects), log_sd, corr)

    scatter = np.isin(free, of_scatter(model))
    stated = PriorTable.of([structure.parameters[i].prior for i in free[scatter]])

    def log_prior(population: np.ndarray) -> float:
        away = ((population - prior_mean) / prior_sd)[~scatter]
        return float(stated.log_density(population[scatter], np)) - 0.5 * float(away @ away)

    def penalised(at: Position, value: np.ndarray) -> float:
        total = float(np.sum(value)) + log_prior(at.population)
        for f, factor in enumerate(structure.factors):
            total += float(effects_log_prior(factor, at.effects[f], at.log_sd[f], at.corr[f], np))
        return total if np.isfinite(total) else -np.inf

    def prior_near(population: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd of the normal that stands for the prior; a scatter's, where it is."""
        mean, sd = prior_mean.copy(), prior_sd.copy()
        for k in np.flatnonzero(scatter):
            step = STEP * np.eye(len(free))[k]
            below, here, above = (log_prior(population + s) for s in (-step, 0.0, step))
            sd[k] = max((2.0 * here - above - below) / STEP**2, sd[k] ** -2) ** -0.5
            mean[k] = population[k] + sd[k] ** 2 * (above - below) / (2.0 * STEP)
        return mean, sd

    tilt = np.zeros_like(eta)  # of the log likelihood, by the freedom that its scatter has lost

    def tilted(at: np.ndarray, value: np.ndarray) -> np.ndarray:
        return value + np.sum(tilt * at, axis=-1)

    quadratic = None
    objective = -np.inf
    for step in range(MODE_STEPS):
        at = group_coordinates(structure, position, levels, np)
        value, gradient, hessian = terms(at)
        objective = penalised(position, tilted(at, value))
        precision = positive(-hessian)
        linear = np.einsum("gij,gj->gi", precision, at) + np.nan_to_num(gradient) + tilt
        quadratic = assemble(model, precision, linear, *prior_near(position.population))
        flat = _flat_at(shape, position.log_sd, position.corr)
        target, _ = unwhiten(structure, flat, quadratic.inputs(), np)
        moved = 0.0
        for size in (1.0, 0.5, 0.25, 0.1, 0.03, 0.01):
            trial = Position(
                position.population + size * (target.population - position.population),
                tuple(
                    a + size * (b - a)
                    for a, b in zip(position.effects, target.effects, strict=True)
                ),
                position.log_sd,
                position.corr,
            )
            there = group_coordinates(structure, trial, levels, np)
            reached = penalised(trial, tilted(there, terms(there)[0]))
            if reached > objective - 1e-9:
                moved = reached - objective
                position, objective = trial, reached
                break
        new_sd = _update_sds(structure, position, quadratic)
        change = max(
            (
                float(np.max(np.abs(a - b)))
                for a, b in zip(new_sd, position.log_sd, strict=True)
                if a.size
            ),
            default=0.0,
        )
        position = position._replace(log_sd=new_sd)
        freedom = scatter_tilt(model, terms, at, position, prior_sd)
        change = max(change, float(np.max(np.abs(freedom - tilt), initial=0.0)) / 10.0)
        tilt = freedom
        if step > 3 and abs(moved) < 1e-4 and change < 0.02:
            break
    at = group_coordinates(structure, position, levels, np)
    _, gradient, hessian = terms(at)
    precision, gradient = positive(-hessian), np.nan_to_num(gradient) + tilt
    near = prior_near(position.population)
    geometry = straighten(model, precision, gradient, at, position, *near)
    placed = replace(
        geometry,
        spreads=spreads.learn(model, precision, gradient, position),
        settle=settling.learn(model, at),
    )
    return Mode(position, placed, objective, _distinct(structure, position, quadratic))


def _distinct(structure: Structure, position: Position, quadratic: Quadratic | None) -> float:
    b, trade = structure.block, structure.trade
    if b is None or trade is None or quadratic is None:
        return np.inf
    factor = structure.factors[b]
    if trade[0] not in factor.varied:
        return np.inf
    floor = factor.varied.index(trade[0])
    own = group_precision(factor, position.log_sd[b], position.corr[b], np)
    own[floor, :] = own[:, floor] = 0.0
    left = np.linalg.pinv(quadratic.uu + own, hermitian=True)[:, floor, floor]
    spread = group_sds(factor, position.log_sd[b], np)[floor]
    return float(np.median(spread**2 / np.maximum(left, 1e-300)))


def _fixed_hyper(structure: Structure) -> tuple[tuple, tuple]:
    log_sd = tuple(
        np.log(
            np.array([0.5 * f.fixed_sd[k] for k in f.learned_index], dtype=float).reshape(
                len(f.learned_index)
            )
        )
        for f in structure.factors
    )
    return log_sd, tuple(np.zeros(len(f.pairs)) for f in structure.factors)


def _flat_at(shape: Layout, log_sd: tuple, corr: tuple) -> np.ndarray:
    return np.concatenate([np.zeros(shape.dense + shape.n_block), *log_sd, *corr])


def _update_sds(
    structure: Structure, position: Position, quadratic: Quadratic
) -> tuple[np.ndarray, ...]:
    """One expectation-maximisation step for the learned group sds under their priors."""
    updated = []
    for f, factor in enumerate(structure.factors):
        index = list(factor.learned_index)
        if not index:
            updated.append(position.log_sd[f])
            continue
        effects = position.effects[f]
        variance = np.zeros_like(effects)
        if f == structure.block:
            prior = group_precision(factor, position.log_sd[f], position.corr[f], np)
            inverse = np.linalg.inv(quadratic.uu + prior)
            variance = np.einsum("lvv->lv", inverse)
        else:
            variance = variance + 0.25 * group_sds(factor, position.log_sd[f], np) ** 2
        total = np.sum(effects**2 + variance, axis=0)
        scale = np.array([factor.fixed_sd[k] for k in index])
        n = len(factor.levels) - 1
        squared = 0.5 * scale**2 * (-n + np.sqrt(n**2 + 4 * total[index] / scale**2))
        found = 0.5 * np.log(np.clip(squared, (0.05 * scale) ** 2, None))
        for place, k in enumerate(index):
            members = factor.members(k)
            if len(members) > 1:
                prior = structure.parameters[factor.varied[k]].group_sd
                count = len(factor.levels) * len(members)
                found[place] = _shared_log_sd(prior, count, float(np.sum(total[members])))
        updated.append(found)
    return tuple(updated)


def _shared_log_sd(prior: Prior, count: int, total: float) -> float:
    """Most probable log sd of `count` values whose squares sum to `total`."""
    grid = np.linspace(*np.log(np.asarray(prior.quantile([1e-4, 1.0 - 1e-4]))), 400)
    density = PriorTable.of([prior]).log_density(grid[:, None], np)
    return float(grid[np.argmax(density - count * grid - 0.5 * total * np.exp(-2.0 * grid))])
