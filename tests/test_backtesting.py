"""Backtests with a stand-in fit: what is fitted, what is predicted, and how it is scored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayescale import backtesting
from bayescale.backtesting import Verbs, backtest_with, rolling_with
from bayescale.catalog import load_law
from bayescale.errors import BayescaleError, DataError
from bayescale.runs import Runs, read_runs

LAW = load_law("chinchilla")
TRUTH = LAW.published["hoffmann"]
SD = 0.02


@dataclass(frozen=True)
class FakeFit:
    """A fit that remembers what it saw."""

    runs: Runs
    options: dict
    notes: tuple[str, ...] = ("a note of the fit",)


def fake_fit(law, runs, **options):
    return FakeFit(runs, options)


def fake_draws(fit, table, kind, new_groups, seed):
    assert kind == "new-run"
    assert "loss" not in table, "a prediction sees what it must predict"
    mean = np.log(LAW(TRUTH, N=table["N"], D=table["D"]))
    return np.exp(mean + np.random.default_rng(seed).normal(0, SD, (4000, len(table))))


def fake_density(fit, table, new_groups):
    mean = np.log(LAW(TRUTH, N=table["N"], D=table["D"]))
    return stats.norm.logpdf(np.log(table["loss"].to_numpy()), mean, SD)[None]


VERBS = Verbs(fake_fit, fake_draws, fake_density)


def table(seed=0, family="dense"):
    N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    error = np.random.default_rng(seed).normal(0, SD, N.size)
    loss = LAW(TRUTH, N=N, D=D) * np.exp(error)
    run = [f"{family}-{i}" for i in range(N.size)]
    return pd.DataFrame({"N": N, "D": D, "loss": loss, "family": family, "run": run})


def test_scores_are_those_of_the_predictions():
    result = backtest_with(VERBS, LAW, read_runs(table()), cut="C < 1e19", seed=3)
    assert set(result.metrics) == {
        "n_train", "n_test", "rmsle", "are", "crps", "coverage", "width", "interval_score",
        "log_score", "seconds",
    }  # fmt: skip
    said = result.predictions
    assert result.metrics["n_test"] == len(said)
    assert result.metrics["n_train"] + len(said) == 36
    error = np.log(said["median"] / said["observed"])
    assert result.metrics["rmsle"] == pytest.approx(np.sqrt(np.mean(error**2)))
    inside = (said["lower_80"] <= said["observed"]) & (said["observed"] <= said["upper_80"])
    assert result.metrics["coverage"]["0.8"] == pytest.approx(inside.mean())
    assert result.metrics["width"]["0.95"] == pytest.approx(2 * 1.96 * SD, rel=0.05)
    exact = np.mean(fake_density(None, table().loc[said["row"] - 1], "error"))
    assert result.metrics["log_score"] == pytest.approx(exact)
    assert said["pit"].between(0, 1).all()
    assert "a note of the fit" in result.notes


def test_the_fit_sees_training_rows_only():
    runs = read_runs(table())
    hidden = runs.table["C"] >= 1e19
    result = backtest_with(VERBS, LAW, runs, cut="C < 1e19", draws=7)
    assert result.fit.runs.table["C"].max() < 1e19
    assert result.fit.options == {"draws": 7}
    changed = replace(runs, table=runs.table.assign(loss=runs.table["loss"].where(~hidden, 5.0)))
    other = backtest_with(VERBS, LAW, changed, cut="C < 1e19")
    pd.testing.assert_frame_equal(result.fit.runs.table, other.fit.runs.table)
    assert other.metrics["rmsle"] > result.metrics["rmsle"]


def test_a_run_is_on_the_side_of_its_final_row():
    finals = table().assign(step=100)
    early = finals.assign(step=50, D=finals["D"] / 2, loss=finals["loss"] + 0.3)
    runs = read_runs(pd.concat([early, finals], ignore_index=True))
    result = backtest_with(VERBS, LAW, runs, cut="C < 1e19")
    fitted = result.fit.runs.table
    assert (fitted["step"] == 100).all()
    assert len(fitted) + len(result.predictions) == 36
    assert not set(fitted["run"]) & set(result.predictions["run"])
    assert any("earlier checkpoints of 36 runs" in note for note in result.notes)


def test_train_and_test_by_condition_and_by_row():
    runs = read_runs(table())
    by_text = backtest_with(VERBS, LAW, runs, train="C < 1e19", test="C > 1e20")
    assert by_text.predictions["C"].min() > 1e20
    rows = runs.table.index[runs.table["C"] < 1e19].tolist()
    by_row = backtest_with(VERBS, LAW, runs, train=rows, test=[36])
    assert by_row.predictions["row"].tolist() == [36]
    assert by_row.metrics["n_train"] == by_text.metrics["n_train"] == len(rows)


def test_rolling_scores_the_law_and_the_baselines_on_the_same_splits():
    scores = rolling_with(
        VERBS, LAW, read_runs(table()), ["C < 1e19", "C < 1e20"], ["best_so_far", "vpnls"]
    )
    assert scores["method"].tolist() == ["chinchilla", "best_so_far", "vpnls"] * 2
    assert scores.groupby("cut", sort=False)["n_test"].nunique().tolist() == [1, 1]
    first, second = scores["n_train"].iloc[0], scores["n_train"].iloc[3]
    assert first < second
    at = scores.set_index(["cut", "method"])["crps"]
    assert at["C < 1e19", "chinchilla"] < at["C < 1e19", "best_so_far"]


def test_unseen_families_are_an_error_until_asked_for():
    both = read_runs(pd.concat([table(), table(1, "moe")], ignore_index=True))
    law = LAW.varying({"alpha": ["family"]})
    with pytest.raises(DataError, match=r"family 'moe' .rows 37.*fitted: dense.*new_groups"):
        backtest_with(VERBS, law, both, cut="family == 'dense'")
    result = backtest_with(VERBS, law, both, cut="family == 'dense'", new_groups="sample")
    assert set(result.predictions["family"]) == {"moe"}
    assert result.fit.options == {}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({}, "which runs are fitted, once"),
        ({"cut": "C < 1e19", "train": "C < 1e19"}, "which runs are fitted, once"),
        ({"cut": "C < 1e30"}, "no row is left to be predicted"),
        ({"cut": "C < 1"}, "no row of 36 meets"),
        ({"train": "C < 1e19", "test": "C < 1e18"}, "fitted and predicted"),
        ({"train": [1, 2, 99]}, "row 99.*can't be used"),
        ({"train": [True] * 36}, "a mask"),
        ({"cut": "C <"}, r"(?s)C <.*\^"),
    ],
)
def test_splits_that_cannot_be_made_are_named(split, message):
    with pytest.raises(BayescaleError, match=message):
        backtest_with(VERBS, LAW, read_runs(table()), **split)


def test_a_run_measured_on_two_sets_stays_whole():
    first = table().assign(evaluation="prose")
    second = table(1).assign(evaluation="code")
    runs = read_runs(pd.concat([first, second], ignore_index=True))
    with pytest.raises(DataError, match="rows on both sides"):
        backtest_with(VERBS, LAW, runs, cut="evaluation == 'prose'")
    whole = backtest_with(VERBS, LAW, runs, cut="C < 1e19")
    assert whole.metrics["n_train"] + whole.metrics["n_test"] == 72


def test_rolling_fits_all_cuts_at_once_and_the_unconverged_alone():
    asked, alone = [], []

    class Many(list):
        table = pd.DataFrame({"ok": [True, False, True]})

    def fit_many(law, tables, **options):
        asked.append((len(tables), options))
        return Many(VERBS.fit(law, one) for one in tables)

    def fit(law, runs, **options):
        alone.append((len(runs), options))
        return VERBS.fit(law, runs, **options)

    verbs = Verbs(fit, VERBS.loss_draws, VERBS.log_predictive, fit_many)
    cuts = ["C < 1e19", "C < 3e19", "C < 1e20"]
    runs = read_runs(table())
    scores = rolling_with(verbs, LAW, runs, cuts, min_ess=500, seed=3)
    assert asked == [(3, {"min_ess": 500, "seed": 3})]
    assert alone == [(scores["n_train"][1], {"seed": 3})]
    one_by_one = rolling_with(VERBS, LAW, runs, cuts, seed=3)
    assert scores["crps"].tolist() == one_by_one["crps"].tolist()
    rolling_with(verbs, LAW, runs, cuts, draws=10)
    assert len(asked) == 1, "fit_many has no draws"
    assert len(alone) == 4


def test_rolling_refuses_one_text():
    with pytest.raises(DataError, match="a list of conditions"):
        rolling_with(VERBS, LAW, read_runs(table()), "C < 1e19")


def test_the_public_verbs_are_wired_to_the_package():
    from bayescale import fitting, predictive_draws

    verbs = backtesting._verbs()
    assert verbs.fit is fitting.fit
    assert verbs.loss_draws is predictive_draws.loss_draws
