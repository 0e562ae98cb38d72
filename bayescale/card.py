"""Law cards: TOML text to a checked dictionary, and back.

A card is data: nothing in it is executed and nothing is found by a dotted path. Here its keys
and the kinds of their values are checked; what they mean together is checked in `law.py`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from bayescale.errors import LawError
from bayescale.grammar import nearest

_NUMBER = (int, float)
_VALUE = (int, float, str)  # a number, or arithmetic such as "406.4 / 1e9**0.34"
_VALUES = (int, float, str, list)  # the same, or one each for the members of an index

SCHEMA: dict[str, Any] = {
    "name": str,
    "title": str,
    "formula": str,
    "cite": str,
    "varies": str,
    "pairs": list,
    "decision": str,
    "identifiability": str,
    "unverified": str,
    "index": {"*": (int, list)},
    "where": {"*": str},
    "solve": {"*": {"zero": str, "between": list, "about": str}},
    "response": {
        **{"column": str, "unit": str, "about": str, "noise": str},
        **{"link": str, "likelihood": str, "trials": str, "discrepancy": str},
        **{"better": str, "priors": {"*": str}},
    },
    "variables": {
        "*": {
            **{"column": str, "unit": str, "about": str, "kind": str, "from": _NUMBER},
            **{"over": str, "simplex": bool},
        }
    },
    "parameters": {
        "*": {
            "prior": str,
            "about": str,
            "why": str,
            "share": str,
            "of": str,
            "on": str,
            "varies": str,
            "group_sd": str,
            "pooling": str,
            "slopes": {"*": str},
            "equals": _VALUE,
            "over": str,
            "first": _VALUE,
            "last": _VALUE,
            "ordered": str,
            "step": str,
            "simplex": bool,
        }
    },
    "published": {"*": {"source": str, "units": str, "unverified": str, "values": {"*": _VALUES}}},
    "beliefs": [
        {"about": str, "quantity": str, "at": {"*": _NUMBER}, "mean": _NUMBER, "sd": _NUMBER}
    ],
    "checks": [
        {
            "what": str,
            "set": str,
            "at": {"*": _VALUES},
            "over": {"*": _VALUES},
            "against": str,
            "along": str,
            "within": list,
            "tied": {"*": str},
            "table": str,
            "where": str,
            "columns": {"*": str},
            "rows": {"*": list},
            "schedules": {"*": str},
            "schedule": str,
            "step": _NUMBER,
            "by": str,
            "measured": _NUMBER,
            "expected": _VALUE,
            "tolerance": _NUMBER,
            "source": str,
        }
    ],
}
_CHOICES = {
    "of": ("typical", "smallest", "one"),
    "on": ("share", "value"),
    "pooling": ("partial", "none"),
    "ordered": ("ratio", "difference"),
}
_KINDS = {
    str: "a text",
    list: "a list",
    bool: "true or false",
    _NUMBER: "a number",
    _VALUE: "a number or arithmetic",
    _VALUES: "a number, arithmetic, or a list of them",
    (int, list): "a list of names, or how many there are",
}


def read_card(text: str) -> dict[str, Any]:
    """Read the TOML of a card and check every key and kind.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict
        The card's tables, as TOML has them.

    Raises
    ------
    LawError
        For text that is not TOML, an unknown key (with the nearest known one), a value of the
        wrong kind, or a choice that does not exist.

    Examples
    --------
    >>> read_card('name = "flat"')
    {'name': 'flat'}
    """
    try:
        card = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LawError(f"the card is not valid TOML: {error}") from None
    _check(card, SCHEMA, "")
    return card


def _check(value: Any, schema: Any, path: str) -> None:
    if isinstance(schema, dict):
        _check_table(value, schema, path)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            raise LawError(f"{path} is written [[{path}]], once for each")
        for i, item in enumerate(value, 1):
            _check(item, schema[0], f"{path} {i}")
    elif not isinstance(value, schema) or (isinstance(value, bool) and schema is not bool):
        raise LawError(f"{path} must be {_KINDS[schema]}, not {value!r}")
    key = path.rpartition(".")[2]
    if key in _CHOICES and value not in _CHOICES[key]:
        choices = " or ".join(repr(choice) for choice in _CHOICES[key])
        raise LawError(f"{path} must be {choices}, not {value!r}")


def _check_table(value: Any, schema: Mapping[str, Any], path: str) -> None:
    if not isinstance(value, dict):
        raise LawError(f"{path or 'the card'} must be a table, not {value!r}")
    for key, item in value.items():
        below = f"{path}.{key}" if path else key
        if key not in schema and "*" not in schema:
            place = f" in {path}" if path else ""
            raise LawError(
                f"unknown key {key!r}{place}.{nearest(key, schema)} Known keys: {', '.join(schema)}"
            )
        _check(item, schema.get(key, schema.get("*")), below)


def write_card(card: Mapping[str, Any]) -> str:
    """Write a card's tables as TOML that `read_card` reads back unchanged.

    Examples
    --------
    >>> print(write_card({"name": "flat", "where": {"M": "D / N"}}), end="")
    name = "flat"
    <BLANKLINE>
    [where]
    M = "D / N"
    """
    lines = [f"{k} = {_value(v)}" for k, v in card.items() if not _is_table(v)]
    for key, table in card.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(key)}]", *(f"{_key(k)} = {_value(v)}" for k, v in table.items())]
        elif _is_table(table):
            for item in table:
                lines += ["", f"[[{_key(key)}]]"]
                lines += [f"{_key(k)} = {_value(v)}" for k, v in item.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    tables = isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)
    return isinstance(value, Mapping) or bool(tables)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
