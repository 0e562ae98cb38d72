"""Draws of what is at stake and of what candidate runs would show, and the judge of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import criteria, misfit
from bayescale.errors import DataError
from bayescale.goals import Draws, Goal, Knowledge, Stakes, VOptimal
from bayescale.information import Worth, evpi, evsi, variance_reduction

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]
Fits = Mapping[str, "Fit"]

DRAWS = 4000
DRAWS_IN_ALL = 800_000  # over a pool: a large one is judged by fewer draws each
FEWEST_DRAWS = 1000
REPLICATES = 4
EXTRA = "extra_sd"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Draws of what is at stake and of what candidates would show, in one order.

    Attributes
    ----------
    stakes : Stakes
    law : numpy.ndarray
        Log loss of each candidate by the law, ``(sample, candidate)``.
    observed : numpy.ndarray
        What it would show, imagined a few times, ``(replicate, sample, candidate)``.
    """

    stakes: Stakes
    law: Floats
    observed: Floats

    @property
    def noise(self) -> Floats:
        """Variance of each candidate's deviation."""
        return criteria.noise_variance(self.law, self.observed[0])


def gather(
    draws: Draws,
    fits: Fits,
    pool: pd.DataFrame,
    goal: Goal,
    weights: Mapping[str, float] | None = None,
    new_groups: str = "error",
    seed: int = 0,
    stray: float = 0.0,
) -> Evidence:
    """Draw what is at stake and what candidates would show, of all laws in their proportions.

    `stray` is the scale by which the law may depart at a candidate from what holds where the
    decision lies (`bayescale.misfit`).
    """
    laws, seen = {}, {}
    for name, fit in fits.items():
        options = {"new_groups": new_groups} if new_groups != "error" else {}
        with np.errstate(all="ignore"):  # a count of none has no log, and is refused below
            laws[name] = np.log(draws.losses(fit, pool, kind="mean", seed=seed, **options))
            seen[name] = np.log(
                [
                    draws.losses(fit, pool, kind="new-run", seed=one, **options)
                    for one in _seeds(seed, new_groups)
                ]
            )
        bad = ~(np.isfinite(laws[name]).all(axis=0) & np.isfinite(seen[name]).all(axis=(0, 1)))
        if bad.any():
            places = ", ".join(str(i + 1) for i in np.flatnonzero(bad)[:20])
            raise DataError(f"the law {name!r} has no finite loss at candidate {places}")
    index = shares_of(fits, weights, {k: len(v) for k, v in laws.items()}, seed, len(pool))
    law = np.concatenate([laws[k][i] for k, i in index.items()])
    observed = np.concatenate([seen[k][:, i] for k, i in index.items()], axis=1)
    if EXTRA in pool:
        sd = pd.to_numeric(pool[EXTRA], errors="coerce").fillna(0.0).to_numpy(float)
        if (sd < 0).any():
            raise DataError(f"{EXTRA} is a standard deviation: 0 or more")
        observed = observed + sd * np.random.default_rng([seed, 31]).standard_normal(observed.shape)
    stakes = joint_stakes(goal, fits, draws, index)
    if stray and stakes.places is not None:
        law_of = next(iter(fits.values()))
        columns = [v.column for v in law_of.law.variables.values() if v.least is None]
        away = misfit.outside(pool, stakes.places, columns)
        rng = np.random.default_rng([seed, 61])
        departs = misfit.departures(away, len(law), rng, _groups(law_of, pool), stray)
        law, observed = law + departs, observed + departs
    return Evidence(stakes, law, observed)


class Judge:
    """Values of sets of candidates for a goal, from one set of draws."""

    def __init__(self, goal: Goal, evidence: Evidence, seed: int = 0) -> None:
        self._goal, self._evidence, self._seed = goal, evidence, seed
        self._noise = evidence.noise

    @property
    def perfect(self) -> float:
        """Value of knowing everything; of information, that of seeing the whole pool."""
        if isinstance(self._goal, Knowledge):
            return criteria.pool_information(self._evidence.law, self._noise)
        return perfect_worth(self._evidence.stakes).value

    def worth(self, chosen: Sequence[int]) -> Worth:
        """Value of seeing some candidates together."""
        evidence, stakes = self._evidence, self._evidence.stakes
        if isinstance(self._goal, Knowledge | VOptimal):
            return Worth(self._gaussian(chosen), 0.0)
        observed = evidence.observed[:, :, list(chosen)]
        if stakes.losses is not None:
            return evsi(stakes.losses, observed, line=stakes.actions is not None, seed=self._seed)
        assert stakes.targets is not None
        return variance_reduction(stakes.targets, observed, seed=self._seed)

    def _gaussian(self, chosen: Sequence[int]) -> float:
        """Sum of what each shows once those before it are known."""
        evidence = self._evidence
        rng = np.random.default_rng([self._seed, 37])
        law, targets, total = evidence.law[:, list(chosen)], evidence.stakes.targets, 0.0
        for k, i in enumerate(chosen):
            noise = self._noise[[i]]
            if targets is not None:
                total += float(criteria.v_optimal(targets, law[:, [k]], noise)[0])
                targets = criteria.conditioned(targets, law[:, k], float(noise[0]), rng)
            elif getattr(self._goal, "criterion", "") == "d-optimal":
                total += float(criteria.d_optimal(law[:, [k]], noise)[0])
            else:
                away = evidence.observed[0][:, [i]] - evidence.law[:, [i]]
                total += float(criteria.information(law[:, [k]], law[:, [k]] + away)[0])
            if k + 1 < len(chosen):
                law = criteria.conditioned(law, law[:, k], float(noise[0]), rng)
        return total


def perfect_worth(stakes: Stakes) -> Worth:
    """Value of knowing everything."""
    if stakes.losses is not None:
        return evpi(stakes.losses, stakes.actions is not None)
    if stakes.targets is None:
        raise DataError("knowledge of the law as such has no value of knowing everything")
    spread = (stakes.targets - stakes.targets.mean(axis=0)) ** 2
    each = spread.mean(axis=1)
    return Worth(float(each.mean()), float(each.std() / np.sqrt(len(each))))


def named_fits(fit: Fit | Fits) -> Fits:
    """Fits by the name of their law."""
    fits = dict(fit) if isinstance(fit, Mapping) else {fit.law.name: fit}
    if not fits:
        raise DataError("there is no fit to choose runs for")
    return fits


def shares_of(
    fits: Fits,
    weights: Mapping[str, float] | None,
    sizes: Mapping[str, int],
    seed: int,
    pool: int = 1,
) -> dict[str, NDArray[np.intp]]:
    """Which draws of each law stand for it: in proportion to its weight."""
    if weights is not None and (missing := [k for k in fits if k not in weights]):
        raise DataError(f"weights name no weight of {', '.join(missing)}")
    share = {k: 1.0 if weights is None else float(weights[k]) for k in fits}
    total = sum(share.values())
    if not total > 0 or min(share.values()) < 0:
        raise DataError("weights are zero or more, and not all zero")
    chosen = {}
    for place, (name, size) in enumerate(sizes.items()):
        count = round(_size_for(pool) * share[name] / total)
        rng = np.random.default_rng([seed, 41, place])
        if count <= size:
            chosen[name] = np.sort(rng.choice(size, count, replace=False))
        elif len(fits) == 1:
            chosen[name] = np.arange(size)
        else:
            chosen[name] = np.sort(rng.integers(0, size, count))
    return chosen


def joint_stakes(
    goal: Goal, fits: Fits, draws: Draws, index: Mapping[str, NDArray[np.intp]]
) -> Stakes:
    """What is at stake under the mixture of the laws, all asked about the same actions."""
    each = [goal.stakes(fit, draws) for fit in fits.values()]
    actions = [one.actions for one in each if one.actions is not None]
    if len(each) > 1 and actions:
        ends = min(a[0] for a in actions), max(a[-1] for a in actions)
        common = np.linspace(*ends, max(len(a) for a in actions))
        each = [goal.stakes(fit, draws, common) for fit in fits.values()]
    return _mixed(each, index)


def _mixed(stakes: Sequence[Stakes], index: Mapping[str, NDArray[np.intp]]) -> Stakes:
    """Stakes of several laws as those of their mixture."""
    picks = list(index.values())
    first = stakes[0]

    def joined(name: str) -> Floats | None:
        parts = [getattr(one, name) for one in stakes]
        if parts[0] is None:
            return None
        if len({part.shape[1] for part in parts}) > 1:
            raise DataError("the laws' actions differ: name a goal whose actions they share")
        return np.concatenate([part[i] for part, i in zip(parts, picks, strict=True)])

    worths = [one.worth for one in stakes if one.worth is not None]
    parameters = (
        {name: values[picks[0]] for name, values in first.parameters.items()}
        if len(stakes) == 1
        else {}
    )
    losses = joined("losses")
    sure = first.sure
    if losses is not None and np.isfinite(sure):
        sure = float(np.mean(losses.argmin(axis=1) == losses.mean(axis=0).argmin()))
    return replace(
        first,
        losses=losses,
        targets=joined("targets"),
        worth=float(np.mean(worths)) if worths else None,
        parameters=parameters,
        sure=sure,
    )


def _groups(fit: Fit, pool: pd.DataFrame) -> NDArray:
    """Label of each candidate's group."""
    factors = [name for name in fit.groups if name in pool]
    if not factors:
        return np.zeros(len(pool), dtype=int)
    return pool.groupby([pool[name].astype(str) for name in factors]).ngroup().to_numpy()


def _seeds(seed: int, new_groups: str) -> list[int]:
    """Seeds of the replicates; an unseen group is drawn by the seed too, so it allows but one."""
    return [seed + 1009 * k for k in range(REPLICATES if new_groups == "error" else 1)]


def _size_for(pool: int) -> int:
    """Draws in all that a pool of this size is judged by."""
    return int(min(DRAWS, max(FEWEST_DRAWS, DRAWS_IN_ALL // pool)))
