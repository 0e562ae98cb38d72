"""Published constants and checks of cards with indices, in plain names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayescale.errors import LawError
from bayescale.indexed_names import columns_of
from bayescale.indexed_parameters import published_values
from bayescale.indices import Scope


def plain_values(
    card: Mapping[str, Any], scope: Scope, label: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Published constants: lists, one value a member, as plain parameters' values."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        place = f"published.{label}"
        if not isinstance(value, list):
            plain[name] = value
        elif name in scope.over and name in card["parameters"]:
            keys, index = card["parameters"][name], scope.indices[scope.over[name]]
            plain |= published_values(name, keys, index, value, place)
        else:
            raise LawError(f"{place}.{name}: a list is for a parameter over an index")
    return plain


def plain_check(card: Mapping[str, Any], scope: Scope, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A check's columns: lists, one value a member, and patterns such as "share_{domain}"."""
    plain = dict(entry)
    for key in ("at", "over", "columns"):
        table: dict[str, Any] = {}
        for name, value in entry.get(key, {}).items():
            indexed = name in scope.over and name in card["variables"]
            if not indexed and isinstance(value, list):
                raise LawError(f"checks.{key}.{name}: a list is for a variable over an index")
            if not indexed:
                table[name] = value
                continue
            index = scope.indices[scope.over[name]]
            if isinstance(value, str):
                value = [value.replace(f"{{{index.name}}}", m) for m in index.members]
            elif not isinstance(value, list) or len(value) != len(index.members):
                members = ", ".join(index.members)
                raise LawError(f"checks.{key}.{name} is a list, one value each: {members}")
            table |= dict(zip(columns_of(card, scope, name), value, strict=True))
        if table:
            plain[key] = table
    return plain
