"""The first commands: templates that can be fitted as they stand, and a look at what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import bayescale as bs
from bayescale.cli import main
from bayescale.rows import select_rows
from bayescale.templates import write_templates
from tests import tracker_files as made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_templates_fit_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    said = capsys.readouterr().out
    assert "next: bayescale fit runs.csv --law my_law.toml --out fit.nc" in said
    law, runs = bs.load_law("my_law.toml"), bs.read_runs("runs.csv")
    assert len(select_rows(runs, law, ("family",)).table) == 12
    assert runs.table["note"].str.startswith("made up").all()
    assert all(p.about for p in law.parameters.values())
    expected = bs.prior_predictive(law, runs)
    assert abs(expected.attrs["conflict"]) < 2


def test_templates_replace_nothing_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs.csv").write_text("mine")
    assert main(["init"]) == 2
    assert "runs.csv is there already, and nothing was written" in capsys.readouterr().err
    assert Path("runs.csv").read_text() == "mine"
    assert not Path("my_law.toml").exists()
    assert main(["init", "other", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == ["other/runs.csv", "other/my_law.toml"]
    assert told["next"] == "bayescale fit other/runs.csv --law other/my_law.toml --out other/fit.nc"
    assert main(["init", "--overwrite"]) == 0
    assert "example-1" in Path("runs.csv").read_text()
    Path("file").write_text("")
    with pytest.raises(bs.BayescaleError, match="can't be made"):
        write_templates("file/inside")


def test_read_shows_and_writes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.wandb_exports(here / "export")
    words = ["read", "export", "--columns", "family=model.arch", "--where", "N < 5e6"]
    assert main([*words, "--units", "loss=bit/token", "--thin", "1", "--out", "runs.csv"]) == 0
    shown = capsys.readouterr()
    assert "2 rows of 2 runs" in shown.out
    assert "--units loss=bit/token" in shown.out
    assert "question: does N" in shown.err
    table = pd.read_csv("runs.csv")
    assert table["family"].tolist() == ["dense", "moe"]
    assert main(["read", "runs.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == told["runs"] == 2
    assert told["written"] is None
    assert not any("question" in note for note in told["notes"])  # it is a plain table now


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["read", "runs.csv", "--out", "runs.csv"], "is the source itself"),
        (["read", "nowhere"], "nowhere doesn't exist"),
        (["read", "runs.csv", "--units", "loss"], "--units loss=bit/byte"),
        (["read", "runs.csv", "--format", "wandb"], "is no W&B export"),
        (["fit", "runs.csv", "--law", "chinchilla", "--format", "csvv"], "did you mean 'csv'"),
    ],
)
def test_bad_words(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_templates(here)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
