"""A formula's tree as MathML, which browsers set without fonts or scripts from elsewhere."""

from __future__ import annotations

from html import escape

from bayescale.display.writing import exponential
from bayescale.grammar import (
    MULTIPLY,
    POWER,
    PRECEDENCE,
    SIGN,
    Binary,
    Call,
    Fold,
    Minus,
    Name,
    Node,
    Number,
    Solve,
)

_LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho"
_GREEK: dict[str, str] = {name: chr(0x3B1 + i) for i, name in enumerate(_LETTERS.split())}
_GREEK |= {n: chr(0x3C3 + i) for i, n in enumerate("sigma tau upsilon phi chi psi omega".split())}
_CAPITALS: dict[str, int] = {
    "Gamma": 0x393,
    "Delta": 0x394,
    "Theta": 0x398,
    "Lambda": 0x39B,
    "Xi": 0x39E,
}
_CAPITALS |= {"Pi": 0x3A0, "Sigma": 0x3A3, "Phi": 0x3A6, "Psi": 0x3A8, "Omega": 0x3A9}
_GREEK |= {name: chr(code) for name, code in _CAPITALS.items()} | {
    "lam": "\N{GREEK SMALL LETTER LAMDA}"
}
_CALLS = {"minimum": "min", "maximum": "max"}
_MINUS, _TIMES, _DOT = "\N{MINUS SIGN}", "\N{INVISIBLE TIMES}", "\N{DOT OPERATOR}"
_SUM, _PRODUCT = "\N{N-ARY SUMMATION}", "\N{N-ARY PRODUCT}"


def mathml(left: str, right: Node, where: tuple[tuple[str, Node], ...] = ()) -> str:
    """Set an equation, and below it the sub-expressions that it names.

    Examples
    --------
    >>> from bayescale.formula import Expression
    >>> mathml("loss", Expression.parse("E / 2").tree)[:66]
    '<math display="block"><mrow><mi mathvariant="normal">loss</mi><mo>'
    """
    lines = [(left, right), *where]
    return "".join(
        f'<math display="block"><mrow>{_name(name)}<mo>=</mo>{_set(tree)}</mrow></math>'
        for name, tree in lines
    )


def _name(name: str) -> str:
    head, *below = name.split("_")
    if not below or not head:
        return _word(name if not head else head)
    return f"<msub>{_word(head)}<mrow>{'<mo>,</mo>'.join(map(_word, below))}</mrow></msub>"


def _word(word: str) -> str:
    letter = _GREEK.get(word, word)
    style = "" if len(letter) == 1 else ' mathvariant="normal"'
    return f"<mi{style}>{escape(letter)}</mi>"


def _number(value: float) -> str:
    text = f"{value:.6g}"
    if "e" not in text:
        return f"<mn>{text}</mn>"
    mantissa, power = exponential(value, 6).split("e")
    raised = f"<msup><mn>10</mn><mn>{power.replace('-', _MINUS)}</mn></msup>"
    return raised if mantissa == "1" else f"<mn>{mantissa}</mn><mo>×</mo>{raised}"  # noqa: RUF001


def _bracketed(inner: str) -> str:
    return f'<mrow><mo stretchy="true">(</mo>{inner}<mo stretchy="true">)</mo></mrow>'


def _set(node: Node, outer: int = 0) -> str:
    if isinstance(node, Number):
        text = _number(node.value)
        return _bracketed(text) if "<mo>" in text and outer > MULTIPLY else text
    if isinstance(node, Name):
        return _name(node.id)
    if isinstance(node, Call):
        return _call(node)
    if isinstance(node, Solve):  # its equation is written apart
        return _name(node.unknown)
    if isinstance(node, Fold):
        sign = _SUM if node.function == "sum" else _PRODUCT
        under = f"<munder><mo>{sign}</mo>{_word(node.index)}</munder>"
        level, text = MULTIPLY, f"{under}{_set(node.body, MULTIPLY)}"
    elif isinstance(node, Minus):
        level, text = SIGN, f"<mo>{_MINUS}</mo>{_set(node.operand, SIGN)}"
    else:
        level, text = _binary(node)
    return _bracketed(text) if level < outer else f"<mrow>{text}</mrow>"


def _call(node: Call) -> str:
    inner = "<mo>,</mo>".join(_set(a) for a in node.arguments)
    if node.function == "sqrt":
        return f"<msqrt>{inner}</msqrt>"
    if node.function == "exp":
        return f"<msup><mi>e</mi><mrow>{inner}</mrow></msup>"
    if node.function == "abs":
        return f"<mrow><mo>|</mo>{inner}<mo>|</mo></mrow>"
    if node.function == "log10":
        return f"<mrow><msub><mi>log</mi><mn>10</mn></msub>{_bracketed(inner)}</mrow>"
    name = _CALLS.get(node.function, node.function)
    return f'<mrow><mi mathvariant="normal">{escape(name)}</mi>{_bracketed(inner)}</mrow>'


def _binary(node: Binary) -> tuple[int, str]:
    """The level at which an operation binds, and how it is set."""
    if node.symbol == "/":  # a fraction needs brackets only as the base of a power
        return SIGN, f"<mfrac>{_row(node.left)}{_row(node.right)}</mfrac>"
    if node.symbol == "**":
        base = _set(node.left, POWER + 1)
        return POWER, f"<msup><mrow>{base}</mrow>{_row(node.right)}</msup>"
    level = PRECEDENCE[node.symbol]
    sign = {"-": _MINUS, "*": _TIMES}.get(node.symbol, node.symbol)
    if node.symbol == "*" and isinstance(node.right, Number):
        sign = _DOT
    return level, f"{_set(node.left, level)}<mo>{sign}</mo>{_set(node.right, level + 1)}"


def _row(node: Node) -> str:
    return f"<mrow>{_set(node)}</mrow>"
