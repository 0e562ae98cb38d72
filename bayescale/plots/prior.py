"""What priors expect, before any fitting: of the runs, and of what was believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayescale.beliefs import StatedPriors
from bayescale.errors import BayescaleError
from bayescale.framing import frame
from bayescale.law import Law
from bayescale.plots.canvas import (
    FAINT,
    INK,
    MARKERS,
    PALETTE,
    Plot,
    group_labels,
    label_of,
    legend,
    log_axis,
    panels,
)
from bayescale.plots.words import named
from bayescale.prediction_words import percent
from bayescale.prior_check import prior_lines
from bayescale.runs import Runs

_DRAWS = 4000


def plot_prior(
    law: Law,
    runs: Runs,
    prior: Mapping[str, Any] | StatedPriors | None = None,
    x: str | None = None,
    by: str | None = None,
    prob: float = 0.95,
    seed: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
) -> Plot:
    """Draw every run's loss on what the priors alone expect there.

    Parameters
    ----------
    law : Law
    runs : Runs
    prior : dict or StatedPriors, optional
        Changed priors, as `fit` takes them.
    x : str, optional
        Column of the runs; C where there is one, else the law's first.
    by : str, optional
        Column that colours; the law's grouping columns where None.
    prob : float
        Of the wide intervals, equal-tailed; the dark ones are 50%. Scatter and differences between
        groups are left out.
    seed : int
    ax : Axes, optional

    Returns
    -------
    Plot
        Its ``data`` have a row a run: ``group``, x, ``observed``, ``prior_median``, ``lower_50``,
        ``upper_50``, ``lower``, ``upper``.

    Raises
    ------
    DataError
        For rows that can't be fitted.
    BayescaleError
        For columns that the runs don't have.

    Examples
    --------
    >>> import bayescale as bs
    >>> law, runs = bs.load_law("chinchilla"), bs.datasets.load("ladder")
    >>> bool((bs.plots.plot_prior(law, runs).data["upper"] > 1).all())
    True
    """
    framed = frame(law, runs, prior=prior, on_failed="drop")
    table = framed.runs.table
    own = [v.column for v in framed.law.variables.values()]
    column = x or ("C" if "C" in table else own[0])
    for wanted in (column, *([by] if by else [])):
        if wanted not in table:
            raise BayescaleError(
                f"{wanted!r} is no column of the runs ({', '.join(table.columns)})"
            )
    draws = prior_lines(framed.model, _DRAWS, seed)
    tail = 0.5 * (1.0 - prob)
    link, unit = framed.model.structure.likelihood.link, framed.model.arrays.reference.typical
    ends = link.value(np.quantile(draws, [tail, 0.25, 0.5, 0.75, 1.0 - tail], axis=0), unit, np)
    groups = [by] if by else [f.name for f in framed.model.structure.grouping]
    response = framed.law.response.column
    data = pd.DataFrame(
        {
            "group": group_labels(table, groups),
            column: table[column],
            "observed": table[response],
            "prior_median": ends[2],
            "lower_50": ends[1],
            "upper_50": ends[3],
            "lower": ends[0],
            "upper": ends[4],
        }
    )
    axes, ours = panels(1, ax, size=(5.6, 4.0))
    (axis,) = axes
    axis.vlines(data[column], data["lower"], data["upper"], color="#dddddd", linewidth=3.0)
    axis.vlines(data[column], data["lower_50"], data["upper_50"], color="#b5b5b5", linewidth=3.0)
    axis.plot(data[column], data["prior_median"], "_", color=INK, markersize=6)
    handles: list[Any] = []
    for i, (group, rows) in enumerate(data.groupby("group", sort=False)):
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        axis.scatter(rows[column], rows["observed"], s=16, color=colour, marker=marker, zorder=3)
        label = named(str(group)) if group else "observed"
        handles.append(Line2D([], [], color=colour, marker=marker, lw=0, label=label))
    handles.append(Patch(color="#dddddd", label=f"{percent(prob)}% of the prior, 50% darker"))
    log_axis(axis.xaxis, column)
    if framed.model.structure.response.positive:
        log_axis(axis.yaxis, response)
    axis.set_xlabel(label_of(column), fontsize=9)
    axis.set_ylabel(label_of(response, runs.units.get(response, law.response.unit)), fontsize=9)
    legend(axes, ours, handles)
    return Plot(axes, data)


def plot_beliefs(stated: StatedPriors, ax: Axes | Sequence[Axes] | None = None) -> Plot:
    """Draw each belief beside what the card's prior and the elicited one predict.

    Parameters
    ----------
    stated : StatedPriors
        From `elicit`.
    ax : Axes or sequence of Axes, optional
        One for each belief.

    Returns
    -------
    Plot
        Its ``data`` have ``belief``, ``who`` ("card", "stated", "elicited"), ``lower``, ``upper``.

    Raises
    ------
    BayescaleError
        These priors don't come from beliefs.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.plots.plot_beliefs(bs.elicit(law, beliefs, runs))            # doctest: +SKIP
    """
    if "stated_lower" not in stated.table:
        raise BayescaleError("there are no beliefs in these priors; bs.elicit makes some of them")
    parts = {"card": "card_", "stated": "stated_", "elicited": ""}
    data = pd.DataFrame(
        [
            (label, who, row[f"{prefix}lower"], row[f"{prefix}upper"])
            for label, row in stated.table.iterrows()
            for who, prefix in parts.items()
        ],
        columns=["belief", "who", "lower", "upper"],
    )
    axes, _ = panels(len(stated.table), ax, columns=2, size=(4.6, 1.8))
    colours = {"card": FAINT, "stated": INK, "elicited": PALETTE[0]}
    for axis, label in zip(axes, stated.table.index, strict=True):
        own = data[data["belief"] == label].reset_index(drop=True)
        for i, row in own.iterrows():
            axis.hlines(-int(str(i)), row["lower"], row["upper"], colours[row["who"]], linewidth=4)
        axis.set_yticks([0, -1, -2], ["card's prior", "stated", "new prior"], fontsize=9)
        axis.set_ylim(-2.6, 0.6)
        axis.set_title(f"{label}: {stated.table.loc[label, 'prob']:.0%}", fontsize=9)
        axis.grid(False, axis="y")
    return Plot(axes, data)
