"""Leaving runs out: whole runs, exact where refitted, blocks in order of scale."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayescale as bs
from bayescale.held_out import _row_log_density, foretell, run_names
from bayescale.leave_out import LeftOut
from bayescale.predictive_draws import line_draws
from bayescale.scale_blocks import random_folds, scale_blocks, scale_of


def without(fit, rows):
    """The same posterior, as though these rows had not been fitted; and the rows."""
    table = fit.runs.table
    rest = dataclasses.replace(fit.runs, table=table.drop(index=rows))
    return dataclasses.replace(fit, runs=rest), table.loc[rows]


def test_a_row_is_scored_given_its_configuration_as_the_likelihood_has_it(crossed_fit):
    """Cells repeat here: the density of a row is that of its cell with it over without it."""
    rows = [3, 40, 41]
    fit, held = without(crossed_fit, rows)
    ours = _row_log_density(fit, held, *line_draws(fit, held))
    names = list(crossed_fit.runs.table.index)
    tree = crossed_fit.data["log_likelihood_rows"]["loss"].to_numpy()
    theirs = tree.reshape(len(ours), -1)[:, [names.index(row) for row in rows]]
    beside = crossed_fit.runs.table.loc[rows]
    cells = beside.groupby(["family", "N", "D"]).ngroup()
    alone = [k for k in range(3) if (cells == cells.iloc[k]).sum() == 1]
    assert alone
    np.testing.assert_allclose(ours[:, alone], theirs[:, alone], rtol=1e-9)


def test_the_rows_of_a_run_are_scored_together(small_fit):
    fit, held = without(small_fit, [1, 2, 30])
    apart = foretell(fit, held).log_density
    assert list(apart.index) == list(held["run"])
    together = foretell(fit, held.assign(run=["x", "x", "y"])).log_density
    assert list(together.index) == ["x", "y"]
    assert together["y"] == pytest.approx(apart.iloc[2])
    assert together["x"] != pytest.approx(apart.iloc[0] + apart.iloc[1], abs=1e-6)
    assert run_names(held.drop(columns="run")).tolist() == ["1", "2", "30"]


def test_loo_is_that_of_arviz(small_fit):
    import arviz_stats as az

    ours = bs.loo(small_fit, reloo=False)
    theirs = az.loo(small_fit.data, var_name="loss", pointwise=True)
    assert (ours.elpd, ours.se, ours.p) == pytest.approx((theirs.elpd, theirs.se, theirs.p))
    np.testing.assert_allclose(ours.pointwise["elpd"], theirs.elpd_i, rtol=1e-9)
    np.testing.assert_allclose(ours.pointwise["pareto_k"], theirs.pareto_k, rtol=1e-9)
    assert list(theirs.elpd_i["run"].to_numpy()) == list(small_fit.runs.table["run"])
    assert f"{ours.elpd:.2f}" in str(ours.arviz)


def test_refitting_without_a_run_agrees_with_importance_sampling(small_fit):
    """Where Pareto k is good both estimate the same; here k is good, and refits are forced."""
    before = bs.loo(small_fit, reloo=False).pointwise
    threshold = float(before["pareto_k"].sort_values().iloc[-3])
    left = bs.loo(small_fit, k_threshold=threshold)
    again = left.pointwise
    assert again["refitted"].sum() == 2
    np.testing.assert_allclose(again["elpd"], before["elpd"], atol=0.15)
    same = ~again["refitted"]
    np.testing.assert_array_equal(again.loc[same, "elpd"], before.loc[same, "elpd"])
    assert again.loc[~same, "elpd"].tolist() != before.loc[~same, "elpd"].tolist()
    assert left.notes[0].startswith("refitted without runs")
    doubt = bs.loo(small_fit, reloo=False, k_threshold=threshold).notes
    assert doubt[0].startswith("warning: Pareto k of runs")


def test_folds_and_blocks_leave_whole_runs_out(small_fit):
    folds = bs.kfold(small_fit, k=2)
    assert sorted(folds.pointwise.index) == sorted(small_fit.runs.table["run"])
    assert folds.pointwise["fold"].value_counts().tolist() == [20, 20]
    near = bs.loo(small_fit, reloo=False)
    assert folds.elpd < near.elpd + 3 * near.se
    assert folds.p > 0
    assert len(folds.errors) == 40
    ahead = bs.lfo(small_fit, blocks=1)
    table = small_fit.runs.table.set_index("run")
    held = ahead.pointwise.index
    for family in ("dense", "moe"):
        mine = table[table["family"] == family]
        assert (
            mine.loc[mine.index.isin(held), "C"].min() > mine.loc[~mine.index.isin(held), "C"].max()
        )
    assert np.isnan(ahead.p)
    with pytest.raises(bs.DataError, match="left out in different ways: a by lfo_cv, b by"):
        bs.loo_compare({"a": ahead, "b": folds})
    assert f"{ahead.elpd:.2f}" in str(ahead.arviz)
    assert "fold" in str(folds.arviz)


def test_leaving_groups_out_needs_others(small_fit):
    with pytest.raises(bs.BayescaleError, match="family has 2 labels: with one left out"):
        bs.kfold(small_fit, group="family")
    with pytest.raises(bs.BayescaleError, match="group='recipe' is no column"):
        bs.kfold(small_fit, group="recipe")
    with pytest.raises(bs.DataError, match="k is from 2 to 40"):
        bs.kfold(small_fit, k=41)


def test_a_prefix_too_small_to_fit_is_named(small_fit):
    with pytest.raises(bs.BayescaleError, match=r"growing prefixes .* can't be fitted: problem 0"):
        bs.lfo(small_fit, first=0.05)


def left_out(elpd, kind="loo", **more) -> LeftOut:
    values = np.asarray(elpd, dtype=float)
    runs = [f"r{i}" for i in range(len(values))]
    pointwise = pd.DataFrame({"elpd": values, **more}, index=pd.Index(runs, name="run"))
    return LeftOut(kind, values.sum(), 1.0, 2.0, pointwise, pd.Series(dtype=float), 1000)


def test_laws_are_compared_run_by_run():
    rng = np.random.default_rng(0)
    good = rng.normal(3, 0.5, 120)
    worse = good - rng.normal(0.2, 0.1, 120)
    k = np.where(np.arange(120) < 2, 0.9, 0.1)
    table = bs.loo_compare(
        {
            "worse": left_out(worse, pareto_k=k, refitted=np.arange(120) < 1),
            "good": left_out(good, pareto_k=0.1, refitted=False),
        }
    )
    assert table.index.tolist() == ["good", "worse"]
    apart = worse - good
    assert table.loc["worse", "elpd_diff"] == pytest.approx(apart.sum())
    assert table.loc["worse", "se_diff"] == pytest.approx(np.sqrt(120) * apart.std())
    assert table.loc["worse", "p_worse"] > 0.999
    assert table.loc["worse", "bad_k"] == 1
    assert table.loc["worse", "doubt"] == ""
    few = bs.loo_compare({"a": left_out(good[:10]), "b": left_out(good[:10] - 0.01)})
    assert few.loc["b", "doubt"] == "fewer than 100 runs; less than 4 nats"
    with pytest.raises(bs.DataError, match="different runs"):
        bs.loo_compare({"a": left_out(good), "b": left_out(good[:10])})


# --- blocks and folds by themselves ------------------------------------------------------------


@given(
    st.lists(st.floats(1e14, 1e20), min_size=8, max_size=40),
    st.integers(1, 5),
    st.floats(0.2, 0.8),
)
def test_blocks_go_up_in_scale_and_keep_ties_together(scales, blocks, first):
    scale = np.array([*scales, *scales[:3]])  # some are repeated
    table = pd.DataFrame({"N": scale})
    try:
        block = scale_blocks(table, scale, blocks=blocks, first=first)
    except bs.DataError:
        return  # all on one rung
    assert set(block) == set(range(block.max() + 1))
    assert block.max() <= blocks
    for b in range(1, block.max() + 1):
        assert scale[block == b].min() > scale[block < b].max() * 0.99
    for i in range(3):
        assert block[i] == block[len(scales) + i]


def test_blocks_keep_runs_whole_and_small_groups_fitted():
    table = pd.DataFrame(
        {
            "run": [f"r{i // 2}" for i in range(20)],  # two evaluations a run
            "family": ["big"] * 16 + ["small"] * 4,
            "C": np.repeat(10.0 ** np.arange(10), 2),
        }
    )
    block = scale_blocks(table, table["C"].to_numpy(), ["family"], blocks=2)
    assert all(block[2 * i] == block[2 * i + 1] for i in range(10))
    assert (block[16:] == 0).all()
    assert block[:16].max() == 2
    with pytest.raises(bs.DataError, match="no larger runs are left to predict"):
        scale_blocks(table[16:], np.ones(4))
    with pytest.raises(bs.DataError, match="blocks is 1 or more"):
        scale_blocks(table, table["C"].to_numpy(), blocks=0)


def test_what_orders_the_runs():
    law = bs.load_law("chinchilla")
    table = pd.DataFrame({"N": [1e6, 2e6], "D": [1e8, 1e8]})
    assert scale_of(table, law).tolist() == [6e14, 1.2e15]
    assert scale_of(table.assign(C=[5.0, 4.0]), law).tolist() == [5.0, 4.0]
    assert scale_of(table, law, "D").tolist() == [1e8, 1e8]
    assert scale_of(table[["N"]], law).tolist() == [1e6, 2e6]
    with pytest.raises(bs.DataError, match="by='step' is no column"):
        scale_of(table, law, "step")
    with pytest.raises(bs.DataError, match="positive number in every row"):
        scale_of(table.assign(step=[0, 1]), law, "step")


@given(st.integers(2, 6), st.integers(0, 100))
def test_folds_are_even_within_groups(k, seed):
    table = pd.DataFrame({"run": [f"r{i}" for i in range(24)], "family": ["a"] * 12 + ["b"] * 12})
    fold = random_folds(table, k, ["family"], seed)
    for family in "ab":
        sizes = np.bincount(fold[table["family"] == family], minlength=k)
        assert np.ptp(sizes) <= 1
