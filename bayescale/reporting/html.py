"""A report as one HTML page: escaped, with nothing fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files

from bayescale.reporting.blocks import (
    Block,
    Document,
    Formula,
    Grid,
    Paragraph,
    Picture,
    Points,
    Section,
    Sliders,
)
from bayescale.reporting.drawing import inline_svg
from bayescale.reporting.mathml import mathml

_LONG = 24  # characters, above which a column needs room to wrap
_SAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page(document: Document) -> str:
    """Write a document as a page whose only script is ours, by its digest."""
    sliders = any(isinstance(b, Sliders) for s in document.sections for b in s.blocks)
    script = _resource("law.js") + _resource("sliders.js") if sliders else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    policy = (
        f"default-src 'none'; {allowed}style-src 'unsafe-inline'; base-uri 'none';"
        " form-action 'none'"
    )
    links = "".join(
        f'<li><a href="#{escape(s.name)}">{escape(s.title)}</a></li>' for s in document.sections
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(document.title)}: {escape(document.subtitle)}</title>",
            f"<style>{_resource('page.css')}</style></head><body>",
            f"<header><h1>{escape(document.title)}</h1><p>{escape(document.subtitle)}</p></header>",
            f'<nav aria-label="Sections"><ol>{links}</ol></nav><main>',
            *(_section(section) for section in document.sections),
            "</main>",
            f"<script>{script}</script>" if script else "",
            "</body></html>",
            "",
        ]
    )


def _resource(name: str) -> str:
    return (files("bayescale.reporting") / name).read_text(encoding="utf-8")


def _section(section: Section) -> str:
    inside = "\n".join(part for part in map(_block, section.blocks) if part)
    title = f"<h2>{escape(section.title)}</h2>"
    return f'<section id="{escape(section.name)}">{title}\n{inside}</section>'


def _block(block: Block) -> str:
    match block:
        case Paragraph(text=text, alarm=alarm):
            kind = ' class="alarm" role="alert"' if alarm else ""
            return f"<p{kind}>{escape(text)}</p>" if text else ""
        case Points():
            return _points(block)
        case Grid():
            return _grid(block)
        case Formula(left=left, right=right, where=where):
            return f'<div class="wide">{mathml(left, right, where)}</div>'
        case Picture(name=name, plot=plot, caption=caption):
            drawn = inline_svg(plot, name, caption)
            caption = f"<figcaption>{escape(caption)}</figcaption>"
            width = plot.figure.get_figwidth()
            # narrower than two thirds of its size a figure scrolls rather than becomes unreadable
            style = f"min-width:{0.62 * width:.2f}in;max-width:{1.15 * width:.2f}in"
            framed = f'<div class="wide"><div style="{style}">{drawn}</div></div>'
            return f"<figure>{framed}{caption}</figure>"
        case Sliders(payload=payload):
            return _sliders(payload)
    raise TypeError(f"no page shows a {type(block).__name__}")


def _points(block: Points) -> str:
    if not block.items:
        return ""
    items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
    if not block.title:
        return f"<ul>{items}</ul>"
    title = f"{escape(block.title)} ({len(block.items)})"
    opened, kind = (" open", ' class="warning"') if block.warning else ("", "")
    return f"<details{opened}{kind}><summary>{title}</summary><ul>{items}</ul></details>"


def _grid(block: Grid) -> str:
    widest = [max((len(t) for t in texts), default=0) for texts in zip(*block.rows, strict=True)]
    right = [
        ' class="number"' if numeric else ' class="long"' if wide > _LONG else ""
        for numeric, wide in zip(block.numeric, widest or [0] * len(block.head), strict=True)
    ]

    def line(tag: str, texts: tuple[str, ...]) -> str:
        cells = zip(texts, right, strict=True)
        return "<tr>" + "".join(f"<{tag}{kind}>{escape(t)}</{tag}>" for t, kind in cells) + "</tr>"

    head = f"<thead>{line('th', block.head)}</thead>" if any(block.head) else ""
    body = "".join(line("td", row) for row in block.rows)
    table = f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'
    if not block.fold:
        return table
    return f"<details><summary>{escape(block.fold)}</summary>{table}</details>"


def _sliders(payload: object) -> str:
    text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    for sign, written in _SAFE.items():
        text = text.replace(sign, written)
    return (
        '<div id="sliders"><p>Without its script this page shows no sliders.</p></div>'
        f'<script type="application/json" id="posterior">{text}</script>'
    )
