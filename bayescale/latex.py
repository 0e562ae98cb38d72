"""Formulas in LaTeX: names with their subscripts, fractions, brackets where they are needed."""

from __future__ import annotations

from collections.abc import Mapping

from bayescale.functions import FUNCTIONS
from bayescale.grammar import (
    MULTIPLY,
    POWER,
    PRECEDENCE,
    SIGN,
    Call,
    Fold,
    Minus,
    Name,
    Node,
    Number,
    Solve,
)

_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split()
)


def latex_name(name: str) -> str:
    """Write a name in LaTeX, Greek letters as such, what follows _ as a subscript."""
    head, *subscripts = [r"\lambda" if part == "lam" else part for part in name.split("_")]
    words = [f"\\{part}" if part in _GREEK else part for part in (head, *subscripts)]
    words = [w if w.startswith("\\") or len(w) == 1 else rf"\mathrm{{{w}}}" for w in words]
    return words[0] + (f"_{{{','.join(words[1:])}}}" if subscripts else "")


def _latex_number(value: float) -> str:
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \times {power}"


def latex_of(node: Node, symbols: Mapping[str, str], outer: int = 0) -> str:
    """Write a tree in LaTeX, with the brackets that it needs."""
    if isinstance(node, Number):
        text = _latex_number(node.value)
        return rf"\left({text}\right)" if "times" in text and outer > MULTIPLY else text
    if isinstance(node, Name):
        return symbols.get(node.id) or latex_name(node.id)
    if isinstance(node, Call):
        inner = ", ".join(latex_of(a, symbols) for a in node.arguments)
        return FUNCTIONS[node.function].latex.format(inner)
    if isinstance(node, Solve):
        return latex_name(node.unknown)
    if isinstance(node, Fold):
        sign = r"\sum" if node.function == "sum" else r"\prod"
        body = latex_of(node.body, symbols, MULTIPLY)
        level, text = MULTIPLY, rf"{sign}_{{{latex_name(node.index)}}} {body}"
        return rf"\left({text}\right)" if level < outer else text
    if isinstance(node, Minus):
        level, text = SIGN, f"-{latex_of(node.operand, symbols, SIGN)}"
    elif node.symbol == "/":
        # a fraction needs brackets only as the base of a power
        top, bottom = latex_of(node.left, symbols), latex_of(node.right, symbols)
        level, text = SIGN, rf"\frac{{{top}}}{{{bottom}}}"
    elif node.symbol == "**":
        base, exponent = latex_of(node.left, symbols, POWER + 1), latex_of(node.right, symbols)
        level, text = POWER, f"{base}^{{{exponent}}}"
    else:
        level = PRECEDENCE[node.symbol]
        sign = r" \, " if node.symbol == "*" else f" {node.symbol} "
        left, right = latex_of(node.left, symbols, level), latex_of(node.right, symbols, level + 1)
        if node.symbol == "*" and isinstance(node.right, Number):
            sign = r" \cdot "
        text = left + sign + right
    return rf"\left({text}\right)" if level < outer else text
