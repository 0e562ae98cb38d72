"""The usual forecasts to beat, scored side by side on the runs that a backtest predicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bayescale import pointfits, scoring
from bayescale.columns import rows_text
from bayescale.errors import DataError
from bayescale.law import Law
from bayescale.runs import Runs, as_runs
from bayescale.splits import Choice, Split, split_runs

Floats = NDArray[np.float64]

_QUANTILES = 999
_RESIDUALS = 5  # resampled residuals a bootstrap
_BUDGETS_PER_DECADE = 4


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a baseline says of each target.

    Attributes
    ----------
    draws : numpy.ndarray
        Losses of a new run, shape ``(sample, target)``; one sample is a point forecast without
        an interval.
    log_density : numpy.ndarray or None
        Log density of the observed log loss, shape ``(1, target)``, where the method has one.
    """

    draws: Floats
    log_density: Floats | None = None


Method = Callable[[pd.DataFrame, pd.DataFrame, np.random.Generator, int], Forecast]


def baselines(
    runs: Runs,
    cut: str | None = None,
    names: Sequence[str] | None = None,
    train: Choice | None = None,
    test: Choice | None = None,
    by: Sequence[str] | None = None,
    seed: int = 0,
    bootstraps: int = 200,
    on_failed: str = "error",
) -> pd.DataFrame:
    """Score the usual forecasts on a split of the runs.

    Parameters
    ----------
    runs
        Runs with N, D, C and loss.
    cut, train, test
        Which runs are fitted and which predicted, as in `backtest`.
    names
        Among "best_so_far", "log_linear", "huber_bootstrap" and "vpnls"; all without it.
    by
        Columns whose combinations are fitted apart; ``family`` and ``evaluation`` where there.
    seed, bootstraps
        Of the resampling.
    on_failed
        What to do with failed runs, as in a fit.

    Returns
    -------
    pandas.DataFrame
        A row a baseline: ``baseline``, ``n_train``, ``n_test``, ``rmsle``, ``are``, ``crps``,
        ``coverage_50`` ... ``coverage_95``, ``width_*``, ``interval_score_*``, ``log_score``,
        ``seconds``. What a method doesn't give, such as a point forecast's interval, is ``nan``.

    Raises
    ------
    DataError
        For a name that isn't known, a split that can't be made, or a family to predict of which
        no run is fitted.

    Examples
    --------
    >>> N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e8, 5), [1e8, 1e9, 1e10]))
    >>> table = pd.DataFrame({"N": N, "D": D, "loss": 1.7 + 400 * N**-0.34 + 400 * D**-0.28})
    >>> scores = baselines(table, cut="C < 1e18", names=["best_so_far", "vpnls"])
    >>> scores["n_test"].tolist(), bool(scores["crps"][1] < scores["crps"][0])
    ([2, 2], True)
    """
    names = _known(names)
    runs = as_runs(runs)
    groups = _grouping(runs.table, by)
    split = split_runs(runs, _any_law(), cut, train, test, groups, on_failed=on_failed)
    return score_baselines(split, names, groups, seed, bootstraps)


def score_baselines(
    split: Split,
    names: Sequence[str],
    by: Sequence[str] | None = None,
    seed: int = 0,
    bootstraps: int = 200,
) -> pd.DataFrame:
    """Score baselines on a split made already; see `baselines`.

    Examples
    --------
    >>> table = pd.DataFrame({"C": [1e18, 1e19, 1e20], "loss": [3.0, 2.5, 2.25]}, index=[1, 2, 3])
    >>> split = Split(Runs(table.loc[[1, 2]]), table.loc[[3]])
    >>> score_baselines(split, ["best_so_far"])["are"].round(3).tolist()
    [0.111]
    """
    rows = []
    for name in _known(names):
        start = time.perf_counter()
        said = forecast(name, split.train.table, split.test, by, seed, bootstraps)
        scores = scoring.metrics(said.draws, split.test["loss"].to_numpy(float), said.log_density)
        row = {"baseline": name, "n_train": len(split.train), **scoring.flat(scores)}
        rows.append({**row, "seconds": time.perf_counter() - start})
    return pd.DataFrame(rows)


def forecast(
    name: str,
    train: pd.DataFrame,
    test: pd.DataFrame,
    by: Sequence[str] | None = None,
    seed: int = 0,
    bootstraps: int = 200,
) -> Forecast:
    """Forecast one baseline's losses, each group of runs from its own fitted runs.

    Parameters
    ----------
    name
        The baseline.
    train, test
        Rows with ``C`` and ``loss`` (and ``N``, ``D`` for the surfaces), one a run.
    by
        Columns whose combinations are fitted apart.
    seed, bootstraps
        Of the resampling.

    Returns
    -------
    Forecast
        In the order of `test`.

    Raises
    ------
    DataError
        If a column is missing or a group of `test` has no row in `train`.

    Examples
    --------
    >>> rows = pd.DataFrame({"C": [1e18, 1e19, 1e20], "loss": [3.0, 2.5, 2.25]})
    >>> forecast("log_linear", rows.iloc[:2], rows.iloc[2:]).draws.round(3)[0]
    array([2.083])
    """
    (name,) = _known([name])
    keys = _grouping(train, by)
    needed = [*(("N", "D") if name in _SURFACES else ("C",)), "loss", *keys]
    missing = [c for c in needed if c not in train or c not in test]
    if missing:
        raise DataError(f"the baseline {name} needs the columns {', '.join(missing)}")
    labels, fitted = _labels(test, keys), _labels(train, keys)
    unseen = sorted(set(labels) - set(fitted))
    if unseen:
        rows = test.index[labels.isin(unseen)].tolist()
        raise DataError(
            f"no run of {', '.join(unseen)} ({rows_text(rows)}) is fitted: baselines can't "
            "predict a group that they have not seen; change the cut"
        )
    columns: dict[int, Floats] = {}
    density: dict[int, float] = {}
    for label in dict.fromkeys(labels):
        rng = np.random.default_rng([seed, crc32(name.encode()), crc32(label.encode())])
        places = np.flatnonzero(labels == label)
        said = _METHODS[name](train[fitted == label], test.iloc[places], rng, bootstraps)
        columns.update(zip(places.tolist(), said.draws.T, strict=True))
        if said.log_density is not None:
            density.update(zip(places.tolist(), said.log_density[0], strict=True))
    draws = np.stack([columns[i] for i in range(len(test))], axis=1)
    if len(density) < len(test):
        return Forecast(draws)
    return Forecast(draws, np.array([[density[i] for i in range(len(test))]]))


def best_so_far(
    train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator, bootstraps: int
) -> Forecast:
    """Forecast no progress: the lowest fitted loss, as a point.

    Examples
    --------
    >>> rows = pd.DataFrame({"C": [1e18, 1e19], "loss": [3.0, 2.5]})
    >>> best_so_far(rows, rows, np.random.default_rng(0), 0).draws
    array([[2.5, 2.5]])
    """
    return Forecast(np.full((1, len(test)), train["loss"].min(), dtype=float))


def log_linear(
    train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator, bootstraps: int
) -> Forecast:
    """Forecast log loss as linear in log C through the best loss of each budget.

    Budgets are quarter decades of C. The interval is that of least squares for a new point, from
    Student's t; with two budgets there is no residual and the interval has no width.

    Examples
    --------
    >>> rows = pd.DataFrame({"C": [1e18, 1e19, 1e20], "loss": [4.0, 2.0, 1.0]})
    >>> said = log_linear(rows, pd.DataFrame({"C": [1e21], "loss": [0.5]}), None, 0)
    >>> np.median(said.draws, axis=0).round(3)
    array([0.5])
    """
    budget = np.round(np.log10(train["C"].to_numpy(float)) * _BUDGETS_PER_DECADE)
    best = train.loc[train["loss"].groupby(budget).idxmin()]
    x, y = np.log(best["C"].to_numpy(float)), np.log(best["loss"].to_numpy(float))
    at = np.log(test["C"].to_numpy(float))
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread) if spread > 0 else 0.0
    mean = y.mean() + slope * (at - x.mean())
    freedom = len(x) - 2
    if freedom < 1:
        return Forecast(np.exp(np.tile(mean, (_QUANTILES, 1))))
    residual = y - y.mean() - slope * (x - x.mean())
    noise = np.sqrt(max(float((residual**2).sum()), 1e-24) / freedom)
    sd = noise * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / spread)
    levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    draws = mean + stats.t.ppf(levels, freedom)[:, None] * sd
    seen = np.log(test["loss"].to_numpy(float))
    return Forecast(np.exp(draws), stats.t.logpdf(seen, freedom, mean, sd)[None])


def huber_bootstrap(
    train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator, bootstraps: int
) -> Forecast:
    """Forecast from Hoffmann's Huber fit, refitted to resampled runs, plus resampled residuals.

    Examples
    --------
    >>> N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e8, 5), [1e8, 1e9, 1e10]))
    >>> rows = pd.DataFrame({"N": N, "D": D, "loss": 1.7 + 400 * N**-0.34 + 400 * D**-0.28})
    >>> huber_bootstrap(rows, rows[:2], np.random.default_rng(0), 20).draws.shape
    (100, 2)
    """
    points = _points(train)
    best, _ = pointfits.huber_fit(points)
    surface = points.surface(best, np.nan)
    N, D = (train[c].to_numpy(float) for c in ("N", "D"))
    residuals = points.log_loss - surface.log_loss(N, D)
    size = len(train)
    counts = rng.multinomial(size, np.full(size, 1 / size), bootstraps).astype(float)
    at = [test[c].to_numpy(float) for c in ("N", "D")]
    refitted = pointfits.refit(points, best, counts)
    means = np.array([points.surface(theta, np.nan).log_loss(*at) for theta in refitted])
    noise = rng.choice(residuals, size=(_RESIDUALS, *means.shape))
    return Forecast(np.exp(means + noise).reshape(-1, len(test)))


def vpnls(
    train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator, bootstraps: int
) -> Forecast:
    """Forecast from the least-squares surface by variable projection, as a point.

    Examples
    --------
    >>> N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e8, 5), [1e8, 1e9, 1e10]))
    >>> rows = pd.DataFrame({"N": N, "D": D, "loss": 1.7 + 400 * N**-0.34 + 400 * D**-0.28})
    >>> said = vpnls(rows[:12], rows[12:], np.random.default_rng(0), 0).draws[0]
    >>> bool(np.allclose(said, rows["loss"][12:], rtol=1e-4))
    True
    """
    surface = pointfits.vpnls_fit(_points(train))
    N, D = (test[c].to_numpy(float) for c in ("N", "D"))
    return Forecast(np.exp(surface.log_loss(N, D))[None])


_SURFACES = ("huber_bootstrap", "vpnls")
_METHODS: dict[str, Method] = {
    "best_so_far": best_so_far,
    "log_linear": log_linear,
    "huber_bootstrap": huber_bootstrap,
    "vpnls": vpnls,
}


def _points(rows: pd.DataFrame) -> pointfits.Points:
    return pointfits.Points.of(*(rows[c].to_numpy(float) for c in ("N", "D", "loss")))


def _known(names: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(_METHODS) if names is None else (names,) if isinstance(names, str) else names
    unknown = [name for name in names if name not in _METHODS]
    if unknown or not names:
        what = ", ".join(map(repr, unknown)) or "nothing"
        raise DataError(f"no baseline is called {what}: there are {', '.join(_METHODS)}")
    return tuple(names)


def _grouping(table: pd.DataFrame, by: Sequence[str] | None) -> tuple[str, ...]:
    if by is None:
        return tuple(name for name in ("family", "evaluation") if name in table)
    missing = [name for name in by if name not in table]
    if missing:
        raise DataError(f"no column {', '.join(missing)} to group the baselines by")
    return tuple(by)


def _labels(table: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """One text label a row, naming its group."""
    if not keys:
        return pd.Series("all runs", index=table.index)
    labels = table[list(keys)].astype(str)
    return labels.agg(", ".join, axis=1)


def _any_law() -> Law:
    """Name the two columns that every baseline needs, so that rows are chosen as for a fit."""
    return Law.from_function(
        lambda params, columns, xp: params["A"] * columns["C"] ** -params["alpha"],
        name="any",
        variables={"C": {"column": "C", "unit": "FLOPs"}},
        parameters={
            "A": {"prior": "LogNormal(0, 1)", "about": "loss at C = 1"},
            "alpha": {"prior": "LogNormal(0, 1)", "about": "return to compute"},
        },
    )
