"""Forest plot: parameters of every group side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.plots.canvas import INK, PALETTE, Plot, interval_key, interval_marks, legend, panels
from bayescale.predictive_draws import parameter_draws

_TAILS = {"lower_95": 0.025, "lower_50": 0.25, "median": 0.5, "upper_50": 0.75, "upper_95": 0.975}


def plot_forest(
    fit: Fit, names: Sequence[str] | None = None, ax: Axes | Sequence[Axes] | None = None
) -> Plot:
    """Draw the posterior of parameters for every group, one panel a parameter.

    Parameters
    ----------
    fit : Fit
    names : sequence of str, optional
        Parameters of the law; all where None.
    ax : Axes or sequence of Axes, optional
        To draw into, one for each parameter.

    Returns
    -------
    Plot
        Its ``data`` have ``parameter``, ``group``, ``median``, ``lower_50``, ``upper_50``,
        ``lower_95``, ``upper_95``, in the card's units.

    Raises
    ------
    BayescaleError
        For a name that the law doesn't have.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.plots.plot_forest(fit, ["alpha", "beta"]).save("forest.png")   # doctest: +SKIP
    """
    chosen = list(names) if names is not None else list(fit.law.parameters)
    strange = [name for name in chosen if name not in fit.law.parameters]
    if strange or not chosen:
        raise BayescaleError(
            f"the law {fit.law.name!r} has no parameter {', '.join(strange) or 'named'}: it has "
            f"{', '.join(fit.law.parameters)}"
        )
    factors = list(fit.groups)
    table = fit.runs.table
    groups = (
        table[factors].astype(str).drop_duplicates().sort_values(factors).reset_index(drop=True)
        if factors
        else table.head(1)
    )
    labels = groups[factors].agg(" / ".join, axis=1).tolist() if factors else ["all"]
    draws = parameter_draws(fit, groups)
    rows = []
    for name in chosen:
        quantiles = np.quantile(draws[name], list(_TAILS.values()), axis=0)
        for i, label in enumerate(labels):
            values = dict(zip(_TAILS, quantiles[:, i], strict=True))
            rows.append({"parameter": name, "group": label, **values})
    data = pd.DataFrame(rows)
    axes, ours = panels(len(chosen), ax, columns=3, size=(3.6, 1.3 + 0.28 * len(labels)))
    for axis, name in zip(axes, chosen, strict=True):
        part = data[data["parameter"] == name].to_dict(orient="records")
        for place, row in enumerate(part):
            interval_marks(axis, len(labels) - 1 - place, row, PALETTE[0])
        axis.set_yticks(range(len(labels)), labels[::-1], fontsize=9)
        axis.set_ylim(-0.6, len(labels) - 0.4)
        axis.set_xlabel(name, fontsize=9)
        axis.grid(False, axis="y")
    legend(axes, ours, [interval_key(INK, "median, 50% and 95% interval")])
    return Plot(axes, data)
