"""Runs that were not tuned well: the frontier's density, its recovery, and what it is good for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import erfcx

import bayescale as bs
from bayescale.errors import BayescaleError, LawError
from bayescale.held_out import foretell
from bayescale.noise import build_noise
from bayescale.precision import x64
from bayescale.predictive_draws import log_predictive
from bayescale.replicates import replicate
from bayescale.tails import log_lift
from tests.simulate import TRUTH, TWO_FAMILIES, ladder

VALUES = {"sigma": 0.006, "sd(cell)": 0.004, "sd(tuning)": 0.03}
WIDE = {"sizes": tuple(np.geomspace(1e6, 1e10, 7)), "tokens": tuple(np.geomspace(1e8, 1e12, 7))}


def cells(residual: np.ndarray, mask: np.ndarray, values=VALUES, se2: float = 1e-5) -> np.ndarray:
    """Log density of cells (cell, seed), measured and repeated."""
    noise = build_noise("frontier", repeated=True, measured=True)
    own = {name: np.full((1, 1), values[name]) for name in (p.name for p in noise.parameters)}
    rows = {"se2": np.full(mask.shape, se2)}
    return noise.cell_log_density(own, residual, mask, rows, np)


def by_quadrature(residual: np.ndarray, scale: float, se2: float = 1e-5) -> float:
    """The same of one cell, its height integrated numerically."""
    n = len(residual)
    covariance = VALUES["sd(cell)"] ** 2 * np.ones((n, n))
    covariance += (VALUES["sigma"] ** 2 + se2) * np.eye(n)
    normal = stats.multivariate_normal(np.zeros(n), covariance)
    points = np.linspace(0.0, 0.3, 40_001)
    log = normal.logpdf(residual - points[:, None]) + stats.expon(scale=scale).logpdf(points)
    return float(np.log(integrate.simpson(np.exp(log - log.max()), x=points)) + log.max())


def mistuned(seed: int, mean: float = 0.02, **more):
    """A ladder whose log rates and log batches miss their best by normal amounts."""
    table = ladder(seed=seed, sd_run=0.003, **more)
    named = [c for c in ("family", "N", "D") if c in table]
    cell = table.groupby(named, sort=False).ngroup().to_numpy()
    off = np.random.default_rng(seed + 50).standard_normal((2, cell.max() + 1))
    lost = 0.5 * mean * np.sum(off**2, axis=0)
    return table.assign(loss=table["loss"] * np.exp(lost[cell]))


@pytest.fixture(scope="module")
def fit():
    runs = bs.read_runs(mistuned(1, families=TWO_FAMILIES, seeds=2, se=0.001))
    options = {"pool": {"E": ["family"]}, "progress": False}
    return bs.fit(bs.load_law("chinchilla"), runs, noise="frontier", discrepancy="none", **options)


@pytest.mark.parametrize("scale", [0.003, 0.03, 0.2])
@pytest.mark.parametrize("residual", [[0.01], [-0.03], [0.08], [0.02, 0.03, 0.01], [-0.01, 0.05]])
def test_a_cells_height_is_integrated_out(residual, scale):
    values = {**VALUES, "sd(tuning)": scale}
    padded = np.array([[*residual, *[9.0] * (4 - len(residual))]])
    mask = np.array([[1.0] * len(residual) + [0.0] * (4 - len(residual))])
    expected = by_quadrature(np.array(residual), scale)
    assert cells(padded, mask, values)[0] == pytest.approx(expected, abs=1e-6)


def test_without_a_height_it_is_the_normal():
    residual, mask = np.array([[0.01, -0.004], [0.002, 7.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    noise = build_noise("normal", repeated=True, measured=True)
    own = {p.name: np.full((1, 1), VALUES[p.name]) for p in noise.parameters}
    plain = noise.cell_log_density(own, residual, mask, {"se2": np.full((2, 2), 1e-5)}, np)
    near = cells(residual, mask, {**VALUES, "sd(tuning)": 1e-9})
    np.testing.assert_allclose(near, plain, atol=1e-5)


@cache
def traced_lift():
    import jax
    import jax.numpy as jnp

    return jax.jit(jax.value_and_grad(lambda at: log_lift(at, jnp)))


@given(st.floats(-1e8, 1e8) | st.floats(-30.0, 30.0))
def test_the_lift_is_exact_far_out_and_so_is_its_slope(t):
    below = np.log(erfcx(-t / np.sqrt(2))) if t < 25 else np.log(2) + 0.5 * t**2
    with x64():
        value, slope = traced_lift()(np.float64(t))
    assert log_lift(np.array(t), np) == pytest.approx(below, rel=1e-12, abs=1e-12)
    assert float(value) == pytest.approx(below, rel=1e-12, abs=1e-12)
    if t < -20:  # of t + phi / Phi nothing is left there
        assert float(slope) == pytest.approx(-1.0 / t, rel=3.0 / t**2)
    else:
        ratio = np.sqrt(2 / np.pi) / erfcx(-t / np.sqrt(2)) if t < 25 else 0.0
        assert float(slope) == pytest.approx(t + ratio, rel=1e-9)


def test_new_runs_lie_above_the_law_as_their_density_says():
    noise = build_noise("frontier", repeated=True, measured=True)
    rng, size = np.random.default_rng(0), 100_000
    values = {p.name: np.full((size, 1), VALUES[p.name]) for p in noise.parameters}
    drawn = noise.draw(values, {"se2": np.array([1e-5])}, rng, (size, 1))[:, 0]
    grid = np.linspace(-0.05, 0.7, 8001)
    density = np.exp(cells(grid[:, None], np.ones((len(grid), 1))))
    below = integrate.cumulative_simpson(density, x=grid, initial=0.0)
    assert below[-1] == pytest.approx(1.0, abs=1e-6)
    assert stats.kstest(drawn, lambda x: np.interp(x, grid, below)).pvalue > 0.01


def test_the_scales_are_recovered_and_said(fit):
    table = bs.summary(fit)
    for name, truth in {"sigma": 0.003, "sd(tuning)": 0.02}.items():
        assert table.loc[name, "mean"] == pytest.approx(truth, abs=4 * table.loc[name, "sd"])
        assert table.loc[name, "sd"] < 0.4 * truth
    prior = bs.prior_summary(fit).loc["sd(tuning)"]
    assert "HalfNormal(0.05)" in prior.astype(str).tolist()
    assert any("want of tuning" in text for text in prior.astype(str))


def test_the_law_is_of_well_tuned_runs_and_a_new_run_is_tuned_as_these(fit):
    target = {"N": 1e9, "D": 2e10, "family": "moe"}
    law, run = bs.predict(fit, target, kind="mean"), bs.predict(fit, target)
    assert law.sentences[0].startswith("The law of well-tuned runs of moe at N=1e9, D=2e10: ")
    assert run.sentences[0].startswith("One more run of moe, tuned as the data's were, at N=1e9")
    above = np.log(run.draws.to_numpy() / law.draws.to_numpy())[:, 0]
    assert np.mean(above) == pytest.approx(0.02, abs=0.008)
    # a height of its own and a run's scatter, and no more: their law at each draw's scales
    told = {n: fit.data["posterior"][n].to_numpy().ravel() for n in VALUES}
    scatter = np.sqrt(told["sigma"] ** 2 + told["sd(cell)"] ** 2 + 0.001**2)
    said = stats.exponnorm(told["sd(tuning)"] / scatter, scale=scatter)
    assert stats.kstest(said.cdf(above), "uniform").pvalue > 0.001
    assert np.mean(said.cdf(-0.015)) < 0.01


def test_what_is_saved_scored_and_replicated_is_the_frontiers(fit, tmp_path):
    again = bs.load(bs.save(fit, tmp_path / "fit.nc") or tmp_path / "fit.nc")
    rows = fit.runs.table.iloc[:4]
    np.testing.assert_array_equal(log_predictive(again, rows), log_predictive(fit, rows))
    drawn = np.log(replicate(fit, draws=400) / fit.runs.table["loss"].to_numpy())
    seeds = drawn.reshape(400, -1, 2)  # seeds of a configuration share its height
    assert np.median(np.abs(seeds[..., 0] - seeds[..., 1])) < 0.012
    assert np.quantile(drawn.mean(axis=1), [0.01, 0.99]).prod() < 0
    # a run given its configuration's other seed is foretold better than one of its own
    inside = foretell(fit, rows.iloc[:1]).log_density.iloc[0]
    alone = float(np.log(np.mean(np.exp(log_predictive(fit, rows.iloc[:1])))))
    assert inside > alone + 0.5


def test_it_stands_where_student_t_is_drawn_upwards():
    law = bs.load_law("chinchilla")
    tables = [mistuned(seed, **WIDE) for seed in range(6)]
    far = {"N": 1e10, "D": 1e12}
    truth = TRUTH["E"] + TRUTH["A"] * 1e10 ** -TRUTH["alpha"] + TRUTH["B"] * 1e12 ** -TRUTH["beta"]
    off, floor = {}, {}
    for noise in ("frontier", "t"):
        fits = bs.fit_many(law, tables, noise=noise, discrepancy="none", chains=2, progress=False)
        medians = [bs.predict(one, far, kind="mean").table["median"][0] for one in fits]
        off[noise] = np.mean(np.log(np.array(medians) / truth))
        floor[noise] = np.mean([np.median(one.data["posterior"]["E"]) for one in fits])
    assert abs(off["frontier"]) < 0.005 < 0.008 < off["t"]
    assert abs(floor["frontier"] - TRUTH["E"]) < 0.02


def test_it_bends(bent_by_default):
    runs = bs.read_runs(mistuned(3))
    options = {"draws": 500, "warmup": 500, "chains": 2, "strict": False, "progress": False}
    fit = bs.fit(bs.load_law("chinchilla"), runs, noise="frontier", **options)
    assert fit.model.structure.bend is not None
    table = bs.summary(fit)
    assert table["r_hat"].max() < 1.05
    assert table["ess_bulk"].min() > 100
    assert not any("coverage" in sentence for sentence in bs.predict(fit, runs.table[:1]).sentences)


def test_where_it_can_not_be_had():
    law = bs.load_law("chinchilla")
    runs = bs.read_runs(ladder())
    with pytest.raises(BayescaleError, match="frontier' is of finished runs"):
        bs.fit(law, runs, noise="frontier", checkpoints="all", progress=False)
    with pytest.raises(LawError, match="frontier goes with the link log"):
        bs.load_law("chinchilla").response.__class__("y", link="logit").scattering("frontier")
