"""The backtest suite: its rule of splitting, and its scores on draws of known quality."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "studies"))

from backtest_parts.ladders import Ladder
from backtest_parts.scores import effective_targets, score, summarise
from backtest_parts.suite import (
    GAP,
    MIN_TARGETS,
    MIN_TRAIN,
    benchmark_splits,
    origins,
    split_at,
    splits,
    splits_of,
)


def grid(loss: float = 3.0) -> pd.DataFrame:
    """Two families on a grid of five sizes and six horizons."""
    N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e8, 5), np.geomspace(1e8, 1e10, 6)))
    one = pd.DataFrame({"N": N, "D": D, "C": 6 * N * D, "loss": loss + 1e3 * D**-0.4})
    both = pd.concat([one.assign(family=name) for name in ("a", "b")])
    both = both.sort_values("C", kind="stable").reset_index(drop=True)
    return both.assign(run=[f"r{i}" for i in range(len(both))])


def ladder(kind: str = "ladder", name: str = "grid") -> Ladder:
    return Ladder("made", name, "none.csv", lambda t: t, kind=kind)


@pytest.mark.parametrize("kind", ["ladder", "curve"])
def test_targets_are_dearer_than_every_fitted_run_and_no_run_is_on_both_sides(kind):
    found = splits_of(ladder(kind), grid())
    assert len(found) == 3
    for split in found:
        assert split.test["C"].min() >= GAP[kind] * split.train.table["C"].max()
        assert not set(split.train.table["run"]) & set(split.test["run"])
        assert len(split.train) >= MIN_TRAIN and len(split.test) >= MIN_TARGETS
        assert split.distance >= np.log(GAP[kind])


def test_hidden_losses_have_no_part_in_a_split():
    table = grid()
    for origin in origins(ladder(), table):
        split = split_at(ladder(), table, origin)
        planted = table.copy()
        planted.loc[~planted["run"].isin(split.train.table["run"]), "loss"] = np.nan
        again = split_at(ladder(), planted, origin)
        pd.testing.assert_frame_equal(again.train.table, split.train.table)
        pd.testing.assert_frame_equal(again.hidden, split.hidden)
        assert origins(ladder(), planted) == origins(ladder(), table)


def test_a_family_without_enough_fitted_runs_is_no_target():
    table = grid()
    rare = (table["family"] == "b") & (table["C"] < table["C"].median())
    for split in splits_of(ladder(), table[~rare])[:1]:
        assert set(split.test["family"]) == {"a"}


def test_real_splits_meet_the_rule_and_weigh_one_a_data_set(data_folder):
    found = splits()
    weights = pd.Series([s.weight for s in found]).groupby([s.dataset for s in found]).sum()
    assert np.allclose(weights, 1)
    assert len({s.name for s in found}) == len(found)
    assert len(weights) >= 12
    assert len([s for s in found if s.kind == "ladder"]) >= 40
    for split in found:
        assert split.test["C"].min() >= GAP[split.kind] * split.train.table["C"].max()
        assert split.train.table["loss"].notna().all() and split.test["loss"].gt(0).all()
        seen = split.train.table["family"].value_counts()
        assert seen[split.test["family"].unique()].min() >= 5


def test_the_benchmark_has_its_curves(data_folder):
    found = pd.Series([split.ladder for split in benchmark_splits()]).value_counts()
    assert found.to_dict() == {"IC": 72, "BB": 10, "NMT": 5, "LM": 5}


@lru_cache
def scored(sd: float, shared: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Scores of draws with this sd where the truth has 1% (a part of it shared by a split)."""
    rng = np.random.default_rng(seed)
    rows = []
    made = splits_of(ladder(), grid())
    for number in range(30):
        for split in made:
            size = len(split.test)
            error = np.sqrt(1 - shared) * rng.normal(size=size) + np.sqrt(shared) * rng.normal()
            draws = split.observed * np.exp(0.01 * error + sd * rng.normal(size=(400, size)))
            own = {"dataset": f"d{number}", "split": f"{number} {split.name}", "weight": 1 / 3}
            rows.append({**score(split, draws), **own})
    return pd.DataFrame(rows)


def coverages(table: pd.DataFrame) -> pd.DataFrame:
    said = summarise(table.assign(method="it"), bootstraps=500)
    return said[said["quantity"].str.startswith("coverage")].set_index("quantity")


def test_calibrated_draws_cover_as_they_say_and_narrow_ones_do_not():
    right, narrow = coverages(scored(0.01)), coverages(scored(0.005))
    for level in (50, 80, 90, 95):
        assert abs(right.loc[f"coverage_{level}", "value"] - level / 100) < 0.03
        assert narrow.loc[f"coverage_{level}", "upper"] < level / 100 - 0.05


def test_effective_targets_count_independent_errors_fully_and_shared_ones_less():
    apart, rho = effective_targets(scored(0.01))
    together, shared_rho = effective_targets(scored(0.01, shared=0.8))
    assert rho < 0.1 and abs(shared_rho - 0.8) < 0.2
    assert together < apart / 3


def test_ratios_favour_the_sharper_of_two_calibrated_methods():
    sharp = scored(0.01)
    wide = sharp.assign(crps=2 * sharp["crps"], interval_score_95=4 * sharp["interval_score_95"])
    both = pd.concat([sharp.assign(method="sharp"), wide.assign(method="wide")])
    said = summarise(both, bootstraps=200).set_index(["method", "quantity"])["value"]
    assert said["sharp", "crps_ratio"] == pytest.approx(0.5)
    assert said["wide", "interval_score_95_ratio"] == pytest.approx(4)
