"""Fits as ArviZ takes them: arviz-stats 0.8 on Python 3.11, 1.x and arviz-plots beyond."""

from __future__ import annotations

import importlib.util

import arviz_stats as az
import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.leave_out import LeftOut


@pytest.fixture(scope="module")
def tree(small_fit):
    return bs.posterior_predictive(small_fit)


def test_what_runs_over_what_is_named(small_fit, crossed_fit):
    data = small_fit.data
    runs = small_fit.runs.table["run"].to_list()
    for group in ("log_likelihood", "log_likelihood_rows", "observed_data", "constant_data"):
        assert list(data[group].dataset["run"].to_numpy()) == runs
    assert data["posterior"]["alpha_by_family"].sel(family="moe").dims == ("chain", "draw")
    crossed = crossed_fit.data["posterior"].dataset
    mine = crossed["E_by_group"].where(crossed["corpus"] == "prose", drop=True)
    assert mine.sizes["group"] == 2
    assert set(crossed["arch"].to_numpy()) == {"attention", "recurrent"}
    assert "other rows" in data["log_likelihood_rows"].attrs["about"]


def test_rows_of_one_run_are_one_observation(small_fit):
    """Two evaluation sets a run: the likelihood is by run, the data by row."""
    from bayescale.model_from_runs import build_model
    from bayescale.posterior_tree import posterior_tree
    from bayescale.sampling import Sampled

    table = small_fit.runs.table.copy()
    table["run"] = [f"r{i // 2}" for i in range(len(table))]
    model = build_model(small_fit.law, table)
    zero = np.zeros((4, 1000))
    sampled = Sampled(zero[..., None], zero, zero, zero > 0, zero, zero, zero[:, 0], 0.0, 0.0, 0.0)
    data = posterior_tree(model, table, small_fit.position, sampled)
    by_run = data["log_likelihood"]["loss"]
    assert by_run.dims == ("chain", "draw", "run")
    assert by_run.sizes["run"] == 20
    rows = data["log_likelihood_rows"]["loss"]
    assert rows.dims == ("chain", "draw", "row")
    assert list(rows["run"].to_numpy()) == table["run"].to_list()
    summed = rows.groupby("run").sum().sel(run=by_run["run"])
    np.testing.assert_allclose(summed.transpose(*by_run.dims), by_run, rtol=1e-12)
    assert data["observed_data"]["loss"].dims == ("row",)


def test_the_interval_is_of_the_kind_that_arviz_is_set_to(small_fit):
    from arviz_base import rc_context

    with rc_context({"stats.ci_kind": "hdi", "stats.ci_prob": 0.8}):
        table = bs.summary(small_fit)
    assert table.attrs == {"ci_prob": 0.8, "ci_kind": "hdi"}
    equal = bs.summary(small_fit, ci_prob=0.8, ci_kind="eti")
    width, other = (t["upper"] - t["lower"] for t in (table, equal))
    assert (width <= 1.01 * other).all()
    assert (width < other).any()
    draws = small_fit.data["posterior"]["alpha"].to_numpy().ravel()
    row = table.loc["alpha"]
    assert np.mean((draws >= row["lower"]) & (draws <= row["upper"])) == pytest.approx(
        0.8, abs=0.01
    )
    with pytest.raises(bs.BayescaleError, match="ci_kind is 'eti' or 'hdi'"):
        bs.summary(small_fit, ci_kind="range")


def test_arviz_summarises_and_compares(small_fit, c_only_fit):
    table = az.summary(small_fit.data, var_names=["alpha", "alpha_by_family"])
    assert "alpha_by_family[moe]" in table.index
    direct = az.compare({"a": small_fit.data, "b": c_only_fit.data}, var_name="loss")
    ours = az.compare(
        {n: bs.loo(f, reloo=False).arviz for n, f in {"a": small_fit, "b": c_only_fit}.items()}
    )
    assert list(direct.index) == list(ours.index) == ["a", "b"]
    np.testing.assert_allclose(direct["elpd"].astype(float), ours["elpd"].astype(float), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "column"), [("loo", "pareto_k"), ("loo_kfold", "fold"), ("lfo_cv", "block")]
)
def test_every_kind_of_leaving_out_is_known_to_arviz(kind, column):
    elpd = np.random.default_rng(0).normal(3, 1, 30)
    runs = [f"r{i}" for i in range(30)]
    pointwise = pd.DataFrame({"elpd": elpd, column: np.arange(30) % 3 * 0.1}, index=runs)
    left = LeftOut(kind, elpd.sum(), 1.0, 2.0, pointwise, pd.Series(dtype=float), 4000)
    theirs = left.arviz
    assert f"{elpd.sum():.2f}" in str(theirs)
    assert list(theirs.elpd_i["run"].to_numpy()) == runs
    table = az.compare({"a": theirs, "b": theirs})
    assert table["elpd_diff"].astype(float).tolist() == [0.0, 0.0]


def test_arviz_checks_predictions_and_sensitivity(tree):
    pit = az.loo_pit(tree, var_names="loss")
    values = pit["loss"].to_numpy() if hasattr(pit, "data_vars") else np.asarray(pit)
    assert values.shape == (40,)
    assert 0 <= values.min() <= values.max() <= 1


@pytest.mark.skipif(
    importlib.util.find_spec("arviz_plots") is None, reason="arviz-plots needs Python 3.12"
)
def test_arviz_draws(tree, small_fit):
    import matplotlib as mpl

    mpl.use("Agg")
    import arviz_plots as azp
    import matplotlib.pyplot as plt

    azp.plot_dist(tree, var_names=["alpha"])
    azp.plot_forest(tree, var_names=["alpha_by_family"])
    azp.plot_rank_dist(tree, var_names=["alpha"])
    azp.plot_energy(tree)
    azp.plot_ppc_dist(tree)
    azp.plot_loo_pit(tree)
    azp.plot_khat(bs.loo(small_fit, reloo=False).arviz)
    assert plt.get_fignums()
    plt.close("all")
