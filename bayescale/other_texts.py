"""Losses on another held-out text: what the runs' own text shares between them all.

Runs are scored on one held-out text, whose sampling error (over documents) all of them share: the
law describes the loss on that text, and in comparisons on it the error cancels. On another text as
long, losses differ by that text's error and by the first one's, the same deviation for every model:
on the log line normal with sd ``sqrt(2)`` times the relative standard error. It is no part of a
fit: runs scored on one text can't tell it, the column of standard errors does.
"""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.cells import numbers
from bayescale.errors import DataError
from bayescale.fitting import Fit
from bayescale.likelihoods import Drawn
from bayescale.predictive_draws import spread
from bayescale.targets import group_labels

HELD_OUT = ("same", "new")
TEXT = "evaluation"
MOST = 1.0  # a relative standard error above this is in another unit


def on_another_text(
    fit: Fit | Average,
    frame: pd.DataFrame,
    drawn: Drawn,
    shares: dict[str, np.ndarray],
    error: float | None,
    seed: int,
) -> tuple[Drawn, dict[str, np.ndarray]]:
    """Draws moved to a new text, and shares of their spread with ``text`` among them.

    Parameters
    ----------
    fit : Fit or Average
    frame : pandas.DataFrame
        Checked targets.
    drawn : Drawn
        On the runs' text, (sample, target).
    shares : dict of arrays, shape (target,)
        Of the spread of `drawn`; empty where they are not known.
    error : float, optional
        Relative standard error of the loss on one text; without it that of the runs.
    seed : int

    Returns
    -------
    tuple

    Raises
    ------
    DataError
        If no standard error is known, or the response has no log line.
    """
    first = next(iter(fit.fits.values())) if isinstance(fit, Average) else fit
    link = first.model.structure.likelihood.link.name
    if link != "log":
        raise DataError(
            f"held_out='new' is for losses, whose log deviates; {fit.law.response.column} stands on"
            f" the {link} line here: predict it on the runs' own text (held_out='same')"
        )
    texts = _texts(first, frame)
    away = np.empty(drawn.log.shape)
    for text in dict.fromkeys(texts):
        sd = np.sqrt(2.0) * (_of_runs(first, text) if error is None else _checked(error))
        rng = np.random.default_rng([seed, 31, zlib.crc32(text.encode())])
        away[:, texts == text] = sd * rng.standard_normal(len(away))[:, None]
    moved = Drawn(drawn.value * np.exp(away), drawn.log + away)
    kept = np.clip(spread(drawn.log) / np.maximum(spread(moved.log), 1e-300), 0.0, 1.0)
    told = {name: share * kept for name, share in shares.items()}
    return moved, {**told, "text": 1.0 - kept} if told else {}


def _checked(error: float) -> float:
    if isinstance(error, bool) or not isinstance(error, int | float | np.number):
        raise DataError(f"held_out_se is {error!r}: give a share of the loss, such as 0.01")
    if not 0.0 < float(error) <= MOST:
        raise DataError(
            f"held_out_se is {error:g}: it is the standard error of a loss on one held-out text,"
            " as a share of that loss between 0 and 1, such as 0.01"
        )
    return float(error)


def _of_runs(fit: Fit, text: str) -> float:
    """Median relative standard error of the runs scored on one text."""
    table, column = fit.runs.table, fit.law.response.column
    name = f"{column}_heldout_se"
    if name not in table:
        raise DataError(
            "held_out='new' needs the standard error of a loss on one held-out text: the runs"
            f" have no column {name}; give it there, or held_out_se= as a share of the loss,"
            " such as 0.01"
        )
    own = group_labels(table, TEXT) == text if TEXT in table else np.zeros(len(table), bool)
    rows = table[own] if own.any() else table  # of a text without runs: as all of them
    share = numbers(rows[name])[0] / numbers(rows[column])[0]
    share = share[np.isfinite(share)]
    if not len(share):
        raise DataError(f"{name} has no number; give held_out_se= as a share of the loss")
    middle = float(np.median(share))
    if not 0.0 < middle <= MOST:
        raise DataError(f"{name} is {middle:.3g} of the loss at its median: it must be in its unit")
    return middle


def _texts(fit: Fit, frame: pd.DataFrame) -> np.ndarray:
    """Which text each target is scored on: its own evaluation, or that of its group's runs."""
    table = fit.runs.table
    if TEXT in frame:
        return group_labels(frame, TEXT)
    if TEXT not in table or table[TEXT].nunique() < 2:
        return np.full(len(frame), "", dtype=object)
    of_run, groups = group_labels(table, TEXT), [g for g in fit.groups if g in frame]
    same = np.ones((len(frame), len(table)), bool)
    for name in groups:
        same &= group_labels(frame, name)[:, None] == group_labels(table, name)[None, :]
    found = [list(dict.fromkeys(of_run[mine])) for mine in same]
    faults = [
        f"target {i + 1}: its group has runs on {' and '.join(texts) or 'no text'}; say in a column"
        f" {TEXT} which it is scored on"
        for i, texts in enumerate(found)
        if len(texts) != 1
    ]
    if faults:
        raise DataError("held_out='new' needs each target's text:", tuple(faults))
    return np.array([texts[0] for texts in found], dtype=object)
