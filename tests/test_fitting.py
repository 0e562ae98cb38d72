"""Real NUTS fits: recovery, replicates, reproducibility, and the user's JAX left alone."""

from __future__ import annotations

import threading

import jax
import numpy as np
import pytest

import bayescale as bs
from bayescale import fitting
from tests.simulate import TRUTH, TWO_FAMILIES, crossed_ladder, ladder

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def test_known_truth_is_recovered_for_each_family(small_fit):
    table = bs.summary(small_fit, 0.99)
    for family, change in TWO_FAMILIES.items():
        for name in ("alpha", "beta", "E"):
            row = table.loc[f"{name}[{family}]"]
            assert row["lower"] < {**TRUTH, **change}[name] < row["upper"], (family, name)
            assert row["sd"] < 0.3 * {**TRUTH, **change}[name]
    assert bs.diagnose(small_fit).ok


def test_crossed_groups_repeated_cells_and_measurement_errors_are_recovered(crossed_fit):
    table = bs.summary(crossed_fit, 0.99)
    assert crossed_fit.groups == {
        "corpus": ["prose", "code", "maths"],
        "arch": ["attention", "recurrent"],
    }
    for label, floor in (("prose", 1.7), ("code", 1.1), ("maths", 1.4)):
        row = table.loc[f"E[{label},attention]"]
        assert row["lower"] < floor < row["upper"]
    assert table.loc["sigma", "median"] == pytest.approx(0.006, rel=0.2)
    assert table.loc["sd(cell)", "median"] == pytest.approx(0.010, rel=0.2)
    assert np.sqrt(crossed_fit.model.mean_se2) == pytest.approx(0.004, rel=0.2)


@pytest.mark.parametrize("noise", ["normal", "t+scale"])
def test_every_noise_family_fits(noise):
    runs = bs.read_runs(ladder(seed=3))
    fit = bs.fit(bs.load_law("chinchilla"), runs, noise=noise, progress=False)
    table = bs.summary(fit, 0.99)
    assert table.loc["alpha", "lower"] < TRUTH["alpha"] < table.loc["alpha", "upper"]
    assert 0.002 < table.loc["sigma", "median"] < 0.008
    assert ("sigma_slope" in table.index) == (noise == "t+scale")


def test_seeds_narrow_the_law_and_not_a_new_run():
    widths = {}
    for seeds in (2, 8):
        runs = bs.read_runs(ladder(seeds=seeds, sd_run=0.02, sizes=(1e6, 1e7, 1e8), seed=8))
        fit = bs.fit(bs.load_law("chinchilla"), runs, noise="normal", progress=False)
        for kind in ("mean", "new-run"):
            row = bs.predict(fit, {"N": 3e7, "D": 1e9}, kind=kind).table.iloc[0]
            widths[kind, seeds] = np.log(row["upper_95"] / row["lower_95"])
    assert widths["mean", 8] < 0.75 * widths["mean", 2]
    assert widths["new-run", 8] > 0.8 * widths["new-run", 2]


def test_same_seed_same_bits_and_another_seed_others(small_fit):
    runs = bs.read_runs(ladder(families=TWO_FAMILIES))
    law = bs.load_law("chinchilla")
    again = bs.fit(law, runs, progress=False)
    other = bs.fit(law, runs, progress=False, seed=1)
    first = small_fit.data["posterior"]["alpha"].to_numpy()
    assert np.array_equal(first, again.data["posterior"]["alpha"].to_numpy())
    assert not np.array_equal(first, other.data["posterior"]["alpha"].to_numpy())
    assert again.seconds["compile"] < 1.0, "a second fit of equal shape compiles nothing"


def test_a_fit_from_a_thread_is_double_precision_and_leaves_the_settings(small_fit):
    assert not jax.config.jax_enable_x64
    runs = bs.read_runs(ladder(families=TWO_FAMILIES))
    result = {}

    def work() -> None:
        result["fit"] = bs.fit(bs.load_law("chinchilla"), runs, progress=False)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not jax.config.jax_enable_x64
    draws = result["fit"].data["posterior"]["alpha"].to_numpy()
    assert draws.dtype == np.float64
    assert np.array_equal(draws, small_fit.data["posterior"]["alpha"].to_numpy())


def test_rows_of_a_hidden_target_are_never_read():
    table = ladder()
    hidden = table["C"] > 1e17
    poisoned = table.copy()
    poisoned.loc[hidden, "loss"] = 1e3
    law = bs.load_law("chinchilla")
    options = {"draws": 300, "warmup": 300, "progress": False, "strict": False}
    clean = bs.fit(law, bs.read_runs(table).where("C <= 1e17"), **options)
    dirty = bs.fit(law, bs.read_runs(poisoned).where("C <= 1e17"), **options)
    assert np.array_equal(
        clean.data["posterior"]["E"].to_numpy(), dirty.data["posterior"]["E"].to_numpy()
    )


def test_a_bad_fit_refuses_and_keeps_the_fit():
    runs = bs.read_runs(ladder())
    with pytest.raises(bs.ConvergenceError, match="run longer") as caught:
        bs.fit(bs.load_law("chinchilla"), runs, draws=20, warmup=10, progress=False)
    assert caught.value.fit is not None
    assert not bs.diagnose(caught.value.fit).ok


def test_a_refused_fit_is_sampled_once_more_and_longer(monkeypatch):
    monkeypatch.setattr(fitting, "LONGER", 8)
    runs = bs.read_runs(ladder())
    options = {"draws": 90, "warmup": 100, "progress": False}
    once = bs.fit(bs.load_law("chinchilla"), runs, strict=False, **options)
    assert not bs.diagnose(once).ok, "360 draws can't be 400 effective ones"
    assert once.settings.draws == 90
    again = bs.fit(bs.load_law("chinchilla"), runs, **options)
    assert bs.diagnose(again).ok
    assert again.settings.draws == again.data["posterior"].sizes["draw"] == 720
    assert any(note.startswith("sampled again, 8 times as long: ") for note in again.notes)


def test_likelihood_by_row_and_by_run(crossed_fit):
    rows = crossed_fit.data["log_likelihood_rows"]["loss"]
    assert rows.shape[-1] == len(crossed_fit.runs) == len(crossed_ladder())
    by_run = crossed_fit.data["log_likelihood"]["loss"]
    assert by_run.shape[-1] == crossed_fit.runs.table["run"].nunique()
    np.testing.assert_allclose(rows.to_numpy().sum(-1), by_run.to_numpy().sum(-1), rtol=1e-10)


def test_rows_that_nobody_repeats_sum_to_the_joint_likelihood(small_fit):
    rows = small_fit.data["log_likelihood_rows"]["loss"].to_numpy()
    total = small_fit.data["sample_stats"]["log_likelihood"].to_numpy()
    np.testing.assert_allclose(rows.sum(-1), total, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "cauchy"}, "choose one of t, normal"),
        ({"discrepancy": "gp"}, "choose one of none, bend"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"pool": {"gamma": ["family"]}}, "no parameter 'gamma'"),
        ({"prior": {"gamma": "Normal(0, 1)"}}, "no parameter 'gamma'"),
        ({"checkpoints": "first"}, "checkpoints"),
    ],
)
def test_wrong_options_are_named(options, message):
    runs = bs.read_runs(ladder())
    with pytest.raises(bs.BayescaleError, match=message):
        bs.fit(bs.load_law("chinchilla"), runs, progress=False, **options)
