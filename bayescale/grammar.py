"""The grammar of every text that users write: tokens, kinds of node, one parser.

Formulas, priors and conditions are cut into the same tokens (ASCII numbers, names, quotations,
operators); formulas and priors share the arithmetic. Nothing is executed: what has no meaning
here is a `FormulaError` with a caret under it.
"""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn

from bayescale import functions
from bayescale.errors import FormulaError

FUNCTIONS: dict[str, int] = {name: f.arity for name, f in functions.FUNCTIONS.items()}
FOLDS = {"sum": "+", "product": "*"}  # over the members of an index
MAX_LENGTH = 2000
MAX_WRITTEN = 100_000  # of a text that indices were written out in
MAX_DEPTH = 60  # of brackets, signs and powers
MAX_HEIGHT = 100  # of the tree: walking it must stay far from Python's recursion limit

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<text>'[^'\n]*'|\"[^\"\n]*\")"
    r"|(?P<symbol>\*\*|//|<=|>=|==|!=|[-+*/(),<>=|])",
    re.ASCII,  # or \d takes any script's digits
)
_LOOKALIKES = {"−": "-", "–": "-", "—": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/"}  # noqa: RUF001
_REFUSED = {
    "^": "powers are written **, not ^",
    ".": "a dot has no meaning here: only numbers have one, and nothing has attributes",
    "[": "square brackets have no meaning here; group with ( )",
    "{": "curly brackets have no meaning here; group with ( )",
    ":": "a colon has no meaning here",
    "%": "% has no meaning here",
    "@": "@ has no meaning here",
    "&": "& has no meaning here",
    "!": "! has no meaning here",
    "'": "this quotation is not closed",
    '"': "this quotation is not closed",
}


def nearest(name: str, known: Collection[str]) -> str:
    """Say what was probably meant: " Did you mean 'alpha'?", or nothing.

    Examples
    --------
    >>> nearest("aplha", ["alpha", "beta"])
    " Did you mean 'alpha'?"
    """
    lowered = {k.lower(): k for k in known}
    match = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean '{lowered[match[0]]}'?" if match else ""


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a text: its kind (number, name, text, symbol, end), itself, its position."""

    kind: str
    text: str
    position: int


def tokens(text: str, limit: int = MAX_LENGTH) -> tuple[Token, ...]:
    """Cut a text into tokens, up to the first character that has no meaning (kind "bad").

    Raises
    ------
    FormulaError
        For something that is not a text, or is longer than `limit` characters.
    """
    if not isinstance(text, str):
        raise FormulaError(f"expected a text, got {type(text).__name__}")
    if len(text) > limit:
        raise FormulaError(f"the text has {len(text)} characters; at most {limit} are read")
    return tuple(_cut(text))


def _cut(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            yield Token("bad", text[position], position)  # refused when the reader gets there
            break
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), match.group(), position)
        position = match.end()
    yield Token("end", "", len(text))


def why_refused(character: str) -> str:
    """Say why a character has no meaning, and what to write instead."""
    if character in _LOOKALIKES:
        return f"this is not an ASCII sign; write {_LOOKALIKES[character]}"
    if ord(character) > 126 or ord(character) < 32:
        return f"only plain ASCII is read, not {character!a}; write Greek letters out (alpha)"
    return _REFUSED.get(character, f"{character!r} has no meaning here")


# --- the tree ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float
    position: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or parameter."""

    id: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Minus:
    """A sign."""

    operand: Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Binary:
    """One of + - * / ** between two operands."""

    symbol: str
    left: Node
    right: Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A whitelisted function of its arguments (keywords only in priors)."""

    function: str
    arguments: tuple[Node, ...]
    position: int = 0
    keywords: tuple[tuple[str, Node], ...] = ()


@dataclass(frozen=True, slots=True)
class Solve:
    """The value of `unknown` between two bounds at which `equation` is zero."""

    unknown: str
    equation: Node
    low: Node
    high: Node
    position: int = 0


@dataclass(frozen=True, slots=True)
class Fold:
    """A sum or a product of `body` over the members of an index; `indices` writes it out."""

    function: str
    index: str
    body: Node
    position: int = 0


Node = Number | Name | Minus | Binary | Call | Solve | Fold


def bound(node: Node) -> tuple[str, ...]:
    """Names that mean something only inside a node."""
    return (node.unknown,) if isinstance(node, Solve) else ()


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below a node, left to right."""
    if isinstance(node, Solve):
        return (node.equation, node.low, node.high)
    if isinstance(node, Minus):
        return (node.operand,)
    if isinstance(node, Fold):
        return (node.body,)
    if isinstance(node, Binary):
        return (node.left, node.right)
    if isinstance(node, Call):
        return node.arguments + tuple(value for _, value in node.keywords)
    return ()


def _height(tree: Node) -> int:
    height, level = 0, [tree]
    while level:
        height, level = height + 1, [child for node in level for child in children(node)]
    return height


ADD, MULTIPLY, SIGN, POWER = 1, 2, 3, 4
PRECEDENCE = {"+": ADD, "-": ADD, "*": MULTIPLY, "/": MULTIPLY, "**": POWER}


class Parser:
    """Read one arithmetic text by precedence climbing; other readers build on it.

    Parameters
    ----------
    text : str
    functions : Collection of str
        The names that may be called.
    allowed : Collection of str, optional
        The names that may stand alone; any ASCII name when None.
    keywords : bool
        Whether calls may have named arguments (priors do, formulas do not).
    indices : Collection of str
        The indices that sums and products may run over.
    limit : int
        The longest text that is read.
    """

    def __init__(
        self,
        text: str,
        functions: Collection[str] = tuple(FUNCTIONS),
        allowed: Collection[str] | None = None,
        keywords: bool = False,
        indices: Collection[str] = (),
        limit: int = MAX_LENGTH,
    ) -> None:
        self.text = text
        self.tokens = tokens(text, limit)
        self.indices = indices
        self.functions = functions
        self.allowed = allowed
        self.keywords = keywords
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.at]

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        """Raise a FormulaError with a caret at `position` (default: at the next token)."""
        where = self.token.position if position is None else position
        raise FormulaError(message, self.text, where)

    def take(self) -> Token:
        """Return the next token and step over it."""
        token = self.token
        self.at += token.kind != "end"
        return token

    def accept(self, symbol: str) -> bool:
        """Step over `symbol` if it comes next."""
        found = self.token.kind == "symbol" and self.token.text == symbol
        self.at += found
        return found

    def whole(self) -> Node:
        """Read the whole text as one expression."""
        if self.token.kind == "end":
            self.fail("the text is empty; write an expression such as E + A / N**alpha")
        tree = self.expression()
        if self.token.kind != "end":
            self._refuse_rest()
        if _height(tree) > MAX_HEIGHT:
            self.fail(f"the formula is too long: more than {MAX_HEIGHT} operations in a chain", 0)
        return tree

    def _refuse_rest(self) -> NoReturn:
        token = self.token
        if token.kind == "bad":
            self.fail(why_refused(token.text))
        if token.text == ")":
            self.fail("this bracket was never opened")
        if token.text in ("<", ">", "<=", ">=", "==", "!=", "="):
            self.fail(f"a formula has no comparisons or assignments ({token.text})")
        if token.text == "//":
            self.fail("division is written /")
        if token.kind in ("number", "name") or token.text == "(":
            self.fail("an operator is missing here (products are written with *)")
        self.fail(f"{token.text!r} was not expected here")

    def expression(self, floor: int = 0) -> Node:
        """Read operators that bind more tightly than `floor`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep")
        left = self._operand()
        while self.token.kind == "symbol" and PRECEDENCE.get(self.token.text, -1) > floor:
            token = self.take()
            level = PRECEDENCE[token.text]
            if level == POWER:  # to the right, and a sign may stand in the exponent: 2**-3**2
                right = self.expression(SIGN - 1)
            else:
                right = self.expression(level)
            left = Binary(token.text, left, right, token.position)
        self.depth -= 1
        return left

    def _operand(self) -> Node:
        token = self.take()
        if token.kind == "symbol" and token.text in "+-":
            # a power binds more tightly than a sign to its left: -x**2 is -(x**2)
            operand = self.expression(SIGN)
            return Minus(operand, token.position) if token.text == "-" else operand
        if token.kind == "number":
            return self._number(token)
        if token.kind == "name":
            return self._name(token)
        if token.text == "(":
            inner = self.expression()
            self._close(token.position)
            return inner
        if token.kind == "bad":
            self.fail(why_refused(token.text), token.position)
        if token.kind == "end":
            self.fail("the text ends here; a number, a name or a bracket is missing")
        if token.kind == "text":
            self.fail("quoted text has no meaning here", token.position)
        self.fail(f"{token.text!r} was not expected; a number or a name is missing", token.position)

    def _close(self, opened: int) -> None:
        if self.accept(")"):
            return
        if self.token.kind == "end":
            self.fail("this bracket is never closed", opened)
        self._refuse_rest()

    def _number(self, token: Token) -> Number:
        value = float(token.text)
        if not math.isfinite(value):
            self.fail("this number is too large for a float", token.position)
        if self.token.kind == "name" and self.token.position == token.position + len(token.text):
            if self.token.text.startswith("_"):
                self.fail("numbers are written without _ (1e6, not 1_000_000)")
            self.fail("an operator is missing here (products are written with *)")
        return Number(value, token.position)

    def _name(self, token: Token) -> Node:
        name = token.text
        if keyword.iskeyword(name) or name in ("None", "True", "False"):
            instead = "lam" if name == "lambda" else f"{name}_"
            self.fail(
                f"{name!r} is a Python keyword and can't be a name here; call it {instead}",
                token.position,
            )
        if name.startswith("_"):
            self.fail("names begin with a letter, not with _", token.position)
        if self.token.text == "(" and self.token.kind == "symbol":
            return self._call(token)
        if name in self.functions:
            self.fail(f"{name} is a function: write {name}(...)", token.position)
        if self.allowed is not None and name not in self.allowed:
            if not self.allowed:
                self.fail(f"a number is needed here, not {name!r}", token.position)
            known = ", ".join(sorted(self.allowed))
            guess = nearest(name, self.allowed)
            self.fail(f"unknown name {name!r}.{guess} Known names: {known}", token.position)
        return Name(name, token.position)

    def _fold(self, token: Token) -> Fold:
        opened = self.take().position
        index = self.take()
        if index.kind != "name" or index.text not in self.indices:
            known = f"indices of this card: {', '.join(self.indices) or 'none'}"
            self.fail(
                f"{token.text} runs over an index, as in {token.text}(domain, t * r); {known}",
                index.position,
            )
        if not self.accept(","):
            self.fail(f"what to take the {token.text} of is missing, after a comma")
        body = self.expression()
        self._close(opened)
        return Fold(token.text, index.text, body, token.position)

    def _call(self, token: Token) -> Node:
        name = token.text
        if name in FOLDS and name not in (self.allowed or ()) and not self.keywords:
            return self._fold(token)
        if name not in self.functions:
            if self.allowed is not None and name in self.allowed:
                self.fail(f"{name} is not a function; write {name} * (...)", token.position)
            self.fail(
                f"unknown function {name!r}.{nearest(name, self.functions)} "
                f"Functions: {', '.join(self.functions)}",
                token.position,
            )
        opened = self.take().position
        arguments: list[Node] = []
        named: list[tuple[str, Node]] = []
        while not self.accept(")"):
            if (arguments or named) and not self.accept(","):
                self._close(opened)
                break
            following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            if self.keywords and self.token.kind == "name" and following.text == "=":
                key = self.take().text
                self.take()
                named.append((key, self.expression()))
            else:
                if named:
                    self.fail("arguments without a name come before those with one")
                arguments.append(self.expression())
        expected = FUNCTIONS.get(name)
        if expected is not None and len(arguments) != expected:
            self.fail(
                f"{name} takes {expected} argument{'s' * (expected > 1)}, not {len(arguments)}",
                token.position,
            )
        return Call(name, tuple(arguments), token.position, tuple(named))
