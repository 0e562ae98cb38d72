"""Cards with indices: the same card in plain names, so that nothing further on knows of indices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bayescale.elements import placed
from bayescale.errors import LawError
from bayescale.grammar import nearest
from bayescale.indexed_parameters import WrittenOut, published_values, write_out_parameter
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
    return tuple(pattern.replace(slot, member) for member in index.members)


def simplexes(card: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns of each simplex variable, which add up to 1 in every row."""
    names = [name for name, keys in card["variables"].items() if keys.get("simplex")]
    scope = read_scope(card) if names else Scope({})
    return {name: columns_of(card, scope, name) for name in names}


def definitions(card: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that equal a number or an expression, and what they equal."""
    tables = card["parameters"].items()
    return {name: str(keys["equals"]) for name, keys in tables if "equals" in keys}


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
            label: {**entry, "values": _values(card, scope, label, entry.get("values", {}))}
            for label, entry in card["published"].items()
        }
    if "checks" in card:
        plain["checks"] = [_check(card, scope, entry) for entry in card["checks"]]
    return plain


def _variables(card: Mapping[str, Any], scope: Scope) -> dict[str, dict[str, Any]]:
    plain: dict[str, dict[str, Any]] = {}
    for name, keys in card["variables"].items():
        if name not in scope.over:
            plain[name] = dict(keys)
            continue
        index = scope.indices[scope.over[name]]
        kept = {k: v for k, v in keys.items() if k not in ("over", "simplex")}
        columns = columns_of(card, scope, name)
        for member, column in zip(index.members, columns, strict=True):
            about = f"{keys['about']} ({member})" if keys.get("about") else ""
            plain[index.named(name, member)] = {**kept, "column": column, "about": about}
    return plain


def _parameters(card: Mapping[str, Any], scope: Scope) -> WrittenOut:
    """Plain parameters, tied ones among the definitions, overrides of single members applied."""
    out = WrittenOut()
    overrides: dict[str, Mapping[str, Any]] = {}
    generated: set[str] = set()
    for name, keys in card["parameters"].items():
        if "equals" in keys:
            known = [n for n in (*card["variables"], *card["parameters"]) if n != name]
            out.where.update(_definition(name, keys, scope, known))
        elif name in scope.over:
            one = write_out_parameter(name, keys, scope.indices[scope.over[name]])
            generated |= set(one.parameters)
            out.parameters.update(one.parameters)
            out.where.update(one.where)
            out.member.update(one.member)
        elif name in generated or name in _generated_later(card, scope, name):
            overrides[name] = keys
        else:
            out.parameters[name] = dict(keys)
    for name, keys in overrides.items():
        out.parameters[name] = out.parameters[name] | dict(keys)
    for name in generated & set(definitions(card)):  # a single member that equals something
        del out.parameters[name]
    return out


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


def _values(
    card: Mapping[str, Any], scope: Scope, label: str, values: Mapping[str, Any]
) -> dict[str, Any]:
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


def _check(card: Mapping[str, Any], scope: Scope, entry: Mapping[str, Any]) -> dict[str, Any]:
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
