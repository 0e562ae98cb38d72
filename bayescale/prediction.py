"""The loss of runs nobody has made: draws, intervals, and the sentence to print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.errors import DataError
from bayescale.fitting import Fit
from bayescale.other_texts import HELD_OUT, on_another_text
from bayescale.prediction_words import (
    percent,
    sentences_of,
    warnings_of,
)
from bayescale.predictive_draws import drawn_with_shares
from bayescale.targets import decades_beyond, targets_frame

if TYPE_CHECKING:
    import xarray as xr

DEFAULT_PROB = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Predicted losses, one row a target.

    Attributes
    ----------
    table : pandas.DataFrame
        The target's columns, median, ``lower_50``, ``upper_50``, ... (equal-tailed), ``mean_log``,
        ``sd_log`` (of the log response; NaN where a draw is not positive), ``decades_beyond``
        (log10 of compute over the largest fitted), and shares of the squared spread (of the middle
        68% of log responses) that sum to 1: ``share_law`` (parameters, a new group's among them),
        ``share_bend`` (what the law may do beyond its runs, where it bends), ``share_run`` (one
        run's own deviation, in a "new-run"), ``share_text`` (of another held-out text),
        ``share_disagreement`` (between the laws of an average).
    draws : xarray.DataArray
        Losses, dims (sample, target).
    kind : str
        "mean" (the law's value) or "new-run" (one more training run).
    sentences : list of str
        One for each target.
    warnings : list of str
    """

    table: pd.DataFrame
    draws: xr.DataArray
    kind: str
    sentences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *(f"note: {w}" for w in self.warnings)])

    def _repr_html_(self) -> str:
        from bayescale.display import prediction_html

        return prediction_html(self)

    def interval(self, prob: float = 0.95) -> np.ndarray:
        """Equal-tailed interval of every target, shape (target, 2)."""
        tail = (1.0 - prob) / 2.0
        return np.quantile(self.draws.to_numpy(), [tail, 1.0 - tail], axis=0).T


def predict(
    fit: Fit | Average,
    targets: pd.DataFrame | Mapping[str, Any],
    kind: str = "new-run",
    prob: Iterable[float] = DEFAULT_PROB,
    new_groups: str = "error",
    seed: int = 0,
    held_out: str = "same",
    held_out_se: float | None = None,
) -> Prediction:
    """Predict the loss of runs that nobody has made.

    Parameters
    ----------
    fit : Fit or Average
    targets : DataFrame or dict of columns
        The law's columns in base units, and the group labels the fit knows.
    kind : {"new-run", "mean"}
        "mean": the law's value for that group (the median of a run's loss; of a fit with
        ``noise="frontier"`` that of well-tuned runs, below which few lie). "new-run": one more run,
        with the deviation of its configuration, its own, and its measurement error; after a
        frontier one tuned as the fitted runs were.
    prob : iterable of float
        Probabilities of the equal-tailed intervals.
    new_groups : {"error", "sample"}
        "sample" draws a group that the fit has not seen from the population.
    seed : int
        Of the new runs' deviations.
    held_out : {"same", "new"}
        The text that the loss is measured on: the runs' own, whose sampling error all runs share
        and which cancels between them, or another as long. That one's loss deviates from the law's
        by sqrt(2) standard errors, the same for all targets on it (on the log of the loss).
    held_out_se : float, optional
        For "new": standard error of a loss on one text, as a share of the loss. Without it the
        median of the runs' column ``loss_heldout_se`` over their losses, of each ``evaluation``.

    Returns
    -------
    Prediction

    Raises
    ------
    DataError
        For columns missing or not positive, an unknown group, or a new held-out text whose standard
        error is not known.

    Notes
    -----
    With Student-t deviations the mean loss of a new run does not exist: medians and quantiles are
    of the loss, mean and sd of its log.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> prediction = bs.predict(fit, {"N": 1e6, "D": 2e7})
    >>> bool(prediction.table["lower_95"][0] < prediction.table["upper_95"][0])
    True
    """
    frame = targets_frame(fit, targets)
    levels = _checked_levels(prob)
    if held_out not in HELD_OUT:
        raise DataError(f"held_out is 'same' or 'new', not {held_out!r}")
    if held_out == "same" and held_out_se is not None:
        raise DataError("held_out_se is the standard error of a new text: give held_out='new' too")
    with np.errstate(invalid="ignore"):  # where the law has no value, which is said below
        drawn, shares = drawn_with_shares(fit, frame, kind, new_groups, seed)
        if held_out == "new":
            drawn, shares = on_another_text(fit, frame, drawn, shares, held_out_se, seed)
    draws, log_draws = drawn
    each = fit.fits.values() if isinstance(fit, Average) else [fit]
    positive = all(one.model.structure.response.positive for one in each)
    bad = ~np.all(np.isfinite(log_draws if positive else draws), axis=0)
    if bad.any():
        what = "finite positive" if positive else "finite"
        raise DataError(
            f"the law has no {what} {fit.law.response.column} there: "
            + ", ".join(f"target {i + 1}" for i in np.flatnonzero(bad))
        )
    table = frame.copy()
    table["median"] = np.median(draws, axis=0)
    for level in levels:
        tail = (1.0 - level) / 2.0
        table[f"lower_{percent(level)}"] = np.quantile(draws, tail, axis=0)
        table[f"upper_{percent(level)}"] = np.quantile(draws, 1.0 - tail, axis=0)
    log_draws = np.where(np.all(np.isfinite(log_draws), axis=0), log_draws, np.nan)
    table["mean_log"] = log_draws.mean(axis=0)
    table["sd_log"] = log_draws.std(axis=0, ddof=1)
    table["decades_beyond"] = decades_beyond(fit, frame)
    table = table.assign(**{f"share_{name}": share for name, share in shares.items()})
    warnings = warnings_of(fit, table, draws, kind, max(levels))
    sentences = sentences_of(fit, table, kind, max(levels), held_out == "new")
    return Prediction(table, _labelled(draws), kind, sentences, warnings)


def _checked_levels(prob: float | Iterable[float]) -> Sequence[float]:
    given = [prob] if isinstance(prob, int | float) else list(prob)
    try:
        levels = [float(p) for p in given]
    except (TypeError, ValueError):
        levels = []
    if not levels:
        raise DataError(f"prob is {prob!r}: give probabilities such as (0.5, 0.95)")
    for level in levels:
        if not 0.0 < level < 1.0:
            raise DataError(f"an interval's probability lies between 0 and 1, not {level}")
    return levels


def _labelled(draws: np.ndarray) -> xr.DataArray:
    import xarray as xr

    return xr.DataArray(
        draws,
        dims=("sample", "target"),
        coords={"target": np.arange(draws.shape[1])},
        name="loss",
    )
