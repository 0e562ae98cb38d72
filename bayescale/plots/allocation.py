"""Expected loss along a budget: where the best split lies, and how little it matters nearby."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from bayescale.allocation import Allocation
from bayescale.display.writing import exponential, human
from bayescale.plots.canvas import INK, PALETTE, Plot, label_of, legend, log_axis, panels

_NEAR = PALETTE[2]


def plot_allocation(allocation: Allocation, ax: Axes | None = None) -> Plot:
    """Draw the expected loss over N on a budget, with the near-optimal sizes shaded.

    Parameters
    ----------
    allocation : Allocation
    ax : Axes, optional
        To draw into.

    Returns
    -------
    Plot
        Its ``data`` are the allocation's curve with ``near_optimal`` (bool): N, D, loss (mean
        over draws), lower_95, upper_95, expected_regret.

    Examples
    --------
    >>> import bayescale as bs
    >>> plan = bs.allocate(fit, C=1e24, at={"family": "dense"})         # doctest: +SKIP
    >>> bs.plots.plot_allocation(plan).save("plan.png")                 # doctest: +SKIP
    """
    (axis,), ours = panels(1, ax, size=(6.4, 3.8))
    low, high = allocation.near_optimal
    curve = allocation.curve.reset_index(drop=True)
    sizes = curve["N"].to_numpy(float)
    data = curve.assign(near_optimal=(sizes >= low) & (sizes <= high))
    if np.isfinite([low, high]).all():
        axis.axvspan(low, high, color=_NEAR, alpha=0.18, lw=0)
    axis.fill_between(
        sizes, curve["lower_95"], curve["upper_95"], color=PALETTE[0], alpha=0.18, lw=0
    )
    axis.plot(sizes, curve["loss"], color=PALETTE[0], linewidth=1.8)
    least = float(np.interp(np.log(allocation.N), np.log(sizes), curve["loss"]))
    axis.plot([allocation.N], [least], "o", color=PALETTE[1], markersize=7, zorder=4)
    if np.isfinite(allocation.N_interval).all():
        foot = axis.get_xaxis_transform()
        axis.plot(allocation.N_interval, [0.03, 0.03], color=INK, linewidth=2.5, transform=foot)
    log_axis(axis.xaxis, "N")
    log_axis(axis.yaxis, "loss")
    spent = curve["D"].to_numpy(float)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda N, _: _size_and_tokens(N, sizes, spent)))
    axis.set_xlabel(f"{label_of('N')}, and below them the tokens D that are left", fontsize=9)
    axis.set_ylabel("expected loss", fontsize=9)
    axis.set_title(f"A budget of {exponential(allocation.C)} FLOP", fontsize=10)
    legend((axis,), ours, _handles(allocation))
    return Plot((axis,), data)


def _size_and_tokens(N: float, sizes: np.ndarray, spent: np.ndarray) -> str:
    if not sizes[0] <= N <= sizes[-1]:
        return human(N)
    tokens = np.exp(np.interp(np.log(N), np.log(sizes), np.log(spent)))
    return f"{human(N)}\n{human(float(tokens), 2)}"


def _handles(allocation: Allocation) -> list:
    choice = f"choice: N {human(allocation.N)}, D {human(allocation.D)}"
    return [
        Line2D([], [], color=PALETTE[0], label="expected loss"),
        Patch(color=PALETTE[0], alpha=0.3, label="95% credible band"),
        Line2D([], [], color=PALETTE[1], marker="o", linestyle="none", label=choice),
        Patch(color=_NEAR, alpha=0.3, label=f"expected regret up to {allocation.tolerance:g}"),
        Line2D([], [], color=INK, linewidth=2.5, label="95% of the draws' own optima"),
    ]
