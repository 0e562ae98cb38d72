"""The data, the law through them, and how far it may be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayescale.display.writing import quantity
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.plots.canvas import (
    FAINT,
    INK,
    MARKERS,
    PALETTE,
    Plot,
    group_labels,
    interval_key,
    interval_marks,
    label_of,
    legend,
    log_axis,
    panels,
    spread,
)
from bayescale.plots.lines import curves_of, either, horizontal, lines_of
from bayescale.plots.words import named
from bayescale.prediction import predict
from bayescale.prediction_words import percent

_TARGET = PALETTE[1]
_STYLES = ("-", "--", "-.", ":")


def plot_fit(
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any] | None = None,
    by: str | None = None,
    x: str | None = None,
    prob: float = 0.95,
    curves: int = 6,
    ax: Axes | Sequence[Axes] | None = None,
) -> Plot:
    """Draw the runs with the fitted law and its credible bands, out to the targets.

    A curve is the law at one size N over compute (or, by `x`, at one level of the law's other
    variable); it is dashed beyond the group's own data. Bands are of the law's value; a target
    shows the interval of one more run, and its measured loss where the table has it.

    Parameters
    ----------
    fit : Fit
    targets : DataFrame or dict of columns, optional
        As in `predict`; a column of the law's response is what was measured.
    by : str, optional
        Grouping column with a panel for each label; all grouping columns together where None.
    x : str, optional
        "C" or a column of the law; compute where the law is of N and D.
    prob : float
        Of the bands and the targets' thin intervals; the thick ones are 50%.
    curves : int
        At most this many a group; between sizes if the runs have more.
    ax : Axes or sequence of Axes, optional
        To draw into, one a panel.

    Returns
    -------
    Plot
        Its ``data`` have ``what`` ("run", "curve", "target"), ``panel``, the grouping columns,
        the law's columns and C, ``loss`` (observed, or the median), ``lower``, ``upper``,
        ``beyond`` (of a curve's point: outside the group's data), ``observed`` (of a target).

    Raises
    ------
    BayescaleError
        For an unknown `x` or `by`, or as many axes as there aren't panels.
    DataError
        As in `predict`.

    Examples
    --------
    >>> import bayescale as bs
    >>> target = {"N": 1e6, "D": 2e7, "family": "transformer-prose"}
    >>> figure = bs.plots.plot_fit(fit, target)                         # doctest: +SKIP
    >>> figure.save("fit.png")                                          # doctest: +SKIP
    """
    factors = list(fit.groups)
    if by is not None and by not in factors:
        raise BayescaleError(f"by={by!r} is no grouping column of this fit ({either(factors)})")
    response = fit.law.response
    x = horizontal(fit, x)
    data = _gather(fit, targets, by, x, prob, curves)
    names = list(dict.fromkeys(data["panel"]))
    positive = bool(data[["loss", "lower"]].min().min() > 0)
    axes, ours = panels(len(names), ax, share=True)
    colours = _colours(data)
    looks = {g: (MARKERS[i % 8], _STYLES[i % 4]) for i, g in enumerate(pd.unique(data["group"]))}
    for panel, axis in zip(names, axes, strict=True):
        inside = data[data["panel"] == panel]
        for group, one in inside.groupby("group", sort=False):
            _draw(axis, one, x, colours, looks[str(group)])
        axis.set_title(named(panel), fontsize=10)
        log_axis(axis.xaxis, x, count=4)
        if positive:
            log_axis(axis.yaxis, response.column)
    held = lines_of(fit, fit.runs.table, x).held
    if held is not None:
        for panel, axis in zip(names, axes, strict=True):
            _name_curves(axis, data[data["panel"] == panel], x, held, colours)
        for axis in axes[:1] if ours else axes:  # our own panels share one range
            left, right = axis.get_xlim()
            axis.set_xlim(left, right * (right / left) ** 0.18)
    for axis in axes:
        spec = axis.get_subplotspec()
        if not ours or spec is None or spec.is_last_row():
            axis.set_xlabel(label_of(x, _unit(fit, x)), fontsize=9)
        if not ours or spec is None or spec.is_first_col():
            axis.set_ylabel(label_of(response.column, fit.unit), fontsize=9)
    legend(axes, ours, _handles(data, prob, looks))
    return Plot(axes, data.drop(columns=["group", "level"]))


def _gather(
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any] | None,
    by: str | None,
    x: str,
    prob: float,
    curves: int,
) -> pd.DataFrame:
    """Everything to be drawn, one row a mark or curve point."""
    factors, response = list(fit.groups), fit.law.response.column
    runs = fit.runs.table
    wanted = None if targets is None else _predicted(fit, targets, prob)
    parts = []
    for known in fit.combinations:
        whole = " / ".join(known.values())
        rows = runs[group_labels(runs, factors) == whole]
        lines = lines_of(fit, rows, x)
        made = [lines.complete(rows).assign(what="run", loss=rows[response])]
        if wanted is not None:
            made.append(lines.complete(wanted[group_labels(wanted, factors) == whole]))
        made.append(curves_of(fit, lines, known, *made[:2], prob=prob, most=curves))
        one = pd.concat(made)
        panel = whole if by is None else known[by]
        group = "" if by is None else " / ".join(v for f, v in known.items() if f != by)
        level = one[lines.held].astype(float) if lines.held is not None else 1.0
        parts.append(one.assign(panel=panel, group=group, level=level))
    data = pd.concat(parts, ignore_index=True)
    columns = ["what", "panel", *factors, *(v.column for v in fit.law.variables.values()), "C"]
    columns += ["loss", "lower", "upper", "lower_50", "upper_50", "beyond", "observed"]
    columns += ["group", "level"]
    return data.reindex(columns=list(dict.fromkeys(columns)))


def _predicted(fit: Fit, targets: pd.DataFrame | Mapping[str, Any], prob: float) -> pd.DataFrame:
    """Targets with the interval of one more run, and what was measured."""
    table = predict(fit, targets, kind="new-run", prob=sorted({0.5, prob})).table
    response = fit.law.response.column
    name = percent(prob)
    return table.assign(
        what="target",
        loss=table["median"],
        lower=table[f"lower_{name}"],
        upper=table[f"upper_{name}"],
        observed=table[response].astype(float) if response in table else np.nan,
    )


def _colours(data: pd.DataFrame) -> Any:
    """Colour of a level: from dark blue to green along the logarithm; one colour for one level."""
    low, high = float(data["level"].min()), float(data["level"].max())
    if low == high:
        return lambda level: PALETTE[0]
    scale, shades = LogNorm(low, high), colormaps["viridis"]
    return lambda level: to_hex(shades(0.82 * float(scale(level))))


def _draw(ax: Axes, one: pd.DataFrame, x: str, colours: Any, look: tuple[str, str]) -> None:
    marker, style = look
    curve = one[one["what"] == "curve"]
    aims = one[one["what"] == "target"]
    for level, line in curve.groupby("level"):
        colour = colours(level)
        ax.fill_between(
            line[x].to_numpy(float), line["lower"], line["upper"], color=colour, alpha=0.13, lw=0
        )
        beyond = line["beyond"].astype(bool)
        fitted = line[~beyond]
        ax.plot(fitted[x], fitted["loss"], style, color=colour, linewidth=1.6)
        rest = line.iloc[max(len(fitted) - 1, 0) :]
        ax.plot(rest[x], rest["loss"], linestyle=(0, (3, 2)), color=colour, linewidth=1.1)
    run = one[one["what"] == "run"]
    faces = [colours(level) for level in run["level"]]
    ax.scatter(
        run[x], run["loss"], s=18, c=faces, marker=marker, edgecolors="white", lw=0.5, zorder=3
    )
    for row in aims.to_dict(orient="records"):
        row |= {"median": row["loss"], "lower_95": row["lower"], "upper_95": row["upper"]}
        interval_marks(ax, row[x], row, _TARGET, upright=True, size=3.5)
    seen = aims.dropna(subset=["observed"])
    ax.scatter(seen[x], seen["observed"], s=30, c=INK, marker="x", lw=1.3, zorder=5)


def _name_curves(ax: Axes, inside: pd.DataFrame, x: str, held: str, colours: Any) -> None:
    """Write each curve's level at its right end, moved apart where they would overlap."""
    curve = inside[inside["what"] == "curve"]
    ends = curve.loc[curve.groupby(["group", "level"])[x].idxmax()].sort_values("loss")
    ends = ends.drop_duplicates("level")
    logs = ax.get_yscale() == "log"
    low, high = np.log(ax.get_ylim()) if logs else ax.get_ylim()
    height = ax.get_window_extent().height or 200.0
    gap = 11.0 * (high - low) * ax.figure.dpi / 72.0 / height
    places = np.exp(spread(np.log(ends["loss"]), gap)) if logs else spread(ends["loss"], gap)
    for place, row in zip(places, ends.to_dict(orient="records"), strict=True):
        ax.annotate(
            f"{named(held)} {quantity(row['level'], held, 2)}",
            (row[x], place),
            xytext=(7, 0),
            textcoords="offset points",
            color=colours(row["level"]),
            fontsize=7.5,
            va="center",
        )


def _handles(data: pd.DataFrame, prob: float, looks: Mapping[str, tuple[str, str]]) -> list[Any]:
    name = percent(prob)
    handles: list[Any] = [
        Line2D([], [], linestyle="none", marker=marker, color=FAINT, label=named(f"run {group}"))
        for group, (marker, _) in looks.items()
    ]
    handles += [
        Line2D([], [], color=FAINT, label="the law, inside the data"),
        Line2D([], [], color=FAINT, linestyle=(0, (3, 2)), label="the law, beyond the data"),
        Patch(color=FAINT, alpha=0.3, label=f"{name}% credible band"),
    ]
    targets = data[data["what"] == "target"]
    if len(targets):
        handles.append(interval_key(_TARGET, f"target, one more run (50%, {name}%)"))
        if targets["observed"].notna().any():
            measured = "target, measured"
            handles.append(Line2D([], [], color=INK, marker="x", linestyle="none", label=measured))
    return handles


def _unit(fit: Fit, column: str) -> str:
    return next((v.unit for v in fit.law.variables.values() if v.column == column), "")
