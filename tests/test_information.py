"""Value of information against closed forms and nested Monte Carlo, on hand-made draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.stats import norm, spearmanr

from bayescale import criteria
from bayescale.information import evpi, evppi, evsi, variance_reduction
from bayescale.regressions import cross_fitted

SIZE = 8000


def two_actions(seed=0, size=SIZE, gap=0.0):
    """Loss of action 0 is the truth, of action 1 is `gap`."""
    truth = np.random.default_rng(seed).standard_normal(size)
    return truth, np.column_stack([truth, np.full(size, gap)])


def unit_loss(gap, sd):
    """E max(0, X - gap) of X ~ Normal(0, sd): what is lost less by seeing X."""
    return sd * norm.pdf(gap / sd) - gap * norm.sf(gap / sd) if sd > 0 else 0.0


@pytest.mark.parametrize("gap", [0.0, 0.7])
def test_perfect_information_in_closed_form(gap):
    _, losses = two_actions(gap=gap)
    worth = evpi(losses)
    exact = unit_loss(gap, 1.0)
    assert worth.value == pytest.approx(exact, abs=3 * worth.error)


@pytest.mark.parametrize("noise", [0.05, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("gap", [0.0, 0.7])
def test_sample_information_in_closed_form(noise, gap):
    truth, losses = two_actions(seed=3, gap=gap)
    seen = truth + noise * np.random.default_rng(1).standard_normal(SIZE)
    worth = evsi(losses, seen)
    exact = unit_loss(gap, 1 / np.sqrt(1 + noise**2))
    assert worth.value == pytest.approx(exact, abs=max(3 * worth.error, 0.1 * exact))


@given(seed=st.integers(0, 50), noise=st.floats(0.01, 50), actions=st.integers(2, 12))
def test_sample_information_lies_between_nothing_and_everything(seed, noise, actions):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(400)
    losses = np.outer(truth, rng.standard_normal(actions)) + rng.standard_normal(actions)
    worth = evsi(losses, truth + noise * rng.standard_t(3, 400))
    assert 0.0 <= worth.value <= evpi(losses).value


def test_partial_information_adds_up_where_parameters_are_apart():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, SIZE))
    losses = np.column_stack([a + 2 * b, np.zeros(SIZE)])
    first, second = evppi(losses, a), evppi(losses, b)
    both = evppi(losses, np.column_stack([a, b]))
    assert first.value == pytest.approx(unit_loss(0, 1.0), abs=4 * first.error)
    assert second.value == pytest.approx(unit_loss(0, 2.0), abs=4 * second.error)
    assert both.value == pytest.approx(evpi(losses).value, rel=0.01)


def test_two_results_are_worth_what_their_mean_is():
    truth, losses = two_actions(seed=5)
    noise = np.random.default_rng(2).standard_normal((SIZE, 2))
    worth = evsi(losses, truth[:, None] + noise)
    exact = unit_loss(0, 1 / np.sqrt(1.5))
    assert worth.value == pytest.approx(exact, abs=max(3 * worth.error, 0.03 * exact))


def test_variance_falls_as_the_normal_theory_says():
    rng = np.random.default_rng(0)
    t = rng.standard_normal((SIZE, 2)) @ np.array([[1.0, 0.3], [0.0, 2.0]])
    seen = t[:, 0] + 0.5 * rng.standard_normal(SIZE)
    covariance = np.cov(t.T)
    exact = np.mean(covariance[0] ** 2) / (covariance[0, 0] + 0.25)
    worth = variance_reduction(t, seen)
    assert worth.value == pytest.approx(exact, abs=3 * worth.error)
    closed = criteria.v_optimal(t, t[:, [0]], np.array([0.25]))[0]
    assert closed == pytest.approx(exact, rel=1e-3)


def law(theta, N, D):
    E, A, B, alpha, beta = theta
    return np.log(E + A * N**-alpha + B * D**-beta)


def posterior(seed=0, size=SIZE):
    """Draws as a small ladder leaves them: heights and exponents go together."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((5, size))
    alpha = 0.34 * np.exp(0.10 * u[0])
    beta = 0.28 * np.exp(0.10 * u[1])
    A = 406.4 * np.exp(16.0 * (alpha - 0.34) + 0.05 * u[2])
    B = 410.7 * np.exp(21.0 * (beta - 0.28) + 0.05 * u[3])
    return np.array([1.69 * np.exp(0.01 * u[4]), A, B, alpha, beta])[:, :, None]


def nested(losses, mean, sd, outer=1200, seed=9, fine=False):
    """EVSI of one candidate by nested Monte Carlo: posterior weights for each imagined result."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(mean), outer, replace=False)
    seen = mean[truth] + sd * rng.standard_normal(outer)
    gained = []
    for part in np.array_split(seen, 12):
        weight = np.exp(-0.5 * ((part[:, None] - mean) / sd) ** 2)
        after = weight @ losses / weight.sum(axis=1, keepdims=True)
        if fine:  # the actions between those on the grid
            after = CubicSpline(np.arange(after.shape[1]), after, axis=1)(
                np.linspace(0, after.shape[1] - 1, 1401)
            )
        gained.append(after)
    after = np.concatenate(gained)
    before = losses.mean(axis=0)
    if fine:
        before = CubicSpline(np.arange(len(before)), before)(np.linspace(0, len(before) - 1, 1401))
    gained = after[:, before.argmin()] - after.min(axis=1)
    return gained.mean(), gained.std() / np.sqrt(outer)


# N, D, sd of log loss; the last but one is told apart from nothing but the floor, which the
# split of a budget doesn't depend on
CANDIDATES = [
    (1e8, 1e12, 0.01),
    (1e10, 2e9, 0.01),
    (1e9, 2e10, 0.01),
    (1e10, 1e11, 0.01),
    (1e8, 1e9, 0.02),
    (1e10, 1e12, 0.01),
    (1e30, 1e40, 0.01),
    (1e9, 1e13, 0.004),
]


def test_a_splits_candidates_agree_with_nested_monte_carlo():
    theta = posterior()
    N = np.geomspace(1e9, 3e11, 15)[None]
    losses = np.exp(law(theta, N, 5.76e22 / 6 / N))
    rng = np.random.default_rng(4)
    ours, theirs = [], []
    for n, d, sd in CANDIDATES:
        mean = law(theta, n, d)[:, 0]
        worth = evsi(losses, (mean + sd * rng.standard_normal((4, SIZE)))[:, :, None], line=True)
        exact, error = nested(losses, mean, sd, fine=True)
        ours.append(worth.value)
        theirs.append(exact)
        allowed = 2 * np.hypot(worth.error, error)
        assert abs(worth.value - exact) <= max(allowed, 0.1 * exact), (n, d, sd)
    assert ours[6] < 0.02 * max(ours)
    assert spearmanr(ours, theirs).statistic >= 0.9
    assert max(ours) <= evpi(losses, line=True).value


def test_a_choices_candidates_agree_with_nested_monte_carlo():
    """Two recipes: one known, one not; its own run at the target decides, others' are worthless."""
    theta = posterior(1)
    known = float(np.exp(law(theta, 1e11, 2e12)).mean()) - 0.001
    losses = np.column_stack([np.exp(law(theta, 1e11, 2e12)[:, 0]), np.full(SIZE, known)])
    rng = np.random.default_rng(5)
    other = rng.standard_normal(SIZE)
    every = [(law(theta, n, d)[:, 0], sd) for n, d, sd in CANDIDATES[:6]]
    every += [(other, 0.1), (law(theta, 1e11, 2e12)[:, 0], 2e-4)]
    ours, theirs = [], []
    for mean, sd in every:
        worth = evsi(losses, (mean + sd * rng.standard_normal((4, SIZE)))[:, :, None])
        # of what has nothing to do with the choice, the exact value is zero
        exact, error = (0.0, 0.0) if mean is other else nested(losses, mean, sd)
        ours.append(worth.value)
        theirs.append(exact)
        allowed = 2 * np.hypot(worth.error, error)
        assert abs(worth.value - exact) <= max(allowed, 0.1 * exact)
    whole = evpi(losses).value
    assert ours[6] < 0.02 * whole
    assert ours[7] == pytest.approx(whole, rel=0.03)
    assert spearmanr(ours, theirs).statistic >= 0.9


def test_a_gain_that_only_the_tails_show_is_not_straightened_away():
    """Gains beyond 1.6 sd on either side: no straight line sees them, and few draws do."""

    def gain(z):
        return 1.5 * np.clip(np.abs(z) - 1.6, 0, None) - 0.25

    rng = np.random.default_rng(5)
    seen = np.sqrt(1 + 0.2**2) * rng.standard_normal(200_000)
    middle, sd = seen / (1 + 0.2**2), 0.2 / np.sqrt(1 + 0.2**2)
    nodes = np.sqrt(3) * np.array([-1, 0, 1])  # Gauss and Hermite's
    told = gain(middle[:, None] + sd * nodes) @ np.array([1, 4, 1]) / 6
    exact = np.maximum(told, 0).mean() - max(told.mean(), 0)
    values = []
    for seed in range(4):
        z, other = np.random.default_rng(seed).standard_normal((2, 4000))
        shown = z + 0.2 * np.random.default_rng(seed + 9).standard_normal((4, 4000))
        losses = np.column_stack([np.zeros(4000), -gain(z) - 1.2 * other])
        values.append(evsi(losses, shown[:, :, None], seed=seed).value)
    assert np.mean(values) == pytest.approx(exact, rel=0.08)


def test_a_regression_is_of_other_draws_than_its_own():
    """A useless result explains nothing: residuals don't shrink, as they would in sample."""
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((300, 3))
    expected = cross_fitted(rng.standard_normal((300, 4)), wanted).expected
    assert np.mean((wanted - expected) ** 2) > 0.97 * np.mean(wanted**2)


def test_criteria_agree_where_they_should():
    rng = np.random.default_rng(0)
    law_values = rng.standard_normal((20_000, 3)) * [0.1, 1.0, 3.0]
    seen = law_values + rng.standard_normal(law_values.shape)
    noise = criteria.noise_variance(law_values, seen)
    assert noise == pytest.approx(1.0, rel=0.05)
    gaussian = criteria.d_optimal(law_values, noise)
    assert criteria.information(law_values, seen) == pytest.approx(gaussian, abs=0.03)
    assert criteria.pool_information(law_values, noise) == pytest.approx(gaussian.sum(), rel=1e-3)
    after = criteria.conditioned(law_values, law_values[:, 2], 1.0, rng)
    assert after.var(axis=0) == pytest.approx([0.01, 1.0, 0.9], rel=0.05)
