"""Cards with indices: the same card in plain names, so that nothing further on knows of indices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from bayescale.errors import LawError, placed
from bayescale.formula import Expression
from bayescale.indexed_checks import plain_check, plain_values
from bayescale.indexed_names import columns_of, definitions, read_scope
from bayescale.indexed_parameters import WrittenOut, write_out_parameter
from bayescale.indices import Scope


def written_out(card: Mapping[str, Any], scope: Scope | None = None) -> dict[str, Any]:
    """Return the same card without indices: every indexed name as one name a member.

    Parameters
    ----------
    card : Mapping
        Of tables, as `read_card` gives them.
    scope : Scope, optional
        Of `read_scope`; it learns which definitions are over an index.

    Raises
    ------
    LawError, FormulaError
        Where the card contradicts itself.

    Examples
    --------
    >>> card = {
    ...     "formula": "sum(domain, t * r)",
    ...     "index": {"domain": ["web", "code"]},
    ...     "variables": {"r": {"over": "domain"}},
    ...     "parameters": {"t": {"over": "domain", "prior": "Normal(0, 1)"}},
    ... }
    >>> plain = written_out(card)
    >>> plain["formula"], list(plain["variables"]), list(plain["parameters"])
    ('t_web * r_web + t_code * r_code', ['r_web', 'r_code'], ['t_web', 't_code'])
    """
    scope = scope or read_scope(card)
    if not scope.indices and not definitions(card):
        return dict(card)
    plain = {key: value for key, value in card.items() if key != "index"}
    plain["variables"] = _variables(card, scope)
    written = _parameters(card, scope)
    plain["parameters"] = written.parameters
    known = [*card["variables"], *card["parameters"]]
    where = written.where | _where(card, scope, known)
    _refuse_taken(card, scope, plain["variables"], written.parameters, where)
    if where:
        plain["where"] = where
    known += [*card.get("where", {}), *card.get("solve", {})]
    plain["parameters"] = {
        name: _share(name, keys, scope, known, written.member.get(name))
        for name, keys in written.parameters.items()
    }
    if "solve" in card:
        plain["solve"] = {n: _solve(n, keys, scope, known) for n, keys in card["solve"].items()}
    if "formula" in card:
        with placed("formula"):
            plain["formula"] = scope.written(card["formula"], known)
    if "pairs" in card:
        plain["pairs"] = [
            p for pair in card["pairs"] for p in _pairs(pair, scope, written.parameters)
        ]
    if "published" in card:
        plain["published"] = {
            label: {**entry, "values": plain_values(card, scope, label, entry.get("values", {}))}
            for label, entry in card["published"].items()
        }
    if "checks" in card:
        plain["checks"] = [plain_check(card, scope, entry) for entry in card["checks"]]
    return plain


def _variables(card: Mapping[str, Any], scope: Scope) -> dict[str, dict[str, Any]]:
    """Plain variables; what the card says of a single member is added to what it says of all."""
    plain: dict[str, dict[str, Any]] = {}
    for name, keys in card["variables"].items():
        if name not in scope.over:
            plain[name] = plain.get(name, {}) | dict(keys)
            continue
        index = scope.indices[scope.over[name]]
        kept = {k: v for k, v in keys.items() if k not in ("over", "simplex")}
        if keys.get("simplex"):
            kept.setdefault("from", 0)  # a mixture may leave a member out
        columns = columns_of(card, scope, name)
        for member, column in zip(index.members, columns, strict=True):
            about = f"{keys['about']} ({member})" if keys.get("about") else ""
            of_all = {**kept, "column": column, "about": about}
            plain[index.named(name, member)] = of_all | plain.get(index.named(name, member), {})
    return plain


def _parameters(card: Mapping[str, Any], scope: Scope) -> WrittenOut:
    """Plain parameters, tied ones among the definitions, overrides of single members applied."""
    out = WrittenOut()
    overrides: dict[str, Mapping[str, Any]] = {}
    generated: set[str] = set()
    for name, keys in card["parameters"].items():
        if "equals" in keys:
            continue
        if name in scope.over:
            one = write_out_parameter(name, keys, scope.indices[scope.over[name]])
            generated |= set(one.parameters)
            out.parameters.update(one.parameters)
            out.where.update(one.where)
            out.member.update(one.member)
        elif name in generated or name in _generated_later(card, scope, name):
            overrides[name] = keys
        else:
            out.parameters[name] = dict(keys)
    for name in _in_order(definitions(card)):
        known = [n for n in (*card["variables"], *card["parameters"]) if n != name]
        out.where.update(_definition(name, card["parameters"][name], scope, known))
    for name, keys in overrides.items():
        out.parameters[name] = out.parameters[name] | dict(keys)
    for name in generated & set(definitions(card)):  # a single member that equals something
        del out.parameters[name]
    return out


def _in_order(texts: Mapping[str, str]) -> list[str]:
    """Definitions, each after those that it uses."""
    uses = {}
    for name, text in texts.items():
        with placed(f"parameters.{name}.equals"):
            uses[name] = set(Expression.parse(text).names) & set(texts)
    try:
        return list(TopologicalSorter(uses).static_order())
    except CycleError as error:
        names = " = ".join(reversed(error.args[1]))
        raise LawError(f"parameters that equal each other in a circle: {names}") from None


def _generated_later(card: Mapping[str, Any], scope: Scope, name: str) -> set[str]:
    """Whether an indexed parameter, wherever it stands, is written out under this name."""
    return {
        plain
        for base, keys in card["parameters"].items()
        if base in scope.over and "equals" not in keys and name.startswith(f"{base}_")
        for plain in write_out_parameter(base, keys, scope.indices[scope.over[base]]).parameters
    }


def _definition(
    name: str, keys: Mapping[str, Any], scope: Scope, known: Collection[str]
) -> dict[str, str]:
    """A parameter that equals a number or an expression: no parameter, but a definition."""
    place = f"parameters.{name}.equals"
    extra = [k for k in keys if k not in ("equals", "about", "why", "over")]
    if extra:
        raise LawError(f"{place}: what equals something else has no {', '.join(extra)}")
    return _written_where(name, str(keys["equals"]), scope, known, place)


def _written_where(
    name: str, text: str, scope: Scope, known: Collection[str], place: str
) -> dict[str, str]:
    """Write a definition out: one, or one a member where it depends on an index."""
    with placed(place):
        index = scope.index_of(scope.parse(text, known), text) or scope.over.get(name)
        if index is None:
            return {name: scope.written(text, known)}
        scope.over[name] = index
        members = scope.indices[index].members
        return {
            scope.indices[index].named(name, m): scope.written(text, known, {index: m})
            for m in members
        }


def _where(card: Mapping[str, Any], scope: Scope, known: Collection[str]) -> dict[str, str]:
    where: dict[str, str] = {}
    for name, text in card.get("where", {}).items():
        if name in (*card["variables"], *card["parameters"]):
            raise LawError(f"where.{name}: {name!r} is already a variable or a parameter")
        if name in scope.indices:
            raise LawError(f"where.{name}: {name!r} is already an index")
        above = list(card["where"])[: list(card["where"]).index(name)]
        where |= _written_where(name, text, scope, [*known, *above], f"where.{name}")
    return where


def _share(
    name: str, keys: dict[str, Any], scope: Scope, known: Collection[str], member: str | None
) -> dict[str, Any]:
    """A plain parameter's table, its share written out about its own member."""
    if not isinstance(keys.get("share"), str):
        return keys
    own = [n for n in scope.over if member and name == f"{n}_{member}"]
    at = {scope.over[own[0]]: member} if own and member else {}
    with placed(f"parameters.{name}.share"):
        return keys | {"share": scope.written(keys["share"], known, at)}


def _solve(
    name: str, keys: Mapping[str, Any], scope: Scope, known: Collection[str]
) -> dict[str, Any]:
    texts = dict(keys)
    with placed(f"solve.{name}"):
        if isinstance(keys.get("zero"), str):
            texts["zero"] = scope.written(keys["zero"], known)
        if all(isinstance(b, str) for b in keys.get("between", [])):
            texts["between"] = [scope.written(b, known) for b in keys.get("between", [])]
    return texts


def _pairs(pair: Any, scope: Scope, parameters: Collection[str]) -> list[Any]:
    """A pair of indexed parameters is a pair for each member that has both."""
    indices = {scope.over.get(n) for n in pair} if isinstance(pair, list) else {None}
    index = indices.pop() if len(indices) == 1 else None
    if index is None:
        return [pair]
    members = scope.indices[index].members
    pairs = [[scope.indices[index].named(str(n), m) for n in pair] for m in members]
    return [p for p in pairs if set(p) <= set(parameters)] or [pair]


def _refuse_taken(card: Mapping[str, Any], scope: Scope, *tables: Mapping[str, Any]) -> None:
    """Refuse a card in which a written-out name has another meaning, too."""
    names = [name for table in tables for name in table]
    for name in names:
        if names.count(name) > 1 or (name in scope.over and name in names):
            raise LawError(
                f"{name!r} has two meanings once the indices are written out; rename one"
            )
        if name in scope.indices:
            raise LawError(f"{name!r} is an index and also a name")
