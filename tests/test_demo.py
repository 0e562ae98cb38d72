"""What the demo asks about: the ladder's targets, measured or not."""

from __future__ import annotations

import numpy as np

from bayescale import datasets
from bayescale.demo import measured_targets, target_cells


def test_measured_targets_are_one_row_a_run_and_none_is_fitted():
    measured, fitted = measured_targets(), datasets.load("ladder").table
    assert len(measured) >= 8
    assert measured["run"].is_unique
    assert (measured["D"] == measured.groupby("family")["D"].transform("max")).all()
    assert not set(measured["run"]) & set(fitted["run"])


def test_a_measured_target_is_a_cell_with_the_mean_of_its_seeds():
    measured = measured_targets()
    cells = target_cells(datasets.load("ladder").table, measured).set_index("family")
    assert set(cells.index) == set(measured["family"])
    for family, runs in measured.groupby("family"):
        assert np.isclose(cells.loc[family, "observed"], runs["loss"].mean())


def test_without_measurements_a_target_has_ten_times_the_compute():
    fitted = datasets.load("ladder").table
    cells = target_cells(fitted, fitted.iloc[:0]).set_index("family")
    for family, runs in fitted.groupby("family"):
        assert np.isclose(cells.loc[family, "C"], 10 * runs["C"].max())
        assert np.isclose(cells.loc[family, "N"] / runs["N"].max(), np.sqrt(10))
