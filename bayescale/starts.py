"""Where chains begin: variable projection from many exponents, then the hierarchical mode.

Where a law is linear in some parameters (floors and scales), only the others are searched: for each
set of exponents drawn from the prior the linear ones solve a small non-negative least squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bayescale.coordinates import from_natural, to_natural
from bayescale.density import (
    Position,
    cell_log_likelihood,
    effects_log_prior,
    group_coordinates,
    group_precision,
)
from bayescale.geometry import unwhiten, whiten
from bayescale.kernels import compile_small
from bayescale.model import Model, Structure, has_share, reference_inputs
from bayescale.precision import x64
from bayescale.quadratic import Layout, Quadratic, assemble, layout, straighten

N_CANDIDATES = 128
N_REFINED = 4
NEWTON_STEPS = 40
MODE_STEPS = 60
ALTERNATIVE_WITHIN = 10.0
DIFFERENCE = 1e-4
SETTLED = 1e-3  # gain of log posterior below which a search ends; the mode is refined after it

Terms = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Mode:
    """A posterior mode given its group sds, with the geometry there.

    Attributes
    ----------
    position : Position
    quadratic : Quadratic
    objective : float
        Penalised log likelihood at the mode.
    """

    position: Position
    quadratic: Quadratic
    objective: float


@dataclass(frozen=True)
class Starts:
    """Distinct modes, best first; chains start around them."""

    modes: tuple[Mode, ...]

    @property
    def geometry(self) -> Quadratic:
        return self.modes[0].quadratic

    def draw(self, structure: Structure, chain: int, seed: int, scale: float = 2.0) -> np.ndarray:
        """A start for `chain`: a mode, jittered by `scale` Laplace standard deviations."""
        shape = layout(structure)
        mode = self.modes[chain % len(self.modes)]
        rng = np.random.default_rng([seed, chain, 71])
        flat = whiten(structure, mode.position, self.geometry.inputs())
        hyper = shape.dense + shape.n_block
        jitter = scale * rng.standard_normal(shape.size)
        jitter[hyper:] *= 0.15
        return flat + jitter


def sample_population_prior(
    model: Model, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Prior draws of the population: coordinates (size, P) and natural values."""
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    eta = np.zeros((size, structure.size))
    by_value = []
    for i, p in enumerate(structure.parameters):
        draws = np.asarray(p.prior.sample(rng, size), float)
        if has_share(p) and p.on == "value":
            by_value.append((p.name, draws))
        else:
            eta[:, i] = p.prior.to_real(draws, np)
    values = to_natural(structure, eta, reference, np)
    if by_value:
        values.update(dict(by_value))
        eta = from_natural(structure, values, reference)
        values = to_natural(structure, eta, reference, np)
    return eta, values


_MOMENTS: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}


def _prior_moments(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Median and half the central 68% of each coordinate's prior."""
    parameters = model.structure.parameters
    by_value = any(has_share(p) and p.on == "value" for p in parameters)
    key = model.structure.key
    if by_value or key not in _MOMENTS:  # shares have the same prior whatever the data
        eta, _ = sample_population_prior(model, np.random.default_rng(0), 4000)
        low, middle, high = np.quantile(eta, [0.16, 0.5, 0.84], axis=0)
        moments = middle, np.maximum((high - low) / 2.0, 1e-6)
        if by_value:
            return moments
        _MOMENTS[key] = moments
    return _MOMENTS[key]


_TERMS: dict[tuple, Callable] = {}


def _group_terms(model: Model) -> Terms:
    """Value, gradient and Hessian of each group's log likelihood in its own coordinates.

    The Hessian is of central differences of the gradient, all in one call: quicker to compile than
    a second derivative, and exact enough for a search and for the geometry.
    """
    import jax
    import jax.numpy as jnp

    structure, inputs = model.structure, model.arrays.inputs()

    def total(eta: np.ndarray, inputs: dict) -> tuple:
        cells = cell_log_likelihood(structure, eta, inputs, jnp)
        by_group = jnp.sum(jnp.where(jnp.sum(inputs["mask"], -1) > 0, cells, 0.0), axis=-1)
        return jnp.sum(by_group), by_group

    def compiled(moved: np.ndarray) -> Any:
        key = (structure.key, moved.shape, inputs["mask"].shape)
        if key not in _TERMS:
            both = jax.value_and_grad(total, has_aux=True)
            _TERMS[key] = compile_small(lambda wrap: wrap(both), moved, inputs)
        return _TERMS[key](moved, inputs)

    steps = DIFFERENCE * np.eye(structure.size)
    moves = np.concatenate([np.zeros((1, structure.size)), steps, -steps])

    def call(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        moved = eta + moves.reshape(len(moves), *[1] * (eta.ndim - 1), structure.size)
        with x64():
            (_, value), gradient = compiled(moved)
            value, gradient = np.asarray(value), np.asarray(gradient)
        above, below = np.split(gradient[1:], 2)
        hessian = np.moveaxis(above - below, 0, -1) / (2.0 * DIFFERENCE)
        return value[0], gradient[0], 0.5 * (hessian + np.swapaxes(hessian, -1, -2))

    return call


def _positive(precision: np.ndarray) -> np.ndarray:
    """Nearest use of an indefinite matrix as a precision: eigenvalues made non-negative."""
    values, vectors = np.linalg.eigh(np.nan_to_num(precision))
    return np.einsum("...ij,...j,...kj->...ik", vectors, np.abs(values), vectors)


def _non_negative_least_squares(basis: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Batched NNLS (..., rows, J) by trying every active set; J is small."""
    n = basis.shape[-1]
    gram = np.einsum("...ri,...rj->...ij", basis, basis)
    right = np.einsum("...ri,...r->...i", basis, target)
    scale = np.einsum("...ii->...i", gram)
    ridge = 1e-9 * (scale + 1e-300)
    best = np.zeros(right.shape)
    best_gain = np.zeros(right.shape[:-1])
    for size in range(1, n + 1):
        for subset in combinations(range(n), size):
            index = np.array(subset)
            matrix = gram[..., index[:, None], index] + np.eye(size) * ridge[..., index, None]
            part = np.linalg.solve(matrix, right[..., index][..., None])[..., 0]
            gain = np.einsum("...i,...i->...", part, right[..., index])
            better = np.all(part > 0, axis=-1) & (gain > best_gain)
            best_gain = np.where(better, gain, best_gain)
            full = np.zeros(right.shape)
            full[..., index] = part
            best = np.where(better[..., None], full, best)
    return best


def candidates(model: Model, seed: int = 0) -> np.ndarray:
    """Starting coordinates by variable projection, shape (refined, groups, P), best first."""
    structure, arrays = model.structure, model.arrays
    law, reference = structure.law, reference_inputs(arrays.reference)
    rng = np.random.default_rng([seed, 5])
    _, values = sample_population_prior(model, rng, N_CANDIDATES)
    n_groups, n_cells = arrays.mask.shape[:2]
    count = arrays.mask.sum(-1)
    target = np.sum(arrays.log_loss * arrays.mask, -1) / np.maximum(count, 1)
    observed = np.exp(target)
    linear = [p for p in law.linear if p in law.parameters]
    law_values = {p: np.asarray(values[p])[:, None, None] for p in law.parameters}
    if linear:
        zero = {**law_values, **{p: np.zeros((1, 1, 1)) for p in linear}}
        constant = np.broadcast_to(
            law.mean(zero, arrays.columns, np), (N_CANDIDATES, n_groups, n_cells)
        )
        weight = np.sqrt(count) / observed
        basis = np.stack(
            [
                law.mean({**zero, p: np.ones((1, 1, 1))}, arrays.columns, np) - constant
                for p in linear
            ],
            axis=-1,
        )
        solved = _non_negative_least_squares(
            np.nan_to_num(basis * weight[..., None]), (observed - constant) * weight
        )
        shape = (N_CANDIDATES, n_groups, 1)
        law_values = {p: np.broadcast_to(v, shape) for p, v in law_values.items()}
        fullest = np.argmax(count, -1)[None, :, None]
        for k, p in enumerate(linear):
            scale = np.abs(np.take_along_axis(basis[..., k], fullest, -1))
            floor = 1e-2 * arrays.reference.typical / np.maximum(scale[..., 0], 1e-300)
            law_values[p] = np.maximum(solved[..., k], floor)[..., None]
    mean = law.mean(law_values, arrays.columns, np)
    with np.errstate(all="ignore"):
        residual = np.where(count > 0, target - np.log(mean), 0.0)
    rows = np.maximum(count.sum(-1), 1)
    spread = np.sqrt(np.sum(count * residual**2, -1) / rows)
    spread = np.where(np.isfinite(spread), spread, np.inf)
    order = np.argsort(spread, axis=0, kind="stable")
    chosen = np.zeros((N_REFINED, n_groups, structure.size))
    for g in range(n_groups):
        picks = order[:: max(1, N_CANDIDATES // 32), g][: N_REFINED - 1]
        for k, c in enumerate([order[0, g], *picks][:N_REFINED]):
            natural = {
                p: np.broadcast_to(law_values[p], (N_CANDIDATES, n_groups, 1))[c, g, 0]
                for p in law.parameters
            }
            sigma = float(np.clip(np.median(np.abs(residual[c, g][count[g] > 0])) * 1.5, 2e-3, 0.3))
            natural.update(_noise_start(structure, sigma))
            chosen[k, g] = from_natural(structure, natural, reference)
    return chosen


def _noise_start(structure: Structure, sigma: float) -> dict[str, float]:
    values = {p.name: float(p.prior.quantile(0.5)) for p in structure.noise.parameters}
    values["sigma"] = sigma
    if "sd(cell)" in values:
        values["sd(cell)"] = sigma
    return values


def _newton_groups(
    terms: Terms, eta: np.ndarray, mean: np.ndarray, sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Damped Newton for every group apart, under the prior, from several starts at once.

    Parameters
    ----------
    eta : array, shape (starts, groups, P)

    Returns
    -------
    modes, objectives : array, shape (starts, groups, P) and (starts, groups)
    """
    shape, size = eta.shape, eta.shape[-1]

    def terms_of(at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value, gradient, hessian = terms(at.reshape(shape))
        return value.ravel(), gradient.reshape(-1, size), hessian.reshape(-1, size, size)

    eta = eta.reshape(-1, size)

    def objective(value: np.ndarray, at: np.ndarray) -> np.ndarray:
        total = value - 0.5 * np.sum(((at - mean) / sd) ** 2, axis=-1)
        return np.where(np.isfinite(total), total, -np.inf)

    damping = np.full(len(eta), 1e-2)
    value, gradient, hessian = terms_of(eta)
    current = objective(value, eta)
    for _ in range(NEWTON_STEPS):
        precision = _positive(-hessian) + np.diag(1.0 / sd**2)
        diagonal = np.einsum("gii->gi", precision)
        damped = precision + np.einsum("gi,ij->gij", damping[:, None] * diagonal, np.eye(len(sd)))
        slope = np.nan_to_num(gradient) - (eta - mean) / sd**2
        step = np.linalg.solve(damped, slope[..., None])[..., 0]
        step *= np.minimum(1.0, 3.0 / (np.max(np.abs(step), axis=-1, keepdims=True) + 1e-12))
        trial = eta + step
        t_value, t_gradient, t_hessian = terms_of(trial)
        proposed = objective(t_value, trial)
        good = proposed > current
        eta = np.where(good[:, None], trial, eta)
        gradient = np.where(good[:, None], t_gradient, gradient)
        hessian = np.where(good[:, None, None], t_hessian, hessian)
        gain = np.where(good, proposed - current, np.inf)
        current = np.where(good, proposed, current)
        damping = np.clip(np.where(good, damping * 0.2, damping * 8.0), 1e-8, 1e8)
        if np.all((gain < SETTLED) | (damping > 1e7)):
            break
    return eta.reshape(shape), current.reshape(shape[:-1])


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
        effects = position.effects[f][:, index]
        variance = np.zeros_like(effects)
        if f == structure.block:
            prior = group_precision(factor, position.log_sd[f], position.corr[f], np)
            inverse = np.linalg.inv(quadratic.uu + prior)
            variance = np.einsum("lvv->lv", inverse)[:, index]
        else:
            variance = np.exp(2 * position.log_sd[f])[None, :] * 0.25
        total = np.sum(effects**2 + variance, axis=0)
        scale = np.array([factor.fixed_sd[k] for k in index])
        n = len(factor.levels) - 1
        squared = 0.5 * scale**2 * (-n + np.sqrt(n**2 + 4 * total / scale**2))
        updated.append(0.5 * np.log(np.clip(squared, (0.05 * scale) ** 2, None)))
    return tuple(updated)


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
    effects = []
    for f, factor in enumerate(structure.factors):
        varied = np.array(factor.varied)
        deviation = eta[:, varied] - np.mean(eta[:, varied], axis=0)
        pinned = np.isin(varied, [i for i, _ in structure.pinned])
        deviation = np.where(pinned, eta[:, varied] - structure.base[varied], deviation)
        part = np.zeros((len(factor.levels), len(varied)))
        counts = np.zeros(len(factor.levels))
        np.add.at(part, levels[f], deviation / len(structure.factors))
        np.add.at(counts, levels[f], 1.0)
        effects.append(part / np.maximum(counts, 1)[:, None])
    position = Position(population, tuple(effects), log_sd, corr)

    def penalised(at: Position, value: np.ndarray) -> float:
        total = float(np.sum(value)) - 0.5 * float(
            np.sum(((at.population - prior_mean) / prior_sd) ** 2)
        )
        for f, factor in enumerate(structure.factors):
            total += float(effects_log_prior(factor, at.effects[f], at.log_sd[f], at.corr[f], np))
        return total if np.isfinite(total) else -np.inf

    quadratic = None
    objective = -np.inf
    for step in range(MODE_STEPS):
        at = group_coordinates(structure, position, levels, np)
        value, gradient, hessian = terms(at)
        objective = penalised(position, value)
        precision = _positive(-hessian)
        linear = np.einsum("gij,gj->gi", precision, at) + np.nan_to_num(gradient)
        quadratic = assemble(model, precision, linear, prior_mean, prior_sd)
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
            value = terms(group_coordinates(structure, trial, levels, np))[0]
            reached = penalised(trial, value)
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
        if step > 3 and abs(moved) < 1e-4 and change < 0.02:
            break
    at = group_coordinates(structure, position, levels, np)
    _, gradient, hessian = terms(at)
    precision, gradient = _positive(-hessian), np.nan_to_num(gradient)
    geometry = straighten(model, precision, gradient, at, position, prior_mean, prior_sd)
    return Mode(position, geometry, objective)


def find_starts(model: Model, seed: int = 0) -> Starts:
    """Distinct posterior modes of `model` and the whitening geometry at the best."""
    terms = _group_terms(model)
    mean, sd = _prior_moments(model)
    group_sd = np.zeros_like(sd)
    for factor in model.structure.factors:
        for k, i in enumerate(factor.varied):
            group_sd[i] = max(group_sd[i], factor.fixed_sd[k])
    wide = np.sqrt(sd**2 + group_sd**2)
    etas, objectives = _newton_groups(terms, candidates(model, seed), mean, wide)
    order = np.argsort(-objectives, axis=0, kind="stable")
    take = np.arange(etas.shape[1])
    best = etas[order[0], take]
    modes = [hierarchical_mode(model, terms, best, mean, sd)]
    alternative = _alternative(etas, objectives, order)
    if alternative is not None:
        other = hierarchical_mode(model, terms, alternative, mean, sd)
        apart = np.max(
            np.abs(other.position.population - modes[0].position.population)
            / sd[np.array(model.structure.free, int)]
        )
        if apart > 0.2 and abs(other.objective - modes[0].objective) < ALTERNATIVE_WITHIN:
            modes.append(other)
    modes.sort(key=lambda m: -m.objective)
    return Starts(tuple(modes))


def _alternative(etas: np.ndarray, objectives: np.ndarray, order: np.ndarray) -> np.ndarray | None:
    """Each group's second distinct mode where it is nearly as good, else its best."""
    result = etas[order[0], np.arange(etas.shape[1])].copy()
    found = False
    for g in range(etas.shape[1]):
        best = etas[order[0, g], g]
        for k in order[1:, g]:
            gap = objectives[order[0, g], g] - objectives[k, g]
            if gap > ALTERNATIVE_WITHIN:
                break
            if np.max(np.abs(etas[k, g] - best)) > 0.5:
                result[g] = etas[k, g]
                found = True
                break
    return result if found else None
