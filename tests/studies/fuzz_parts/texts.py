"""Formulas, priors, conditions and cards: damaged, and read again by Python's own arithmetic."""

from __future__ import annotations

import ast
import math
import operator
import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuzz_parts.guard import Wrong
from fuzz_parts.mutate import HOSTILE, changed_text

NAMES = ("E", "A", "B", "N", "D", "alpha", "beta")
FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "logit": lambda x: np.log(x / (1.0 - x)),
    "inv_cloglog": lambda x: 1.0 - np.exp(-np.exp(x)),
    "lgamma": lambda x: np.float64(math.lgamma(x)) if 0 < x < 1e6 else np.nan,
}
BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


_LEADING_ZEROS = re.compile(r"(?<![\w.])0+(?=\d)")  # 05 is 5 to us, and refused by Python


def by_python(text: str, values: dict[str, np.float64]) -> np.float64:
    """Python's own reading of an arithmetic text; `Wrong` where it is none."""
    try:
        plain = _LEADING_ZEROS.sub("", " ".join(text.split()))
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise Wrong(f"accepted what Python can't read: {text!r} ({error})") from None

    def value(node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return np.float64(number)
            case ast.Name(id=name) if name in values:
                return values[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return BINARY[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(value, arguments))
        raise Wrong(f"accepted what is no arithmetic: {text!r} has {ast.dump(node)[:80]}")

    with np.errstate(all="ignore"):
        return np.float64(value(tree))


def _close(got: float, expected: float) -> bool:
    if not (math.isfinite(got) and math.isfinite(expected)):
        return True  # where numbers overflow or cancel, orders of operations differ
    return math.isclose(got, expected, rel_tol=1e-7, abs_tol=1e-9)


def _random_formula(rng: random.Random, depth: int = 0) -> str:
    if depth > 5 or rng.random() < 0.25:
        if rng.random() < 0.7:
            return rng.choice(NAMES)
        return rng.choice(("1", "2", "0.5", "1e-3", "3.", ".25", "1E2", "7"))
    kind = rng.random()
    if kind < 0.6:
        gap = rng.choice(("", " ", "  "))
        left, right = _random_formula(rng, depth + 1), _random_formula(rng, depth + 1)
        return f"{left}{gap}{rng.choice(('+', '-', '*', '/', '**'))}{gap}{right}"
    if kind < 0.75:
        return f"({_random_formula(rng, depth + 1)})"
    if kind < 0.85:
        return f"-{_random_formula(rng, depth + 1)}"
    name = rng.choice(list(FUNCTIONS))
    arguments = 2 if name in ("minimum", "maximum") else 1
    return f"{name}({', '.join(_random_formula(rng, depth + 1) for _ in range(arguments))})"


def formula(rng: random.Random, folder: Path) -> str:
    from bayescale.formula import Expression

    text = _random_formula(rng) if rng.random() < 0.4 else rng.choice(_formulas())
    if rng.random() < 0.7:
        text = changed_text(rng, text)
    read = Expression.parse(text)
    values = {name: np.float64(rng.uniform(0.1, 3.0)) for name in read.names}
    got = float(read(values))
    if not _close(got, float(by_python(text, values))):
        raise Wrong(f"{text!r} at {values}: {got}, Python says {by_python(text, values)}")
    read.latex()
    read.linear_in(read.names[:2])
    return "answered"


@cache
def _cards() -> tuple[str, ...]:
    from bayescale.catalog import library

    return tuple(p.read_text(encoding="utf-8") for p in sorted(library().glob("*.toml")))


@cache
def _formulas() -> tuple[str, ...]:
    return tuple(tomllib.loads(text)["formula"] for text in _cards())


@cache
def _priors() -> tuple[str, ...]:
    found = [p["prior"] for text in _cards() for p in tomllib.loads(text)["parameters"].values()]
    more = ["2 + Gamma(2, 0.1)", "Beta(2, 3)", "Uniform(-1, 2)", "StudentT(4, 0, 1)"]
    more += ["TruncatedNormal(0, 1, low=-1)", "TruncatedNormal(0, 1, low=-1, high=2)"]
    return tuple(dict.fromkeys([*found, *more, "Exponential(3)"]))


def prior(rng: random.Random, folder: Path) -> str:
    from bayescale.priors import Prior

    text = rng.choice(_priors())
    if rng.random() < 0.8:
        text = changed_text(rng, text)
    read = Prior.parse(text)
    low, high = read.support
    quantiles = read.quantile([0.1, 0.5, 0.9])
    if not np.all(np.isfinite(quantiles)) or not np.all(np.diff(quantiles) >= 0):
        raise Wrong(f"{text!r} has quantiles {quantiles}")
    if quantiles[0] < low or quantiles[-1] > high:
        raise Wrong(f"{text!r} has quantiles {quantiles} outside {low} to {high}")
    if high - low > 1e-6 * max(abs(low), abs(high), 1.0) or not np.isfinite(high - low):
        z = read.to_real(np.asarray(quantiles[1]))
        back = float(read.from_real(z)) if np.isfinite(z) else quantiles[1]
        if not math.isclose(back, quantiles[1], rel_tol=1e-6, abs_tol=1e-9):
            raise Wrong(f"{text!r}: {quantiles[1]} comes back as {back}")
    return "answered"


_TABLE = pd.DataFrame(
    {
        "N": [1.0, 2.0, 3.0, np.nan],
        "C": [1e18, 1e20, 1e22, 1e24],
        "family": ["dense", "moe", None, "dense"],
    }
)
_CONDITIONS = (
    "C < 3e20",
    "1e18 <= C < 3e20 and family == 'dense'",
    'family != "moe" and N > 1',
    "3 >= N",
    "C == 1e20 and N != 2 and family == 'moe'",
)


def condition(rng: random.Random, folder: Path) -> str:
    from bayescale.conditions import Condition

    text = rng.choice(_CONDITIONS)
    if rng.random() < 0.85:
        text = changed_text(rng, text)
    got = Condition.parse(text).mask(_TABLE)
    expected = [_holds(text, dict(row)) for _, row in _TABLE.iterrows()]
    if got.tolist() != expected:
        raise Wrong(f"{text!r}: {got.tolist()}, Python says {expected}")
    return "answered"


_COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _holds(text: str, row: dict[str, Any]) -> bool:
    try:
        tree = ast.parse(
            " ".join(text.split(" ")).strip().replace("\n", " ").replace("\r", " "), mode="eval"
        ).body
    except (SyntaxError, ValueError) as error:
        raise Wrong(f"accepted what Python can't read: {text!r} ({error})") from None
    parts = tree.values if isinstance(tree, ast.BoolOp) else [tree]
    if isinstance(tree, ast.BoolOp) and not isinstance(tree.op, ast.And):
        raise Wrong(f"accepted {text!r}")

    def side(node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Constant(value=str() as word):
                return word
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -side(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return side(operand)
            case ast.Name(id=name) if name in row:
                return row[name]
        raise Wrong(f"accepted {text!r}: {ast.dump(node)[:80]}")

    for part in parts:
        if not isinstance(part, ast.Compare):
            raise Wrong(f"accepted {text!r}")
        left = part.left
        for op, right in zip(part.ops, part.comparators, strict=True):
            a, b = side(left), side(right)
            if a is None or b is None or a != a or b != b:
                return False
            if not _COMPARE[type(op)](a, b):
                return False
            left = right
    return True


_WORDS = (
    *HOSTILE,
    "LogNormal(0, 1)",
    "Normal(0, -1)",
    "Gamma(1e308, 1e-308)",
    "LogNormal(700, 300)",
    "1 + (1 | family)",
    "(1 | family:corpus)",
    "E",
    "N",
    "lambda",
    "smallest",
    "value",
    "none",
)


def _changed_card(rng: random.Random, text: str) -> str:
    """Change the tables of a card, rather than its letters."""
    from bayescale.card import write_card

    card = tomllib.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at: Any = card
        while True:
            key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
            if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.85:
                at = at[key]
                continue
            break
        kind = rng.randrange(6)
        if kind == 0:
            del at[key]
        elif kind == 1:
            at[key] = rng.choice((0, -1, 1.5, float("inf"), float("nan"), True, [], {}, "", 10**30))
        elif kind == 2 and isinstance(at, dict):
            at[rng.choice(("extra", "__class__", "", "E", "N", "lambda"))] = at[key]
        elif kind == 3 and isinstance(at[key], str):
            at[key] = changed_text(rng, at[key], words=_WORDS)
        else:
            at[key] = rng.choice(_WORDS)
        if not card:
            break
    return write_card(card)


def card(rng: random.Random, folder: Path) -> str:
    from bayescale.card import read_card, write_card
    from bayescale.law import Law

    text = rng.choice(_cards())
    if rng.random() < 0.5:
        text = changed_text(rng, text, words=_WORDS)
    else:
        text = _changed_card(rng, text)
    law = Law.from_text(text)
    if read_card(write_card(read_card(text))) != read_card(text) and "nan" not in text:
        raise Wrong("the card does not come back from write_card")
    middle = {n: float(p.prior.quantile(0.5)) for n, p in law.parameters.items()}
    columns = {v.column: 1e3 * (1 + i) for i, v in enumerate(law.variables.values())}
    loss = float(law(middle, **columns))
    plain = law.formula is not None and not law.where and "solve" not in read_card(text)
    if plain:
        values = {n: np.float64(v) for n, v in middle.items()}
        values |= {n: np.float64(columns[v.column]) for n, v in law.variables.items()}
        if not _close(loss, float(by_python(law.formula.text, values))):
            raise Wrong(f"{law.formula.text} at {values}: {loss}")
    repr(law)
    law._repr_html_()
    return "answered"
