"""Whole functions as single kernels: used where XLA can, and the same numbers where it can't."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayescale.kernels import compile_small
from bayescale.precision import x64

ASKED = 'xla_cpu_small_call="true"'


def looping(function):
    """Build a program that applies `function` in a loop, as chains do."""

    def build(wrap):
        def program(x):
            return jax.lax.scan(lambda x, _: (wrap(function)(x), None), x, None, length=5)[0]

        return program

    return build


def repeated(function, x):
    for _ in range(5):
        x = function(x)
    return x


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="kernels are joined on a CPU only")
@pytest.mark.parametrize("brief", [False, True])
def test_a_function_of_plain_arithmetic_becomes_one_kernel(brief):
    def function(x):
        return jnp.where(x > 0, jnp.log1p(x), jnp.sum(x)) - jnp.mean(jnp.exp(-x))

    x = np.linspace(-1.0, 1.0, 7)
    with x64():
        program = compile_small(looping(function), x, brief=brief)
        assert ASKED in program.as_text()
        np.testing.assert_allclose(program(x), repeated(function, x), rtol=1e-12)


def test_a_function_that_sorts_is_compiled_all_the_same():
    def function(x):
        return jnp.sort(1.0 - x**2) * 0.9

    x = np.linspace(-1.0, 1.0, 7)
    with x64():
        program = compile_small(looping(function), x)
        sorts = jax.__version_info__ < (0, 8, 1)  # XLA's kernels could; they can't since
        assert (ASKED in program.as_text()) == (sorts and jax.default_backend() == "cpu")
        np.testing.assert_allclose(program(x), repeated(function, x), rtol=1e-12)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="kernels are joined on a CPU only")
def test_kernels_can_be_left_out():
    x = np.linspace(-1.0, 1.0, 7)
    with x64():
        program = compile_small(looping(jnp.sin), x, kernels=False)
        assert 'inlineable="false"' not in program.as_text()  # XLA itself may join small loops
        assert 'inlineable="false"' in compile_small(looping(jnp.sin), x).as_text()
        np.testing.assert_allclose(program(x), repeated(jnp.sin, x), rtol=1e-12)


def test_gradients_pass_through_kernels():
    def build(wrap):
        return lambda x: jax.grad(lambda z: jnp.sum(wrap(jnp.sin)(z) ** 2))(x)

    x = np.linspace(0.1, 1.0, 5)
    with x64():
        np.testing.assert_allclose(compile_small(build, x)(x), np.sin(2 * x), rtol=1e-12)
