"""What a report consists of, before anybody says how it looks: sections of a few kinds of block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayescale.display.markup import cell
from bayescale.grammar import Node

if TYPE_CHECKING:
    import pandas as pd

    from bayescale.plots import Plot


@dataclass(frozen=True)
class Paragraph:
    """A few sentences; `alarm` makes them impossible to miss."""

    text: str
    alarm: bool = False


@dataclass(frozen=True)
class Points:
    """A list under a title; a warning is shown open, notes are folded away."""

    title: str
    items: tuple[str, ...]
    warning: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of texts. `fold` is a title to open it by, where it isn't for every reader."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    fold: str = ""


@dataclass(frozen=True)
class Formula:
    """An equation: its left side, its tree, and the named sub-expressions in it."""

    left: str
    right: Node
    where: tuple[tuple[str, Node], ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with the sentence below it; `name` is unique in the report."""

    name: str
    plot: Plot
    caption: str


@dataclass(frozen=True, eq=False)
class Sliders:
    """Everything that a page needs to answer for other targets and budgets by itself."""

    payload: Mapping[str, Any]


Block = Paragraph | Points | Grid | Formula | Picture | Sliders


@dataclass(frozen=True)
class Section:
    """A title and what stands below it; `name` is what links point at."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


def grid(frame: pd.DataFrame, index: str = "", fold: str = "") -> Grid:
    """Write a table's values as people do; `index` heads the row labels, "" leaves them out."""
    names = [str(name) for name in frame.columns]
    numeric = [
        getattr(dtype, "kind", "O") in "iuf" or name.endswith("%")  # an interval, "1 to 2"
        for name, dtype in zip(names, frame.dtypes, strict=True)
    ]
    rows = []
    for label, row in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        texts = [cell(value, name) for value, name in zip(row, names, strict=True)]
        rows.append((str(label), *texts) if index else tuple(texts))
    if index:
        return Grid((index, *names), tuple(rows), (False, *numeric), fold)
    return Grid(tuple(names), tuple(rows), tuple(numeric), fold)


def pairs(items: Sequence[tuple[str, str]]) -> Grid:
    """Facts, one a row: what, and its value."""
    return Grid(("", ""), tuple(items), (False, False))
