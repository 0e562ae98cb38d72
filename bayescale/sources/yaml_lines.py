"""The part of YAML that trackers write for settings: nested keys with one value each.

Tags, anchors, lists and text over several lines are passed over. Nothing is ever constructed.
"""

from __future__ import annotations

import re
from typing import Any

_LINE = re.compile(r"( *)((?:\"[^\"]*\"|'[^']*'|[^\s#'\"\[{&*!|>%@`-][^#]*?))\s*:(?:\s+(.*))?$")
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse(text: str) -> dict[str, Any]:
    r"""Read settings, nested keys joined by dots.

    Examples
    --------
    >>> parse("lr: 3e-4\nmodel:\n  params: 1_000  # all\n  act: 'gelu'\nrun: !!python/x y\n")
    {'lr': 0.0003, 'model.params': 1000.0, 'model.act': 'gelu'}
    """
    values: dict[str, Any] = {}
    above: list[tuple[int, str]] = []  # indents and keys of the mappings around a line
    for line in text.splitlines():
        found = _LINE.match(line.rstrip())
        if found is None:
            continue
        indent, key = len(found[1]), found[2].strip("'\" ")
        while above and above[-1][0] >= indent:
            above.pop()
        name = ".".join([*(k for _, k in above), key])
        told = (found[3] or "").strip()
        if not told or told.startswith("#"):
            above.append((indent, key))
        elif (value := scalar(told)) is not _OTHER:
            values[name] = value
    return values


_OTHER = object()


def scalar(text: str) -> Any:
    """Read one value: a number, a word, a quoted text; anything else is left out."""
    if text[0] in "'\"":
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 else _OTHER
    text = re.sub(r"\s+#.*$", "", text).strip()
    if text[:1] in "!&*|>[{%@`":
        return _OTHER
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.fullmatch(text):
        return float(text.replace("_", ""))
    return {".nan": float("nan"), ".inf": float("inf"), "-.inf": -float("inf")}.get(
        text.lower(), text
    )
