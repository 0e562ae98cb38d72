"""What a sick posterior looks like, in plain words: modes, funnels, floors that no data tell.

Each function takes draws or a fit and gives a sentence with its remedy, or nothing; `diagnose` asks
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bayescale.fitting import Fit

APART = 3.0  # chains' own sds between their means
SETTLED = 1.0  # own sds between the halves of a chain
NECK = 0.2  # the draws where a spread is smallest
GATHERED = 1.5  # times as many divergences there as of all draws, and beyond chance
CHANCE = 0.999
UNTOLD = 0.6  # posterior sd over prior sd; a floor lies under the losses, which cuts its prior off


def separate_modes(names: Sequence[str], draws: np.ndarray) -> str | None:
    """Chains that are each at rest, but in different places.

    Parameters
    ----------
    names : sequence of str
    draws : array, shape (chain, draw, parameter)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> draws = rng.normal(size=(4, 200, 1))
    >>> separate_modes(["b"], draws)
    >>> draws[2:] += 10.0
    >>> separate_modes(["b"], draws).split(":")[0]
    'chains stay in different places'
    """
    middle = draws.shape[1] // 2
    if not middle:
        return None
    means, sds = draws.mean(axis=1), draws.std(axis=1)
    own = np.maximum(np.median(sds, axis=0), 1e-300)
    halves = np.abs(draws[:, :middle].mean(axis=1) - draws[:, middle:].mean(axis=1))
    settled = np.all(halves < SETTLED * own, axis=0)
    gap = np.where(settled, np.ptp(means, axis=0) / own, 0.0)
    worst = int(np.argmax(gap))
    if not gap[worst] > APART:
        return None
    low, high = means[:, worst].min(), means[:, worst].max()
    return (
        f"chains stay in different places: {names[worst]} is {low:.3g} in one and {high:.3g} in"
        f" another, each at rest, so the posterior has several modes (as where two breaks change"
        f" places) and no draw says how likely each is; give priors that tell them apart, or a"
        f" simpler law"
    )


def funnel(names: Sequence[str], draws: np.ndarray, diverging: np.ndarray) -> str | None:
    """Divergences that gather where a spread between groups is small.

    Parameters
    ----------
    draws : array, shape (chain, draw, parameter)
    diverging : array of bool, shape (chain, draw)
    """
    from scipy.stats import binom

    count = int(diverging.sum())
    by_chance = binom.ppf(CHANCE, count, NECK) / count if count else 1.0
    for k, name in enumerate(names):
        if name.startswith("sd("):
            small = draws[..., k] <= np.quantile(draws[..., k], NECK)
            share = np.mean(small[diverging]) if count else 0.0
            if share > max(GATHERED * NECK, by_chance):
                return (
                    f"divergences gather where {name} is small, a funnel ({share:.0%} of them in"
                    f" the {NECK:.0%} of the draws where it is smallest): give that spread a prior"
                    f" away from 0, pool fewer parameters, or pool none of it (pool=)"
                )
    return None


def too_few_runs(fit: Fit) -> str | None:
    """Groups with fewer runs than parameters of their own, where chains don't mix."""
    structure, arrays = fit.model.structure, fit.model.arrays
    for factor, level in zip(structure.factors, arrays.levels, strict=True):
        own = [structure.names[i] for i in factor.varied[factor.weights :]]
        own = [name for name in own if name in structure.law.parameters]
        runs = np.bincount(level[arrays.position[:, 0]], minlength=len(factor.levels))
        if len(factor.levels) > 1 and np.median(runs) < len(own):
            shared = ", ".join(f"{name!r}: []" for name in own[1:])
            return (
                f"half of the levels of {factor.name} have no more than {np.median(runs):.0f} runs"
                f" for {len(own)} parameters of their own ({', '.join(own)}), which can't be told"
                f" apart: let all share some of them, as with pool={{{shared}}}, or add runs"
            )
    return None


class Floor(NamedTuple):
    """A floor of all groups, or of one that shares none.

    Attributes
    ----------
    name : str
    after, prior : float
        Sds of its log, after the data and before.
    factor, level : str or None
        The group.
    """

    name: str
    after: float
    prior: float
    factor: str = ""
    level: str | None = None

    @property
    def untold(self) -> bool:
        """Whether its posterior is nearly as wide as its prior."""
        return self.after > UNTOLD * self.prior


def floors_of(fit: Fit) -> list[Floor]:
    """The floor of a fit's law, if it has one; each group's own where they share none."""
    structure = fit.model.structure
    trade = structure.trade
    if trade is None:
        return []
    parameter = structure.parameters[trade[0]]
    posterior = fit.data["posterior"].dataset
    if parameter.prior.support[0] < 0.0:
        return []

    def spread(quantiles: np.ndarray) -> float:
        return float(np.log(quantiles[1] / quantiles[0])) / 2.0

    def after(draws: np.ndarray) -> float:
        return spread(np.quantile(draws, [0.16, 0.84]))

    name, prior = parameter.name, spread(parameter.prior.quantile([0.16, 0.84]))
    if trade[0] in structure.free:
        return [Floor(name, after(posterior[name].to_numpy()), prior)] if name in posterior else []
    owners = [factor for factor in structure.factors if trade[0] in factor.varied]
    if len(owners) != 1:
        return []
    (factor,) = owners
    by = "group" if structure.crossed else factor.name
    own = posterior[f"{name}_by_{by}"].transpose("chain", "draw", by).to_numpy()
    labels = posterior[factor.name].to_numpy().astype(str).tolist()  # of groups, where they cross
    return [
        Floor(f"{name}[{level}]", after(own[..., labels.index(level)]), prior, factor.name, level)
        for level in factor.levels
    ]


def untold_floors(fit: Fit) -> list[Floor]:
    """Floors whose posterior is nearly as wide as their prior, the widest first."""
    return sorted((one for one in floors_of(fit) if one.untold), key=lambda one: -one.after)


def untold_floor(fit: Fit) -> str | None:
    """Say that the data don't tell a floor: far predictions rest on the prior."""
    untold = untold_floors(fit)
    if not untold:
        return None
    first, *others = untold
    more = f", nor {len(others)} other{'s' * (len(others) > 1)}" if others else ""
    return (
        f"the data don't tell the floor {first.name}{more}: its posterior is nearly as wide as its"
        f" prior ({first.after:.2f} and {first.prior:.2f} in log), and predictions far beyond the"
        f" data rest on it; add runs over more decades, or a prior from elsewhere (prior=)"
    )
