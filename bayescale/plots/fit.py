"""The data, the law through them, and how far it may be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayescale import costs
from bayescale.display.writing import quantity
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit
from bayescale.plots.canvas import (
    FAINT,
    INK,
    MARKERS,
    PALETTE,
    Plot,
    group_labels,
    interval_marks,
    label_of,
    legend,
    log_axis,
    panels,
    spread,
)
from bayescale.prediction import loss_draws, percent, predict

_POINTS = 48
_TARGET = PALETTE[1]
_STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True, eq=False)
class _Lines:
    """What runs along a curve, what is held on it, and how the two make a row of the law."""

    x: str
    held: str | None
    along: str
    others: Mapping[str, float]
    budget: costs.Cost

    def columns(self, x: np.ndarray, level: float) -> dict[str, Any]:
        """Columns of the law at values of x on the curve of a level."""
        if self.x == "C" and self.along != "C":
            made = {"N": level, "D": self.budget.tokens(level, x), "C": x}
        elif self.held is None:
            made = {self.x: x}
        else:
            made = {self.x: x, self.held: level}
            if {"N", "D"} <= set(made):
                made["C"] = self.budget.flops(made["N"], made["D"])
        return {**self.others, **made}

    def complete(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with C, from this group's own cost where it isn't given."""
        if not {"N", "D"} <= set(table.columns):
            return table
        C = self.budget.flops(table["N"].astype(float), table["D"].astype(float))
        own = table["C"].astype(float) if "C" in table.columns else pd.Series(np.nan, table.index)
        return table.assign(C=own.fillna(pd.Series(C, index=table.index)))


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
        raise BayescaleError(f"by={by!r} is no grouping column of this fit ({_or(factors)})")
    law_columns = [v.column for v in fit.law.variables.values()]
    x = _horizontal(law_columns, x)
    runs = fit.runs.table
    response = fit.law.response
    group_of_run = group_labels(runs, factors)
    groups = [" / ".join(g) for g in fit.model.groups]
    panel_of = {
        group: " / ".join(labels) if by is None else labels[factors.index(by)]
        for group, labels in zip(groups, fit.model.groups, strict=True)
    }
    names = list(dict.fromkeys(panel_of.values()))
    wanted = None if targets is None else _predicted(fit, targets, prob)
    parts: list[pd.DataFrame] = []
    for group, labels in zip(groups, fit.model.groups, strict=True):
        rows = runs[group_of_run == group]
        lines = _lines(fit, rows, x, law_columns)
        known = dict(zip(factors, labels, strict=True))
        aims = None
        if wanted is not None:
            aims = lines.complete(wanted[group_labels(wanted, factors) == group])
        drawn = lines.complete(rows).assign(what="run", loss=rows[response.column])
        made = [drawn] if aims is None else [drawn, aims]
        made.append(_curves(fit, lines, known, rows, aims, prob, curves))
        kept = ["what", *factors, *law_columns, "C", "loss", "lower", "upper"]
        kept += ["lower_50", "upper_50", "beyond", "observed"]
        tidy = pd.concat([part[[c for c in kept if c in part]] for part in made])
        parts.append(tidy.assign(panel=panel_of[group], group=group, level=_level(tidy, lines)))
    data = pd.concat(parts, ignore_index=True)
    axes, ours = panels(len(names), ax, share=True)
    colours = _colours(data)
    for panel, axis in zip(names, axes, strict=True):
        inside = data[data["panel"] == panel]
        for i, (_, one) in enumerate(inside.groupby("group", sort=False)):
            _draw(axis, one, x, colours, MARKERS[i % len(MARKERS)], _STYLES[i % len(_STYLES)])
        axis.set_title(panel, fontsize=10)
        log_axis(axis.xaxis, x, count=4)
        log_axis(axis.yaxis, response.column)
    held = _lines(fit, runs, x, law_columns).held
    for axis in axes:
        _name_curves(axis, data[data["panel"] == names[axes.index(axis)]], x, held, colours)
        spec = axis.get_subplotspec()
        if spec is None or not ours or spec.is_last_row():
            axis.set_xlabel(label_of(x, _unit(fit, x)), fontsize=9)
        if spec is None or not ours or spec.is_first_col():
            axis.set_ylabel(label_of(response.column, response.unit), fontsize=9)
    legend(axes, ours, _handles(data, prob), across=3)
    shown = data.drop(columns=["group", "level"])
    if "observed" not in shown:
        shown["observed"] = np.nan
    first = ["what", "panel"]
    return Plot(axes, shown[[*first, *(c for c in shown.columns if c not in first)]])


def _horizontal(columns: Sequence[str], x: str | None) -> str:
    possible = list(dict.fromkeys([*(["C"] if {"N", "D"} <= set(columns) else []), *columns]))
    if x is None:
        return possible[0]
    if x not in possible:
        raise BayescaleError(f"x={x!r} can't be drawn over; choose {_or(possible)}")
    return x


def _lines(fit: Fit, rows: pd.DataFrame, x: str, columns: Sequence[str]) -> _Lines:
    try:
        budget: costs.Cost = costs.from_rows(rows)
    except DataError:
        budget = costs.SixND()
    held: str | None = None
    along = x
    if x == "C" and "C" not in columns:
        held, along = "N", "D"
    elif len(columns) > 1:
        preferred = "N" if x == "D" else "D"
        others = [c for c in columns if c != x]
        held = preferred if preferred in others else others[0]
    reference = fit.model.arrays.reference.columns
    fixed = {
        v.column: float(reference[name])
        for name, v in fit.law.variables.items()
        if v.column not in (x, held, along)
    }
    return _Lines(x, held, along, fixed, budget)


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


def _curves(
    fit: Fit,
    lines: _Lines,
    known: Mapping[str, str],
    rows: pd.DataFrame,
    aims: pd.DataFrame | None,
    prob: float,
    curves: int,
) -> pd.DataFrame:
    """Median and band of the law's value along each curve of one group."""
    rows = lines.complete(rows)
    aims = aims if aims is not None and len(aims) else None
    end = float(rows[lines.x].max())
    if aims is not None:
        end = max(end, float(aims[lines.x].max()))
    levels = [1.0]
    if lines.held is not None:
        levels = sorted(set(rows[lines.held].astype(float)))
        if len(levels) > curves:
            levels = list(np.geomspace(levels[0], levels[-1], curves))
        if aims is not None:
            levels = sorted({*levels, *aims[lines.held].astype(float)})
    tail = (1.0 - prob) / 2.0
    parts = []
    for level in levels:
        start, inside = _extent(lines, rows, level)
        at = np.geomspace(start, max(end, 1.05 * start), _POINTS)
        columns = lines.columns(at, level)
        frame = pd.DataFrame({**known, **columns}, index=range(_POINTS))
        draws = loss_draws(fit, frame, kind="mean")
        low, middle, high = np.quantile(draws, [tail, 0.5, 1.0 - tail], axis=0)
        parts.append(
            frame.assign(what="curve", loss=middle, lower=low, upper=high, beyond=at > inside)
        )
    return pd.concat(parts, ignore_index=True)


def _extent(lines: _Lines, rows: pd.DataFrame, level: float) -> tuple[float, float]:
    """Where a curve starts, and up to where the group has data at this level or near it."""
    x = rows[lines.x].astype(float)
    if lines.held is None:
        return float(x.min()), float(x.max())
    held = rows[lines.held].astype(float)
    ratio = 10.0 ** (np.ptp(np.log10(held)) / max(held.nunique() - 1, 1) / 2)
    near = x[(held <= level * ratio * 1.001) & (held >= level / ratio / 1.001)]
    if lines.along == lines.x:
        start = float(x.min())
    else:
        start = float(lines.budget.flops(level, rows[lines.along].min()))
    return start, float(near.max()) * 1.02 if len(near) else 0.0


def _level(tidy: pd.DataFrame, lines: _Lines) -> pd.Series | float:
    return tidy[lines.held].astype(float) if lines.held is not None else 1.0


def _colours(data: pd.DataFrame) -> Any:
    """Colour of a level: from dark blue to green along the logarithm; one colour for one level."""
    low, high = float(data["level"].min()), float(data["level"].max())
    if low == high:
        return lambda level: PALETTE[0]
    scale, shades = LogNorm(low, high), colormaps["viridis"]
    return lambda level: to_hex(shades(0.82 * float(scale(level))))


def _draw(ax: Axes, one: pd.DataFrame, x: str, colours: Any, marker: str, style: str) -> None:
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
        interval_marks(ax, row[x], row, _TARGET, upright=True)
    seen = aims.dropna(subset=["observed"]) if "observed" in aims else aims[:0]
    ax.scatter(seen[x], seen["observed"], s=42, c=INK, marker="x", lw=1.6, zorder=5)


def _name_curves(ax: Axes, inside: pd.DataFrame, x: str, held: str | None, colours: Any) -> None:
    """Write each curve's level at its right end, moved apart where they would overlap."""
    if held is None:
        return
    curve = inside[inside["what"] == "curve"]
    ends = curve.loc[curve.groupby(["group", "level"])[x].idxmax()].sort_values("loss")
    ends = ends.drop_duplicates("level")
    low, high = np.log(ax.get_ylim())
    height = ax.get_window_extent().height or 200.0
    gap = 11.0 * (high - low) * ax.figure.dpi / 72.0 / height
    places = np.exp(spread(np.log(ends["loss"]), gap))
    for place, row in zip(places, ends.to_dict(orient="records"), strict=True):
        text = f" {held} {quantity(row['level'], held, 2)}"
        ax.annotate(
            text, (row[x], place), color=colours(row["level"]), fontsize=7.5, va="center",
            annotation_clip=False,
        )  # fmt: skip
    left, right = ax.get_xlim()
    ax.set_xlim(left, right * (right / left) ** 0.16)


def _handles(data: pd.DataFrame, prob: float) -> list[Any]:
    name = percent(prob)
    handles: list[Any] = [
        Line2D([], [], linestyle="none", marker="o", color=FAINT, label="run"),
        Line2D([], [], color=FAINT, label="the law, inside the data"),
        Line2D([], [], color=FAINT, linestyle=(0, (3, 2)), label="the law, beyond the data"),
        Patch(color=FAINT, alpha=0.3, label=f"{name}% credible band"),
    ]
    targets = data[data["what"] == "target"]
    if len(targets):
        look = {"marker": "o", "markerfacecolor": "white", "linewidth": 3}
        handles.append(
            Line2D([], [], color=_TARGET, label=f"target, one more run (50%, {name}%)", **look)
        )
        if targets["observed"].notna().any():
            look = {"marker": "x", "linestyle": "none"}
            handles.append(Line2D([], [], color=INK, label="target, measured", **look))
    return handles


def _unit(fit: Fit, column: str) -> str:
    return next((v.unit for v in fit.law.variables.values() if v.column == column), "")


def _or(names: Sequence[str]) -> str:
    return " or ".join(repr(n) for n in names) if names else "it has none"
