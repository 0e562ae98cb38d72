"""Recipes side by side: each one's loss, and the chance that it is the best."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from bayescale.errors import BayescaleError
from bayescale.plots.canvas import INK, PALETTE, Plot, interval_key, interval_marks, legend, panels
from bayescale.plots.words import named
from bayescale.recipes import RecipeComparison


def plot_recipes(comparison: RecipeComparison, ax: Axes | None = None) -> Plot:
    """Draw each recipe's loss interval, with its probability of being best beside it.

    Overlapping intervals can go with a sure choice: the recipes' errors are largely common, and
    the probability is of their difference.

    Parameters
    ----------
    comparison : RecipeComparison
    ax : Axes, optional
        To draw into.

    Returns
    -------
    Plot
        Its ``data`` have a row a recipe, least expected regret first: ``recipe``, ``p_best``,
        ``expected_regret``, ``median``, ``lower_50``, ``upper_50``, ``lower_95``, ``upper_95``.

    Raises
    ------
    BayescaleError
        Where the comparison's table lacks an interval.

    Examples
    --------
    >>> import bayescale as bs
    >>> choice = bs.compare_recipes(fit, at={"C": 1e22, "corpus": "prose"})   # doctest: +SKIP
    >>> bs.plots.plot_recipes(choice).save("recipes.png")                     # doctest: +SKIP
    """
    wanted = ["recipe", "p_best", "expected_regret", "median"]
    wanted += ["lower_50", "upper_50", "lower_95", "upper_95"]
    lacking = [c for c in wanted if c not in comparison.table.columns]
    if lacking:
        raise BayescaleError(f"the comparison's table lacks {', '.join(lacking)}")
    data = comparison.table[wanted].reset_index(drop=True)
    (axis,), ours = panels(1, ax, size=(6.4, 1.4 + 0.45 * len(data)))
    for i, row in data.iterrows():
        assert isinstance(row, pd.Series)
        at = len(data) - 1 - int(str(i))
        interval_marks(axis, at, row, PALETTE[int(str(i)) % len(PALETTE)])
        axis.annotate(
            f"best with probability {row['p_best']:.2f}",
            (1.0, at),
            xycoords=axis.get_yaxis_transform(),
            xytext=(4, 9),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color=INK,
        )
    axis.set_yticks(range(len(data)), [named(r) for r in data["recipe"][::-1]], fontsize=9)
    axis.set_ylim(-0.6, len(data) - 0.3)
    axis.margins(x=0.08)
    axis.grid(False, axis="y")
    kind = "the law's value" if comparison.kind == "mean" else "one more run"
    axis.set_xlabel(f"loss ({kind})", fontsize=9)
    text = "median, 50% and 95% interval"
    legend((axis,), ours, [interval_key(INK, text)])
    return Plot((axis,), data)
