"""Formula text to a checked expression, evaluated by walking its tree.

`bayescale.grammar` reads the text; here the tree is walked with numpy or jax.numpy, folded,
asked in which names it is linear, and written as text. Nothing is executed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from bayescale.errors import FormulaError
from bayescale.functions import FUNCTIONS
from bayescale.grammar import (
    MAX_LENGTH,
    PRECEDENCE,
    SIGN,
    Binary,
    Call,
    Fold,
    Minus,
    Name,
    Node,
    Number,
    Parser,
    Solve,
    bound,
    children,
)
from bayescale.latex import latex_of
from bayescale.roots import root

LEAST = float(np.finfo(float).tiny)  # of a base: the derivatives are numbers at zero, too
MAX_NODES = 20_000  # of a formula, everything written out


def _walk(node: Node, env: Mapping[str, Any], xp: ModuleType) -> Any:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return env[node.id]
    if isinstance(node, Minus):
        return -_walk(node.operand, env, xp)
    if isinstance(node, Call):
        arguments = (_walk(a, env, xp) for a in node.arguments)
        return FUNCTIONS[node.function].compute(xp, *arguments)
    if isinstance(node, Solve):
        return _solved(node, env, xp)
    if isinstance(node, Fold):
        raise FormulaError("a sum over an index has no value before it is written out")
    if (log := _log_of_power(node, env, xp)) is not None:
        return xp.exp(log)
    left = _walk(node.left, env, xp)
    if node.symbol == "/" and (log := _log_of_power(node.right, env, xp)) is not None:
        return left * xp.exp(-log)
    right = _walk(node.right, env, xp)
    if node.symbol == "**":
        return _power(left, right, xp)
    return _OPERATIONS[node.symbol](left, right)


def _solved(node: Solve, env: Mapping[str, Any], xp: ModuleType) -> Any:
    """The root, all that the equation depends on handed to the solver by name."""
    used = {name for name in _names(node.equation) if name != node.unknown}
    inputs = {k: v for k, v in env.items() if k in used or k in {log_name(n) for n in used}}

    def equation(y: Any, inputs: Mapping[str, Any]) -> Any:
        return _walk(node.equation, {**inputs, node.unknown: y}, xp)

    low, high = _walk(node.low, env, xp), _walk(node.high, env, xp)
    return root(equation, low, high, xp, inputs)


def _log_of_power(node: Node, env: Mapping[str, Any], xp: ModuleType) -> Any:
    """The logarithm of a power of a name whose own logarithm is at hand; else None."""
    if not (isinstance(node, Binary) and node.symbol == "**" and isinstance(node.left, Name)):
        return None
    known = env.get(log_name(node.left.id))
    return None if known is None else _walk(node.right, env, xp) * known


def log_name(name: str) -> str:
    """Key under which an environment may hold a name's logarithm, so that powers of it are exps."""
    return f"log {name}"


def _power(base: Any, exponent: Any, xp: ModuleType) -> Any:
    if isinstance(exponent, float):
        if exponent in (2.0, 3.0, -1.0, -2.0):
            exponent = int(exponent)  # an exact product, with finite derivatives at zero
        return base**exponent
    if xp is np:
        return base**exponent
    # Compiled, a power takes several times as long as the logarithm and exponential it is made of.
    known = xp.where(base >= 0.0, xp.maximum(base, LEAST), np.nan)
    return xp.exp(exponent * xp.log(known))


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.id
    inside = bound(node)
    for child in children(node):
        yield from (name for name in _names(child) if name not in inside)


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return the same node with `change` applied to its children."""
    if isinstance(node, Minus):
        return Minus(change(node.operand), node.position)
    if isinstance(node, Binary):
        return Binary(node.symbol, change(node.left), change(node.right), node.position)
    if isinstance(node, Call):
        keywords = tuple((key, change(value)) for key, value in node.keywords)
        return Call(node.function, tuple(map(change, node.arguments)), node.position, keywords)
    if isinstance(node, Solve):
        parts = map(change, (node.equation, node.low, node.high))
        return Solve(node.unknown, *parts, node.position)
    if isinstance(node, Fold):
        return Fold(node.function, node.index, change(node.body), node.position)
    return node


def size(node: Node, sizes: Mapping[str, int] | None = None) -> int:
    """Count the nodes of a tree, names in `sizes` as so many."""
    if isinstance(node, Name):
        return (sizes or {}).get(node.id, 1)
    return 1 + sum(size(child, sizes) for child in children(node))


def _in_floats(node: Node) -> Node:
    """Turn a whole number into a float, so that powers overflow instead of growing without end."""
    return Number(np.float64(node.value)) if isinstance(node, Number) else node


def folded(node: Node, text: str) -> Node:
    """Replace every subtree without names by its value, in floats (9**9**9 can't hang).

    Raises
    ------
    FormulaError
        Where such a value is not finite.
    """
    node = rebuilt(node, lambda child: folded(child, text))
    if isinstance(node, Number | Name | Solve) or not all(
        isinstance(c, Number) for c in children(node)
    ):
        return node
    with np.errstate(all="ignore"):
        exact = rebuilt(node, _in_floats)
        value = float(_walk(exact, {}, np))
    if not np.isfinite(value):
        raise FormulaError("this is not a finite number", text, node.position)
    return Number(value, node.position)


def constant(node: Node, text: str) -> float:
    """Return the value of a tree without names."""
    name = next(_names(node), None)
    if name is not None:
        raise FormulaError(f"a number is needed here, not {name!r}", text, node.position)
    result = folded(node, text)
    assert isinstance(result, Number)
    return result.value


def _degree(node: Node, names: Collection[str]) -> int:
    """0: free of the names; 1: affine in them jointly; 2: neither."""
    if isinstance(node, Name):
        return int(node.id in names)
    degrees = [_degree(child, names) for child in children(node)]
    highest = max(degrees, default=0)
    if highest != 1 or isinstance(node, Minus):
        return highest
    if isinstance(node, Binary):
        left, right = degrees
        if node.symbol in "+-":
            return 1
        if node.symbol == "*" and left + right == 1:
            return 1
        if node.symbol == "/" and right == 0:
            return 1
    return 2


def unparsed(node: Node, outer: int = 0) -> str:
    """Write a tree as formula text, with the brackets that it needs."""
    if isinstance(node, Number):
        text = f"{node.value:.15g}"
        return text if float(text) == node.value else repr(float(node.value))
    if isinstance(node, Name):
        return node.id
    if isinstance(node, Call):
        return f"{node.function}({', '.join(unparsed(a) for a in node.arguments)})"
    if isinstance(node, Solve):
        return node.unknown
    if isinstance(node, Fold):
        return f"{node.function}({node.index}, {unparsed(node.body)})"
    if isinstance(node, Minus):
        inner, level = f"-{unparsed(node.operand, SIGN)}", SIGN
    else:
        level = PRECEDENCE[node.symbol]
        gap = "" if node.symbol == "**" else " "
        sides = (level + 1, SIGN) if node.symbol == "**" else (level, level + 1)
        inner = gap.join(
            (unparsed(node.left, sides[0]), node.symbol, unparsed(node.right, sides[1]))
        )
    return f"({inner})" if level < outer else inner


# --- what others use --------------------------------------------------------------------------


@dataclass(frozen=True)
class Expression:
    r"""A checked arithmetic expression, evaluated by walking its tree.

    Attributes
    ----------
    text : str
        The formula as written.
    names : tuple of str
        The names in it, in order of appearance.

    Examples
    --------
    >>> law = Expression.parse("E + A / N**alpha")
    >>> law.names
    ('E', 'A', 'N', 'alpha')
    >>> round(float(law({"E": 1.7, "A": 400.0, "alpha": 0.34, "N": 1e9})), 4)
    2.0484
    >>> law.linear_in(["E", "A"]), law.linear_in(["A", "N"])
    (True, False)
    >>> law.latex()
    'E + \\frac{A}{N^{\\alpha}}'
    """

    text: str
    tree: Node
    names: tuple[str, ...]
    program: Node

    @classmethod
    def parse(
        cls, text: str, allowed: Collection[str] | None = None, limit: int = MAX_LENGTH
    ) -> Expression:
        """Read a formula.

        Parameters
        ----------
        text : str
            Numbers, names, + - * / **, brackets, and the functions of `functions.FUNCTIONS`. At
            most 2000 characters, 60 levels of nesting.
        allowed : Collection of str, optional
            The names that may appear; any when None.
        limit : int
            The longest text that is read.

        Raises
        ------
        FormulaError
            With the position of the fault and what to write instead.
        """
        tree = Parser(text, allowed=allowed, limit=limit).whole()
        return cls._of(text, tree)

    @classmethod
    def _of(cls, text: str, tree: Node) -> Expression:
        return cls(text, tree, tuple(dict.fromkeys(_names(tree))), folded(tree, text))

    @classmethod
    def solution(
        cls, unknown: str, zero: Expression, low: Expression, high: Expression
    ) -> Expression:
        """The value of `unknown` between `low` and `high` at which `zero` is zero."""
        tree = Solve(unknown, zero.tree, low.tree, high.tree)
        return cls._of(unknown, tree)

    def __call__(self, env: Mapping[str, Any], xp: ModuleType = np) -> Any:
        """Evaluate with arrays for names, which broadcast as numpy has it.

        Parameters
        ----------
        env : Mapping of str to array
            A value for every one of `names`; more are ignored.
        xp : module
            numpy (computed in float64, infinities and NaN without a warning) or jax.numpy
            (traceable and differentiable).
        """
        missing = [name for name in self.names if name not in env]
        if missing:
            raise FormulaError(f"no value was given for {', '.join(missing)}", self.text)
        if xp is not np:
            return _walk(self.program, env, xp)
        known = [*self.names, *(log_name(n) for n in self.names if log_name(n) in env)]
        values = {name: np.asarray(env[name], dtype=np.float64) for name in known}
        with np.errstate(all="ignore"):
            return np.asarray(_walk(self.program, values, np), dtype=np.float64)

    def linear_in(self, names: Collection[str]) -> bool:
        """Whether the expression is affine in these names jointly, by its structure alone."""
        return _degree(self.program, names) <= 1

    def substitute(self, definitions: Mapping[str, Expression]) -> Expression:
        """Replace names by expressions (a card's `where`); the text is written anew.

        Raises
        ------
        FormulaError
            Where the result would have more than 20,000 operations and names.
        """
        used = {name: size(definitions[name].tree) for name in self.names if name in definitions}
        if not used:
            return self
        if size(self.tree, used) > MAX_NODES:
            raise FormulaError(
                f"written out, this has more than {MAX_NODES} operations and names", self.text, 0
            )

        def replaced(node: Node) -> Node:
            if isinstance(node, Name):
                return definitions[node.id].tree if node.id in definitions else node
            return rebuilt(node, replaced)

        tree = replaced(self.tree)
        return Expression._of(unparsed(tree), tree)

    def latex(self, symbols: Mapping[str, str] | None = None) -> str:
        """Write the expression in LaTeX; `symbols` overrides how single names are set."""
        return latex_of(self.tree, symbols or {})
