"""Vectorised minima and roots against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale import optimum


def test_minimum_of_a_smooth_function_is_placed_beyond_the_noise_of_its_values():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 0.6, 500), rng.uniform(0.1, 0.6, 500)
    weight = np.exp(rng.normal(0, 1, 500))

    def loss(x):  # like a law on log N: two exponentials over a floor
        return 1.7 + weight * np.exp(-a * x) + np.exp(b * x)

    found = optimum.minimise(loss, np.full(500, -14.0), 14.0)
    exact = np.log(a * weight / b) / (a + b)
    assert found.interior.all()
    assert np.abs(found.x - exact).max() < 1e-8
    assert np.allclose(found.value, loss(exact), atol=1e-14)


@given(st.floats(-4.9, 4.9))
def test_minimum_at_a_kink_is_found(place):
    found = optimum.minimise(lambda x: np.abs(x - place), np.array([-5.0]), 5.0)
    assert found.x[0] == pytest.approx(place, abs=1e-6)


def test_edges_and_infeasible_ends_are_not_interior():
    def falling_until_two(x):
        return np.where(x <= 2.0, -x, np.inf)

    found = optimum.minimise(falling_until_two, np.zeros(1), 4.0)
    assert not found.interior[0]
    assert found.x[0] == pytest.approx(2.0, abs=0.05)
    rising = optimum.minimise(lambda x: x, np.zeros(1), 4.0)
    assert not rising.interior[0]
    assert rising.x[0] == 0.0


def test_two_basins_give_the_lower():
    def double(x):
        return np.minimum((x + 2) ** 2, (x - 2) ** 2 - 0.5)

    found = optimum.minimise(double, np.full((2, 3), -6.0), 6.0)
    assert found.x.shape == (2, 3)
    assert np.allclose(found.x, 2.0, atol=1e-8)
    assert np.allclose(found.value, -0.5)


@given(st.floats(-9.0, 9.0))
def test_roots_are_found_or_said_to_be_absent(place):
    got = optimum.roots(lambda x: np.tanh(x - place), np.array([-10.0, 9.5]), 10.0)
    assert got[0] == pytest.approx(place, abs=1e-8)
    assert np.isnan(got[1])


def test_the_lowest_of_several_roots_is_taken():
    got = optimum.roots(lambda x: np.sin(x), np.array([1.0]), 12.0)
    assert got[0] == pytest.approx(np.pi)


def test_range_within_names_ends_and_gaps():
    grid = np.linspace(-4, 4, 81)
    low, high, whole = optimum.range_within(lambda x: (x**2 - 4) ** 2, grid, 1.0)
    assert (low, high) == (pytest.approx(-np.sqrt(5)), pytest.approx(np.sqrt(5)))
    assert not whole
    assert np.isnan(optimum.range_within(lambda x: x**2 + 1, grid, 0.5)[0])
