"""Do families share their exponents: each one's posterior beside the population's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.plots.canvas import (
    FAINT,
    INK,
    PALETTE,
    Plot,
    interval_key,
    interval_marks,
    legend,
    panels,
)
from bayescale.plots.words import named, wrapped
from bayescale.prediction_words import percent

_COLOURS = {"prior": FAINT, "population": INK, "group": PALETTE[0]}


def plot_exponents(
    fit: Fit,
    names: Sequence[str] | None = None,
    prob: float = 0.95,
    ax: Axes | Sequence[Axes] | None = None,
) -> Plot:
    """Draw the exponents' posterior by family, beside the population's and the prior.

    Parameters
    ----------
    fit : Fit
    names : sequence of str, optional
        Parameters of the law, a panel each; those without a share (the exponents) where None.
    prob : float
        Of the thin intervals, equal-tailed; the thick ones are 50%.
    ax : Axes or sequence of Axes, optional
        To draw into, one for each parameter.

    Returns
    -------
    Plot
        Its ``data`` have ``parameter``, ``who`` ("prior", "population" or the group), ``kind``
        ("prior", "population", "group"), ``median``, ``lower_50``, ``upper_50``, ``lower``,
        ``upper``, in the card's units.

    Raises
    ------
    BayescaleError
        For a name that the law doesn't have.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.plots.plot_exponents(fit).data                               # doctest: +SKIP
    """
    chosen = _chosen(fit, names)
    data = pd.DataFrame([row for name in chosen for row in _intervals(fit, name, prob)])
    axes, ours = panels(len(chosen), ax, columns=3, size=(3.8, 1.6 + 0.25 * data["who"].nunique()))
    order = list(dict.fromkeys(data["who"]))
    for axis, name in zip(axes, chosen, strict=True):
        for row in data[data["parameter"] == name].to_dict(orient="records"):
            at = len(order) - 1 - order.index(row["who"])
            row |= {"lower_95": row["lower"], "upper_95": row["upper"]}
            marker = "o" if row["kind"] == "group" else "D"
            interval_marks(axis, at, row, _COLOURS[row["kind"]], marker)
        axis.set_yticks(range(len(order)), [named(who) for who in order[::-1]], fontsize=9)
        axis.set_ylim(-0.6, len(order) - 0.4)
        axis.set_xlim(*_shown(data[data["parameter"] == name]))
        axis.set_xlabel(name, fontsize=9)
        axis.set_title(wrapped(fit.law.parameters[name].about, axis), fontsize=9)
        axis.grid(False, axis="y")
    text = f"median, 50% and {percent(prob)}% interval"
    legend(axes, ours, [interval_key(INK, text)])
    return Plot(axes, data)


def _shown(rows: pd.DataFrame) -> tuple[float, float]:
    """The posterior's range with room beside it; a wide prior runs out of the picture."""
    after = rows[rows["kind"] != "prior"]
    low, high = float(after["lower"].min()), float(after["upper"].max())
    room = 0.6 * (high - low)
    return low - room, high + room


def _chosen(fit: Fit, names: Sequence[str] | None) -> list[str]:
    parameters = fit.law.parameters
    if names is None:
        free = [n for n, p in parameters.items() if p.share is None]
        return free or list(parameters)
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [n for n in wanted if n not in parameters]
    if unknown or not wanted:
        raise BayescaleError(
            f"the law {fit.law.name!r} has no parameter {', '.join(unknown) or '(none named)'};"
            f" it has {', '.join(parameters)}"
        )
    return wanted


def _intervals(fit: Fit, name: str, prob: float) -> list[dict[str, Any]]:
    """Prior (where it is of the parameter itself), population, then each group."""
    posterior = fit.data["posterior"].dataset
    parameter = fit.law.parameters[name]
    tail = (1.0 - prob) / 2.0
    at = [tail, 0.25, 0.5, 0.75, 1.0 - tail]
    rows = []
    if parameter.share is None or parameter.on == "value":
        rows.append(_row(name, "prior", "prior", np.asarray(parameter.prior.quantile(at))))
    if name in posterior:
        values = posterior[name].to_numpy().ravel()
        rows.append(_row(name, "population", "population", np.quantile(values, at)))
    for dim in ("group", *fit.groups):
        if f"{name}_by_{dim}" in posterior:
            own = posterior[f"{name}_by_{dim}"]
            for label in own.coords[dim].to_numpy():
                values = own.sel({dim: label}).to_numpy().ravel()
                rows.append(_row(name, str(label), "group", np.quantile(values, at)))
    return rows


def _row(name: str, who: str, kind: str, ends: np.ndarray) -> dict[str, Any]:
    lower, lower_50, median, upper_50, upper = (float(v) for v in ends)
    return {
        "parameter": name,
        "who": who,
        "kind": kind,
        "median": median,
        "lower_50": lower_50,
        "upper_50": upper_50,
        "lower": lower,
        "upper": upper,
    }
