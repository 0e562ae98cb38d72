"""IsoFLOP curves: the loss along several budgets, with the best size of each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayescale.display.writing import exponential
from bayescale.plots.canvas import INK, PALETTE, Plot, label_of, legend, log_axis, panels
from bayescale.surfaces import at_budget
from bayescale.sweeps import Sweep

_POINTS = 81
_NEAR = 2.0  # factor of compute
_REACH = 1.5  # in log N, beyond the outermost interval of an optimum


def plot_isoflop(sweep: Sweep, runs: pd.DataFrame | None = None, ax: Axes | None = None) -> Plot:
    """Draw the loss over N on each budget of a sweep, with the interval of its best N.

    Parameters
    ----------
    sweep : Sweep
        From `bayescale.sweep_budgets`.
    runs : DataFrame, optional
        Measured runs to draw beside the curves: ``N``, ``loss`` and ``C``; those within a factor
        of two of a budget are drawn, with the nearest.
    ax : Axes, optional
        To draw into.

    Returns
    -------
    Plot
        Its ``data`` have ``what`` ("curve", "optimum" or "run"), ``C``, ``N``, ``loss``,
        ``lower_95``, ``upper_95`` (of the loss along curves), ``N_lower``, ``N_upper`` (of the
        optimum).

    Examples
    --------
    >>> import bayescale as bs
    >>> swept = bs.sweep_budgets(fit, [1e20, 1e21, 1e22])               # doctest: +SKIP
    >>> bs.plots.plot_isoflop(swept).save("isoflop.png")                # doctest: +SKIP
    """
    (axis,), ours = panels(1, ax, size=(6.4, 4.2))
    table = sweep.table
    low = np.log(table["N_lower"].min()) - _REACH
    high = np.log(table["N_upper"].max()) + _REACH
    parts = [_curve(sweep, float(C), np.linspace(low, high, _POINTS)) for C in table["C"]]
    optima = table[["C", "N", "loss", "N_lower", "N_upper"]].assign(what="optimum")
    parts.append(optima)
    if runs is not None:
        near = np.abs(np.log(runs["C"].to_numpy(float))[:, None] - np.log(table["C"].to_numpy()))
        runs = runs[near.min(axis=1) <= np.log(_NEAR)]
        own = table["C"].to_numpy()[near.argmin(axis=1)[near.min(axis=1) <= np.log(_NEAR)]]
        measured = pd.DataFrame({"N": runs["N"].to_numpy(float), "C": own})
        parts.append(measured.assign(loss=runs["loss"].to_numpy(float), what="run"))
    data = pd.concat(parts, ignore_index=True)
    handles: list[Line2D | Patch] = []
    for place, C in enumerate(table["C"]):
        colour = PALETTE[place % len(PALETTE)]
        one = data[data["C"] == C]
        curve, best = one[one["what"] == "curve"], one[one["what"] == "optimum"]
        axis.fill_between(
            curve["N"], curve["lower_95"], curve["upper_95"], color=colour, alpha=0.15, lw=0
        )
        axis.plot(curve["N"], curve["loss"], color=colour, linewidth=1.6)
        axis.hlines(best["loss"], best["N_lower"], best["N_upper"], color=colour, linewidth=3.5)
        axis.plot(best["N"], best["loss"], "o", color=colour, markerfacecolor="white", zorder=4)
        dots = one[one["what"] == "run"]
        axis.plot(dots["N"], dots["loss"], ".", color=colour, alpha=0.7)
        label = f"{exponential(float(C))} {sweep.unit}"
        handles.append(Line2D([], [], color=colour, label=label))
    log_axis(axis.xaxis, "N")
    log_axis(axis.yaxis, "loss")
    shown = data.loc[data["what"] != "curve", "loss"]
    floor = float(data.loc[data["what"] == "curve", "lower_95"].min())
    top = float(max(shown.max(), table["loss"].max()))
    axis.set_ylim(floor * 0.995, top + 0.6 * (top - floor))
    axis.set_xlabel(label_of("N"), fontsize=9)
    axis.set_ylabel("loss", fontsize=9)
    handles += [
        Line2D([], [], color=INK, marker="o", markerfacecolor="white", lw=3, label="best N, 95%"),
        Patch(color=INK, alpha=0.2, label="95% band of the law"),
    ]
    legend((axis,), ours, handles)
    return Plot((axis,), data)


def _curve(sweep: Sweep, C: float, log_n: np.ndarray) -> pd.DataFrame:
    losses = at_budget(sweep.surface, sweep.cost, C)(log_n[None])
    possible = np.isfinite(losses).all(axis=0)
    losses, log_n = losses[:, possible], log_n[possible]
    low, middle, high = np.quantile(losses, [0.025, 0.5, 0.975], axis=0)
    columns = {"C": C, "N": np.exp(log_n), "loss": middle, "lower_95": low, "upper_95": high}
    return pd.DataFrame(columns).assign(what="curve")
