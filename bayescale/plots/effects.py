"""Slices of a fitted law, a panel for each effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayescale.averages import Average
from bayescale.display.writing import quantity
from bayescale.effects import conditional_effects
from bayescale.fitting import Fit
from bayescale.plots.canvas import (
    PALETTE,
    Plot,
    group_labels,
    label_of,
    legend,
    log_axis,
    panels,
)
from bayescale.plots.words import named

_STYLES = ("-", "--", ":")


def plot_effects(
    fit: Fit | Average,
    effects: str | Sequence[str] | None = None,
    conditions: Mapping[str, Any] | None = None,
    kind: str = "mean",
    prob: float = 0.95,
    new_groups: str = "error",
    ax: Axes | Sequence[Axes] | None = None,
) -> Plot:
    """Draw loss along one variable while the others are held, with its interval.

    Parameters
    ----------
    fit, effects, conditions, kind, prob, new_groups
        As in `bayescale.conditional_effects`.
    ax : Axes or sequence of Axes, optional
        To draw into, one an effect.

    Returns
    -------
    Plot
        Its ``data`` are the table of `conditional_effects`.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.plots.plot_effects(fit, ["N", "N:D"])                        # doctest: +SKIP
    """
    table = conditional_effects(fit, effects, conditions, kind, prob, new_groups=new_groups)
    wanted = list(dict.fromkeys(table["effect"]))
    axes, ours = panels(len(wanted), ax)
    labels = group_labels(table, fit.groups)
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(labels))}
    handles = [Line2D([], [], color=c, label=named(name)) for name, c in colours.items() if name]
    numbers = {v.column for v in fit.law.variables.values()}
    for axis, effect in zip(axes, wanted, strict=True):
        mine = table["effect"] == effect
        names = [n for n in effect.split(":") if n in numbers]
        if names:
            handles += _curves(axis, table[mine], labels[mine], names, colours)
            log_axis(axis.xaxis, names[0], count=4)
            axis.set_xlabel(label_of(names[0]), fontsize=9)
        else:
            _points(axis, table[mine], labels[mine], colours)
            axis.set_xlabel(named(effect), fontsize=9)
        log_axis(axis.yaxis, fit.law.response.column)
    axes[0].set_ylabel(label_of(fit.law.response.column, fit.unit), fontsize=9)
    legend(axes, ours, handles)
    return Plot(axes, table)


def _curves(
    ax: Axes, table: pd.DataFrame, labels: pd.Series, names: list[str], colours: Mapping[str, str]
) -> list[Line2D]:
    """Draw a curve a group and level; the levels' legend entries come back."""
    levels = sorted(set(table[names[1]])) if len(names) == 2 else [None]
    for name, rows in table.groupby(labels, sort=False):
        for style, level in zip(_STYLES, levels, strict=False):
            part = rows if level is None else rows[rows[names[1]] == level]
            colour = colours[str(name)]
            ax.plot(part[names[0]], part["median"], style, color=colour, linewidth=1.4)
            ax.fill_between(
                part[names[0]], part["lower"], part["upper"], color=colour, alpha=0.15, lw=0
            )
    if len(names) == 1:
        return []
    return [
        Line2D([], [], color="#555555", ls=s, label=f"{names[1]} = {quantity(v, names[1], 3)}")
        for s, v in zip(_STYLES, levels, strict=False)
    ]


def _points(ax: Axes, table: pd.DataFrame, labels: pd.Series, colours: Mapping[str, str]) -> None:
    rows = table[["lower", "median", "upper"]].to_numpy(float)
    for place, (name, (low, middle, high)) in enumerate(zip(labels, rows, strict=True)):
        ax.vlines(place, low, high, color=colours[name], linewidth=1.6)
        ax.plot([place], [middle], "o", color=colours[name], markerfacecolor="white")
    ax.set_xticks(range(len(labels)), [named(name, 14) for name in labels], fontsize=8)
