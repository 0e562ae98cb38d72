"""Runs with all their checkpoints: what is near in training deviates together."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import bayescale as bs
from bayescale.density import cell_log_likelihood
from bayescale.model_from_runs import build_model
from bayescale.precision import x64
from bayescale.rows import select_rows

SIGMA, MEMORY, ALPHA = 0.02, 0.8, 0.3


def series(runs: int = 24, checkpoints: int = 10, seed: int = 0) -> pd.DataFrame:
    """Curves of a power law in D, each with a deviation that wanders."""
    rng = np.random.default_rng(seed)
    decades = np.linspace(0.0, 1.5, checkpoints)
    gaps = np.abs(decades[:, None] - decades[None, :])
    root = np.linalg.cholesky(SIGMA**2 * np.exp(-gaps / MEMORY))
    parts = []
    for k in range(runs):
        tokens = 10.0 ** (8.0 + decades)
        loss = 2.0 + 1.5 * (tokens / 1e9) ** -ALPHA
        loss = loss * np.exp(root @ rng.standard_normal(checkpoints))
        parts.append(pd.DataFrame({"run": f"r{k}", "D": tokens, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


def law() -> bs.Law:
    return bs.load_law("power_law").with_columns(x="D")


def test_density_is_that_of_the_process():
    table = select_rows(bs.read_runs(series(runs=3)), law(), checkpoints="all").table
    model = build_model(law(), table, noise="normal", checkpoints="all")
    structure = model.structure
    natural = {"E": 2.1, "A": 700.0, "alpha": 0.31, "sigma": 0.03, "memory": 0.4}
    from bayescale.coordinates import from_natural
    from bayescale.model import reference_inputs

    eta = from_natural(structure, natural, reference_inputs(model.arrays.reference))[None]
    inputs = model.arrays.inputs()
    told = np.sum(cell_log_likelihood(structure, eta, inputs, np) * (inputs["mask"].sum(-1) > 0))
    own = {name: natural[name] for name in ("E", "A", "alpha")}
    mean = np.log(law()(own, D=table["D"].to_numpy()))
    whole = 0.0
    for _, rows in table.groupby("run"):
        decades = np.log10(rows["D"].to_numpy())
        cov = 0.03**2 * np.exp(-np.abs(decades[:, None] - decades[None, :]) / 0.4)
        place = table.index.get_indexer(rows.index)
        whole += multivariate_normal(mean[place], cov).logpdf(np.log(rows["loss"].to_numpy()))
    assert told == pytest.approx(whole, rel=1e-9)
    with x64():
        traced = cell_log_likelihood(structure, jnp.asarray(eta), inputs, jnp)
    np.testing.assert_allclose(np.asarray(traced), cell_log_likelihood(structure, eta, inputs, np))


@pytest.mark.slow
def test_memory_is_found_and_keeps_intervals_wide(tmp_path):
    options = {"noise": "normal", "progress": False, "draws": 500, "warmup": 500}
    runs = bs.read_runs(series())
    fit = bs.fit(law(), runs, checkpoints="all", strict=False, **options)
    posterior = fit.data["posterior"]
    for name, truth in {"sigma": SIGMA, "memory": MEMORY, "alpha": ALPHA}.items():
        low, high = np.quantile(posterior[name], [0.005, 0.995])
        assert low < truth < high
    alone = runs.table.assign(run=[f"row {i}" for i in range(len(runs.table))])
    forgetful = bs.fit(law(), bs.read_runs(alone), strict=False, **options)
    asked = {"D": [5e8]}
    sds = [bs.predict(f, asked, kind="mean").table["sd_log"][0] for f in (fit, forgetful)]
    assert sds[0] > 1.3 * sds[1]  # rows of one run are not so many runs
    again = bs.load(bs.save(fit, tmp_path / "fit.nc"))
    targets = {"D": [1e11]}
    one, two = (bs.predict(f, targets, seed=1).draws.to_numpy() for f in (fit, again))
    np.testing.assert_array_equal(one, two)
