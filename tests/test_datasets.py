"""Known tables: the bundled ladder, and public ones where BAYESCALE_DATA leads to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescale import datasets
from bayescale.catalog import load_law
from bayescale.errors import BayescaleError, DataError
from bayescale.rows import select_rows

needs_data = pytest.mark.skipif(
    not os.environ.get("BAYESCALE_DATA"), reason="BAYESCALE_DATA is not set"
)


def test_names_and_info() -> None:
    assert datasets.names() == sorted(datasets.names())
    assert {"ladder", "chinchilla_besiroglu", "gadre_overtraining", "gadre_evaluations"} <= set(
        datasets.names()
    )
    for name in datasets.names():
        known = datasets.info(name)
        assert known.name == name
        assert known.licence
        assert known.cite
    assert datasets.info("ladder").bundled
    assert "2404.10102" in datasets.info("chinchilla_besiroglu").cite


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(BayescaleError, match="did you mean 'chinchilla_besiroglu'"):
        datasets.load("chinchila_besiroglu")
    with pytest.raises(BayescaleError, match=r"Known: .*ladder"):
        datasets.info("zzz")


def test_external_tables_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BAYESCALE_DATA", raising=False)
    with pytest.raises(BayescaleError, match=r"set BAYESCALE_DATA.*tidy/gadre_overtraining\.csv"):
        datasets.load("gadre_evaluations")
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(BayescaleError, match="no folder"):
        datasets.load("gadre_evaluations")
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path))
    with pytest.raises(BayescaleError, match="doesn't exist"):
        datasets.load("gadre_evaluations")


def test_split_and_role_of_a_bundled_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The ladder's defaults, on a small table in its place."""
    rows = {
        "run": ["s", "a", "b", "t"],
        "N": [3e3, 3e3, 1e4, 1e5],
        "D": [1e6, 1e6, 2e6, 4e6],
        "C": [2e10, 2e10, 1.2e11, 2.4e12],
        "loss": [None, 2.2, 2.0, 1.8],
        "role": ["sweep", "fit", "fit", "target"],
        "split": ["train", "train", "train", "target"],
        "status": ["diverged", "ok", "ok", "ok"],
    }
    (tmp_path / "data").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "ladder.csv", index=False)
    monkeypatch.setattr(datasets, "files", lambda package: tmp_path)
    monkeypatch.setenv("BAYESCALE_DATA", "/nowhere")  # the package's own table all the same

    def runs(**options: str) -> list[str]:
        return datasets.load("ladder", **options).table["run"].tolist()

    assert runs() == ["a", "b"]
    assert runs(split="target") == ["t"]
    assert runs(split="all") == ["a", "b", "t"]
    assert runs(split="all", role="all") == ["s", "a", "b", "t"]
    assert runs(role="sweep") == ["s"]
    assert runs(where="N > 5e3") == ["b"]
    with pytest.raises(DataError, match="no rows of split 'test'; it has target, train"):
        runs(split="test")


def test_the_bundled_ladder() -> None:
    measured = pd.read_csv(Path(datasets.__file__).parent / "data" / "ladder.csv")
    if "fit" not in set(measured["role"]):
        pytest.skip("the ladder's runs to be fitted aren't measured yet")
    runs = datasets.load("ladder")
    assert set(runs.table["role"]) == {"fit"}
    assert set(runs.table["split"]) == {"train"}
    assert len(runs) == ((measured["role"] == "fit") & (measured["split"] == "train")).sum()
    assert runs.table["loss"].dropna().between(0.5, 6).all()
    everything = datasets.load("ladder", split="all", role="all")
    assert len(everything) == len(measured)


@needs_data
def test_chinchilla_besiroglu() -> None:
    runs = datasets.load("chinchilla_besiroglu", where="excluded_by_source == 0")
    assert runs.source == "chinchilla_besiroglu"
    assert len(runs) in (217, 240)  # with and without the rows kept apart
    assert np.allclose(runs.table["C"], 6 * runs.table["N"] * runs.table["D"], rtol=1e-6)
    assert len(runs.where("C < 3e20")) == 177
    chosen = select_rows(runs, load_law("chinchilla"), ("family",))
    assert any("loss takes 99 values" in note or "values in" in note for note in chosen.notes)


@needs_data
def test_gadre_evaluations_is_the_benchmark() -> None:
    wide = datasets.load("gadre_overtraining")
    long = datasets.load("gadre_evaluations")
    assert len(wide) == 104
    assert len(long) == 832
    assert long.table["family"].nunique() == 24
    assert long.table["run"].nunique() == 104
    assert (long.table["N"] < long.table["N_total"]).all()
    one = long.where("evaluation == 'c4_val'").table.set_index("run")
    assert np.allclose(one["loss"], wide.table.set_index("run").loc[one.index, "loss"])
    assert np.allclose(one["C"], 6 * one["N_total"] * one["D"], rtol=1e-6)
    assert len(select_rows(long, load_law("chinchilla"), ("family",)).table) == 832
