"""Where chains begin: around the hierarchical modes that many candidates lead to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayescale import spreads
from bayescale.candidates import candidates, newton_groups
from bayescale.elimination import MANY_LEVELS
from bayescale.geometry import whiten
from bayescale.group_likelihood import group_terms
from bayescale.hierarchical_mode import Mode, hierarchical_mode
from bayescale.model import Model, Structure
from bayescale.population_prior import prior_moments
from bayescale.quadratic import Quadratic, layout
from bayescale.scatter_freedom import few_runs

ALTERNATIVE_WITHIN = 10.0
# Families about one floor had 1 to 4, and long trees without tangents of their own; others 11.
DISTINCT = 6.0


@dataclass(frozen=True)
class Starts:
    """Distinct modes, best first; chains start around them.

    `distinct` says that groups differ, which a cheaper geometry asks for.
    """

    modes: tuple[Mode, ...]

    distinct: bool = False

    @property
    def geometry(self) -> Quadratic:
        found = self.modes[0].quadratic
        return found.of_distinct if self.distinct else found

    def draw(self, structure: Structure, chain: int, seed: int, scale: float = 2.0) -> np.ndarray:
        """A start for `chain`: a mode, jittered by `scale` Laplace standard deviations."""
        shape = layout(structure)
        mode = self.modes[chain % len(self.modes)]
        rng = np.random.default_rng([seed, chain, 71])
        flat = whiten(structure, mode.position, self.geometry.inputs())
        jitter = scale * rng.standard_normal(shape.size)
        hyper = shape.dense + shape.n_block
        jitter[hyper : hyper + sum(shape.learned)] *= spreads.jitter(structure)
        return flat + jitter


def may_differ(model: Model) -> bool:
    """Whether there are enough groups, and runs in them, to tell that groups differ."""
    return layout(model.structure).block_shape[0] > MANY_LEVELS and not few_runs(model)


def find_starts(model: Model, seed: int = 0, cheaply: bool = False) -> Starts:
    """Distinct posterior modes of `model` and the whitening geometry at the best.

    With `cheaply` it is the cheaper geometry where groups differ.
    """
    terms = group_terms(model)
    mean, sd = prior_moments(model)
    group_sd = np.zeros_like(sd)
    for factor in model.structure.factors:
        for k, i in enumerate(factor.varied):
            group_sd[i] = max(group_sd[i], factor.fixed_sd[k])
    wide = np.sqrt(sd**2 + group_sd**2)
    etas, objectives = newton_groups(terms, candidates(model, seed), mean, wide)
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
    differ = cheaply and may_differ(model) and modes[0].distinct > DISTINCT
    return Starts(tuple(modes), differ)


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
