"""Backtests: fit the runs of a cut, predict the others as new runs, and score the predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import scoring
from bayescale.baseline_forecasts import score_baselines
from bayescale.catalog import require_law
from bayescale.errors import DataError
from bayescale.runs import Runs, as_runs
from bayescale.splits import Choice, Split, refuse_unseen, split_runs

if TYPE_CHECKING:
    from bayescale.fitting import Fit
    from bayescale.law import Law

ONLY_ALONE = {"draws", "strict", "target_accept"}  # options of `fit` that `fit_many` has not
ONLY_MANY = {"min_ess", "max_draws", "store", "warmup"}  # and what a second attempt goes without


@dataclass(frozen=True, eq=False)
class Backtest:
    """Scores of predictions of runs that the fit did not see.

    Attributes
    ----------
    metrics : dict
        ``n_train``, ``n_test``, ``rmsle``, ``are``, ``crps``, ``coverage``, ``width``,
        ``interval_score`` (each by level: "0.5", "0.8", "0.9", "0.95"), ``log_score``,
        ``seconds``. All but ``are`` are on log loss; where a response is zero or negative, on the
        response itself, without ``rmsle`` and ``are`` (None), and ``scale`` is "response".
    predictions : pandas.DataFrame
        One row a test row: ``row`` (number in the source), the run and its labels and columns,
        ``observed``, ``median``, ``lower_50``, ``upper_50``, ..., ``pit``.
    fit : Fit
        Of the training rows.
    notes : tuple of str
        How the rows were divided and what the fit noticed.
    """

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    fit: Fit
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        told = self.metrics
        title = f"{told['n_test']} runs predicted from {told['n_train']}"
        held = [f"{float(p):.0%} intervals held {c:.0%}" for p, c in told["coverage"].items()]
        lines = [*held, f"crps {told['crps']:.4g}"]
        return answer_html(title, lines, self.predictions, self.notes)


@dataclass(frozen=True)
class Verbs:
    """The fitting and predicting that a backtest needs: ours, or a test's stand-ins."""

    fit: Callable[..., Fit]
    loss_draws: Callable[..., NDArray[np.float64]]
    log_predictive: Callable[..., NDArray[np.float64]]
    fit_many: Callable[..., Any] | None = None


def backtest(
    law: Law,
    runs: Runs,
    cut: str | None = None,
    train: Choice | None = None,
    test: Choice | None = None,
    **fit_options: Any,
) -> Backtest:
    """Fit some runs, predict the others, and compare with what was measured.

    The fit sees the training rows only: its references, priors and groups come from them. One
    row a run counts, its last, and decides on which side the run is.

    Parameters
    ----------
    law
        Law to fit.
    runs
        Runs, or what `read_runs` takes.
    cut
        Condition that fitted rows meet, such as ``"C < 3e20"``; the rest is predicted.
    train, test
        Instead of `cut`: a condition or row numbers for each side.
    **fit_options
        For `fit` (``pool``, ``noise``, ``seed``, ``draws``, ...); and ``new_groups="sample"`` to
        predict families that no fitted row has from their population.

    Returns
    -------
    Backtest

    Raises
    ------
    DataError
        If a side is empty, a run is on both, or a row to predict has an unseen label.
    ConvergenceError
        If diagnostics refuse the fit, unless ``strict=False``.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder")                               # doctest: +SKIP
    >>> bs.backtest(bs.load_law("chinchilla"), runs, "C < 1e12").metrics["crps"]  # doctest: +SKIP
    """
    return backtest_with(_verbs(), law, runs, cut, train, test, **fit_options)


def rolling(
    law: Law,
    runs: Runs,
    cuts: Sequence[str],
    baselines: Sequence[str] = (),
    **fit_options: Any,
) -> pd.DataFrame:
    """Backtest at several cuts, with baselines on the same splits.

    Parameters
    ----------
    law, runs
        As in `backtest`.
    cuts
        Conditions that fitted rows meet.
    baselines
        Names as in `bayescale.baselines`.
    **fit_options
        As in `backtest`, or as in `fit_many`, which fits all cuts at once unless an option that
        only `fit` has is given (``draws``, ``strict``, ``target_accept``). A cut that does not
        converge there is fitted alone.

    Returns
    -------
    pandas.DataFrame
        ``cut``, ``method`` (the law's or the baseline's name), then the scores, ``n_train`` to
        ``seconds``, with ``coverage_95`` and its like for each level.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder")                               # doctest: +SKIP
    >>> rolling(bs.load_law("chinchilla"), runs, ["C < 1e12"], ["vpnls"])  # doctest: +SKIP
    """
    return rolling_with(_verbs(), law, runs, cuts, baselines, **fit_options)


def backtest_with(
    verbs: Verbs,
    law: Law,
    runs: Runs,
    cut: str | None = None,
    train: Choice | None = None,
    test: Choice | None = None,
    **fit_options: Any,
) -> Backtest:
    """Backtest with given fitting and predicting functions; see `backtest`."""
    runs = as_runs(runs, require_law(law))
    split = _split(law, runs, cut, train, test, fit_options)
    own = {k: v for k, v in fit_options.items() if k != "new_groups"}
    return _score(verbs, law, split, fit_options, partial(verbs.fit, law, split.train, **own))


def rolling_with(
    verbs: Verbs,
    law: Law,
    runs: Runs,
    cuts: Sequence[str],
    baselines: Sequence[str] = (),
    **fit_options: Any,
) -> pd.DataFrame:
    """Backtest at several cuts with given fitting and predicting functions; see `rolling`."""
    if isinstance(cuts, str) or not cuts:
        raise DataError("cuts is a list of conditions, such as ['C < 1e19', 'C < 1e20']")
    runs = as_runs(runs, require_law(law))
    splits = [_split(law, runs, cut, None, None, fit_options) for cut in cuts]  # faults come first
    fits = _fit_all(verbs, law, splits, fit_options)
    rows = []
    for cut, split, fitted in zip(cuts, splits, fits, strict=True):
        scores = _score(verbs, law, split, fit_options, fitted).metrics
        rows.append({"cut": cut, "method": law.name, **scoring.flat(scores)})
        if baselines:
            table = score_baselines(split, baselines, seed=fit_options.get("seed", 0))
            table = table.rename(columns={"baseline": "method"})
            rows += [{"cut": cut, **row} for row in table.to_dict(orient="records")]
    return pd.DataFrame(rows)


def _verbs() -> Verbs:
    """Bring in our own; here, because they load JAX."""
    from bayescale import fitting, many_fits, predictive_draws

    draws, density = predictive_draws.loss_draws, predictive_draws.log_predictive
    return Verbs(fitting.fit, draws, density, many_fits.fit_many)


def _fit_all(
    verbs: Verbs, law: Law, splits: Sequence[Split], options: dict[str, Any]
) -> Sequence[Callable[[], Fit]]:
    """For each split, what gives the fit of its training rows."""
    own = {k: v for k, v in options.items() if k != "new_groups"}
    alone = [partial(verbs.fit, law, split.train, **own) for split in splits]
    if verbs.fit_many is None or ONLY_ALONE & own.keys():
        return alone
    many = verbs.fit_many(law, [split.train for split in splits], **own)
    single = {k: v for k, v in own.items() if k not in ONLY_MANY}
    again = [partial(verbs.fit, law, split.train, **single) for split in splits]
    converged = many.table["ok"]  # light: a fit is put together when it is scored
    return [partial(many.__getitem__, k) if ok else again[k] for k, ok in enumerate(converged)]


def _groups(law: Law, pool: Any, table: pd.DataFrame) -> list[str]:
    """Grouping columns that the fit will use, of those that the table has."""
    varied = law if pool is None else law.varying(pool)
    return [group for group in varied.varies if group in table]


def _split(
    law: Law,
    runs: Runs,
    cut: str | None,
    train: Choice | None,
    test: Choice | None,
    options: dict[str, Any],
) -> Split:
    groups = _groups(law, options.get("pool"), runs.table)
    selecting = {k: options[k] for k in ("checkpoints", "on_failed") if k in options}
    asked = law.scattering(options.get("noise"))
    split = split_runs(runs, asked, cut, train, test, groups, **selecting)
    if options.get("new_groups", "error") == "error":
        refuse_unseen(split, groups)
    return split


def _score(
    verbs: Verbs,
    law: Law,
    split: Split,
    options: dict[str, Any],
    fitted: Callable[[], Fit],
) -> Backtest:
    start = time.perf_counter()
    new_groups = options.get("new_groups", "error")
    fit = fitted()
    seed = options.get("seed", 0)
    hidden = split.test.drop(columns=law.response.column)  # predictions can't see what they predict
    draws = verbs.loss_draws(fit, hidden, kind="new-run", new_groups=new_groups, seed=seed)
    density = verbs.log_predictive(fit, split.test, new_groups=new_groups)
    observed = split.test[law.response.column].to_numpy(float)
    positive = law.response.scattering(options.get("noise")).positive
    scale = "log" if positive else scoring.scale_of(draws, observed)
    scores = scoring.metrics(draws, observed, density, scale=scale)
    metrics = {
        "n_train": len(split.train),
        **scores,
        "seconds": time.perf_counter() - start,
    }
    groups = _groups(law, options.get("pool"), split.test)
    predictions = _predictions(law, split.test, groups, draws, observed, seed, scale)
    return Backtest(metrics, predictions, fit, (*split.notes, *fit.notes))


def _predictions(
    law: Law,
    test: pd.DataFrame,
    groups: Sequence[str],
    draws: NDArray[np.float64],
    observed: NDArray[np.float64],
    seed: int,
    scale: str = "log",
) -> pd.DataFrame:
    about = ["run", *groups, *(v.column for v in law.variables.values()), "C"]
    shown = [name for name in dict.fromkeys(about) if name in test]
    table = test[shown].reset_index(drop=True)
    table.insert(0, "row", test.index)
    table["observed"] = observed
    table["median"] = np.median(draws, axis=0)
    for level in scoring.LEVELS:
        low, high = scoring.interval(draws, level)
        table[f"lower_{scoring.percent(level)}"] = low
        table[f"upper_{scoring.percent(level)}"] = high
    table["pit"] = scoring.pit(draws, observed, seed, scale)
    return table
