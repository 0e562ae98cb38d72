"""Priors: read, refused, drawn, and the same density in numpyro as in scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescale.errors import FormulaError
from bayescale.precision import x64
from bayescale.priors import FAMILIES, Prior

TEXTS = [
    "Normal(-1, 2)",
    "LogNormal(log(0.35), 0.4)",
    "HalfNormal(0.3)",
    "Gamma(2, 0.1)",
    "2 + Gamma(2, 0.1)",
    "Gamma(2, rate=0.1) + 2",
    "Beta(2, 3)",
    "Uniform(-1, 4)",
    "Exponential(2.5)",
    "StudentT(4, 1, 0.5)",
    "TruncatedNormal(0, 1)",
    "TruncatedNormal(0.3, 0.2, low=0)",
    "TruncatedNormal(1, 2, high=3)",
    "TruncatedNormal(1, 2, low=-1, high=3)",
    "-1 + Beta(1, 1)",
]
QUANTILES = np.array([0.001, 0.1, 0.5, 0.9, 0.999])


def test_every_family_is_tested():
    assert {Prior.parse(text).family for text in TEXTS} == set(FAMILIES)


def test_arguments_are_constant_arithmetic():
    prior = Prior.parse("LogNormal(log(0.35), 2 * 0.2)")
    assert prior.family == "LogNormal"
    assert prior.args == pytest.approx((math.log(0.35), 0.4), rel=1e-15)
    assert prior.text == "LogNormal(log(0.35), 2 * 0.2)"
    assert Prior.parse("2 + Gamma(2, 0.1)").shift == 2.0


@pytest.mark.parametrize(
    ("text", "mean", "sd", "support"),
    [
        ("Normal(-1, 2)", -1.0, 2.0, (-math.inf, math.inf)),
        (
            "HalfNormal(0.3)",
            0.3 * math.sqrt(2 / math.pi),
            0.3 * math.sqrt(1 - 2 / math.pi),
            (0.0, math.inf),
        ),
        ("2 + Gamma(2, 0.1)", 22.0, math.sqrt(200.0), (2.0, math.inf)),
        ("Uniform(-1, 5)", 2.0, math.sqrt(3.0), (-1.0, 5.0)),
        ("Exponential(4)", 0.25, 0.25, (0.0, math.inf)),
        (
            "TruncatedNormal(0, 1, low=0)",
            math.sqrt(2 / math.pi),
            math.sqrt(1 - 2 / math.pi),
            (0.0, math.inf),
        ),
        ("Beta(2, 2)", 0.5, math.sqrt(0.05), (0.0, 1.0)),
    ],
)
def test_moments_and_support(text, mean, sd, support):
    prior = Prior.parse(text)
    assert prior.mean == pytest.approx(mean)
    assert prior.sd == pytest.approx(sd)
    assert prior.support == support


def test_a_moment_that_does_not_exist():
    assert not math.isfinite(Prior.parse("StudentT(2, 0, 1)").sd)


@pytest.mark.parametrize("text", TEXTS)
def test_density(text):
    """The numpyro density integrates to scipy's quantiles and is zero outside the support."""
    import jax

    prior = Prior.parse(text)
    grid = np.linspace(prior.quantile(0.1), prior.quantile(0.6), 4001)
    ends = zip(prior.support, (-0.1, 0.1), strict=True)
    outside = [end + step for end, step in ends if math.isfinite(end)]
    with x64():
        log_density = np.asarray(jax.jit(prior.log_prob)(np.append(grid, outside)))
    assert np.trapezoid(np.exp(log_density[:4001]), grid) == pytest.approx(0.5, abs=1e-5)
    assert np.all(log_density[4001:] == -math.inf)


@pytest.mark.parametrize("text", TEXTS)
def test_real_line_and_back(text):
    prior = Prior.parse(text)
    x = prior.quantile(QUANTILES)
    z = prior.to_real(x)
    np.testing.assert_allclose(prior.from_real(z), x, rtol=1e-12)
    assert np.all(np.diff(z) > 0)
    slope = (prior.from_real(z + 1e-5) - prior.from_real(z - 1e-5)) / 2e-5
    np.testing.assert_allclose(prior.log_jacobian(z), np.log(slope), atol=1e-7)


@pytest.mark.parametrize("text", ["Normal(0, 1)", "2 + Gamma(2, 1)", "Uniform(1, 3)"])
def test_real_line_under_jax(text):
    import jax
    import jax.numpy as jnp

    prior = Prior.parse(text)
    z = np.array([-3.0, 0.2, 5.0])
    with x64():
        there = np.asarray(jax.jit(lambda v: prior.from_real(v, jnp))(z))
        back = np.asarray(jax.jit(lambda v: prior.to_real(v, jnp))(there))
        jacobian = np.asarray(jax.jit(lambda v: prior.log_jacobian(v, jnp))(z))
    np.testing.assert_allclose(there, prior.from_real(z), rtol=1e-13)
    np.testing.assert_allclose(back, z, rtol=1e-9)
    np.testing.assert_allclose(jacobian, prior.log_jacobian(z), rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TEXTS), st.floats(-30, 30))
def test_every_real_number_is_inside_the_support(text, z):
    prior = Prior.parse(text)
    low, high = prior.support
    assert low <= prior.from_real(z) <= high
    assert math.isfinite(float(prior.log_jacobian(z)))


@pytest.mark.parametrize("text", TEXTS)
def test_draws_follow_the_prior(text):
    prior = Prior.parse(text)
    draws = prior.sample(np.random.default_rng(1), (40, 50))
    assert draws.shape == (40, 50)
    below = [(draws < q).mean() for q in prior.quantile([0.1, 0.5, 0.9])]
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.04)
    assert np.array_equal(draws, prior.sample(np.random.default_rng(1), (40, 50)))


def test_gradient_is_finite_outside_the_support():
    import jax

    with x64():
        gradient = jax.grad(Prior.parse("LogNormal(0, 1)").log_prob)(-1.0)
    assert math.isfinite(float(gradient))


def test_numpyro_distribution_has_the_shift():
    with x64():
        shifted = float(Prior.parse("2 + Gamma(2, 0.1)").numpyro().log_prob(12.0))
        plain = float(Prior.parse("Gamma(2, 0.1)").numpyro().log_prob(10.0))
    assert shifted == pytest.approx(plain)
    assert plain == pytest.approx(math.log(0.01 * 10 * math.exp(-1)))


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("Norml(0, 1)", r"unknown function 'Norml'\. Did you mean 'Normal'\?", 0),
        ("Normal(0)", r"Normal\(loc, scale\): scale is missing", 0),
        ("Normal(1, 2, 3, 4)", "takes 2 arguments, not 4", 13),
        ("LogNormal(0, -1)", "scale must be above 0, not -1", 13),
        ("LogNormal(0, 0)", "scale must be above 0, not 0", 13),
        ("Gamma(2, rate=-1)", "rate must be above 0", 14),
        ("Uniform(2, 1)", "low must be below high", 0),
        ("TruncatedNormal(0, 1, lo=0)", r"no argument 'lo'\. Did you mean 'low'\?", 25),
        ("Normal(0, loc=1)", "loc is given twice", 14),
        ("Normal(loc=0, 1)", "come before those with one", 14),
        ("Normal(x, 1)", "a number is needed here, not 'x'", 7),
        ("Normal(0, HalfNormal(1))", "only one distribution", 10),
        ("Normal(0, 1) + Normal(0, 1)", "only one distribution", 15),
        ("2 * Gamma(2, 1)", "a prior is one distribution", 2),
        ("Gamma(2, 1) - 2", "a prior is one distribution", 12),
        ("exp(Normal(0, 1))", "a prior is one distribution", 0),
        ("0.35", "a prior is one distribution", 0),
        ("Normal(0, exp(x=1))", "takes 1 argument, not 0", 10),
        ("Normal(0, 9**9**9)", "not a finite number", 11),
        ("Normal(0, 1", "never closed", 6),
        ("Normal", "Normal is a function", 0),
        ("", "empty", 0),
    ],
)
def test_refused_with_a_caret(text, message, at):
    with pytest.raises(FormulaError, match=message) as caught:
        Prior.parse(text)
    assert caught.value.position == at


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*FAMILIES, *"(),=+-*/ 0123x", "log", "exp", "loc", "low", "1e400"]),
        max_size=12,
    )
)
def test_random_texts_raise_nothing_else(pieces):
    try:
        prior = Prior.parse("".join(pieces))
    except FormulaError:
        return
    assert prior.family in FAMILIES
