"""Leaving runs out: how well a fit foretells runs that it was not fitted to, run by run.

What is left out is always a whole run: its evaluation sets share its luck. `loo` and `kfold` leave
out runs among others like them; `lfo` predicts larger runs from smaller, which is what scaling
laws are for. The first two can't see a law fail in extrapolation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayescale.diagnostics import flat_draws
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.held_out import Foretold, foretell, run_names
from bayescale.refitting import refit
from bayescale.scale_blocks import random_folds, scale_blocks, scale_of

GOOD_K = 0.7
_CLASSES = {"loo": "ELPDDataLOO", "loo_kfold": "ELPDDataLOOKFold"}  # of ArviZ 1.x


@dataclass(frozen=True, eq=False, repr=False)
class LeftOut:
    """Expected log predictive density (elpd) of runs left out, on log loss.

    Attributes
    ----------
    kind : str
        "loo", "loo_kfold" or "lfo_cv", as ArviZ calls them.
    elpd, se : float
        Sum over runs and its standard error, in nats; larger is better. The error takes runs for
        independent, which larger runs predicted from the same smaller ones are not.
    p : float
        Effective number of parameters; ``nan`` for "lfo_cv".
    pointwise : pandas.DataFrame
        By run: ``elpd``; ``pareto_k`` and ``refitted`` ("loo"); ``fold`` ("loo_kfold"); ``block``
        ("lfo_cv").
    errors : pandas.Series
        By row, where fits were made again: log of observed over the law's median.
    n_samples : int
    notes : tuple of str
    """

    kind: str
    elpd: float
    se: float
    p: float
    pointwise: pd.DataFrame
    errors: pd.Series
    n_samples: int
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        title = f"{self.kind}: elpd {self.elpd:.1f} (se {self.se:.1f})"
        return answer_html(title, (), self.pointwise.reset_index(), self.notes)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        head = f"{self.kind}: elpd {self.elpd:.1f} (se {self.se:.1f}) of {len(self.pointwise)} runs"
        return "\n".join([head, *(f"note: {note}" for note in self.notes)])

    @property
    def arviz(self) -> Any:
        """The same as ArviZ's ELPDData, for `arviz_stats.compare` and ArviZ's plots."""
        import xarray as xr
        from arviz_stats import utils

        def labelled(column: str) -> Any:
            if column not in self.pointwise:
                return None
            values = self.pointwise[column].to_numpy(float)
            return xr.DataArray(values, dims="run", coords={"run": self.pointwise.index.to_list()})

        options: dict[str, Any] = {
            "elpd": self.elpd,
            "se": self.se,
            "p": self.p,
            "n_samples": self.n_samples,
            "n_data_points": len(self.pointwise),
            "scale": "log",
            "warning": any(note.startswith("warning") for note in self.notes),
            "good_k": GOOD_K,
            "elpd_i": labelled("elpd"),
            "pareto_k": labelled("pareto_k"),
        }
        if "fold" in self.pointwise:
            options["n_folds"] = self.pointwise["fold"].nunique()
        # that of leave-future-out is about single steps of a time series: ours is a plain one
        own: Any = getattr(utils, _CLASSES.get(self.kind, ""), utils.ELPDData)
        fields = own.__dataclass_fields__
        named = {"kind": self.kind} if "kind" in fields else {}
        return own(**named, **{name: v for name, v in options.items() if name in fields})


def loo(
    fit: Fit,
    reloo: bool = True,
    k_threshold: float = GOOD_K,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = False,
) -> LeftOut:
    """Leave one run out: how well each run is foretold by all the others.

    By Pareto-smoothed importance sampling (ArviZ), without refitting; where a run's Pareto k says
    that this can't be trusted, the fit is made again without that run.

    Parameters
    ----------
    fit : Fit
    reloo : bool
        Refit for runs whose k is above `k_threshold`, all at once by `fit_many`.
    k_threshold : float
    seed, store, progress
        Of the refits, as in `fit_many`.

    Returns
    -------
    LeftOut

    Notes
    -----
    Neighbours of every run stay in, so this says how well a law fills gaps, not how far it
    reaches: laws that LOO can't tell apart differ by a factor in how often their intervals hold
    beyond the data. Use `lfo` for that.

    References
    ----------
    Vehtari, Gelman and Gabry (2017), arXiv:1507.04544; for runs that share a configuration,
    Buerkner, Gabry and Vehtari (2021), arXiv:1810.10559.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> left = bs.loo(fit, reloo=False)
    >>> len(left.pointwise) == runs.table["run"].nunique()
    True
    """
    table = fit.runs.table
    names = list(dict.fromkeys(run_names(table)))
    pointwise = pd.DataFrame(_psis_loo(fit), index=pd.Index(names, name="run"))
    pointwise["refitted"] = False
    high = pointwise.index[pointwise["pareto_k"] > k_threshold].to_list()
    notes: tuple[str, ...] = ()
    errors = pd.Series(dtype=float)
    if high and reloo:
        row_run = run_names(table)
        what = f"without one of {len(high)} runs whose Pareto k is above {k_threshold:g}"
        foretold, notes = _foretold(
            fit, [(row_run != name, row_run == name) for name in high], what, seed, store, progress
        )
        for one in foretold:
            pointwise.loc[one.log_density.index, "elpd"] = one.log_density
        pointwise.loc[high, "refitted"] = True
        errors = pd.concat([one.error for one in foretold])
        notes = (f"refitted without {_some(high)}, whose Pareto k is high", *notes)
    elif high:
        notes = (
            f"warning: Pareto k of {_some(high)} is above {k_threshold:g}: these can't be"
            f" trusted; reloo=True fits again without each",
        )
    p = float(_log_density_given_all(fit).sum() - pointwise["elpd"].sum())
    return _left_out("loo", pointwise, p, errors, fit, notes)


def _psis_loo(fit: Fit) -> dict[str, np.ndarray]:
    """Log predictive density of each run given the others, and its Pareto k, by ArviZ."""
    from arviz_stats.base import array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    _, draws = flat_draws(fit.data["posterior"].dataset)
    effective = np.mean(array_stats.ess(draws, method="mean", **axes)) / draws[..., 0].size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of high k, which is told with what was done about it
        elpd, k, *_ = array_stats.loo(_log_likelihood(fit), r_eff=float(effective), **axes)
    return {"elpd": np.asarray(elpd, dtype=float), "pareto_k": np.asarray(k, dtype=float)}


def _log_likelihood(fit: Fit) -> np.ndarray:
    """Log density of each run, (chain, draw, run)."""
    tree = fit.data["log_likelihood"].dataset[fit.law.response.column]
    return tree.transpose("chain", "draw", ...).to_numpy()


def kfold(
    fit: Fit,
    k: int = 10,
    group: str | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = False,
) -> LeftOut:
    """Leave out one fold of the runs after another, at random or by groups, and refit.

    Parameters
    ----------
    fit : Fit
    k : int
        Folds, by whole runs, with about as many runs of every group in each.
    group : str, optional
        A column: each fold is one of its labels, predicted as a group never seen, from the
        population. Instead of `k`.
    seed, store, progress
        Of folds and refits, as in `fit_many`.

    Returns
    -------
    LeftOut

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.kfold(fit, k=5).elpd, bs.kfold(fit, group="family").elpd     # doctest: +SKIP
    """
    table = fit.runs.table
    names = run_names(table)
    if group is None:
        fold = random_folds(table, k, list(fit.groups), seed)
        labels = list(range(k))
    elif group not in table.columns:
        raise BayescaleError(f"group={group!r} is no column of the runs")
    else:
        coded, levels = pd.factorize(table[group].astype(str))
        fold, labels = np.asarray(coded), list(levels)
        if len(labels) < 3 and group in fit.groups:
            raise BayescaleError(
                f"{group} has {len(labels)} labels: with one left out, nothing tells how others"
                f" differ; three or more are needed"
            )
        several = [n for n in dict.fromkeys(names) if len(set(fold[names == n])) > 1]
        if several:
            raise BayescaleError(f"{_some(several)} has rows of more than one {group}")
    sides = [(fold != i, fold == i) for i in range(len(labels))]
    foretold, notes = _foretold(fit, sides, f"{len(labels)} folds", seed, store, progress)
    pointwise = _pointwise(table, foretold, "fold", labels)
    whole = _log_density_given_all(fit)
    p = float(whole.loc[pointwise.index].sum() - pointwise["elpd"].sum())
    errors = pd.concat([one.error for one in foretold])
    return _left_out("loo_kfold", pointwise, p, errors, fit, notes)


def lfo(
    fit: Fit,
    blocks: int = 4,
    first: float = 0.5,
    by: str | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = False,
) -> LeftOut:
    """Leave the future out: predict larger runs from smaller, refitting on growing prefixes.

    In each group the runs are ordered by compute. The smaller ones (`first`) are fitted and the
    next block predicted; then the next block joins the fitted, and so on.

    Parameters
    ----------
    fit : Fit
    blocks : int
        How many are predicted.
    first : float
        Fraction of each group's runs below the first predicted block.
    by : str, optional
        Column that orders the runs; C (6 N D where there is none), else the law's first variable.
    groups : sequence of str, optional
        Columns within which runs are ordered; the fit's own grouping columns.
    seed, store, progress
        Of the refits, as in `fit_many`.

    Returns
    -------
    LeftOut
        ``pointwise`` has the block of each run that was predicted.

    Raises
    ------
    BayescaleError
        Where too few runs are left to fit or to predict.

    References
    ----------
    Buerkner, Gabry and Vehtari (2020), arXiv:1902.06281, exact refits.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.lfo(fit).pointwise.groupby("block")["elpd"].mean()           # doctest: +SKIP
    """
    table = fit.runs.table
    within = list(fit.groups) if groups is None else list(groups)
    block = scale_blocks(table, scale_of(table, fit.law, by), within, blocks, first)
    ahead = list(range(1, block.max() + 1))
    sides = [(block < b, block == b) for b in ahead]
    what = f"{len(ahead)} growing prefixes of the runs (a larger first= leaves more to fit)"
    foretold, notes = _foretold(fit, sides, what, seed, store, progress)
    pointwise = _pointwise(table, foretold, "block", ahead)
    errors = pd.concat([one.error for one in foretold])
    return _left_out("lfo_cv", pointwise, float("nan"), errors, fit, notes)


def _foretold(
    fit: Fit,
    sides: Sequence[tuple[np.ndarray, np.ndarray]],
    what: str,
    seed: int,
    store: str | Path | None,
    progress: bool,
) -> tuple[list[Foretold], tuple[str, ...]]:
    """Fit the first side of each pair of masks and score the second."""
    table = fit.runs.table
    fits, notes = refit(fit, [table[inside] for inside, _ in sides], what, seed, store, progress)
    pairs = zip(fits, sides, strict=True)
    return [foretell(one, table[held], "sample", seed) for one, (_, held) in pairs], notes


def _pointwise(
    table: pd.DataFrame, foretold: Sequence[Foretold], name: str, labels: Sequence[Any]
) -> pd.DataFrame:
    """Scores of all runs with the fold or block of each, in the order of the table."""
    parts = [
        pd.DataFrame({"elpd": one.log_density, name: label})
        for one, label in zip(foretold, labels, strict=True)
    ]
    joined = pd.concat(parts).rename_axis("run")
    return joined.loc[[run for run in dict.fromkeys(run_names(table)) if run in joined.index]]


def _log_density_given_all(fit: Fit) -> pd.Series:
    """Log of the mean density of each run under the whole posterior."""
    values = _log_likelihood(fit)
    values = values.reshape(-1, values.shape[-1])
    names = list(dict.fromkeys(run_names(fit.runs.table)))
    return pd.Series(logsumexp(values, axis=0) - np.log(len(values)), index=names)


def _left_out(
    kind: str,
    pointwise: pd.DataFrame,
    p: float,
    errors: pd.Series,
    fit: Fit,
    notes: tuple[str, ...],
) -> LeftOut:
    elpd = pointwise["elpd"].to_numpy(float)
    se = float(np.sqrt(len(elpd) * np.var(elpd)))
    samples = fit.settings.chains * fit.settings.draws
    return LeftOut(kind, float(elpd.sum()), se, p, pointwise, errors, samples, notes)


def _some(names: Sequence[Any], most: int = 5) -> str:
    shown = ", ".join(map(str, names[:most]))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"run{'s' if len(names) > 1 else ''} {shown}{more}"
