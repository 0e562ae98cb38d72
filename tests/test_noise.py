"""The scatter's closed forms against independent ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayescale.noise import build_noise

VALUES = {"sigma": 0.01, "sd(cell)": 0.02, "nu": 5.0, "sigma_slope": 0.2}


def cell_density(name: str, residual: np.ndarray, se2: np.ndarray, mask: np.ndarray) -> float:
    noise = build_noise(name, repeated=True, measured=True)
    values = {p.name: np.full((1, 1, 1), VALUES[p.name]) for p in noise.parameters}
    rows = {"se2": se2[None, None], "z": np.zeros((1, 1, len(se2)))}
    return float(
        noise.cell_log_density(values, residual[None, None], mask[None, None], rows, np)[0, 0]
    )


@pytest.mark.parametrize("name", ["t", "normal", "t+scale"])
def test_a_cell_is_an_elliptical_density_with_shared_and_own_variance(name):
    residual = np.array([0.01, -0.02, 0.005, 99.0])
    se2 = np.array([1e-4, 2e-4, 3e-5, 1.0])
    mask = np.array([1.0, 1.0, 1.0, 0.0])
    covariance = 0.02**2 * np.ones((3, 3)) + np.diag(0.01**2 + se2[:3])
    if name == "normal":
        expected = stats.multivariate_normal(np.zeros(3), covariance).logpdf(residual[:3])
    else:
        expected = stats.multivariate_t(np.zeros(3), covariance, df=5.0).logpdf(residual[:3])
    assert cell_density(name, residual, se2, mask) == pytest.approx(expected, rel=1e-10)


def test_new_runs_scatter_as_their_density_says():
    noise = build_noise("t", repeated=True, measured=True)
    rng = np.random.default_rng(0)
    values = {p.name: np.full((200_000, 1), VALUES[p.name]) for p in noise.parameters}
    draws = noise.draw(values, {"se2": np.array([1e-4])}, rng, (200_000, 1))[:, 0]
    scale = np.sqrt(0.01**2 + 0.02**2 + 1e-4)
    for q in (0.025, 0.25, 0.9):
        expected = stats.t(df=5.0, scale=scale).ppf(q)
        assert np.quantile(draws, q) == pytest.approx(expected, rel=0.03)


def test_scale_may_change_with_compute():
    noise = build_noise("t+scale", repeated=False, measured=False)
    variance = noise.parts[0].variance(VALUES, {"z": np.array([-1.0, 0.0, 1.0])}, np)
    np.testing.assert_allclose(np.sqrt(variance), 0.01 * np.exp(0.2 * np.array([-1, 0, 1])))


def test_shares_name_every_part():
    noise = build_noise("normal", repeated=True, measured=True)
    shares = noise.shares(VALUES, {"se2": np.array([1e-4])})
    assert set(shares) == {"run", "cell", "measurement"}
    assert shares["cell"] == pytest.approx(4e-4)
