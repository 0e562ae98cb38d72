"""Coordinates of group sds: exact, invertible, and nearly normal where they are to be."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from bayescale import spreads
from bayescale.precision import x64
from bayescale.prior_table import PriorTable
from bayescale.priors import Prior

middles = st.floats(-4.0, 30.0)
sizes = st.floats(-12.0, 3.0)


@given(middles, sizes, st.floats(-8.0, 8.0))
def test_coordinates_come_back(middle, size, z):
    spread = np.array([[middle], [size]])
    log_sd, _ = spreads.log_sd_at(np.array([z]), spread, np)
    assert spreads.coordinate(log_sd, spread)[0] == pytest.approx(z, abs=1e-6)


@pytest.mark.parametrize("z", [-20.0, -6.0, -1.0, 0.0, 2.5, 9.0])
def test_jacobian_is_the_derivative(z):
    spread = np.array([[1.2, 0.3], [-2.0, -1.0]])
    at = np.array([z, 0.5 * z])
    with x64():
        derivative = jax.jacfwd(lambda q: spreads.log_sd_at(q, spread, jnp)[0])(jnp.asarray(at))
        _, logged = spreads.log_sd_at(jnp.asarray(at), spread, jnp)
        _, plain = spreads.log_sd_at(at, spread, np)
    diagonal = np.diag(np.asarray(derivative))
    assert float(np.sum(np.log(diagonal))) == pytest.approx(float(logged), rel=1e-7)
    assert float(logged) == pytest.approx(float(plain), rel=1e-9)


@pytest.mark.parametrize("true_sd", [0.0, 0.05, 0.2, 0.8])
def test_the_marginal_becomes_nearly_normal(true_sd):
    """Draws of one sd's posterior by brute force, then seen in the learnt coordinate."""
    rng = np.random.default_rng(3)
    levels, error = 12, 0.1
    estimate = true_sd * rng.standard_normal(levels) + error * rng.standard_normal(levels)
    known = np.full((levels, 1, 1), error**-2.0)
    linear = (estimate / error**2)[:, None]
    prior = PriorTable.of([Prior.parse("HalfNormal(0.3)")])
    spread = np.array([spreads._marginal(known, linear, np.zeros(1), 0, prior, 0.1)]).T
    sd = np.linspace(1e-5, 3.0, 60_000)
    variance = sd[:, None] ** 2 + error**2
    log_density = -0.5 * np.sum(np.log(variance) + estimate**2 / variance, axis=-1) - sd**2 / 0.18
    share = np.cumsum(np.exp(log_density - log_density.max()))
    draws = np.interp(rng.uniform(size=4000), share / share[-1], sd)
    z = spreads.coordinate(np.log(draws), np.repeat(spread, 4000, axis=1))
    assert kstest(z, "norm").statistic < 0.06
    if true_sd == 0.0:  # where its log has a long tail, and this coordinate has none
        logged = (np.log(draws) - np.mean(np.log(draws))) / np.std(np.log(draws))
        assert np.mean(z < -3.5) < 0.003 < np.mean(logged < -3.0)
