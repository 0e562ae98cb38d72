"""Replicated runs, and the checks that are made with them."""

from __future__ import annotations

import numpy as np
import pytest

import bayescale as bs
from bayescale.replicates import replicate


def test_replicates_of_one_configuration_share_its_deviation(crossed_fit):
    """Two seeds a configuration: correlated as the posterior's variances say."""
    drawn = np.log(replicate(crossed_fit))
    table = crossed_fit.runs.table.reset_index(drop=True)
    cells = table.groupby(["family", "N", "D"]).indices.values()
    posterior = crossed_fit.data["posterior"].dataset
    cell, run = (float((posterior[n] ** 2).mean()) for n in ("sd(cell)", "sigma"))
    se2 = float(np.mean((table["loss_se"] / table["loss"]) ** 2))
    apart = np.mean([np.var(drawn[:, i] - drawn[:, j]) for i, j in cells])
    assert apart == pytest.approx(2 * (run + se2), rel=0.1)
    mean = np.log(bs.predict(crossed_fit, table, kind="mean").draws.to_numpy())
    both = [np.mean((drawn - mean)[:, i] * (drawn - mean)[:, j]) for i, j in cells]
    assert np.mean(both) == pytest.approx(cell, rel=0.1)


def test_replicates_scatter_as_new_runs_do(small_fit):
    ours = np.log(replicate(small_fit))
    new = np.log(bs.predict(small_fit, small_fit.runs.table).draws.to_numpy())
    for q in (0.1, 0.5, 0.9):
        gap = np.quantile(ours, q, axis=0) - np.quantile(new, q, axis=0)
        assert np.abs(gap).max() < 0.15 * new.std(axis=0).mean()
    assert replicate(small_fit, draws=7).shape == (7, 40)
    with pytest.raises(bs.BayescaleError, match="draws is from 1 to 4000"):
        replicate(small_fit, draws=0)


def test_a_tree_for_arviz(small_fit):
    tree = bs.posterior_predictive(small_fit)
    drawn = tree["posterior_predictive"]["loss"]
    assert drawn.dims == ("chain", "draw", "run")
    assert list(drawn["run"].to_numpy()) == list(tree["observed_data"]["run"].to_numpy())
    assert "posterior_predictive" not in small_fit.data.children


def test_most_runs_lie_inside_their_intervals(small_fit):
    data = bs.pp_check(small_fit, "intervals").data
    assert len(data) == 40
    assert data["inside"].mean() > 0.85
    assert ((data["lower"] < data["median"]) & (data["median"] < data["upper"])).all()
    tight = bs.pp_check(small_fit, "intervals", prob=0.5, x="D").data
    assert tight["inside"].mean() < data["inside"].mean()
    assert "D" in tight


def test_densities_and_statistics(small_fit):
    figure = bs.pp_check(small_fit, draws=5, by="family")
    assert len(figure.axes) == 2
    assert sorted(figure.data["replicate"].unique()) == [-1, 0, 1, 2, 3, 4]
    for stat in ("mean", "max"):
        data = bs.pp_check(small_fit, "stat", stat=stat).data
        seen = data.loc[data["replicate"] == -1, "value"].item()
        losses = np.log(small_fit.runs.table["loss"])
        assert seen == pytest.approx(losses.agg(stat))
        assert 0.02 < data["p"].iloc[0] < 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bars"}, "kind is one of dens_overlay"),
        ({"stat": "mode"}, "stat is one of mean"),
        ({"by": "recipe"}, "by='recipe' is no column"),
        ({"kind": "intervals", "x": "lr"}, "x='lr' is no column"),
    ],
)
def test_checks_that_are_not_there(small_fit, options, message):
    with pytest.raises(bs.BayescaleError, match=message):
        bs.pp_check(small_fit, **options)
