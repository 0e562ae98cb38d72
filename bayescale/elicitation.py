"""Priors from beliefs about losses and parameters, by the least change of the card's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from bayescale.beliefs import Belief, StatedPriors, checked
from bayescale.catalog import require_law
from bayescale.conditioned import normalised, sample_conditioned
from bayescale.coordinates import log_prior_population, to_natural
from bayescale.errors import BayescaleError
from bayescale.factors import Factor, logged, quantity
from bayescale.law import Law
from bayescale.model import Model, reference_inputs
from bayescale.model_from_runs import build_model, varying_columns
from bayescale.places import spread
from bayescale.population_prior import sample_population_prior
from bayescale.rows import select_rows
from bayescale.runs import Runs, as_runs

DRAWS = 8192
CHECKED = 16384  # other draws, to say what was reached
ROUNDS = 5
TOLERANCE = 0.1  # of a stated interval's half width
SURPRISING = 2.0  # sds
_STEP = (3.0, 2.0)  # in one round, within which draws can be reweighted
_WEAKEST, _STRONGEST, _FARTHEST = -8.0, 7.0, 20.0  # of a factor: log precision, and centre


def elicit(law: Law, beliefs: Sequence[Belief] | Belief, runs: Runs) -> StatedPriors:
    """Find the prior that says what is believed and is otherwise as near the card's as can be.

    Parameters
    ----------
    law : Law
    beliefs : sequence of Belief
        From `belief`: intervals of the law's value (the median of a run's loss; a run's scatter is
        small beside a belief) at some scale, or of parameters in the card's units. With families
        they are of the population.
    runs : Runs
        Those to be fitted: the card's priors hold at their centre. Of their losses only the
        typical and the smallest are used, as every fit's priors do.

    Returns
    -------
    StatedPriors
        Give it to `fit` as ``prior=``. Its ``table`` has for each belief what was stated, what the
        new prior predicts (``lower``, ``upper``), what the card's did, and how many of the card's
        predictive sds the stated middle lies off (``card_z``).

    Raises
    ------
    BayescaleError
        The beliefs can't be met: they contradict one another or the law, or the card's prior is
        narrower than they are.
    LawError
        A belief is of something that the law doesn't have.
    DataError
        For rows that can't be fitted.

    Notes
    -----
    The card's prior density is multiplied by one normal factor for each belief, of the log loss
    there (or the parameter, on its log where it is positive), as ``target += normal_lpdf(...)``
    does in Stan. Means and sds of the factors are solved for, so that the prior predictive has the
    stated quantiles: what is believed is the predictive itself, and isn't averaged with what the
    card expected. Of all priors with the moments that result, this one has the smallest
    Kullback-Leibler divergence from the card's (minimum discrimination information; Kullback 1959).
    Parameters become dependent, as they must: a belief about a loss leaves open whether it is floor
    or reducible. Factors keep their meaning with other runs; the quantiles were solved for with
    these. On eliciting by predictions: Hartmann et al. 2020, arXiv:2002.09868.

    Examples
    --------
    >>> import bayescale as bs
    >>> law, runs = bs.load_law("chinchilla"), bs.datasets.load("ladder")
    >>> stated = bs.elicit(law, bs.belief(N=1e6, D=2e7, loss=(1.1, 1.4)), runs)
    >>> stated.table[["lower", "upper"]].round(1).values.tolist()
    [[1.1, 1.4]]
    """
    law, runs = require_law(law), as_runs(runs, law)
    said = [checked(law, b) for b in ([beliefs] if isinstance(beliefs, Belief) else beliefs)]
    if not said:
        raise BayescaleError("there is no belief; state one: bs.belief(N=1e9, D=2e10, loss=(2, 3))")
    search = _Search(law, prior_model(law, runs), tuple(said))
    factors, table, after = search.solved()
    if (table["off"] > TOLERANCE).any():
        raise BayescaleError(_unmet(search, table))
    table = table.drop(columns="off")
    notes = [
        f"{label}: the middle of the stated interval lies {row['card_z']:.1f} sd from what the"
        " card's prior expects; look at units, or be surprised"
        for label, row in table.iterrows()
        if abs(row["card_z"]) > SURPRISING
    ]
    parameters = compared(law, search.card_values, after)
    return StatedPriors(law.believing(factors), table, parameters, tuple(notes), {}, factors)


def prior_model(law: Law, runs: Runs) -> Model:
    """The model that a fit of these runs would have, to know where its priors hold."""
    groups = [c for c in varying_columns(law, {}) if c in runs.table.columns]
    return build_model(law, select_rows(runs, law, groups, on_failed="drop").table)


def compared(
    law: Law, before: dict[str, np.ndarray], after: dict[str, np.ndarray], prob: float = 0.9
) -> pd.DataFrame:
    """Intervals of every parameter by two priors' draws."""
    at = [0.5 * (1.0 - prob), 0.5, 0.5 * (1.0 + prob)]
    rows = [
        (name, *np.quantile(before[name], at), *np.quantile(after[name], at))
        for name in law.parameters
    ]
    columns = ["card_lower", "card_median", "card_upper", "lower", "median", "upper"]
    return pd.DataFrame(rows, columns=["parameter", *columns]).set_index("parameter")


@dataclass(frozen=True)
class _Search:
    law: Law
    model: Model
    beliefs: tuple[Belief, ...]

    @cached_property
    def ends(self) -> np.ndarray:
        """Stated intervals on the scale of their factors, (belief, 2)."""
        return np.array([self._scaled(b, [b.low, b.high]) for b in self.beliefs])

    @cached_property
    def half(self) -> np.ndarray:
        return 0.5 * (self.ends[:, 1] - self.ends[:, 0])

    @cached_property
    def tails(self) -> np.ndarray:
        return np.array([0.5 * (1.0 - b.prob) for b in self.beliefs])

    @cached_property
    def card_draws(self) -> np.ndarray:
        """Draws of the card's prior, free coordinates (sample, d)."""
        eta, _ = sample_population_prior(self.model, np.random.default_rng(1), CHECKED)
        return eta[:, list(self.model.structure.free)]

    @cached_property
    def card_values(self) -> dict[str, np.ndarray]:
        return self.natural(self.card_draws)

    def natural(self, z: np.ndarray) -> dict[str, np.ndarray]:
        structure = self.model.structure
        eta = spread(z, structure.free, structure.size) + structure.base
        with np.errstate(all="ignore"):
            return to_natural(structure, eta, reference_inputs(self.model.arrays.reference), np)

    def card_density(self, z: np.ndarray) -> np.ndarray:
        reference = reference_inputs(self.model.arrays.reference)
        with np.errstate(all="ignore"):
            return log_prior_population(self.model.structure, z, reference, np)

    def believed(self, natural: dict[str, np.ndarray]) -> np.ndarray:
        """What each belief is about, (sample, belief)."""
        size = next(iter(natural.values())).shape
        with np.errstate(all="ignore"):
            found = [quantity(self.law, b.name, b.at.items(), natural, np) for b in self.beliefs]
        return np.stack([np.broadcast_to(f, size) for f in found], axis=1)

    def log_factors(self, x: np.ndarray, tilt: np.ndarray) -> np.ndarray:
        """Log of the factors; a tilt is (centre, log precision) in half widths, for each belief."""
        centre, log_precision = tilt.reshape(-1, 2).T
        apart = (x - self.ends.mean(axis=1)) / self.half - centre
        return -0.5 * np.sum(np.exp(log_precision) * apart**2, axis=1)

    def draw(self, tilt: np.ndarray, size: int, seed: int) -> np.ndarray:
        def factor(z: np.ndarray) -> np.ndarray:
            return self.log_factors(self.believed(self.natural(z)), tilt)

        rng = np.random.default_rng(seed)
        return sample_conditioned(self.card_draws[:size], self.card_density, factor, rng)

    def solved(self) -> tuple[tuple[Factor, ...], pd.DataFrame, dict[str, np.ndarray]]:
        """Factors, the beliefs beside what was reached, and draws of the new prior."""
        tilt = self.first_tilt()
        for i in range(ROUNDS):
            tilt = self.refined(tilt, self.natural(self.draw(tilt, DRAWS, i)))
        after = self.natural(self.draw(tilt, CHECKED, 99))
        return self.factors(tilt), self.table(self.believed(after)), after

    def first_tilt(self) -> np.ndarray:
        """As if everything were normal and beliefs did not touch one another."""
        x = self.believed(self.card_values)
        x = np.where(np.isfinite(x), x, np.nan)
        low, middle, high = np.nanquantile(x, [0.16, 0.5, 0.84], axis=0)
        card_sd = np.maximum(0.5 * (high - low), 1e-9) / self.half
        card_mean = (middle - self.ends.mean(axis=1)) / self.half
        from scipy.stats import norm

        stated = -norm.ppf(self.tails)  # half widths of so many sds
        precision = np.maximum(stated**2 - card_sd**-2, 0.05)
        centre = -(card_mean / card_sd**2) / precision
        centre = np.clip(centre, -_FARTHEST, _FARTHEST)
        return np.stack([centre, np.log(precision)], axis=1).ravel()

    def refined(self, tilt: np.ndarray, drawn: dict[str, np.ndarray]) -> np.ndarray:
        """Tilts that leave the stated tails outside the intervals, from draws under another."""
        x = self.believed(drawn)
        base = -self.log_factors(x, tilt)
        outside = np.stack([x < self.ends[:, 0], x > self.ends[:, 1]], axis=-1).astype(float)

        def residual(tilt: np.ndarray) -> np.ndarray:
            weights = normalised(base + self.log_factors(x, tilt))
            share = np.einsum("s,sbe->be", weights, outside)
            return ((share - self.tails[:, None]) / self.tails[:, None]).ravel()

        count = len(self.beliefs)
        low = np.maximum(np.tile([-_FARTHEST, _WEAKEST], count), tilt - np.tile(_STEP, count))
        high = np.minimum(np.tile([_FARTHEST, _STRONGEST], count), tilt + np.tile(_STEP, count))
        start = np.clip(tilt, low + 1e-6, high - 1e-6)
        return least_squares(residual, start, bounds=(low, high), max_nfev=80).x

    def factors(self, tilt: np.ndarray) -> tuple[Factor, ...]:
        made = []
        for b, ends, half, (centre, log_precision) in zip(
            self.beliefs, self.ends, self.half, tilt.reshape(-1, 2), strict=True
        ):
            about = f"{b}: {b.low:.4g} to {b.high:.4g} with {b.prob:.0%}"
            mean, sd = ends.mean() + half * centre, half * math.exp(-0.5 * log_precision)
            made.append(Factor(b.name, float(mean), float(sd), tuple(b.at.items()), about))
        return tuple(made)

    def table(self, x: np.ndarray) -> pd.DataFrame:
        card = self.believed(self.card_values)
        rows = []
        for k, b in enumerate(self.beliefs):
            at = [self.tails[k], 1.0 - self.tails[k]]
            reached, before = np.nanquantile(x[:, k], at), np.nanquantile(card[:, k], at)
            low, middle, high = np.nanquantile(card[:, k], [0.16, 0.5, 0.84])
            z = (self.ends[k].mean() - middle) / (0.5 * (high - low))
            rows.append(
                (
                    *(str(b), b.prob, b.low, b.high, *self._unscaled(b, reached)),
                    *(*self._unscaled(b, before), float(z)),
                    float(np.max(np.abs(reached - self.ends[k])) / self.half[k]),
                )
            )
        columns = ["belief", "prob", "stated_lower", "stated_upper", "lower", "upper"]
        columns += ["card_lower", "card_upper", "card_z", "off"]
        return pd.DataFrame(rows, columns=columns).set_index("belief")

    def _scaled(self, b: Belief, values: Sequence[float]) -> np.ndarray:
        return np.log(values) if b.at or logged(self.law, b.name) else np.asarray(values, float)

    def _unscaled(self, b: Belief, values: np.ndarray) -> np.ndarray:
        return np.exp(values) if b.at or logged(self.law, b.name) else values


def _unmet(search: _Search, table: pd.DataFrame) -> str:
    """Say which beliefs can't be met, and whether each could be by itself."""
    lines = [
        f"{label}: stated {row['stated_lower']:.4g} to {row['stated_upper']:.4g} with"
        f" {row['prob']:.0%}, at best {row['lower']:.4g} to {row['upper']:.4g} (the card's prior:"
        f" {row['card_lower']:.4g} to {row['card_upper']:.4g})"
        for label, row in table.iterrows()
    ]
    alone = []
    for b in search.beliefs if len(search.beliefs) > 1 else ():
        _, single, _ = replace(search, beliefs=(b,)).solved()
        if single["off"].iloc[0] > TOLERANCE:
            alone.append(str(b))
    if alone or len(search.beliefs) == 1:
        which = ", ".join(alone) or str(search.beliefs[0])
        why = (
            f"the law {search.law.name!r} can't say this of {which}: look at units, or state a"
            " wider interval; where the card's prior is narrower, widen it first (law.with_priors)"
        )
    else:
        why = (
            "each could be met by itself: together they contradict one another under this law, or"
            " one is wider than the others leave room for; leave it out"
        )
    return "the beliefs can't be met:\n  " + "\n  ".join([*lines, why])
