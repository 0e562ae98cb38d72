"""A law's formula as readers want it: in one line, and in LaTeX, with its definitions named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayescale.grammar import Node
from bayescale.indexed_card import written_out
from bayescale.indexed_names import definitions, read_scope
from bayescale.indices import Scope
from bayescale.latex import latex_name, latex_of


def _named(card: Mapping[str, Any]) -> dict[str, str]:
    return definitions(card) | dict(card.get("where", {}))


def one_line(card: Mapping[str, Any]) -> str:
    """Write a card's formula, and after it what it names."""
    named = [f"{name} = {text}" for name, text in _named(card).items()]
    named += [f"{name} solves {k['zero']} = 0" for name, k in card.get("solve", {}).items()]
    return f"{card['formula']}, where {', '.join(named)}" if named else card["formula"]


def _scope(card: Mapping[str, Any]) -> Scope:
    scope = read_scope(card)
    written_out(card, scope)  # learns which definitions are over an index
    return scope


def equations(card: Mapping[str, Any]) -> dict[str, Node]:
    """Return the trees of the formula ("") and of what it names; sums are not written out."""
    scope = _scope(card)
    texts = {"": card["formula"], **_named(card)}
    return {name: scope.parse(text) for name, text in texts.items()}


def in_latex(card: Mapping[str, Any], response: str) -> str:
    """Write the response, the formula and what it names as aligned lines of LaTeX."""
    scope = _scope(card)
    symbols = {name: latex_name(f"{name}_{index}") for name, index in scope.over.items()}

    def written(text: str) -> str:
        return latex_of(scope.parse(text), symbols)

    lines = [f"{written(response)} &= {written(card['formula'])}"]
    lines += [f"{written(name)} &= {written(text)}" for name, text in _named(card).items()]
    for name, keys in card.get("solve", {}).items():
        low, high = map(written, keys["between"])
        lines.append(rf"0 &= {written(keys['zero'])}, \quad {low} < {written(name)} < {high}")
    return " \\\\\n".join(lines)
