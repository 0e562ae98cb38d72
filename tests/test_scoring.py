"""Scores against naive references and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayescale import scoring
from bayescale.errors import DataError

finite = st.floats(-3, 3)


@given(st.lists(finite, min_size=1, max_size=30), finite)
def test_crps_is_the_energy_form(values, seen):
    draws = np.array(values)
    naive = np.mean(np.abs(draws - seen)) - 0.5 * np.mean(np.abs(draws[:, None] - draws[None, :]))
    got = scoring.crps_draws(np.exp(draws)[:, None], np.exp([seen]))[0]
    assert got == pytest.approx(naive, abs=1e-12)
    assert got >= -1e-12


def test_crps_of_normal_draws_matches_the_closed_form():
    seen, sd = 0.7, 0.3
    quantiles = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) * sd
    z = seen / sd
    exact = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert scoring.crps_draws(np.exp(quantiles)[:, None], np.exp([seen]))[0] == pytest.approx(
        exact, abs=1e-4
    )


@given(st.floats(0.1, 10))
def test_scores_do_not_depend_on_the_unit_of_the_loss(unit):
    rng = np.random.default_rng(1)
    draws = np.exp(rng.normal(0.7, 0.1, (300, 5)))
    seen = np.exp(rng.normal(0.7, 0.1, 5))
    first = scoring.flat(scoring.metrics(draws, seen))
    second = scoring.flat(scoring.metrics(draws * unit, seen * unit))
    for name, value in first.items():
        assert value == pytest.approx(second[name], rel=1e-9, abs=1e-9, nan_ok=True), name


def test_calibrated_draws_are_covered_at_the_nominal_rate():
    rng = np.random.default_rng(2)
    draws = np.exp(rng.normal(size=(2000, 1500)))
    seen = np.exp(rng.normal(size=1500))
    scores = scoring.metrics(draws, seen)
    for level in scoring.LEVELS:
        assert scores["coverage"][f"{level:g}"] == pytest.approx(level, abs=0.04)
        exact = 2 * stats.norm.ppf((1 + level) / 2)
        assert scores["width"][f"{level:g}"] == pytest.approx(exact, rel=0.02)


def test_interval_score_by_hand():
    draws = np.exp(np.linspace(0, 1, 101))[:, None]
    inside = scoring.interval_score(draws, np.exp([0.4]), 0.8)
    below = scoring.interval_score(draws, np.exp([0.0]), 0.8)
    assert inside == pytest.approx(0.8)
    assert below == pytest.approx(0.8 + 2 / 0.2 * 0.1)


def test_interval_score_is_least_at_the_true_quantiles():
    rng = np.random.default_rng(3)
    seen = np.exp(rng.normal(size=4000))
    right = np.exp(stats.norm.ppf((np.arange(999) + 0.5) / 999))

    def score(scale):
        return scoring.interval_score(np.tile((right**scale)[:, None], 4000), seen, 0.9)

    assert score(1.0) < min(score(0.7), score(1.4))


def test_errors_by_hand():
    assert scoring.rmsle([1.0, np.e], [1.0, 1.0]) == pytest.approx(np.sqrt(0.5))
    assert scoring.are([1.0, 3.0], [2.0, 2.0]) == pytest.approx(0.5)


def test_log_score_averages_densities_not_their_logs():
    density = np.array([[0.1, 2.0], [0.3, 4.0]])
    expected = np.mean(np.log(density.mean(axis=0)))
    assert scoring.log_score(np.log(density)) == pytest.approx(expected)


def test_pit_is_uniform_even_with_few_draws_and_ties():
    rng = np.random.default_rng(4)
    draws = rng.integers(1, 6, size=(7, 4000)).astype(float)
    seen = rng.integers(1, 6, size=4000).astype(float)
    assert stats.kstest(scoring.pit(draws, seen, seed=5), "uniform").pvalue > 0.01
    shifted = scoring.pit(draws, seen + 1, seed=5)
    assert stats.kstest(shifted, "uniform").pvalue < 1e-6
    assert np.array_equal(scoring.pit(draws, seen, seed=5), scoring.pit(draws, seen, seed=5))


def test_a_point_prediction_has_a_crps_and_no_interval():
    scores = scoring.metrics([[2.0, 3.0]], [2.2, 3.0])
    assert scores["crps"] == pytest.approx(np.log(1.1) / 2)
    assert np.isnan(scores["coverage"]["0.95"])
    assert np.isnan(scores["log_score"])
    assert scores["n_test"] == 2


def test_keys_are_those_of_the_contract():
    scores = scoring.metrics(np.full((3, 1), 2.0), [2.0], log_density=np.zeros((3, 1)))
    assert set(scores) == {
        "n_test", "rmsle", "are", "crps", "coverage", "width", "interval_score", "log_score",
    }  # fmt: skip
    assert set(scores["coverage"]) == {"0.5", "0.8", "0.9", "0.95"}
    assert scores["log_score"] == pytest.approx(0.0)
    assert "coverage_95" in scoring.flat(scores)
    assert scoring.percent(0.8) == "80"


@pytest.mark.parametrize(
    ("draws", "observed", "message"),
    [
        ([[1.0, 2.0]], [1.0], r"shape \(1, 2\).*\(1,\)"),
        ([[1.0, -2.0]], [1.0, 2.0], "not positive and finite .targets at positions 1"),
        ([[1.0]], [np.nan], "observed losses are not positive"),
    ],
)
def test_bad_arrays_are_named(draws, observed, message):
    with pytest.raises(DataError, match=message):
        scoring.metrics(draws, observed)


def test_a_level_outside_0_1_is_refused():
    with pytest.raises(DataError, match="level of 95"):
        scoring.interval(np.ones((3, 1)), 95)
