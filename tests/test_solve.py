"""Laws that an equation defines: roots, their derivatives, cards with a [solve] table."""

from __future__ import annotations

import numpy as np
import pytest

from bayescale.errors import LawError
from bayescale.law import Law
from bayescale.precision import x64

pytestmark = pytest.mark.usefixtures("compiled_quickly")

M4 = """
name = "m4"
title = "a curve that saturates at both ends"
formula = "y"
cite = "Alabdulmohsin et al. 2022, arXiv:2209.06640"
unverified = "a test"
[response]
column = "loss"
[solve.y]
zero = "log(y - E) - a * log(E0 - y) - log(b) + c * log(x)"
between = ["E", "E0"]
[variables]
x = { column = "D" }
[parameters.E]
prior = "LogNormal(0, 1)"
[parameters.E0]
prior = "LogNormal(0, 1)"
[parameters.a]
prior = "LogNormal(0, 1)"
[parameters.b]
prior = "LogNormal(0, 1)"
[parameters.c]
prior = "LogNormal(0, 1)"
"""
AT = {"E": 1.0, "E0": 5.0, "a": 1.0, "b": 300.0, "c": 0.5}
X = np.geomspace(1, 1e12, 13)


def logistic(E, E0, b, c, x, xp=np):
    """What M4 is where a = 1."""
    f = b * x**-c
    return (E + E0 * f) / (1 + f)


def test_solution_equals_the_closed_form():
    law = Law.from_text(M4)
    closed = logistic(AT["E"], AT["E0"], AT["b"], AT["c"], X)
    np.testing.assert_allclose(law(AT, D=X), closed, rtol=1e-13)


def test_derivatives_to_the_second_order_are_those_of_the_closed_form():
    import jax
    import jax.numpy as jnp

    law = Law.from_text(M4)
    names = ("E", "E0", "b", "c")

    def solved(theta):
        params = {**dict(zip(names, theta, strict=True)), "a": AT["a"]}
        return jnp.sum(jnp.log(law.mean(params, {"D": X}, jnp)))

    def closed(theta):
        return jnp.sum(jnp.log(logistic(*theta, X, jnp)))

    with x64():
        theta = jnp.asarray([AT[n] for n in names])
        assert float(solved(theta)) == pytest.approx(float(closed(theta)), rel=1e-13)
        for derivative in (jax.grad, jax.jacfwd, jax.hessian):
            got = np.asarray(jax.jit(derivative(solved))(theta))
            np.testing.assert_allclose(got, np.asarray(derivative(closed)(theta)), rtol=1e-7)


def test_numpy_and_jax_agree_where_there_is_no_closed_form():
    import jax.numpy as jnp

    law = Law.from_text(M4)
    for a in (0.3, 2.5):
        with x64():
            got = np.asarray(law.mean({**AT, "a": a}, {"D": X}, jnp))
        np.testing.assert_allclose(got, law({**AT, "a": a}, D=X), rtol=1e-12)


def test_no_root_is_nan_for_numpy_and_jax():
    import jax.numpy as jnp

    law = Law.from_text(M4.replace('["E", "E0"]', '["E + 3.9", "E0"]'))
    with x64():
        assert np.isnan(np.asarray(law.mean(AT, {"D": 1e12}, jnp)))
    assert np.isnan(law(AT, D=1e12))


def test_sub_expressions_tie_fix_and_order_parameters():
    card = M4.replace("[solve.y]", '[where]\nfixed = "1.0"\nupper = "E + E0"\n[solve.y]')
    card = card.replace("- a * log(E0 - y)", "- fixed * log(upper - y)")
    card = card.replace('["E", "E0"]', '["E", "upper"]')
    card = card.replace('[parameters.a]\nprior = "LogNormal(0, 1)"\n', "")
    params = {**AT, "E0": AT["E0"] - AT["E"]}
    del params["a"]
    closed = logistic(AT["E"], AT["E0"], AT["b"], AT["c"], X)
    np.testing.assert_allclose(Law.from_text(card)(params, D=X), closed, rtol=1e-13)


def test_kaplans_loss_of_a_finite_batch():
    """Equations 5.3 to 5.6 with tables 3 and 5: implicit, as the critical batch depends on L."""
    card = """
name = "batch"
title = "loss of N, steps and batch"
formula = "L"
cite = "Kaplan et al. 2020, arXiv:2001.08361"
unverified = "a test"
[where]
reach = "(N_c / N)**a_N + (S_c / S)**a_S"
[solve.L]
zero = "L - (N_c / N)**a_N - (S_c / S * (1 + B_c / (B * L**(1 / a_B))))**a_S"
between = ["reach", "(N_c / N)**a_N + (S_c / S * (1 + B_c / (B * reach**(1 / a_B))))**a_S"]
[variables]
N = {}
S = {}
B = {}
"""
    values = {"N_c": 6.5e13, "a_N": 0.077, "S_c": 2.1e3, "a_S": 0.76, "B_c": 2.1e8, "a_B": 0.21}
    card += "".join(f'[parameters.{n}]\nprior = "LogNormal(0, 1)"\n' for n in values)
    law = Law.from_text(card)
    sizes, batches = np.geomspace(1e6, 1e10, 5)[:, None], np.geomspace(1e3, 1e9, 7)
    loss = law(values, N=sizes, S=1e5, B=batches)
    steps = 1e5 / (1 + 2.1e8 / loss ** (1 / 0.21) / batches)
    np.testing.assert_allclose(
        loss, (6.5e13 / sizes) ** 0.077 + (2.1e3 / steps) ** 0.76, rtol=1e-12
    )


def test_text_and_latex_say_what_is_solved():
    law = Law.from_text(M4)
    assert "y solves log(y - E)" in law.formula_text
    assert law.latex().endswith(r"\quad E < y < \mathrm{E0}")
    assert law.linear == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('between = ["E", "E0"]', 'between = ["E"]', "solve.y needs an expression"),
        ("log(y - E) - a * log(E0 - y)", "log(E) - a * log(E0)", "must contain 'y'"),
        ("[solve.y]", "[solve.E]", "already has another meaning"),
    ],
)
def test_faulty_solve_tables(old, new, message):
    with pytest.raises(LawError, match=message):
        Law.from_text(M4.replace(old, new))
