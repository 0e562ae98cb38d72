"""Changed cards: other members of an index, parameters fixed or tied; tables in, tables out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from bayescale.errors import LawError
from bayescale.grammar import nearest
from bayescale.indexed_card import written_out


def indexed_parameters(card: Mapping[str, Any]) -> list[str]:
    """The parameters that have a value for each member of an index."""
    return [name for name, keys in card["parameters"].items() if "over" in keys]


def with_members(card: Mapping[str, Any], members: Mapping[str, Iterable[str] | int]) -> dict:
    """Return a card whose indices have these members, without what holds for its own alone."""
    changed = copy.deepcopy(dict(card))
    known = card.get("index", {})
    for name, given in members.items():
        if name not in known:
            indices = f"It has: {', '.join(known)}" if known else "It has none"
            raise LawError(
                f"the law {card['name']!r} has no index {name!r}.{nearest(name, known)} {indices}"
            )
        if isinstance(given, str):
            raise LawError(f"{name} is a list of members, such as [{given!r}], not {given!r}")
        changed["index"][name] = given if isinstance(given, int) else list(given)
    of_members = set(written_out(card)["parameters"])
    for name in of_members & set(card["parameters"]):
        if any(name.startswith(f"{base}_") for base in indexed_parameters(card)):
            del changed["parameters"][name]
    changed.pop("beliefs", None)  # which may be of the card's own members
    return _unchecked(changed, "its index has other members than the card's")


def with_fixed(card: Mapping[str, Any], values: Mapping[str, float | str]) -> dict:
    """Return a card in which parameters equal a number, or an expression of others."""
    changed = copy.deepcopy(dict(card))
    for name, value in values.items():
        keys = changed["parameters"].get(name, {})
        kept = {k: keys[k] for k in ("about", "why", "over") if k in keys}
        changed["parameters"][name] = {**kept, "equals": value}
    changed["pairs"] = [pair for pair in card.get("pairs", []) if not set(values) & set(pair)]
    if "beliefs" in card:
        changed["beliefs"] = [b for b in card["beliefs"] if b.get("quantity") not in values]
    return _unchecked(changed, "some of its parameters are fixed or tied")


def _unchecked(card: dict, why: str) -> dict:
    """Without published constants and checks, which are of the card as it was."""
    return {k: v for k, v in card.items() if k not in ("published", "checks")} | {"unverified": why}
