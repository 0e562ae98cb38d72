"""EVSI by nested Monte Carlo over a fit's own draws, and how near the library's comes to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from bayescale.evidence import EXTRA
from bayescale.fitting import Fit
from bayescale.goals import Draws, Stakes
from bayescale.information import Worth
from bayescale.predictive_draws import loss_draws, noise_rows, parameter_draws

OUTER = 128  # results looked at: the middles of as many equally likely slices
BLOCKS = 10  # of the draws, for the jackknife
FINE = 401  # sizes on the budget between which a split may choose
WORTHLESS = 10.0  # sd of log loss by which one candidate misses what it measures


@dataclass(frozen=True)
class Asked:
    """A goal whose stakes have been drawn already."""

    made: Stakes

    def stakes(self, fit: Fit, draws: Draws, actions: np.ndarray | None = None) -> Stakes:
        """Give them."""
        return self.made


def candidates(stakes: Stakes, C: float, rng: np.random.Generator) -> pd.DataFrame:
    """Eight: one that shows nothing, one where the decision itself lies, six at random."""
    assert stakes.losses is not None
    if stakes.actions is not None:
        recipe, N = "a", float(np.exp(stakes.actions[stakes.losses.mean(axis=0).argmin()]))
    else:  # about twenty tokens a parameter
        recipe, N = str(rng.choice(["a", "b"])), float(np.sqrt(C / 120.0))
    sizes = np.exp(rng.uniform(np.log(1e7), np.log(1e10), 7))
    tokens = np.exp(rng.uniform(np.log(3e8), np.log(3e11), 7))
    pool = pd.DataFrame(
        {
            "N": [*sizes, N],
            "D": [*tokens, C / 6.0 / N],
            "family": [*rng.permutation(["a", "b"] * 3), "a", recipe],
            EXTRA: [0.0] * 6 + [WORTHLESS, 0.0],
        }
    )
    return pool.assign(C=6.0 * pool["N"] * pool["D"])


def nested(stakes: Stakes, fit: Fit, one: pd.DataFrame) -> Worth:
    """Value of seeing one candidate: each of its results weighs the draws by its likelihood.

    The best of noisy expectations promises too much; a jackknife over blocks of draws takes that
    off and gives the error.
    """
    assert stakes.losses is not None
    losses = stakes.losses
    if stakes.actions is not None:
        losses = _finer(losses)
    log_mean = np.log(loss_draws(fit, one, kind="mean"))
    seen = np.log(loss_draws(fit, one, kind="new-run", seed=7))[:, 0]
    extra = float(one[EXTRA].iloc[0])
    seen = seen + extra * np.random.default_rng(7).standard_normal(len(seen))
    results = np.quantile(seen, (np.arange(OUTER) + 0.5) / OUTER)
    away = results - log_mean
    if extra:  # next to which a run's own scatter is nothing
        density = norm.logpdf(away, scale=extra)
    else:
        noise = fit.model.structure.likelihood.noise
        values = {p.name: parameter_draws(fit, one)[p.name][..., None] for p in noise.parameters}
        rows = {k: v[:, None] for k, v in noise_rows(fit, one).items()}
        density = noise.cell_log_density(
            values, away[..., None], np.ones((*away.shape, 1)), rows, np
        )
    weight = np.exp(density - density.max(axis=0))
    blocks = np.array_split(np.arange(len(losses)), BLOCKS)
    top = np.stack([weight[b].T @ losses[b] for b in blocks])
    mass = np.stack([weight[b].sum(axis=0) for b in blocks])[..., None]
    sums = np.stack([losses[b].sum(axis=0) for b in blocks])
    size = np.array([len(b) for b in blocks])

    def gained(top: np.ndarray, mass: np.ndarray, mean: np.ndarray) -> float:
        return float(mean.min() - (top / mass).min(axis=1).mean())

    whole = gained(top.sum(axis=0), mass.sum(axis=0), sums.sum(axis=0) / size.sum())
    without = np.array(
        [
            gained(
                top.sum(axis=0) - top[k],
                mass.sum(axis=0) - mass[k],
                (sums.sum(axis=0) - sums[k]) / (size.sum() - size[k]),
            )
            for k in range(BLOCKS)
        ]
    )
    value = BLOCKS * whole - (BLOCKS - 1) * without.mean()
    error = np.sqrt((BLOCKS - 1) / BLOCKS * np.sum((without - without.mean()) ** 2))
    return Worth(max(float(value), 0.0), float(error))


def _finer(losses: np.ndarray) -> np.ndarray:
    """Losses between the actions of a line too."""
    from scipy.interpolate import CubicSpline

    places = np.arange(losses.shape[1])
    return CubicSpline(places, losses, axis=1)(np.linspace(0, places[-1], FINE))


def compared(found: pd.DataFrame) -> pd.DataFrame:
    """By law and goal: how often the two agree, and how alike they rank.

    They agree within two standard errors of their difference, or a tenth of the nested value. In
    ``ranks`` values that are not two standard errors from zero are tied at zero, in ``ranks_raw``
    they are ranked as they stand; both are medians of Spearman's correlation over questions that
    have two candidates or more of a value told from zero. ``ranks_told`` is one correlation over
    all candidates that the nested value tells from zero, as shares of perfect information, and
    ``nested_se`` the median of their relative standard errors: where it is large, the ranks within
    a question are mostly the reference's own noise.
    """
    error = np.hypot(found["evsi_error"], found["nested_error"])
    allowed = np.maximum(2 * error, 0.1 * found["nested"])
    told = found.assign(agrees=np.abs(found["evsi"] - found["nested"]) <= allowed)
    for name in ("evsi", "nested"):
        told[f"{name}_told"] = told[name].where(told[name] > 2 * told[f"{name}_error"], 0.0)
    share = (found["evsi"] / found["evpi"]).where(found["evpi"] > 0, 0.0)
    rows = []
    for (law, goal), part in told.groupby(["law", "goal"]):
        raw, tied = [], []
        for _, one in part.groupby("simulation"):
            if (one["nested_told"] > 0).sum() < 2 or (one["evsi_told"] > 0).sum() < 1:
                continue
            raw.append(spearmanr(one["evsi"], one["nested"]).statistic)
            tied.append(spearmanr(one["evsi_told"], one["nested_told"]).statistic)
        clear = part[part["nested_told"] > 0]
        of_all = clear["nested"] / clear["evpi"]
        rows.append(
            {
                "law": law,
                "goal": goal,
                "questions": part["simulation"].nunique(),
                "ranked": len(raw),
                "agree": part["agrees"].mean(),
                "ranks": np.median(tied) if tied else np.nan,
                "ranks_low": np.quantile(tied, 0.1) if tied else np.nan,
                "ranks_raw": np.median(raw) if raw else np.nan,
                "ranks_told": spearmanr(clear["evsi"] / clear["evpi"], of_all).statistic,
                "nested_se": (clear["nested_error"] / clear["nested"]).median(),
                "worthless_at_most": share[part.index][part["candidate"] == 6].max(),
            }
        )
    return pd.DataFrame(rows)
