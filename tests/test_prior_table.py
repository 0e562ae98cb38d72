"""The densities of priors on the real line are NumPyro's, Jacobian included."""

from __future__ import annotations

import numpy as np
import pytest

from bayescale.precision import x64
from bayescale.prior_table import PriorTable
from bayescale.priors import FAMILIES, Prior

TEXTS = [
    "Normal(0.3, 2)",
    "1 + Normal(0, 1)",
    "LogNormal(log(0.3), 0.4)",
    "2 + Gamma(2, 0.1)",
    "HalfNormal(0.3)",
    "Exponential(3)",
    "Beta(2, 5)",
    "Uniform(-1, 4)",
    "StudentT(4, 1, 2)",
    "3 + StudentT(4, 1, 2)",
    "TruncatedNormal(1, 2, low=0)",
    "TruncatedNormal(-9, 1, low=0)",
    "TruncatedNormal(9, 1, high=0)",
    "2 + TruncatedNormal(0, 1, low=-1, high=3)",
]


def test_every_family_is_tried():
    assert {Prior.parse(text).family for text in TEXTS} == set(FAMILIES)


@pytest.mark.parametrize("text", TEXTS)
def test_a_prior_alone(text):
    prior = Prior.parse(text)
    table = PriorTable.of([prior])
    with x64():
        for z in (-1.3, 0.2, 1.1):
            expected = float(prior.log_prob(prior.from_real(z)) + prior.log_jacobian(z))
            got = float(table.log_density(np.array([z]), np))
            assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_together_under_jax_with_any_leading_shape():
    import jax.numpy as jnp

    priors = [Prior.parse(text) for text in TEXTS]
    z = np.random.default_rng(0).normal(size=(3, 2, len(priors)))
    alone = sum(PriorTable.of([p]).log_density(z[..., [i]], np) for i, p in enumerate(priors))
    with x64():
        together = np.asarray(PriorTable.of(priors).log_density(jnp.asarray(z), jnp))
    assert together.shape == (3, 2)
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_no_priors_have_no_density():
    assert PriorTable.of([]).log_density(np.zeros((4, 0)), np).tolist() == [0.0] * 4
