"""Our chains draw from the posterior that NumPyro's own sampler draws from."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from arviz_stats.base import array_stats

import bayescale as bs
from bayescale.numpyro_model import numpyro_model
from bayescale.precision import x64


@pytest.fixture(scope="module")
def short_fit():
    """Thirty runs of a power law, two families, normal scatter."""
    rng = np.random.default_rng(4)
    law = bs.load_law("power_law")
    column = next(iter(law.variables.values())).column
    sizes = np.tile(np.geomspace(1e6, 1e9, 10), 3)
    heights = np.repeat([10.0, 12.0, 14.0], 10)
    loss = (1.7 + heights * sizes**-0.3) * np.exp(0.01 * rng.standard_normal(30))
    family = np.repeat(["a", "b", "c"], 10)
    runs = bs.read_runs({column: sizes, "loss": loss, "family": family}, law=law)
    pool = {"A": ["family"], "E": [], "alpha": []}
    return bs.fit(law, runs, pool=pool, noise="normal", progress=False, seed=2)


def spread(draws):
    """Mean, sd, two quantiles, and the Monte Carlo error of the mean and the quantiles."""
    options = {"chain_axis": 0, "draw_axis": 1}
    mean, sd = draws.mean(), draws.std()
    low, high = np.quantile(draws, [0.025, 0.975])
    errors = [array_stats.mcse(draws, method="mean", **options)]
    errors += [
        array_stats.mcse(draws, method="quantile", prob=q, **options) for q in (0.025, 0.975)
    ]
    return np.array([mean, low, high]), np.array(errors), sd


@pytest.mark.slow
def test_posterior_agrees_with_numpyro(short_fit):
    from numpyro.infer import MCMC, NUTS

    with x64():
        kernel = NUTS(numpyro_model(short_fit.model), target_accept_prob=0.95)
        reference = MCMC(
            kernel,
            num_warmup=1000,
            num_samples=4000,
            num_chains=2,
            chain_method="vectorized",
            progress_bar=False,
        )
        reference.run(jax.random.PRNGKey(0))
        theirs = {k: np.asarray(v) for k, v in reference.get_samples(group_by_chain=True).items()}
    ours = short_fit.data["posterior"]
    for name in ("alpha", "sigma", "sd(A|family)"):
        a, b = ours[name].transpose("chain", "draw").to_numpy(), theirs[name]
        (places, errors, sd), (others, their_errors, their_sd) = spread(a), spread(b)
        assert np.all(np.abs(places - others) < 4 * np.hypot(errors, their_errors)), name
        assert sd == pytest.approx(their_sd, rel=0.1), name


def test_every_chain_has_its_own_draws(short_fit):
    draws = short_fit.data["posterior"]["alpha"].transpose("chain", "draw").to_numpy()
    assert draws.shape == (4, 1000)
    assert len(np.unique(draws)) > 3900
    assert short_fit.data["sample_stats"]["n_steps"].to_numpy().min() >= 1
