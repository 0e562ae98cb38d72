"""What all figures share: axes, colours, round ticks on log axes, and the result."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator

from bayescale.display.writing import quantity
from bayescale.errors import BayescaleError
from bayescale.files import write_whole
from bayescale.plots.words import named

# Okabe and Ito's eight colours that the colour-blind tell apart, strongest on white first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
INK, FAINT = "#222222", "#8a8a8a"
_LABELS = {
    "N": "parameters N",
    "D": "tokens D",
    "U": "unique tokens U",
    "C": "training compute C (FLOP)",
}


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawn figure with the data in it; a notebook shows it as an image.

    Attributes
    ----------
    axes : tuple of matplotlib.axes.Axes
        One for each panel.
    data : pandas.DataFrame
        Tidy: a row for each mark or curve point drawn, in the user's units.
    """

    axes: tuple[Axes, ...]
    data: pd.DataFrame

    @property
    def figure(self) -> Figure:
        """The figure that the axes are in."""
        holder: Any = self.axes[0].figure
        return holder if isinstance(holder, Figure) else holder.figure

    def save(self, path: str | Path, dpi: float = 150) -> Path:
        """Write the figure to a file (.png, .svg, .pdf) and return its path."""
        path, buffer = Path(path), io.BytesIO()
        try:
            self.figure.savefig(buffer, format=path.suffix[1:] or "png", dpi=dpi)
        except ValueError as error:  # matplotlib's own message lists the formats it knows
            raise BayescaleError(f"{path} can't be written: {error}") from None
        return write_whole(path, buffer.getvalue())

    def __repr__(self) -> str:
        return f"Plot of {len(self.axes)} panels, {len(self.data)} rows of data"

    def png(self, dpi: float = 150) -> bytes:
        """The figure as the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=dpi)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png(96)


def panels(
    count: int,
    ax: Axes | Sequence[Axes] | None,
    columns: int = 4,
    size: tuple[float, float] = (3.6, 3.2),
    share: bool = False,
) -> tuple[tuple[Axes, ...], bool]:
    """Make `count` axes, or check those given; also says whether the figure is ours."""
    if ax is not None:
        given: tuple[Axes, ...] = tuple(np.atleast_1d(np.asarray(ax, dtype=object)).ravel())
        if len(given) != count:
            raise BayescaleError(
                f"this figure has {count} panels and ax has {len(given)} axes; give {count}"
            )
        for axes in given:
            clean(axes)
        return given, False
    across = min(count, columns)
    if count == 4:
        across = 2
    down = -(-count // across)
    wide = (max(size[0] * across, 5.2), size[1] * down + 0.5)
    figure = Figure(figsize=wide, layout="constrained")
    made = figure.subplots(down, across, sharex=share, squeeze=False).ravel()
    for spare in made[count:]:
        spare.set_visible(False)
    for axes in made[:count]:
        clean(axes)
    return tuple(made[:count]), True


def clean(ax: Axes) -> None:
    """Take away what isn't data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9)


def legend(axes: Sequence[Axes], ours: bool, handles: Sequence[Any]) -> None:
    """Explain the marks, below our own figure or inside the first of the axes given."""
    if not handles:
        return
    if ours:
        figure = Plot(tuple(axes), pd.DataFrame()).figure
        widest = 0.5 + 0.062 * max(len(str(handle.get_label())) for handle in handles)  # inches
        across = max(1, min(len(handles), int(figure.get_figwidth() / widest)))
        figure.legend(
            handles=handles, loc="outside lower center", ncols=across, frameon=False, fontsize=9
        )
    else:
        axes[0].legend(handles=handles, frameon=False, fontsize=8)


class RoundTicks(Locator):
    """A few round ticks, also where a log axis spans less than a decade."""

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def __call__(self) -> list[float]:
        """Ticks of what is in view."""
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Ticks between two positive numbers."""
        return round_ticks(vmin, vmax, self.count).tolist()


def round_ticks(low: float, high: float, count: int = 6) -> np.ndarray:
    """Round numbers within a positive range, about `count` of them, for a log axis.

    Examples
    --------
    >>> round_ticks(8e9, 3e14).tolist()
    [10000000000.0, 100000000000.0, 1000000000000.0, 10000000000000.0, 100000000000000.0]
    >>> round_ticks(2.31, 2.58).tolist()
    [2.35, 2.4, 2.45, 2.5, 2.55]
    """
    if not 0 < low < high < np.inf:
        return np.array([])
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for within in ((1,), (1, 3), (1, 2, 5)):
        ticks = np.array([b * 10.0**e for e in range(first, last + 1) for b in within])
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if within == (1,):
            ticks = ticks[:: max(1, -(-len(ticks) // (count + 1)))]
        if len(ticks) >= (3 if within == (1,) else 4):
            return ticks
    ticks = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return np.array([float(f"{t:.12g}") for t in ticks if t > 0 and low <= t <= high])


def log_axis(axis: Axis, column: str, count: int = 6) -> None:
    """Make an axis logarithmic, its ticks round and written as people write that column."""
    ax = axis.axes
    (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
    axis.set_major_locator(RoundTicks(count))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, column, 4)))


def label_of(column: str, unit: str = "") -> str:
    """Name a column on an axis."""
    return _LABELS.get(column) or named(f"{column} ({unit})" if unit else column)


def group_labels(table: pd.DataFrame, columns: Iterable[str]) -> pd.Series:
    """One text a row that names its group: the labels of the columns, joined."""
    names = list(columns)
    if not names:
        return pd.Series("", index=table.index)
    return table[names].astype(str).agg(" / ".join, axis=1)


def spread(values: Sequence[float], gap: float) -> np.ndarray:
    """Move positions apart to at least `gap`, as little as a sweep from below can.

    Examples
    --------
    >>> spread([0.0, 0.1, 5.0], 1.0).tolist()
    [-0.45, 0.55, 5.0]
    """
    order = np.argsort(values, kind="stable")
    blocks: list[tuple[float, int]] = []  # mean position and size of labels that touch
    for value in np.asarray(values, dtype=float)[order]:
        centre, size = float(value), 1
        while blocks and centre - blocks[-1][0] < gap * (size + blocks[-1][1]) / 2:
            other, more = blocks.pop()
            centre = (centre * size + other * more) / (size + more)
            size += more
        blocks.append((centre, size))
    placed = [c + gap * (i - (n - 1) / 2) for c, n in blocks for i in range(n)]
    out = np.empty(len(placed))
    out[order] = placed
    return out


def interval_marks(
    ax: Axes,
    at: float,
    row: Any,
    colour: str,
    marker: str = "o",
    upright: bool = False,
    size: float = 5.0,
) -> None:
    """Draw a median with its 50% interval (thick) and its wide one (thin)."""
    draw: Callable[..., Any] = ax.vlines if upright else ax.hlines
    draw(at, row["lower_95"], row["upper_95"], color=colour, linewidth=1.4, zorder=3)
    draw(at, row["lower_50"], row["upper_50"], color=colour, linewidth=4.0, zorder=3)
    x, y = (at, row["median"]) if upright else (row["median"], at)
    ax.plot([x], [y], marker, color=colour, markerfacecolor="white", markersize=size, zorder=4)


def interval_key(colour: str, label: str) -> Line2D:
    """Entry of a legend for `interval_marks`."""
    return Line2D([], [], color=colour, marker="o", markerfacecolor="white", lw=3, label=label)
