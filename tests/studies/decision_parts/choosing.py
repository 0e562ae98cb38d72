"""Ways to choose runs for a law: by linear normal beliefs, greedily, each for its cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayescale import misfit
from bayescale.coordinates import to_natural
from bayescale.density import group_covariance
from bayescale.law import Law
from bayescale.model import reference_inputs
from bayescale.model_from_runs import build_model
from bayescale.population_prior import sample_population_prior

POWER = 0.4  # of the cost: the benchmark's
DRAWS = 600
RIDGE = 1e4  # prior variance of a log parameter where none is to be believed
_LAW = 24  # hidden variables of the law, at most
_DEPARTURES = 40


@dataclass(frozen=True, eq=False)
class Straight:
    """Log losses as linear in a few hidden normal variables: of candidates and of targets."""

    design: np.ndarray  # (output, candidate, r), over the noise
    wanted: np.ndarray  # (output, target, r)
    covariance: np.ndarray  # (output, r, r)


def of_draws(law: np.ndarray, targets: np.ndarray, noise: float) -> Straight:
    """From joint draws: ``(output, sample, candidate)`` and ``(output, sample, target)``."""
    designs, wanted, covariances = [], [], []
    for f, t in zip(law, targets, strict=True):
        both = np.concatenate([f - f.mean(axis=0), t - t.mean(axis=0)], axis=1)
        _, size, right = np.linalg.svd(both / np.sqrt(len(both)), full_matrices=False)
        kept = min(_LAW, int(np.sum(size > 1e-6 * size[0])) or 1)
        designs.append(_padded(right[:kept, : f.shape[1]].T / noise, _LAW))
        wanted.append(_padded(right[:kept, f.shape[1] :].T, _LAW))
        covariances.append(np.diag(_padded(size[None, :kept] ** 2, _LAW)[0]))
    return Straight(np.stack(designs), np.stack(wanted), np.stack(covariances))


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, size - values.shape[1])))


def of_slopes(law: Law, centre: dict[str, np.ndarray], pool, targets, noise: float) -> Straight:
    """The law's slopes at one point, nothing believed of its parameters; a group has its own."""
    groups = sorted(pool["family"].unique())
    count = len(law.parameters)

    def slopes(table: pd.DataFrame) -> np.ndarray:
        inputs = {v.column: table[v.column].to_numpy(float) for v in law.variables.values()}
        place = np.array([groups.index(g) for g in table["family"]])
        own = {k: v[place] for k, v in centre.items()}
        out = np.zeros((len(table), count * len(groups)))
        for k, name in enumerate(law.parameters):
            step = 1e-4 * np.maximum(np.abs(own[name]), 1e-3)
            with np.errstate(all="ignore"):
                up = np.log(law.mean({**own, name: own[name] + step}, inputs, np))
                down = np.log(law.mean({**own, name: own[name] - step}, inputs, np))
            slope = (up - down) / (2 * step) * np.maximum(np.abs(own[name]), 1e-3)
            out[np.arange(len(table)), place * count + k] = np.nan_to_num(slope)
        return out

    return Straight(
        slopes(pool)[None] / noise, slopes(targets)[None], RIDGE * np.eye(count * len(groups))[None]
    )


def greedy(
    straight: Straight,
    observed: list[int],
    price: np.ndarray,
    family: np.ndarray,
    left: dict[str, float],
    criterion: str,
) -> list[int]:
    """Runs one by one, each the most valuable for its cost given those before it."""
    covariance = straight.covariance.copy()

    def see(i: int) -> None:
        for o, cov in enumerate(covariance):
            x = straight.design[o, i]
            pull = cov @ x
            covariance[o] = cov - np.outer(pull, pull) / (1.0 + x @ pull)

    if criterion != "posterior":  # the posterior has seen them already
        for i in observed:
            see(i)
    taken, left = [], dict(left)
    gone = np.zeros(len(price), dtype=bool)
    gone[observed] = True
    while True:
        room = np.array([left[g] for g in family])
        open_to = ~gone & (price <= room * (1 + 1e-9))
        if not open_to.any():
            return taken
        spread = straight.design @ covariance  # (output, candidate, r)
        seen = 1.0 + np.einsum("ocr,ocr->oc", spread, straight.design)
        if criterion == "d-opt":
            value = 0.5 * np.log(seen).sum(axis=0)
        else:
            shared = np.einsum("otr,ocr->otc", straight.wanted, spread)
            value = (np.sum(shared**2, axis=1) / seen).sum(axis=0)
        score = np.where(open_to, value / price**POWER, -np.inf)
        best = int(np.argmax(score))
        taken.append(best)
        gone[best] = True
        left[family[best]] -= price[best]
        see(best)


@dataclass(frozen=True, eq=False)
class Departures:
    """How the law may depart from what holds at the targets (`bayescale.misfit`), as loadings.

    Attributes
    ----------
    loadings : numpy.ndarray
        Shape ``(candidate, hidden)``, of independent standard normals.
    """

    loadings: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Of each candidate's log loss."""
        return np.sqrt((self.loadings**2).sum(axis=1))

    @classmethod
    def of(cls, law: Law, pool: pd.DataFrame, targets: pd.DataFrame) -> Departures:
        """From the box around the targets; groups depart apart from one another."""
        columns = [v.column for v in law.variables.values()]
        away = misfit.outside(pool, targets, columns)
        groups = pool["family"].astype("category").cat.codes.to_numpy()
        places, which = np.unique(
            np.column_stack([groups, away]).round(6), axis=0, return_inverse=True
        )
        whole = misfit.covariance(places[:, 1:], places[:, 0])
        size, vectors = np.linalg.eigh(whole)
        size, vectors = size[::-1][:_DEPARTURES], vectors[:, ::-1][:, :_DEPARTURES]
        loadings = vectors * np.sqrt(np.maximum(size, 0.0))
        return cls(loadings[np.asarray(which).ravel()])

    def beside(self, straight: Straight, noise: float, observed: list[int]) -> Straight:
        """The same beliefs, in which the law may depart too, as far as runs don't tell yet."""
        own = self.loadings / noise
        count, outputs = own.shape[1], len(straight.design)
        left = np.eye(count)
        for i in observed:
            pull = left @ own[i]
            left = left - np.outer(pull, pull) / (1.0 + own[i] @ pull)
        size = straight.covariance.shape[1]
        whole = np.zeros((outputs, size + count, size + count))
        whole[:, :size, :size] = straight.covariance
        whole[:, size:, size:] = left
        design = np.concatenate([straight.design, np.repeat(own[None], outputs, axis=0)], axis=2)
        nothing = np.zeros((*straight.wanted.shape[:2], count))
        wanted = np.concatenate([straight.wanted, nothing], axis=2)
        return replace(straight, design=design, wanted=wanted, covariance=whole)


def in_order(order: np.ndarray, observed, price, family, left: dict[str, float]) -> list[int]:
    """Runs in a given order, as far as the money goes; the first that is too dear ends it."""
    taken, left, ended = [], dict(left), set()
    for i in order:
        group = family[i]
        if i in observed or group in ended:
            continue
        if price[i] > left[group] * (1 + 1e-9):
            ended.add(group)
            continue
        taken.append(int(i))
        left[group] -= price[i]
    return taken


def prior_draws(
    law: Law, pool, targets, typical: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log losses of candidates and targets under the prior alone, groups apart from one another."""
    table = pool.assign(**{law.response.column: typical})
    model = build_model(law, table, noise="normal")
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    rng = np.random.default_rng([seed, 53])
    eta, _ = sample_population_prior(model, rng, 4 * DRAWS)
    groups = sorted(pool["family"].unique())
    each = np.repeat(eta[:, None], len(groups), axis=1)
    for factor in structure.factors:
        learned = [structure.parameters[factor.varied[k]].group_sd for k in factor.learned_index]
        log_sd = np.log([np.asarray(p.sample(rng, len(eta))) for p in learned]).T
        log_sd = log_sd.reshape(len(eta), len(learned))
        corr = np.zeros((len(eta), len(factor.pairs)))
        lower = np.linalg.cholesky(group_covariance(factor, log_sd, corr, np))
        lower = np.broadcast_to(lower, (len(eta), *lower.shape[-2:]))
        z = rng.standard_normal((len(eta), len(groups), len(factor.varied)))
        each[:, :, np.array(factor.varied)] += np.einsum("sij,sgj->sgi", lower, z)
    values = to_natural(structure, each, reference, np)
    parts = []
    for rows in (pool, targets):
        place = np.array([groups.index(g) for g in rows["family"]])
        inputs = {v.column: rows[v.column].to_numpy(float) for v in law.variables.values()}
        with np.errstate(all="ignore"):
            own = {k: values[k][:, place] for k in law.parameters}
            parts.append(np.log(law.mean(own, inputs, np)))
    good = np.isfinite(parts[0]).all(axis=1) & np.isfinite(parts[1]).all(axis=1)
    return parts[0][good][:DRAWS], parts[1][good][:DRAWS]
