"""The sampler on densities whose answers are known, and its warm-up schedule."""

from __future__ import annotations

import functools
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats
from hypothesis import given
from hypothesis import strategies as st

from bayescale import nuts
from bayescale.adaptation import plan
from bayescale.kernels import as_it_is, one_kernel
from bayescale.precision import x64

TURNS = 500
Draws = namedtuple("Draws", "z said")  # (chain, draw, size) and numbers (chain, draw)
SCALES = np.array([0.2, 1.0, 1.0, 3.0])
CORRELATED = np.array(
    [[1.0, 0.8, 0.0, 0.0], [0.8, 1.0, 0.0, 0.0], [0, 0, 1.0, 0.0], [0, 0, 0, 1.0]]
)
COVARIANCE = CORRELATED * np.outer(SCALES, SCALES)


def gaussian(z):
    return 0.5 * z @ jnp.asarray(np.linalg.inv(COVARIANCE)) @ z


def gamma(z):  # logs of Gamma(3, 2) variables
    return -jnp.sum(3.0 * z - 2.0 * jnp.exp(z))


def funnel(z):
    return 0.5 * (z[0] / 3.0) ** 2 + 0.5 * jnp.sum(z[1:] ** 2 * jnp.exp(-z[0])) + 1.5 * z[0]


DENSITIES = {"gaussian": gaussian, "gamma": gamma, "funnel": funnel}


@functools.cache
def program(name, wrap):
    def potential(z):
        value, gradient = jax.vmap(jax.value_and_grad(DENSITIES[name]))(z)
        return value, gradient, jnp.stack([value, -value], axis=-1)

    def advance(state, chances, schedule):
        into = wrap(potential)
        return jax.lax.scan(
            lambda s, chance: nuts.turn(s, chance, into, schedule, wrap), state, chances
        )

    return jax.jit(advance)


def run(name, draws=4000, warmup=400, chains=4, seed=0, target=0.8, size=4, wrap=one_kernel):
    rngs = [np.random.default_rng([seed, k]) for k in range(chains)]
    state = nuts.start(np.stack([r.normal(size=size) for r in rngs]), 0.5)
    kept: list[list] = [[] for _ in range(chains)]
    with x64():
        while min(len(one) for one in kept) < warmup + draws:
            normal = np.stack([r.standard_normal((TURNS, size)) for r in rngs], axis=1)
            uniform = np.stack([r.random((TURNS, 3)) for r in rngs], axis=1)
            chances = nuts.Chance(normal, uniform)
            state, told = program(name, wrap)(state, chances, plan(warmup, target))
            z, numbers = np.asarray(told.z), np.asarray(told.numbers)
            for t, k in zip(*np.nonzero(numbers[..., 0]), strict=True):  # `ended` comes first
                kept[k].append((z[t, k], numbers[t, k]))
    wanted = slice(warmup, warmup + draws)
    z, numbers = (np.array([[draw[i] for draw in one[wanted]] for one in kept]) for i in (0, 1))
    return Draws(z, nuts.Said(*np.moveaxis(numbers, -1, 0)))


def standard_error(draws):
    return np.array(
        [
            array_stats.mcse(draws[..., i], chain_axis=0, draw_axis=1, method="mean")
            for i in range(draws.shape[-1])
        ]
    )


@pytest.fixture(scope="module")
def normal_draws():
    return run("gaussian")


def test_moments_of_a_correlated_normal(normal_draws):
    z = normal_draws.z
    assert np.all(np.abs(z.mean(axis=(0, 1))) < 4 * standard_error(z))
    products = np.einsum("cdi,cdj->cdij", z, z).reshape(*z.shape[:2], -1)
    error = 4 * standard_error(products)
    assert np.all(np.abs(products.mean(axis=(0, 1)) - COVARIANCE.ravel()) < error)


def test_each_chain_agrees_with_the_others(normal_draws):
    rhat = array_stats.rhat(normal_draws.z, chain_axis=0, draw_axis=1, method="rank")
    assert np.max(rhat) < 1.01


def test_what_a_draw_says_of_itself(normal_draws):
    potential = np.einsum(
        "cdi,ij,cdj->cd", normal_draws.z, 0.5 * np.linalg.inv(COVARIANCE), normal_draws.z
    )
    np.testing.assert_allclose(normal_draws.said.log_prior, potential, rtol=1e-9)
    kinetic = normal_draws.said.energy - potential
    assert np.all(kinetic > 0)
    assert np.mean(kinetic) == pytest.approx(2.0, abs=0.1)  # half a unit a dimension
    assert not normal_draws.said.diverged.any()
    assert normal_draws.said.steps.min() >= 1
    assert 0.75 < np.mean(normal_draws.said.accept) < 0.97  # short windows err on the careful side


@pytest.mark.parametrize("size", [4, 40])
def test_quantiles_of_a_skewed_density(size):
    from scipy import stats

    values = np.exp(run("gamma", draws=2000, seed=1, size=size).z)
    for q in (0.025, 0.5, 0.975):
        below = (values < stats.gamma(3, scale=0.5).ppf(q)).astype(float)
        assert np.all(np.abs(below.mean(axis=(0, 1)) - q) < 4 * standard_error(below))


def test_one_kernel_draws_the_same():
    one = run("gamma", draws=100, warmup=100, seed=4)
    many = run("gamma", draws=100, warmup=100, seed=4, wrap=as_it_is)
    assert np.array_equal(one.said.steps[:, :20], many.said.steps[:, :20])
    np.testing.assert_allclose(one.z[:, :20], many.z[:, :20], rtol=1e-6, atol=1e-6)


def test_a_funnel_diverges_and_says_so():
    told = run("funnel", draws=1000, seed=2)
    assert told.said.diverged.sum() > 3
    assert np.isfinite(told.z).all()


def test_same_seed_same_bits():
    one = run("gaussian", draws=200, warmup=100, seed=5)
    again = run("gaussian", draws=200, warmup=100, seed=5)
    other = run("gaussian", draws=200, warmup=100, seed=6)
    assert np.array_equal(one.z, again.z)
    assert not np.array_equal(one.z, other.z)


def test_acceptance_follows_its_target():
    # a chain's own step errs by 0.02 in acceptance: many chains, so that no seed decides
    many = functools.partial(run, "gaussian", draws=200, chains=100, seed=3, wrap=as_it_is)
    strict, loose = many(target=0.95), many(target=0.7)
    assert strict.said.accept.mean() > 0.94
    assert 0.9 > loose.said.accept.mean() > 0.7
    assert strict.said.step_size.mean() < 0.8 * loose.said.step_size.mean()


@given(st.integers(0, 5000))
def test_windows_fill_warm_up_and_double(warmup):
    schedule = plan(warmup, 0.8)
    closes = schedule.closes[schedule.closes >= 0]
    assert np.all(np.diff(closes) > 0)
    if warmup < 20:
        assert closes.size == 0
        return
    assert closes[-1] == schedule.collect_to - 1 < warmup
    widths = np.diff([int(schedule.collect_from) - 1, *closes])
    assert np.all(widths[1:] >= 2 * widths[:-1])
