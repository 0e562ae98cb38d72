"""Where each group's parameters may lie: variable projection from many exponents, then Newton.

Where a law is linear in some parameters (floors and scales), only the others are searched: for each
set of exponents drawn from the prior the linear ones solve a small non-negative least squares.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bayescale.coordinates import from_natural
from bayescale.group_likelihood import Terms, positive
from bayescale.model import Model, reference_inputs
from bayescale.population_prior import sample_population_prior

N_CANDIDATES = 128
N_REFINED = 4
NEWTON_STEPS = 40
SETTLED = 1e-3  # gain of log posterior below which a search ends; the mode is refined after it


def candidates(model: Model, seed: int = 0) -> np.ndarray:
    """Starting coordinates by variable projection, shape (refined, groups, P), best first."""
    structure, arrays = model.structure, model.arrays
    law, reference = structure.law, reference_inputs(arrays.reference)
    rng = np.random.default_rng([seed, 5])
    _, values = sample_population_prior(model, rng, N_CANDIDATES)
    n_groups, n_cells = arrays.mask.shape[:2]
    count = arrays.mask.sum(-1)
    link, unit = structure.likelihood.link, arrays.reference.typical
    places = structure.likelihood.places(arrays.observed, arrays.rows)
    target = np.sum(places * arrays.mask, -1) / np.maximum(count, 1)
    observed = link.value(target, unit, np)
    linear = [p for p in law.linear if p in law.parameters]
    if link.name != "log":  # only what is positive is solved for
        linear = [p for p in linear if law.parameters[p].prior.support[0] >= 0]
    law_values = {p: np.asarray(values[p])[:, None, None] for p in law.parameters}
    if linear:
        zero = {**law_values, **{p: np.zeros((1, 1, 1)) for p in linear}}
        constant = np.broadcast_to(
            law.mean(zero, arrays.columns, np), (N_CANDIDATES, n_groups, n_cells)
        )
        weight = np.sqrt(count) / link.gain(observed, unit)
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
            size = np.abs(basis[..., k])
            scale = np.take_along_axis(size, fullest, -1)[..., 0]
            # a hundredth of the loss there, and a tenth at most where the term counts most
            scale = np.maximum(scale, 0.1 * np.max(np.where(count > 0, size, 0.0), axis=-1))
            floor = 1e-2 * arrays.reference.typical / np.maximum(scale, 1e-300)
            law_values[p] = np.maximum(solved[..., k], floor)[..., None]
    mean = law.mean(law_values, arrays.columns, np)
    with np.errstate(all="ignore"):
        residual = np.where(count > 0, target - link.line(mean, unit, np), 0.0)
    rows = np.maximum(count.sum(-1), 1)
    spread = np.sqrt(np.sum(count * residual**2, -1) / rows)
    spread = np.where(np.isfinite(spread), spread, np.inf)
    order = np.argsort(spread, axis=0, kind="stable")
    stochastic = structure.parameters[len(law.parameters) :]
    usual = {p.name: float(p.prior.quantile(0.5)) for p in stochastic}
    scattering = {"sigma"} | {"sd(cell)", "sd(tuning)"} & set(usual)
    chosen = np.zeros((N_REFINED, n_groups, structure.size))
    for g in range(n_groups):
        picks = order[:: max(1, N_CANDIDATES // 32), g][: N_REFINED - 1]
        for k, c in enumerate([order[0, g], *picks][:N_REFINED]):
            natural = {
                p: np.broadcast_to(law_values[p], (N_CANDIDATES, n_groups, 1))[c, g, 0]
                for p in law.parameters
            }
            sigma = float(np.clip(np.median(np.abs(residual[c, g][count[g] > 0])) * 1.5, 2e-3, 0.3))
            natural.update(usual | dict.fromkeys(scattering, sigma))
            chosen[k, g] = from_natural(structure, natural, reference)
    return chosen


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


def newton_groups(
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
        precision = positive(-hessian) + np.diag(1.0 / sd**2)
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
