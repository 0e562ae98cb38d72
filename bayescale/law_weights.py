"""Which of several laws to trust beyond the data: weights for an average, with their spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayescale.averages import Average, MixedLaw, average, refuse_different_data
from bayescale.backtesting import Backtest, Verbs, backtest_with
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit, fit
from bayescale.law import Law
from bayescale.law_misses import what_it_misses
from bayescale.leave_out import LeftOut, lfo, loo
from bayescale.mixture_weights import bootstrap_counts, mixture_weights, pseudo_bma
from bayescale.predictive_draws import log_predictive, loss_draws
from bayescale.runs import Runs
from bayescale.splits import Choice

METHODS = ("lfo", "stacking", "pseudo-bma+", "equal")
PRIOR = 1.0  # further blocks in which every law was right equally often
_ENDS = (0.05, 0.95)
NEAR = (
    "leave-one-out scores gaps between runs, not reach beyond them: it can't see a law fail in"
    " extrapolation; method='lfo' predicts larger runs from smaller"
)


def compare_laws(
    fits: Mapping[str, Fit],
    method: str = "lfo",
    blocks: int = 4,
    first: float = 0.5,
    by: str | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Weigh laws by how well each foretells runs that it was not fitted to.

    Parameters
    ----------
    fits : dict of str to Fit
        Of the same runs, by different laws (or poolings, priors, noises, discrepancies).
    method : {"lfo", "stacking", "pseudo-bma+", "equal"}
        "lfo": larger runs are predicted from smaller, block by block (`bayescale.lfo`), and the
        weights maximise the mixture's log score, each block counting as one observation, with one
        further block in which every law had been right equally often. "stacking" and "pseudo-bma+"
        weigh by leaving one run out, which can't see a law fail in extrapolation. "equal": no
        scores.
    blocks, first, by
        Of "lfo", as in `lfo`.
    seed, store, progress
        Of refits, as in `fit_many`, and of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        Indexed by law, the greatest weight first: ``weight``; ``weight_lower``, ``weight_upper``
        (90% over a Bayesian bootstrap of blocks, or of runs); ``equal``, what equal weights would
        be; ``elpd`` (nats, summed over runs left out), ``elpd_diff`` and ``se_diff`` (to the best;
        the error takes runs for independent); ``lean``, the mean of log(observed / median) over
        the runs predicted ("lfo"): above 0 the law is too optimistic; ``misses``, what its
        residuals lean on most. ``attrs`` has ``method``, ``notes`` and, but for "equal",
        ``score``: mean log density a run (a block, for "lfo") of the mixture with these weights
        and with equal ones.

    Raises
    ------
    DataError
        For fits of different data.
    BayescaleError
        For an unknown method, or too few runs to fit or to predict.

    Notes
    -----
    Few blocks say little: look at the spread before trusting a weight, and at the equal weights
    beside it. No law here is taken to be the truth, so that the weights are no probabilities.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), arXiv:1704.02030 (stacking, pseudo-BMA+); Buerkner,
    Gabry and Vehtari (2020), arXiv:1902.06281 (leave-future-out).

    Examples
    --------
    >>> import bayescale as bs
    >>> table = bs.compare_laws({"a": fit_a, "b": fit_b})               # doctest: +SKIP
    >>> mixed = bs.average({"a": fit_a, "b": fit_b}, table)             # doctest: +SKIP
    """
    if method not in METHODS:
        raise BayescaleError(f"method is one of {', '.join(METHODS)}, not {method!r}")
    refuse_different_data(fits)
    names = list(fits)
    table = pd.DataFrame(index=pd.Index(names, name="law"))
    table["weight"] = table["equal"] = 1.0 / len(names)
    notes: list[str] = []
    if method != "equal":
        left = _left_out(fits, method, blocks, first, by, seed, store, progress)
        notes += [f"{name}: {note}" for name, one in left.items() for note in one.notes]
        _weigh(table, left, method, seed)
        if method != "lfo":
            notes.append(NEAR)
    table["misses"] = [what_it_misses(one) for one in fits.values()]
    table.attrs |= {"method": method, "notes": notes}
    return table.sort_values("weight", ascending=False, kind="stable")


def _left_out(
    fits: Mapping[str, Fit],
    method: str,
    blocks: int,
    first: float,
    by: str | None,
    seed: int,
    store: str | Path | None,
    progress: bool,
) -> dict[str, LeftOut]:
    if method != "lfo":
        return {n: loo(f, seed=seed, store=store, progress=progress) for n, f in fits.items()}
    within = list(dict.fromkeys(g for one in fits.values() for g in one.groups))
    within = [g for g in within if all(g in one.runs.table for one in fits.values())]
    if by is None:  # the same order for all, whatever each law is of
        has_c = all("C" in one.runs.table for one in fits.values())
        by = "C" if has_c else None
    options: dict[str, Any] = {"seed": seed, "store": store, "progress": progress}
    return {n: lfo(f, blocks, first, by, within, **options) for n, f in fits.items()}


def _weigh(table: pd.DataFrame, left: Mapping[str, LeftOut], method: str, seed: int) -> None:
    """Fill in weights, their spread and scores."""
    scores = pd.DataFrame({name: one.pointwise["elpd"] for name, one in left.items()})
    if scores.isna().to_numpy().any():
        raise DataError("the laws left out different runs: order them by a column that all have")
    density = scores.to_numpy(float)
    bad = [name for name in scores if not np.isfinite(scores[name]).all()]
    if len(bad) == len(scores.columns):
        raise BayescaleError("every law gives some run no chance at all: the data don't fit them")
    if method == "lfo":
        block = next(iter(left.values())).pointwise.loc[scores.index, "block"].to_numpy()
        count, drawn = bootstrap_counts(block, seed)
        weights = mixture_weights(density, count, PRIOR)
        spread = mixture_weights(density, drawn, PRIOR)
        table["lean"] = [float(one.errors.mean()) for one in left.values()]
    else:
        count, drawn = bootstrap_counts(np.arange(len(density)), seed)
        if method == "stacking":
            weights, spread = mixture_weights(density, count), mixture_weights(density, drawn)
        else:
            weights, spread = pseudo_bma(density, seed)
    table["weight"] = weights
    lower, upper = np.quantile(spread, _ENDS, axis=0)
    table.insert(1, "weight_lower", lower)
    table.insert(2, "weight_upper", upper)
    elpd = density.sum(axis=0)
    against = density - density[:, [int(np.argmax(elpd))]]
    table["elpd"] = elpd
    table["elpd_diff"] = against.sum(axis=0)
    table["se_diff"] = np.sqrt(len(density)) * against.std(axis=0)
    mixed = {"weights": weights, "equal": np.full(len(weights), 1.0 / len(weights))}
    table.attrs["score"] = {
        name: float(np.average(logsumexp(density, axis=1, b=w[None]), weights=count))
        for name, w in mixed.items()
    }


def backtest_average(
    laws: Mapping[str, Law],
    runs: Runs,
    cut: str | None = None,
    train: Choice | None = None,
    test: Choice | None = None,
    method: str = "lfo",
    blocks: int = 4,
    first: float = 0.5,
    **fit_options: Any,
) -> Backtest:
    """Backtest an average of laws: fit and weigh them on some runs, predict the others.

    The weights come from the training rows alone.

    Parameters
    ----------
    laws : dict of str to Law
    runs, cut, train, test
        As in `backtest`.
    method, blocks, first
        As in `compare_laws`.
    **fit_options
        As in `backtest`, for each law.

    Returns
    -------
    Backtest
        Its ``fit`` is the `Average`; its notes tell the weights.

    Examples
    --------
    >>> import bayescale as bs
    >>> laws = {name: bs.load_law(name) for name in ("chinchilla", "bottleneck")}
    >>> bs.backtest_average(laws, runs, "C < 1e12").metrics["crps"]     # doctest: +SKIP
    """
    if len(laws) < 2:
        raise DataError("an average is of two laws or more")

    def fit_average(law: Any, rows: Runs, **options: Any) -> Average:
        fits = {name: fit(one, rows, **options) for name, one in laws.items()}
        seed = options.get("seed", 0)
        table = compare_laws(fits, method, blocks, first, seed=seed)
        return average(fits, table)

    made: Any = fit_average  # an average stands for a fit here, and a mixed law for a law
    mixed: Any = MixedLaw(dict(laws))
    verbs = Verbs(made, loss_draws, log_predictive)
    done = backtest_with(verbs, mixed, runs, cut, train, test, **fit_options)
    fitted: Any = done.fit
    shares = ", ".join(f"{name} {weight:.3f}" for name, weight in fitted.weights.items())
    return Backtest(done.metrics, done.predictions, fitted, (f"weights: {shares}", *done.notes))
