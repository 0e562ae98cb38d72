"""Indices: names that stand for one value a member, and sums and products over the members.

A card may say ``[index] domain = ["web", "code"]``; a name that is `over` an index then has one
value a member, and ``sum(domain, t * r)`` is ``t_web * r_web + t_code * r_code``. All of it is
written out as plain names before anything is computed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayescale.errors import FormulaError, LawError
from bayescale.formula import MAX_NODES, rebuilt, size, unparsed
from bayescale.grammar import FOLDS, Binary, Fold, Name, Node, Number, Parser, children

MAX_MEMBERS = 64


@dataclass(frozen=True)
class Index:
    """An index and its members.

    Attributes
    ----------
    name : str
    members : tuple of str
        In their order; "1", "2", ... where only their number is given.
    counted : bool
        Whether the members are numbers, which a formula may use as such.
    """

    name: str
    members: tuple[str, ...]
    counted: bool = False

    @classmethod
    def read(cls, name: str, given: Any) -> Index:
        """Read ``["web", "code"]`` or a number of members.

        Raises
        ------
        LawError
            For names that no member can have, or more than 64 of them.

        Examples
        --------
        >>> Index.read("domain", ["web", "code"]).members, Index.read("epoch", 3).members
        (('web', 'code'), ('1', '2', '3'))
        """
        counted = isinstance(given, int) and not isinstance(given, bool)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise LawError(f"index.{name}: an index is named by letters, digits and _")
        if counted and 0 < given <= MAX_MEMBERS:
            return cls(name, tuple(str(i) for i in range(1, given + 1)), True)
        members = given if isinstance(given, list | tuple) else []
        for member in members:
            if not (isinstance(member, str) and re.fullmatch(r"[A-Za-z0-9_]+", member)):
                raise LawError(
                    f"index.{name}: {member!r} can't be a member; its name is part of others, "
                    "so it has letters, digits and _ only, as in 'common_crawl'"
                )
        if len(set(members)) < len(members):
            raise LawError(f"index.{name}: a member is named twice")
        if not 0 < len(members) <= MAX_MEMBERS:
            raise LawError(
                f"index.{name} is a list of 1 to {MAX_MEMBERS} names, or how many there are, "
                f"not {given!r}"
            )
        return cls(name, tuple(members))

    def named(self, name: str, member: str) -> str:
        """Name the value that a name has for one member."""
        return f"{name}_{member}"

    def all(self, name: str) -> tuple[str, ...]:
        """Name all values that a name has."""
        return tuple(self.named(name, member) for member in self.members)


@dataclass(frozen=True)
class Scope:
    """What is indexed in a card, and how texts are read and written out under it.

    Attributes
    ----------
    indices : Mapping of str to Index
    over : dict of str to str
        Indexed name -> its index.

    Examples
    --------
    >>> scope = Scope({"d": Index.read("d", ["web", "code"])}, {"t": "d", "r": "d"})
    >>> scope.written("k * exp(sum(d, t * r))", ["k", "t", "r"])
    'k * exp(t_web * r_web + t_code * r_code)'
    """

    indices: Mapping[str, Index]
    over: dict[str, str] = field(default_factory=dict)

    def parse(self, text: str, known: Collection[str] | None = None) -> Node:
        """Read a text in which indexed names, sums and products may stand.

        Raises
        ------
        FormulaError
            With a caret: besides what no formula may hold, an index that is no number, or a sum
            of what does not depend on its index.
        """
        single = [n for name, i in self.over.items() for n in self.indices[i].all(name)]
        allowed = None if known is None else [*known, *self.indices, *single]
        tree = Parser(text, allowed=allowed, indices=tuple(self.indices)).whole()
        self._check(tree, text)
        return tree

    def _check(self, node: Node, text: str) -> None:
        if isinstance(node, Name) and node.id in self.indices:
            if not self.indices[node.id].counted:
                raise FormulaError(
                    f"{node.id!r} is an index of names and has no value; sum over it: "
                    f"sum({node.id}, ...)",
                    text,
                    node.position,
                )
        if isinstance(node, Fold) and node.index not in self._free(node.body):
            raise FormulaError(
                f"this does not depend on {node.index}, over which the {node.function} runs",
                text,
                node.position,
            )
        for child in children(node):
            self._check(child, text)

    def _free(self, node: Node) -> dict[str, Name]:
        """Indices on which a tree still depends, each with a name that does."""
        if isinstance(node, Name):
            index = self.over.get(node.id, node.id)
            return {index: node} if index in self.indices else {}
        found: dict[str, Name] = {}
        for child in children(node):
            found = self._free(child) | found
        if isinstance(node, Fold):
            found.pop(node.index, None)
        return found

    def index_of(self, tree: Node, text: str, own: str | None = None) -> str | None:
        """Return the one index that an expression depends on, or None.

        Raises
        ------
        FormulaError
            If it depends on another than `own`, where that is given ("" for none at all), or on
            two.
        """
        free = self._free(tree)
        if own is not None:
            free = {i: n for i, n in free.items() if i != own}
        elif len(free) == 1:
            return next(iter(free))
        for index, name in free.items():
            raise FormulaError(
                f"{name.id!r} has a value for each {index}: take their sum({index}, ...) or "
                f"product({index}, ...)",
                text,
                name.position,
            )
        return own or None

    def written(
        self, text: str, known: Collection[str] | None = None, at: Mapping[str, str] | None = None
    ) -> str:
        """Write a text out in plain names; `at` says of which member indexed names are.

        Raises
        ------
        FormulaError
            As `parse` and `index_of`; or if the result would be too large.
        """
        at = at or {}
        tree = self.parse(text, known)
        self.index_of(tree, text, next(iter(at), ""))
        if self._size(tree) > MAX_NODES:
            raise FormulaError(
                f"written out, this has more than {MAX_NODES} operations and names", text, 0
            )
        return unparsed(self._expanded(tree, at))

    def _size(self, node: Node) -> int:
        if isinstance(node, Fold):
            return len(self.indices[node.index].members) * (1 + self._size(node.body))
        below = children(node)
        return 1 + sum(map(self._size, below)) if below else size(node)

    def _expanded(self, node: Node, at: Mapping[str, str]) -> Node:
        if isinstance(node, Name) and node.id in self.over:
            index = self.indices[self.over[node.id]]
            return Name(index.named(node.id, at[index.name]), node.position)
        if isinstance(node, Name) and node.id in self.indices:
            return Number(float(at[node.id]), node.position)
        if isinstance(node, Fold):
            terms = [
                self._expanded(node.body, {**at, node.index: member})
                for member in self.indices[node.index].members
            ]
            return _balanced(FOLDS[node.function], terms, node.position)
        return rebuilt(node, lambda child: self._expanded(child, at))


def _balanced(symbol: str, terms: list[Node], position: int) -> Node:
    """Join terms in a tree of least height."""
    if len(terms) == 1:
        return terms[0]
    middle = (len(terms) + 1) // 2
    left, right = terms[:middle], terms[middle:]
    if len(terms) <= 8:  # short sums stay readable
        left, right = terms[:-1], terms[-1:]
    sides = (_balanced(symbol, side, position) for side in (left, right))
    return Binary(symbol, *sides, position)
