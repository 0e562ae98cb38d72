"""What the fit expects its own runs to have shown, beside what they did show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.stats import gaussian_kde

from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.plots.canvas import (
    INK,
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
from bayescale.replicates import replicate

CHECKS = ("dens_overlay", "intervals", "stat")
STATS: dict[str, Callable[..., np.ndarray]] = {
    "mean": np.mean,
    "sd": np.std,
    "min": np.min,
    "max": np.max,
    "median": np.median,
}
_SHOWN = 400  # replicates of a statistic


def pp_check(
    fit: Fit,
    kind: str = "dens_overlay",
    draws: int = 50,
    by: str | None = None,
    x: str | None = None,
    stat: str = "sd",
    prob: float = 0.95,
    seed: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
) -> Plot:
    """Check a fit against its own runs: observed losses beside replicated ones.

    Parameters
    ----------
    fit : Fit
    kind : {"dens_overlay", "intervals", "stat"}
        Densities of log loss, of the runs and of `draws` replicates; each run in its interval,
        over `x`; or a statistic of log loss, of the runs and of every replicate.
    draws : int
        Replicates of "dens_overlay".
    by : str, optional
        Column of the runs with a panel for each of its labels; all together where None.
    x : str, optional
        Column of the runs for "intervals"; C, else the law's first variable.
    stat : {"mean", "sd", "min", "max", "median"}
    prob : float
        Of the intervals.
    seed : int
    ax : Axes or sequence of Axes, optional

    Returns
    -------
    Plot
        Its ``data``: "dens_overlay" ``panel``, ``replicate`` (-1 is what was observed), ``loss``,
        ``density``; "intervals" a row a run with ``observed``, ``median``, ``lower``, ``upper``,
        ``inside``; "stat" ``panel``, ``replicate``, ``value`` and ``p``, the share of replicates
        at or above the observed.

    Raises
    ------
    BayescaleError
        For an unknown kind, statistic or column, or a response that has no logarithm.

    Notes
    -----
    The same runs were fitted: a law that fails this check is wrong here, and one that passes may
    fail beyond. Backtests ask that.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.pp_check(fit, "intervals").data["inside"].mean()             # doctest: +SKIP
    """
    if kind not in CHECKS:
        raise BayescaleError(f"kind is one of {', '.join(CHECKS)}, not {kind!r}")
    if stat not in STATS:
        raise BayescaleError(f"stat is one of {', '.join(STATS)}, not {stat!r}")
    if not fit.model.structure.response.positive:
        raise BayescaleError(
            f"{fit.law.response.column} may be zero or less in replicates, and they are drawn on a"
            " log scale: see replicates in bs.posterior_predictive"
        )
    table = fit.runs.table
    for name, column in (("by", by), ("x", x)):
        if column is not None and column not in table.columns:
            raise BayescaleError(f"{name}={column!r} is no column of the runs")
    panel = group_labels(table, [by] if by else [])
    names = list(dict.fromkeys(panel))
    axes, ours = panels(len(names), ax)
    drawn = replicate(fit, draws if kind == "dens_overlay" else None, seed)
    observed = table[fit.law.response.column].to_numpy(float)
    parts = []
    for axis, name in zip(axes, names, strict=True):
        mine = (panel == name).to_numpy()
        axis.set_title(named(name), fontsize=10)
        if kind == "dens_overlay":
            part = _densities(axis, observed[mine], drawn[:, mine])
        elif kind == "stat":
            part = _statistic(axis, observed[mine], drawn[:, mine], stat)
        else:
            part = _intervals(axis, fit, table[mine], observed[mine], drawn[:, mine], x, prob)
        parts.append(part.assign(panel=name))
        if kind == "dens_overlay":
            log_axis(axis.xaxis, fit.law.response.column)
            axis.set_xlabel(label_of(fit.law.response.column, fit.unit), fontsize=9)
    legend(axes, ours, _handles(kind, prob))
    return Plot(axes, pd.concat(parts, ignore_index=kind != "intervals"))


def _densities(ax: Axes, observed: np.ndarray, drawn: np.ndarray) -> pd.DataFrame:
    both = np.log(np.concatenate([observed, drawn.ravel()]))
    at = np.linspace(both.min(), both.max(), 120)
    parts = []
    for number, losses in [*enumerate(drawn), (-1, observed)]:
        logs = np.log(losses)
        if np.ptp(logs) == 0.0 or len(logs) < 2:
            raise BayescaleError("a density needs several different losses; try kind='intervals'")
        density = gaussian_kde(logs)(at)
        is_data = number == -1
        ax.plot(
            np.exp(at),
            density,
            color=INK if is_data else PALETTE[5],
            linewidth=1.8 if is_data else 0.6,
            alpha=1.0 if is_data else 0.6,
        )
        parts.append(pd.DataFrame({"replicate": number, "loss": np.exp(at), "density": density}))
    ax.set_yticks([])
    return pd.concat(parts)


def _statistic(ax: Axes, observed: np.ndarray, drawn: np.ndarray, stat: str) -> pd.DataFrame:
    seen = float(STATS[stat](np.log(observed)))
    values = STATS[stat](np.log(drawn), axis=1)
    ax.hist(values, bins=40, color=PALETTE[5], density=True)
    ax.axvline(seen, color=INK, linewidth=1.8)
    ax.set_xlabel(f"{stat} of log loss", fontsize=9)
    ax.set_yticks([])
    few = values[np.linspace(0, len(values) - 1, min(_SHOWN, len(values))).astype(int)]
    data = pd.DataFrame({"replicate": [-1, *range(len(few))], "value": [seen, *few]})
    return data.assign(p=float(np.mean(values >= seen)))


def _intervals(
    ax: Axes,
    fit: Fit,
    rows: pd.DataFrame,
    observed: np.ndarray,
    drawn: np.ndarray,
    x: str | None,
    prob: float,
) -> pd.DataFrame:
    first = next(iter(fit.law.variables.values())).column
    x = x or ("C" if "C" in rows.columns else first)
    tail = (1.0 - prob) / 2.0
    low, middle, high = np.quantile(drawn, [tail, 0.5, 1.0 - tail], axis=0)
    inside = (low <= observed) & (observed <= high)
    at = rows[x].to_numpy(float)
    ax.vlines(at, low / middle, high / middle, color=PALETTE[5], linewidth=1.2)
    colours = np.where(inside, INK, PALETTE[1])
    ax.scatter(at, observed / middle, s=10, c=colours.tolist(), zorder=3)
    log_axis(ax.xaxis, x, count=4)
    ax.set_xlabel(label_of(x), fontsize=9)
    ax.set_ylabel("observed / replicated median", fontsize=9)
    told = {"observed": observed, "median": middle, "lower": low, "upper": high, "inside": inside}
    return rows[[x]].assign(**told)


def _handles(kind: str, prob: float) -> list[Line2D]:
    if kind == "intervals":
        pairs = [(PALETTE[5], f"{percent(prob)}% of replicates"), (INK, "inside")]
        pairs.append((PALETTE[1], "outside"))
    else:
        pairs = [(INK, "observed"), (PALETTE[5], "replicated")]
    return [Line2D([], [], color=colour, label=label) for colour, label in pairs]
