"""Parameters with a value for each member of an index: plain, ordered, or shares of a whole.

Each kind is written out as plain parameters with priors of their own, and as definitions that
lead from those to the names that the formula uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bayescale.elements import number
from bayescale.errors import FormulaError, LawError, placed
from bayescale.formula import constant
from bayescale.grammar import FUNCTIONS, Call, Parser
from bayescale.indices import Index
from bayescale.priors import FAMILIES, Prior

OWN = ("over", "first", "last", "ordered", "step", "simplex")  # keys that end here
STEPS = {"ratio": ("*", 1.0), "difference": ("+", 0.0)}


@dataclass(frozen=True)
class WrittenOut:
    """One indexed parameter in plain terms.

    Attributes
    ----------
    parameters : dict of str to dict
        Plain parameters with the keys of their tables.
    where : dict of str to str
        Definitions, in an order in which each uses only what is above it.
    member : dict of str to str
        Of a plain parameter, the member whose value its share is about.
    """

    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    member: dict[str, str] = field(default_factory=dict)


def write_out_parameter(name: str, keys: Mapping[str, Any], index: Index) -> WrittenOut:
    """Write an indexed parameter out as plain ones.

    Parameters
    ----------
    name : str
    keys : Mapping
        Its table in the card.
    index : Index

    Raises
    ------
    LawError, FormulaError
        For keys that contradict each other, or a prior that can't keep the promise.

    Examples
    --------
    >>> index = Index.read("domain", ["web", "code"])
    >>> out = write_out_parameter("w", {"prior": "Dirichlet(1)", "simplex": True}, index)
    >>> out.where
    {'w_web': 'w_part_web', 'w_code': '1 - w_part_web'}
    """
    special = [key for key in ("ordered", "simplex") if keys.get(key)]
    fixed = [key for key in ("first", "last") if key in keys]
    if len(special) > 1 or (special and fixed) or len(fixed) > 1:
        raise LawError(f"parameters.{name}: {' and '.join(special + fixed)} don't go together")
    if "step" in keys and not keys.get("ordered"):
        raise LawError(f"parameters.{name}.step goes with ordered = 'ratio' or 'difference'")
    if keys.get("simplex"):
        return _simplex(name, keys, index)
    if keys.get("ordered"):
        return _ordered(name, keys, index)
    return _plain(name, keys, index)


def _table(keys: Mapping[str, Any], member: str, **changed: Any) -> dict[str, Any]:
    table = {key: value for key, value in keys.items() if key not in OWN} | changed
    if table.get("about"):
        table["about"] = f"{table['about']} ({member})"
    return table


def _fixed(keys: Mapping[str, Any], index: Index) -> str:
    """The member whose value the card states."""
    return {"first": index.members[0], "last": index.members[-1]}.get(
        next((key for key in ("first", "last") if key in keys), ""), ""
    )


def _plain(name: str, keys: Mapping[str, Any], index: Index) -> WrittenOut:
    out, fixed = WrittenOut(), _fixed(keys, index)
    for member in index.members:
        plain = index.named(name, member)
        if member == fixed:
            stated = keys.get("first", keys.get("last"))
            out.where[plain] = f"{number(stated, f'parameters.{name}'):.17g}"
        else:
            out.parameters[plain] = _table(keys, member)
            out.member[plain] = member
    return out


def _ordered(name: str, keys: Mapping[str, Any], index: Index) -> WrittenOut:
    place = f"parameters.{name}"
    if "step" not in keys:
        raise LawError(f'{place} is ordered: give the prior of each step as step = "..."')
    symbol, least = STEPS[keys["ordered"]]
    with placed(f"{place}.step"):
        low = Prior.parse(keys["step"]).support[0]
    if low < least:
        raise LawError(
            f"{place}.step: {keys['step']} reaches below {least:g}, and so would not keep the "
            f"order; write {least:g} + LogNormal(...)"
        )
    with placed(f"{place}.prior"):
        if symbol == "*" and Prior.parse(keys.get("prior", "")).support[0] < 0:
            raise LawError(f"{place}.prior: only positive values are ordered by their ratios")
    first, *others = index.members
    out = WrittenOut({index.named(name, first): _table(keys, first)})
    out.member[index.named(name, first)] = first
    before = first
    for member in others:
        step = f"{name}_step_{member}"
        about = f"{keys['ordered']} of {index.named(name, member)} to {index.named(name, before)}"
        kept = {k: keys[k] for k in ("why", "varies", "pooling") if k in keys}
        out.parameters[step] = {"prior": keys["step"], "about": about, **kept}
        out.where[index.named(name, member)] = f"{index.named(name, before)} {symbol} {step}"
        before = member
    return out


def _simplex(name: str, keys: Mapping[str, Any], index: Index) -> WrittenOut:
    place = f"parameters.{name}"
    if "share" in keys:
        raise LawError(f"{place} is a simplex: its values are shares of 1 and have no other share")
    weights = _dirichlet(keys.get("prior", ""), place, len(index.members))
    out, left = WrittenOut(), ""
    for i, member in enumerate(index.members[:-1]):
        part = f"{name}_part_{member}"
        about = f"part that {member} takes of what those before it leave"
        prior = f"Beta({weights[i]:.17g}, {sum(weights[i + 1 :]):.17g})"
        out.parameters[part] = _table(keys, member, prior=prior, about=about)
        out.where[index.named(name, member)] = f"{left}{part}"
        left += f"(1 - {part}) * "
    last = left.removesuffix(" * ") or "1"
    out.where[index.named(name, index.members[-1])] = last[1:-1] if left.count("(") == 1 else last
    return out


def _dirichlet(text: str, place: str, size: int) -> list[float]:
    """Read "Dirichlet(1)", or one number a member."""
    with placed(f"{place}.prior"):
        known = (*FUNCTIONS, *FAMILIES, "Dirichlet")
        tree = Parser(text, known, allowed=(), keywords=True).whole()
        if not (isinstance(tree, Call) and tree.function == "Dirichlet" and not tree.keywords):
            raise FormulaError(
                "the prior of a simplex is Dirichlet(1), or one number each", text, 0
            )
        weights = [constant(a, text) for a in tree.arguments]
        if len(weights) not in (1, size) or min(weights) <= 0:
            raise FormulaError(f"Dirichlet takes 1 or {size} numbers above 0", text, 0)
    return weights * (size if len(weights) == 1 else 1)


def published_values(
    name: str, keys: Mapping[str, Any], index: Index, values: Sequence[Any], place: str
) -> dict[str, float]:
    """Turn a published list, one value a member, into the plain parameters' values.

    A member whose value the card states may be left out.
    """
    numbers = [number(v, f"{place}.{name}") for v in values]
    members, fixed = list(index.members), _fixed(keys, index)
    if fixed and len(numbers) == len(members) - 1:
        members.remove(fixed)
    if len(numbers) != len(members):
        raise LawError(f"{place}.{name} needs {len(members)} values: {', '.join(members)}")
    if keys.get("simplex"):
        if abs(sum(numbers) - 1.0) > 1e-6 or min(numbers) <= 0:
            raise LawError(f"{place}.{name}: shares above 0 that add up to 1, not {numbers}")
        left, parts = 1.0, {}
        for member, value in zip(members[:-1], numbers[:-1], strict=True):
            parts[f"{name}_part_{member}"] = value / left
            left -= value
        return parts
    if keys.get("ordered"):
        steps = {index.named(name, members[0]): numbers[0]}
        for before, value, member in zip(numbers, numbers[1:], members[1:], strict=False):
            step = value / before if keys["ordered"] == "ratio" else value - before
            steps[f"{name}_step_{member}"] = step
        return steps
    return {index.named(name, m): v for m, v in zip(members, numbers, strict=True) if m != fixed}
