"""Ladders of two recipes simulated from a law's own prior, and the usual point fit of them.

A truth is a draw of the prior at the ladder's centre, kept where the losses that it gives there are
what the prior was told (a card's priors are shares of the typical and the smallest loss, so that
others would contradict themselves).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from bayescale.allocation import surface_of
from bayescale.coordinates import to_natural
from bayescale.costs import SixND
from bayescale.density import group_covariance
from bayescale.law import Law
from bayescale.model import Reference, reference_inputs
from bayescale.model_from_runs import build_model
from bayescale.population_prior import sample_population_prior
from bayescale.surfaces import Surface

RECIPES = ("a", "b")
TYPICAL, SMALLEST = 3.0, 2.6
_NEAR = 0.05
_TRIES = 40_000


@dataclass(frozen=True)
class Ladder:
    """Runs of two recipes, and the laws they came from: parameters of each, in card units."""

    runs: pd.DataFrame
    truth: dict[str, np.ndarray]

    def surface(self, law: Law, recipe: int) -> Surface:
        """The true loss of a recipe, one draw."""
        own = {k: np.asarray(v[recipe]).reshape(1, 1) for k, v in self.truth.items()}
        return surface_of(law, own, {}, SixND())


def design(n_runs: int, rng: np.random.Generator) -> pd.DataFrame:
    """Runs a recipe: spread over sizes and tokens, as unlike one another as a grid allows."""
    N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(3e8, 3e10, 5)))
    places = rng.choice(25, n_runs, replace=n_runs > 25)
    while n_runs >= 4 and min(len(set(N[places])), len(set(D[places]))) < 3:
        places = rng.choice(25, n_runs, replace=n_runs > 25)
    rows = [pd.DataFrame({"N": N[places], "D": D[places], "recipe": r}) for r in RECIPES]
    table = pd.concat(rows, ignore_index=True)
    return table.assign(C=6.0 * table["N"] * table["D"], family=table["recipe"])


def simulate(law: Law, n_runs: int, seed: int) -> Ladder:
    """A ladder of a truth from the prior."""
    rng = np.random.default_rng([seed, n_runs])
    table = design(n_runs, rng)
    model = build_model(law, table.assign(loss=TYPICAL))
    columns = {name: float(value) for name, value in model.arrays.reference.columns.items()}
    reference = reference_inputs(Reference(columns, TYPICAL, SMALLEST))
    structure = model.structure
    eta, _ = sample_population_prior(model, rng, _TRIES)
    both = np.repeat(eta[:, None], 2, axis=1)
    for factor in structure.factors:
        log_sd = np.log(
            np.stack(
                [
                    np.asarray(structure.parameters[factor.varied[k]].group_sd.sample(rng, _TRIES))
                    for k in range(len(factor.learned_index))
                ],
                axis=1,
            )
            if factor.learned_index
            else np.ones((_TRIES, 0))
        )
        corr = np.zeros((_TRIES, len(factor.pairs)))
        covariance = group_covariance(factor, log_sd, corr, np)
        lower = np.linalg.cholesky(np.broadcast_to(covariance, (_TRIES, *covariance.shape[-2:])))
        z = rng.standard_normal((_TRIES, 2, len(factor.varied)))
        both[:, :, np.array(factor.varied)] += np.einsum("sij,srj->sri", lower, z)
    values = to_natural(structure, both, reference, np)
    which = (table["recipe"] == RECIPES[1]).to_numpy(int)
    inputs = {name: table[name].to_numpy(float) for name in ("N", "D", "C")}
    with np.errstate(all="ignore"):
        log_loss = np.log(
            law.mean({k: v[:, which] for k, v in values.items() if k in law.parameters}, inputs, np)
        )
    away = np.maximum(
        np.abs(log_loss.mean(axis=1) - np.log(TYPICAL)),
        np.abs(log_loss.min(axis=1) - np.log(SMALLEST)),
    )
    good = np.flatnonzero(np.nan_to_num(away, nan=np.inf) < _NEAR)
    one = int(good[0]) if good.size else int(np.nanargmin(away))
    truth = {k: v[one] for k, v in values.items()}
    noise_values = {p.name: truth[p.name][which][None] for p in structure.likelihood.parameters}
    scatter = structure.likelihood.noise.draw(
        noise_values, {"se2": np.zeros(len(table))}, rng, (1, len(table))
    )[0]
    loss = np.exp(log_loss[one] + scatter)
    return Ladder(table.assign(loss=loss), {k: truth[k] for k in law.parameters})


def point_fit(law: Law, runs: pd.DataFrame, recipe: str, starts: int = 6) -> Surface:
    """Least squares of log loss of one recipe's runs, from several starts: the plug-in."""
    own = runs[runs["recipe"] == recipe]
    model = build_model(law.varying("complete"), own, noise="normal")
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    inputs = {name: own[name].to_numpy(float) for name in ("N", "D", "C")}
    log_loss = np.log(own["loss"].to_numpy(float))
    count = len(law.parameters)
    first, _ = sample_population_prior(model, np.random.default_rng(0), 400)
    middle, spread = np.median(first, axis=0), first.std(axis=0)

    def natural(x: np.ndarray) -> dict[str, np.ndarray]:
        eta = middle.copy()
        eta[:count] = x
        made = to_natural(structure, eta, reference, np)
        return {name: np.asarray(made[name]).reshape(1, 1) for name in law.parameters}

    def missed(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.log(law.mean(natural(x), inputs, np))[0] - log_loss, nan=9.0)

    wide = 6.0 * spread[:count]
    bounds = (middle[:count] - wide, middle[:count] + wide)
    tries = [middle[:count], *first[: starts - 1, :count]]
    found = [least_squares(missed, np.clip(x, *bounds), bounds=bounds, max_nfev=200) for x in tries]
    best = min(found, key=lambda one: one.cost)
    return surface_of(law, natural(best.x), {}, SixND())
