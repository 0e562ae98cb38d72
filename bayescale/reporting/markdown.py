"""A report as Markdown, for a repository or a pull request."""

from __future__ import annotations

import re

from bayescale.formula import Expression, unparsed
from bayescale.reporting.blocks import (
    Block,
    Document,
    Formula,
    Grid,
    Paragraph,
    Picture,
    Points,
    Sliders,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")
_BULLET = re.compile(r"^(\s*)([-+]|\d+[.)])(\s)")


def text(document: Document, folder: str) -> str:
    """Write a document as Markdown whose figures lie in `folder`."""
    parts = [f"# {plain(document.title)}", plain(document.subtitle)]
    for section in document.sections:
        inside = [written for block in section.blocks if (written := _block(block, folder))]
        if inside:
            parts += [f"## {plain(section.title)}", *inside]
    return "\n\n".join(parts) + "\n"


def plain(value: str) -> str:
    r"""Write a text so that Markdown shows it as it is, on one line.

    Examples
    --------
    >>> print(plain("alpha[moe] <script> a_b"))
    alpha\[moe\] \<script\> a\_b
    """
    flat = " ".join(value.split())
    flat = _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;"))
    return _BULLET.sub(r"\1\\\2\3", flat)


def _block(block: Block, folder: str) -> str:
    match block:
        case Paragraph(text=said, alarm=alarm):
            return f"**{plain(said)}**" if said and alarm else plain(said)
        case Points(title=title, items=items):
            head = f"{plain(title)}:\n\n" if title and items else ""
            return head + "\n".join(f"- {plain(item)}" for item in items)
        case Grid():
            return _grid(block)
        case Formula(left=left, right=right, where=where):
            return "\n\n".join(
                f"$${Expression.parse(name).latex()} = {Expression.parse(unparsed(tree)).latex()}$$"
                for name, tree in ((left, right), *where)
            )
        case Picture(name=name, caption=caption):
            return (
                f"![{plain(caption)}]({folder.replace(' ', '%20')}/{name}.png)\n\n{plain(caption)}"
            )
        case Sliders():
            return "The HTML report has sliders here."
    raise TypeError(f"no Markdown shows a {type(block).__name__}")


def _grid(block: Grid) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(map(plain, cells)) + " |"

    rule = "|" + "|".join("---:" if numeric else "---" for numeric in block.numeric) + "|"
    head = f"{plain(block.fold)}:\n\n" if block.fold else ""
    return head + "\n".join([line(block.head), rule, *map(line, block.rows)])
