"""Formulas: right arithmetic, hostile texts, carets, linearity, LaTeX, JAX."""

from __future__ import annotations

import ast
import keyword
import math
import operator
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescale.errors import FormulaError
from bayescale.formula import Expression
from bayescale.grammar import FUNCTIONS, nearest

CHINCHILLA = "E + A / N**alpha + B / D**beta"
HOFFMANN = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def position_of(text: str, allowed=None) -> int | None:
    with pytest.raises(FormulaError) as caught:
        Expression.parse(text, allowed)
    return caught.value.position


def test_value_at_chinchilla_by_hand():
    expected = 1.69 + 406.4 * math.exp(-0.34 * math.log(7e10))
    expected += 410.7 * math.exp(-0.28 * math.log(1.4e12))
    got = Expression.parse(CHINCHILLA)({**HOFFMANN, "N": 7e10, "D": 1.4e12})
    assert got.dtype == np.float64
    assert float(got) == pytest.approx(expected, rel=1e-14)


def test_broadcasts_and_takes_integers():
    law = Expression.parse("A * N**-1")
    got = law({"A": np.array([[1], [2]]), "N": np.array([1, 2, 4])})
    assert got.tolist() == [[1.0, 0.5, 0.25], [2.0, 1.0, 0.5]]


def test_infinities_without_a_warning():
    assert float(Expression.parse("1 / x")({"x": 0.0})) == math.inf
    assert math.isnan(float(Expression.parse("x**0.5")({"x": -1.0})))


def test_missing_value_is_named():
    with pytest.raises(FormulaError, match="no value was given for beta"):
        Expression.parse("alpha + beta")({"alpha": 1.0})


def test_names_in_order_of_appearance():
    assert Expression.parse(CHINCHILLA).names == ("E", "A", "N", "alpha", "B", "D", "beta")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2**2", -4.0),
        ("2**-1", 0.5),
        ("2**3**2", 512.0),
        ("2**-2**2", 2.0**-4),
        ("8 - 4 - 2", 2.0),
        ("8 / 4 / 2", 1.0),
        ("-(1 + 2) * 3", -9.0),
        ("+3 - -2", 5.0),
        ("2 * 3**2 + 1", 19.0),
        (".5 + 1. + 1e1 + 1E-1", 11.6),
        ("minimum(2, 3) * maximum(2, 3)", 6.0),
        ("exp(log(7))", 7.0),
        ("log10(1000) + sqrt(16) + abs(-1)", 8.0),
        ("(-2)**3", -8.0),
    ],
)
def test_arithmetic(text, value):
    assert float(Expression.parse(text)({})) == pytest.approx(value, rel=1e-15)


# --- agreement with Python's own arithmetic on random formulas


def formulas(depth: int = 4):
    leaf = st.one_of(
        st.sampled_from(["x", "y", "z"]),
        st.integers(1, 9).map(str),
        st.floats(0.1, 9).map(lambda v: f"{v:.3f}"),
    )

    def grow(inner):
        pair = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner)
        return st.one_of(
            pair.map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
            pair.map(lambda t: f"({t[0]}){t[1]}({t[2]})"),
            inner.map(lambda t: f"-{t}"),
            inner.map(lambda t: f"({t})"),
            inner.map(lambda t: f"exp({t})"),
            st.tuples(inner, inner).map(lambda t: f"minimum({t[0]}, {t[1]})"),
        )

    return st.recursive(leaf, grow, max_leaves=2**depth)


ENV = {"x": 0.7, "y": 2.3, "z": 1.9}


@settings(max_examples=300, deadline=None)
@given(formulas())
def test_agrees_with_python(text):
    with np.errstate(all="ignore"):
        expected = _as_python_reads(ast.parse(text, mode="eval").body)
    try:
        got = Expression.parse(text)(ENV)
    except FormulaError as error:  # a constant part that is not finite
        assert "finite" in error.message or "deep" in error.message or "long" in error.message
        return
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def _as_python_reads(node: ast.expr) -> np.float64:
    """Value of a formula under Python's own grammar, the reference; nothing is executed."""
    match node:
        case ast.Constant(value=value):
            return np.float64(value)
        case ast.Name(id=name):
            return np.float64(ENV[name])
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_as_python_reads(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_as_python_reads(left), _as_python_reads(right))
        case ast.Call(func=ast.Name(id=name), args=args):
            return getattr(np, name)(*map(_as_python_reads, args))
    raise AssertionError(ast.dump(node))


OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@settings(max_examples=150, deadline=None)
@given(formulas())
def test_substitution_writes_text_that_means_the_same(text):
    try:
        whole = Expression.parse(text)
    except FormulaError:
        return
    replaced = whole.substitute({"x": Expression.parse("z - y")})
    again = Expression.parse(replaced.text)
    env = {"y": 2.3, "z": 3.0}
    np.testing.assert_allclose(again(env), whole({**env, "x": 3.0 - 2.3}), rtol=1e-9)


# --- hostile and wrong texts


HOSTILE = [
    "__import__('os').system('true')",
    "E.__class__",
    "E.__class__.__mro__[1]",
    "().__class__",
    "[1][0]",
    "[x for x in (1, 2)]",
    "{1: 2}",
    "lambda: 1",
    "(x := 3)",
    "x = 3",
    "f'{x}'",
    "'text'",
    'exp("text")',
    "exec('1')",
    "eval('1')",
    "open('x')",
    "exp.x",
    "1 if 2 else 3",
    "a and b",
    "not a",
    "a < b",
    "a @ b",
    "a % b",
    "a // b",
    "a | b",
    "~a",
    "*a",
    "**a",
    "a; b",
    "a\\\nb",
    "a # b",
    "yield",
    "await x",
    "None",
    "True",
    "...",
    "1j",
    "0x10",
    "1_000",
    "_x + 1",
    "__builtins__",
    "exp(*x)",
    "exp(x=1)",
    "exp(x, y)",
    "exp()",
    "exp(x,)",
    "minimum(x)",
    "minimum(1 2)",
    "(" * 300 + "x" + ")" * 300,
    "(" * 59 + "x",
    "-" * 1500 + "x",
    "+".join(["x"] * 900),
    "x" * 3000,
    "x\0",
    "\0",
    "\U0001d404 + 1",  # a bold E
    "x − 1",  # noqa: RUF001
    "α",  # noqa: RUF001
    "x\u202e",
    "x\u00a0+ 1",
    "\ud800",
    "9**9**9",
    "10**400",
    "1e400",
    "0 / 0",
    "log(0)",
    "(-8)**0.5",
    "",
    "   ",
    "()",
    ")",
    "1 +",
    "* 2",
    "x y",
    "2x",
    "2(x)",
    "x(2)",
    "x exp(2)",
    "1..2",
    "1.2.3",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_refused(text):
    with pytest.raises(FormulaError):
        Expression.parse(text)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60))
def test_random_texts_raise_nothing_else(text):
    try:
        Expression.parse(text)
    except FormulaError as error:
        assert str(error)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from([*"+-*/(),.^=<>'_ 09eEx", "**", "exp", "lambda", "1e9"]), max_size=40)
)
def test_random_pieces_raise_nothing_else(pieces):
    text = "".join(pieces)
    try:
        expression = Expression.parse(text)
    except FormulaError as error:
        assert error.position is None or 0 <= error.position <= len(text)
        return
    expression({name: 1.5 for name in expression.names})


def test_not_a_text():
    with pytest.raises(FormulaError, match="expected a text, got int"):
        Expression.parse(3)


# --- messages and carets


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("E + A/N^alpha", r"powers are written \*\*, not \^", 7),
        ("E + sqr(N)", r"unknown function 'sqr'\. Did you mean 'sqrt'\?", 4),
        ("lambda + E", "'lambda' is a Python keyword and can't be a name here; call it lam", 0),
        ("E + (A / N", "never closed", 4),
        ("E + A)", "never opened", 5),
        ("E A", "an operator is missing", 2),
        ("2N", "an operator is missing", 1),
        ("E +", "the text ends here", 3),
        ("E + log", r"log is a function: write log\(\.\.\.\)", 4),
        ("E.x", "a dot has no meaning here", 1),
        ("E // N", "division is written /", 2),
        ("E − N", "write -", 2),  # noqa: RUF001
        ("9**9**9", "not a finite number", 1),
        ("log(1, 2)", "log takes 1 argument, not 2", 0),
        ("E < 3", "no comparisons", 2),
    ],
)
def test_message_and_caret(text, message, at):
    with pytest.raises(FormulaError, match=message) as caught:
        Expression.parse(text)
    assert caught.value.position == at
    assert str(caught.value).splitlines()[-1] == " " * (4 + at) + "^"


def test_names_outside_those_allowed():
    with pytest.raises(FormulaError, match=r"unknown name 'aplha'\. Did you mean 'alpha'\?"):
        Expression.parse("E + aplha", ["E", "alpha"])
    assert position_of("E + aplha", ["E", "alpha"]) == 4
    with pytest.raises(FormulaError, match="A is not a function; write A "):
        Expression.parse("A(2)", ["A"])
    assert Expression.parse("E", ["E", "alpha"]).names == ("E",)


@pytest.mark.parametrize("word", keyword.kwlist)
def test_keywords_are_not_names(word):
    with pytest.raises(FormulaError, match="is a Python keyword"):
        Expression.parse(word)


def test_nearest_word():
    assert nearest("betta", ["alpha", "beta"]) == " Did you mean 'beta'?"
    assert nearest("qqq", ["alpha", "beta"]) == ""


# --- structure


@pytest.mark.parametrize(
    ("text", "names", "linear"),
    [
        (CHINCHILLA, ["E", "A", "B"], True),
        (CHINCHILLA, ["E", "A", "B", "alpha"], False),
        (CHINCHILLA, ["N"], False),
        (CHINCHILLA, [], True),
        ("a * b", ["a"], True),
        ("a * b", ["a", "b"], False),
        ("a / b", ["b"], False),
        ("-(a + 2) / 3", ["a"], True),
        ("exp(a)", ["a"], False),
        ("exp(b) * a - a * c", ["a"], True),
        ("a**2", ["a"], False),
        ("minimum(a, b)", ["a"], False),
    ],
)
def test_linear_in(text, names, linear):
    assert Expression.parse(text).linear_in(names) is linear


def test_substitute_writes_the_brackets_it_needs():
    where = {"M": Expression.parse("D / N"), "C": Expression.parse("6 * N * D")}
    got = Expression.parse("(a * M**eta - M) / C").substitute(where)
    assert got.text == "(a * (D / N)**eta - D / N) / (6 * N * D)"
    assert Expression.parse("a").substitute(where) == Expression.parse("a")


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (CHINCHILLA, r"E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}"),
        ("(N_c / N)**alpha_N", r"\left(\frac{N_{c}}{N}\right)^{\alpha_{N}}"),
        ("a - (b - c)", r"a - \left(b - c\right)"),
        ("a * (b + c)", r"a \, \left(b + c\right)"),
        ("-x**2", "-x^{2}"),
        ("(-x)**2", r"\left(-x\right)^{2}"),
        (
            "1.8e13 * exp(lam) + log10(floor)",
            r"1.8 \times 10^{13} \, \exp\left(\lambda\right) + "
            r"\log_{10}\left(\mathrm{floor}\right)",
        ),
        ("sqrt(abs(x))", r"\sqrt{\left|x\right|}"),
        ("minimum(x, 2)", r"\min\left(x, 2\right)"),
    ],
)
def test_latex(text, latex):
    assert Expression.parse(text).latex() == latex


def test_latex_symbols_of_the_users_own():
    assert Expression.parse("E + loss").latex({"loss": r"\ell"}) == r"E + \ell"


REFERENCES = {  # what numpy has under another name, or not at all
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "logit": lambda p: math.log(p / (1 - p)),
    "inv_cloglog": lambda x: 1 - math.exp(-math.exp(x)),
    "lgamma": math.lgamma,
}


@pytest.mark.parametrize("function", ["softplus", "sigmoid", "inv_cloglog", "tanh"])
def test_saturating_functions_are_finite_far_out_with_their_slopes(function):
    import jax
    import jax.numpy as jnp

    from bayescale.precision import x64

    expression = Expression.parse(f"{function}(x)")
    with x64():
        for x in (-700.0, -1.0, 1.0, 700.0):
            value, slope = jax.value_and_grad(lambda x: expression({"x": x}, jnp))(x)
            assert float(value) == pytest.approx(float(expression({"x": x})), rel=1e-12)
            assert np.isfinite(float(slope))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_latex_and_a_value(function):
    text = f"{function}({', '.join(['x'] * FUNCTIONS[function])})"
    expression = Expression.parse(text)
    expected = getattr(np, function, REFERENCES.get(function))(*[0.7] * FUNCTIONS[function])
    assert float(expression({"x": 0.7})) == pytest.approx(float(expected))
    assert "0.7" in expression.latex({"x": "0.7"})


# --- JAX


def test_jax_value_and_gradient():
    import jax
    import jax.numpy as jnp

    from bayescale.precision import x64

    law = Expression.parse("E + minimum(A, 1e3) / N**alpha + x**2 - sqrt(abs(x))")
    env = {"E": 1.7, "A": 400.0, "alpha": 0.34, "N": 1e9, "x": 0.3}
    with x64():
        traced = {name: jnp.asarray(value) for name, value in env.items()}
        value, gradient = jax.jit(jax.value_and_grad(lambda e: law(e, jnp)))(traced)
        value, gradient = float(value), {name: float(g) for name, g in gradient.items()}
    assert value == pytest.approx(float(law(env)), rel=1e-14)
    for name in env:
        step = 1e-6 * env[name]
        up = law({**env, name: env[name] + step}) - law({**env, name: env[name] - step})
        assert gradient[name] == pytest.approx(float(up) / (2 * step), rel=1e-5, abs=1e-12)


def test_powers_under_jax_are_those_of_numpy():
    import jax
    import jax.numpy as jnp

    from bayescale.precision import x64

    power = Expression.parse("x**y")
    bases, exponents = np.meshgrid([0.0, 1e-300, 1e-3, 1.0, 7.5, 1e9], [0.3, 1.0, 2.5, 0.0, -1.5])
    with x64(), np.errstate(all="ignore"):
        both = jax.jit(lambda x, y: power({"x": x, "y": y}, jnp))
        expected = power({"x": bases, "y": exponents})
        np.testing.assert_allclose(np.where(expected == 0, 0, both(bases, exponents)), expected)
        assert np.max(both(np.zeros(2), np.array([0.3, 2.5]))) < 1e-90
        assert np.isnan(both(-2.0, 0.5))
        slopes = jax.grad(lambda at: power(at, jnp))({"x": 0.0, "y": 1.5})
        assert float(slopes["x"]) == 0.0
        assert float(slopes["y"]) == pytest.approx(0.0, abs=1e-300)


def test_squares_have_a_gradient_at_zero():
    import jax
    import jax.numpy as jnp

    square = Expression.parse("x**2")
    assert float(jax.grad(lambda x: square({"x": x}, jnp))(0.0)) == 0.0
