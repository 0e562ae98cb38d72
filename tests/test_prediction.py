"""Predictions: their kinds, their groups, their sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.predictive_draws import log_predictive, loss_draws, parameter_draws
from bayescale.sensitivity import power_sensitivity
from tests.simulate import TRUTH, ladder

TARGET = {"N": 1e9, "D": 2e10, "family": "dense"}


def test_the_interval_holds_the_truth_and_widens_with_distance(small_fit):
    targets = pd.DataFrame({"N": [1e8, 1e9, 1e10], "D": [1e9, 2e10, 2e11], "family": "dense"})
    table = bs.predict(small_fit, targets, kind="mean").table
    truth = (
        TRUTH["E"]
        + TRUTH["A"] * targets["N"] ** -TRUTH["alpha"]
        + TRUTH["B"] * targets["D"] ** -TRUTH["beta"]
    )
    assert np.all((table["lower_95"] < truth) & (truth < table["upper_95"]))
    width = np.log(table["upper_95"] / table["lower_95"]).to_numpy()
    assert width[0] < width[1] < width[2]
    np.testing.assert_allclose(table["decades_beyond"][1:], np.log10([2e19 / 1e17, 2e21 / 1e17]))


def test_a_new_run_is_wider_than_the_law_and_shares_its_median(small_fit):
    law = bs.predict(small_fit, TARGET, kind="mean").table.iloc[0]
    run = bs.predict(small_fit, TARGET, kind="new-run").table.iloc[0]
    assert run["sd_log"] > law["sd_log"]
    assert run["median"] == pytest.approx(law["median"], rel=0.003)
    assert run["lower_95"] < run["lower_90"] < run["lower_50"] < run["median"] < run["upper_80"]


def test_an_unseen_group_is_an_error_until_asked_for(small_fit):
    stranger = {**TARGET, "family": "sparse"}
    with pytest.raises(bs.DataError, match="'sparse' is not in the fit, which knows dense, moe"):
        bs.predict(small_fit, stranger)
    new = bs.predict(small_fit, stranger, new_groups="sample")
    known = bs.predict(small_fit, TARGET)
    assert new.table["sd_log"][0] > 2 * known.table["sd_log"][0]
    assert "mostly prior" in new.warnings[0]


def test_targets_of_one_new_group_share_its_draw(small_fit):
    frame = pd.DataFrame({"N": [1e9, 1e9, 1e9], "D": 2e10, "family": ["x", "x", "y"]})
    draws = loss_draws(small_fit, frame, new_groups="sample")
    assert np.array_equal(draws[:, 0], draws[:, 1])
    assert not np.array_equal(draws[:, 0], draws[:, 2])


def test_the_sentence_names_run_target_unit_interval_and_distance(small_fit):
    prediction = bs.predict(small_fit, TARGET)
    row = prediction.table.iloc[0]
    sentence = prediction.sentences[0]
    assert sentence.startswith("One more run of dense at N=1e9, D=2e10: ")
    assert f"{row['median']:.4g} nat/token, 95% interval {row['lower_95']:.4g} to" in sentence
    assert "3.1 decades of compute beyond the data" in sentence or "decades" in sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"N": -1.0}, "target 1: N is -1.0; give a positive number"),
        ({"D": float("nan")}, "target 1: D is nan"),
        ({"N": "many"}, "target 1: N is 'many'"),
    ],
)
def test_bad_targets_are_named(small_fit, change, message):
    with pytest.raises(bs.DataError, match=message):
        bs.predict(small_fit, {**TARGET, **change})


def test_missing_columns_groups_and_levels_are_named(small_fit):
    with pytest.raises(bs.DataError, match="no column 'D'"):
        bs.predict(small_fit, {"N": 1e9, "family": "dense"})
    with pytest.raises(bs.DataError, match="say which family the target belongs to: dense, moe"):
        bs.predict(small_fit, {"N": 1e9, "D": 1e10})
    with pytest.raises(bs.DataError, match="between 0 and 1"):
        bs.predict(small_fit, TARGET, prob=(95,))
    with pytest.raises(bs.DataError, match="kind is"):
        bs.predict(small_fit, TARGET, kind="median")


def test_parameters_are_in_the_users_units(small_fit):
    values = parameter_draws(small_fit, pd.DataFrame([TARGET]))
    share = np.median(values["A"] * 1e7 ** -values["alpha"])
    assert share == pytest.approx(TRUTH["A"] * 1e7 ** -TRUTH["alpha"], rel=0.3)
    loss = bs.load_law("chinchilla")(
        {p: values[p][:, 0] for p in TRUTH}, N=TARGET["N"], D=TARGET["D"]
    )
    np.testing.assert_allclose(loss, loss_draws(small_fit, TARGET)[:, 0], rtol=1e-10)


def test_predictive_density_is_that_of_new_runs(small_fit):
    draws = np.log(loss_draws(small_fit, TARGET, kind="new-run", seed=5)[:, 0])
    grid = np.linspace(draws.mean() - 0.2, draws.mean() + 0.2, 801)
    frame = pd.DataFrame({**TARGET, "loss": np.exp(grid)})
    density = np.exp(log_predictive(small_fit, frame)).mean(axis=0)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.02)
    mean = np.trapezoid(density * grid, grid)
    assert mean == pytest.approx(draws.mean(), abs=0.1 * draws.std())


def test_a_floor_beyond_the_data_leans_on_the_prior(small_fit):
    inside = power_sensitivity(small_fit, {**TARGET, "N": 1e7, "D": 1e8})
    beyond = power_sensitivity(small_fit, {**TARGET, "N": 1e13, "D": 1e14})
    assert list(inside["component"]) == ["prior", "likelihood"]
    assert beyond["khat"].max() < 0.7
    prior_in, prior_out = inside.iloc[0], beyond.iloc[0]
    assert abs(prior_out["median_shift"]) > abs(prior_in["median_shift"])
    assert beyond.iloc[1]["width_ratio"] != pytest.approx(1.0, abs=1e-3)


@pytest.fixture(scope="module")
def one_family_fit():
    """A short fit of one family, its losses in bits per byte."""
    runs = bs.read_runs(ladder(), units={"loss": "bit/byte"})
    law = bs.load_law("chinchilla")
    return bs.fit(law, runs, draws=100, warmup=100, progress=False, strict=False)


def test_another_family_than_the_only_one_fitted_is_refused(one_family_fit):
    target = {"N": 1e9, "D": 1e10}
    named = bs.predict(one_family_fit, {**target, "family": "only"}).table
    unnamed = bs.predict(one_family_fit, target).table
    assert named["median"][0] == unnamed["median"][0]
    with pytest.raises(bs.DataError, match="'moe' is not in the fit, whose runs are all of only"):
        bs.predict(one_family_fit, {**target, "family": "moe"}, new_groups="sample")


def test_a_label_that_the_fit_never_saw_a_column_of_is_said(small_fit):
    target = {"N": 1e9, "D": 1e10, "family": "moe"}
    assert not any("family" in said for said in bs.predict(small_fit, target).warnings)
    runs = bs.read_runs(ladder().drop(columns="family"))
    law = bs.load_law("chinchilla")
    fit = bs.fit(law, runs, draws=100, warmup=100, progress=False, strict=False)
    assert "family is not used" in bs.predict(fit, target).warnings[0]


def test_answers_come_in_the_unit_of_the_runs(one_family_fit, small_fit, tmp_path):
    target = {"N": 1e9, "D": 1e10}
    assert " bit/byte, 95% interval" in bs.predict(one_family_fit, target).sentences[0]
    again = bs.load(bs.save(one_family_fit, tmp_path / "fit.nc"))
    assert again.unit == "bit/byte"
    assert small_fit.unit == "nat/token"
    with pytest.raises(bs.DataError, match="units names lost"):
        bs.read_runs(ladder(), units={"lost": "bit/byte"})
