"""Recipes over scale: the chance that each is the best, and what choosing it would lose."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayescale.errors import BayescaleError
from bayescale.plots.canvas import PALETTE, Plot, label_of, legend, log_axis, panels
from bayescale.recipes import RecipeComparison


def plot_over_scale(comparison: RecipeComparison, ax: tuple[Axes, Axes] | None = None) -> Plot:
    """Draw each recipe's chance of being best, and its expected regret, along compute.

    Parameters
    ----------
    comparison : RecipeComparison
    ax : two Axes, optional
        To draw into.

    Returns
    -------
    Plot
        Its ``data`` are the comparison's ``curve``.

    Raises
    ------
    BayescaleError
        Where the comparison has no curve: its law knows no compute.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.plots.plot_over_scale(bs.compare_recipes(fit, at={"C": 1e22}))  # doctest: +SKIP
    """
    if comparison.curve is None or comparison.curve.empty:
        raise BayescaleError("the comparison has no curve over scale: its law knows no compute")
    data = comparison.curve
    axes, ours = panels(2, ax, columns=2, size=(4.2, 3.2))
    handles = []
    for place, name in enumerate(dict.fromkeys(data["recipe"])):
        colour = PALETTE[place % len(PALETTE)]
        part = data[data["recipe"] == name]
        for axis, column in zip(axes, ("p_best", "expected_regret"), strict=True):
            axis.plot(part["C"], part[column], color=colour, linewidth=1.8)
        handles.append(Line2D([], [], color=colour, label=str(name)))
    for axis, label in zip(axes, ("P(best)", "expected regret"), strict=True):
        log_axis(axis.xaxis, "C", count=4)
        axis.set_xlabel(label_of("C"), fontsize=9)
        axis.set_ylabel(label, fontsize=9)
        axis.set_ylim(bottom=0.0)
    axes[0].set_ylim(0.0, 1.0)
    legend(axes, ours, handles)
    return Plot(axes, data)
