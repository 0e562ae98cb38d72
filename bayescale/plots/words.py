"""Texts on a figure: names from data shown as they are, short enough to leave room to draw."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes

MOST = 32  # characters of a name


def named(text: object, most: int = MOST) -> str:
    r"""Show a name from the data: no mathematics is read in it, and a long one is cut.

    Examples
    --------
    >>> named("a $5 model"), named("transformer", most=8)
    ('a \\$5 model', 'transfo…')
    """
    flat = " ".join(str(text).split())
    short = flat if len(flat) <= most else flat[: most - 1] + "…"
    return short.replace("$", r"\$")


def wrapped(text: str, ax: Axes, points: float = 9.0) -> str:
    """Break a title into lines that fit above its axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    inches = ax.get_window_extent().width / figure.dpi
    width = max(16, int(inches * 72.0 / (0.52 * points)))
    return "\n".join(textwrap.wrap(text, width)).replace("$", r"\$")
