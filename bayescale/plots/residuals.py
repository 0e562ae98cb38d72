"""What the law leaves over, against everything it could still depend on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.plots.canvas import (
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
from bayescale.predictive_draws import loss_draws, noise_rows

_LEVELS = 8  # as many distinct values are joined by a line through their medians


def plot_residuals(
    fit: Fit,
    x: Sequence[str] | None = None,
    by: str | None = None,
    prob: float = 0.95,
    ax: Axes | Sequence[Axes] | None = None,
) -> Plot:
    """Draw log residuals against N, D and C, coloured by family.

    A residual is log(observed) minus log of the law's posterior median; 0.01 is one percent of
    the loss. Under another link it is the difference of their places on that link's line. Lines
    join a family's medians: where they bend, the law misses something.

    Parameters
    ----------
    fit : Fit
    x : sequence of str, optional
        Columns of the runs, a panel each; the law's, and C where there is one.
    by : str, optional
        Column of the runs that colours; the grouping columns where None.
    prob : float
        Of the grey band: where so many of new runs would lie.
    ax : Axes or sequence of Axes, optional
        To draw into, one for each column.

    Returns
    -------
    Plot
        Its ``data`` have a row a run (index: its row in the source): ``group``, the columns,
        ``observed``, ``fitted``, ``residual``, ``lower``, ``upper`` (of a new run's residual).

    Raises
    ------
    BayescaleError
        For columns that the runs don't have.

    Examples
    --------
    >>> import bayescale as bs
    >>> figure = bs.plots.plot_residuals(fit)                           # doctest: +SKIP
    >>> figure.data.groupby("group")["residual"].std()                  # doctest: +SKIP
    """
    table = fit.runs.table
    columns = _columns(fit, x)
    if by is not None and by not in table.columns:
        raise BayescaleError(f"by={by!r} is no column of the runs ({', '.join(table.columns)})")
    data = _residuals(fit, columns, prob)
    data.insert(0, "group", group_labels(table, [by] if by else fit.groups))
    axes, ours = panels(len(columns), ax, columns=3)
    names = list(dict.fromkeys(data["group"]))
    for axis, column in zip(axes, columns, strict=True):
        axis.axhspan(data["lower"].median(), data["upper"].median(), color="#eeeeee", zorder=0)
        axis.axhline(0.0, color=INK, linewidth=0.8)
        for i, name in enumerate(names):
            _draw(axis, data[data["group"] == name], column, i, len(names))
        log_axis(axis.xaxis, column, count=5)
        axis.set_xlabel(label_of(column), fontsize=9)
    link, column = fit.model.structure.likelihood.link, fit.law.response.column
    what = f"log residual of {column}" if link.name == "log" else f"residual, {link.words(column)}"
    axes[0].set_ylabel(what, fontsize=9)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=_colour(i), marker=_marker(i), markersize=4, label=named(name))
        for i, name in enumerate(names)
        if name
    ]
    handles.append(Patch(color="#dddddd", label=f"{percent(prob)}% of new runs"))
    legend(axes, ours, handles)
    return Plot(axes, data)


def _columns(fit: Fit, x: Sequence[str] | None) -> list[str]:
    table = fit.runs.table
    if x is None:
        own = [v.column for v in fit.law.variables.values()]
        return list(dict.fromkeys([*own, *(["C"] if "C" in table.columns else [])]))
    wanted = [x] if isinstance(x, str) else list(x)
    for column in wanted:
        if column not in table.columns or not (pd.to_numeric(table[column], "coerce") > 0).all():
            raise BayescaleError(
                f"x names {column!r}, which is no column of positive numbers of the runs"
            )
    return wanted


def _residuals(fit: Fit, columns: Sequence[str], prob: float) -> pd.DataFrame:
    table = fit.runs.table
    observed = table[fit.law.response.column].to_numpy(float)
    fitted = np.median(loss_draws(fit, table, kind="mean"), axis=0)
    tail = (1.0 - prob) / 2.0
    ends = np.quantile(loss_draws(fit, table, kind="new-run"), [tail, 1.0 - tail], axis=0)
    likelihood = fit.model.structure.likelihood
    if likelihood.link.name == "log" and not fit.model.structure.response.counted:
        residual, (lower, upper) = np.log(observed / fitted), np.log(ends / fitted)
    else:
        unit, rows = fit.model.arrays.reference.typical, noise_rows(fit, table)
        trials = rows.get("trials")
        at = likelihood.link.line(fitted, unit, np)
        seen = [likelihood.observe(y, trials, unit) for y in (observed, *ends)]
        residual, lower, upper = (likelihood.places(y, rows) - at for y in seen)
    return table[list(columns)].assign(
        observed=observed,
        fitted=fitted,
        residual=residual,
        lower=lower,
        upper=upper,
    )


def _draw(ax: Axes, rows: pd.DataFrame, column: str, i: int, count: int) -> None:
    """Draw one group, set a little aside so that groups at equal values don't hide each other."""
    values = rows[column].to_numpy(float)
    aside = 1.0 + 0.06 * (i - (count - 1) / 2) / max(count, 4)
    ax.scatter(
        values * aside,
        rows["residual"],
        s=14,
        color=_colour(i),
        marker=_marker(i),
        alpha=0.75,
        lw=0,
    )
    middle = rows.groupby(column)["residual"].median()
    if 1 < len(middle) <= _LEVELS:
        ax.plot(middle.index * aside, middle, color=_colour(i), linewidth=1.0, alpha=0.8)


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def _marker(i: int) -> str:
    return MARKERS[(i // len(PALETTE) + i) % len(MARKERS)]
