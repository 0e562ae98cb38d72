"""A figure as SVG inside a page: nothing but shapes, and colours that follow light and dark."""

from __future__ import annotations

import colorsys
import io
import re
from html import escape
from xml.etree import ElementTree

from bayescale.plots import Plot

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_TAGS = {"svg", "g", "path", "defs", "use", "clipPath", "rect", "circle", "line", "polygon"}
_KEPT = {
    *("d", "id", "x", "y", "width", "height", "viewBox", "transform", "style", "clip-path"),
    *("cx", "cy", "r", "x1", "x2", "y1", "y2", "points", "preserveAspectRatio", "opacity"),
}
_COLOUR = re.compile(r"((?:fill|stroke): )(#[0-9a-f]{6})", re.IGNORECASE)


def inline_svg(plot: Plot, name: str, label: str) -> str:
    """Draw a figure for a page.

    Parameters
    ----------
    plot : Plot
    name : str
        Goes before its ids, which must differ between the figures of one page.
    label : str
        What a reader hears who can't see it.

    Returns
    -------
    str
        One <svg> element: shapes, groups and their styles, with no text, link, script, image or
        reference out of itself. Colours have a second value for dark pages.
    """
    buffer = io.BytesIO()
    plot.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    names = {
        str(node.get("id")): f"{name}-{i}" for i, node in enumerate(root.iter()) if node.get("id")
    }
    inside = "".join(_written(child, names) for child in root)
    box = escape(root.get("viewBox", ""), quote=True)
    heard = escape(label, quote=True)
    return f'<svg viewBox="{box}" role="img" aria-label="{heard}">{inside}</svg>'


def _written(node: ElementTree.Element, names: dict[str, str]) -> str:
    tag = node.tag.removeprefix(_SVG)
    if tag not in _TAGS:
        return ""
    attributes = []
    for key, value in node.attrib.items():
        if key == _HREF or key == "href":
            key, value = "href", f"#{names[value[1:]]}"  # only ever inside this figure
        elif key == "id":
            value = names[value]
        elif key not in _KEPT:
            continue
        value = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{names[found[1]]})", value)
        if key == "style":
            value = _COLOUR.sub(_twice, value)
        attributes.append(f' {key}="{escape(value, quote=True)}"')
    inside = "".join(_written(child, names) for child in node)
    return f"<{tag}{''.join(attributes)}>{inside}</{tag}>"


def _twice(found: re.Match[str]) -> str:
    """A colour for every browser, then, for those that know it, one for each scheme."""
    name, colour = found[1], found[2].lower()
    return f"{name}{colour}; {name}light-dark({colour}, {on_dark(colour)})"


def on_dark(colour: str) -> str:
    """The colour that says on a dark page what this one says on white: its hue, lighter.

    Examples
    --------
    >>> on_dark("#ffffff"), on_dark("#000000"), on_dark("#440154")
    ('#16181d', '#e6e7ea', '#d355f1')
    """
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, strength = colorsys.rgb_to_hls(red, green, blue)
    if max(red, green, blue) - min(red, green, blue) < 0.02:  # greys: paper and ink change places
        ends = ((0xE6, 0xE7, 0xEA), (0x16, 0x18, 0x1D))
        mixed = (dark + (pale - dark) * light for dark, pale in zip(*ends, strict=True))
        return "#" + "".join(f"{round(part):02x}" for part in mixed)
    lighter = colorsys.hls_to_rgb(hue, max(light, 0.45 + 0.35 * light), min(strength, 0.85))
    lifted = lighter
    while _luminance(lifted) < 0.25:  # a contrast of 4.5 to the dark paper
        lifted = tuple(part + 0.05 * (1 - part) for part in lifted)
    return "#" + "".join(f"{round(255 * part):02x}" for part in lifted)


def _luminance(rgb: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
