"""What is indexed in a card: its indices, the names over them, their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayescale.errors import LawError
from bayescale.grammar import nearest
from bayescale.indices import Index, Scope


def read_scope(card: Mapping[str, Any]) -> Scope:
    """Read a card's indices, and which variables and parameters are over which.

    Raises
    ------
    LawError
        For an index that is also a name, an unknown one, or one that nothing is over.
    """
    indices = {n: Index.read(n, given) for n, given in card.get("index", {}).items()}
    over = {}
    for table in ("variables", "parameters"):
        for name, keys in card[table].items():
            if name in indices:
                raise LawError(f"{table}.{name}: {name!r} is already an index")
            for key in ("simplex", "first", "last", "ordered", "step"):
                if key in keys and "over" not in keys:
                    raise LawError(f"{table}.{name}.{key} is for names over an index: over = ...")
            if "over" in keys:
                if keys["over"] not in indices:
                    guess = nearest(keys["over"], indices)
                    raise LawError(f"{table}.{name}: there is no index {keys['over']!r}.{guess}")
                over[name] = keys["over"]
    return Scope(indices, over)


def columns_of(card: Mapping[str, Any], scope: Scope, name: str) -> tuple[str, ...]:
    """Name the columns of an indexed variable: `r_web`, or after ``column = "{domain} share"``."""
    index = scope.indices[scope.over[name]]
    column = card["variables"][name].get("column", name)
    slot = f"{{{index.name}}}"
    pattern = column if slot in column else f"{column}_{slot}"
    own = [card["variables"].get(plain, {}).get("column") for plain in index.all(name)]
    named = (pattern.replace(slot, member) for member in index.members)
    return tuple(o or n for o, n in zip(own, named, strict=True))


def simplexes(card: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns of each simplex variable, which add up to 1 in every row."""
    names = [name for name, keys in card["variables"].items() if keys.get("simplex")]
    scope = read_scope(card) if names else Scope({})
    return {name: columns_of(card, scope, name) for name in names}


def definitions(card: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that equal a number or an expression, and what they equal."""
    tables = card["parameters"].items()
    return {name: str(keys["equals"]) for name, keys in tables if "equals" in keys}
