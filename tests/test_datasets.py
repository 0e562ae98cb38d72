"""Known tables: the bundled ladder, and public ones where BAYESCALE_DATA leads to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescale import datasets
from bayescale.catalog import load_law
from bayescale.dataset_collections import COLLECTIONS
from bayescale.errors import BayescaleError, DataError
from bayescale.rows import select_rows

DATA = Path(datasets.__file__).parent / "data"
NAMES = ("ladder", "ladder_isoflop", "ladder_schedules", "ladder_repeats", "ladder_mixtures")
SHARED = {"run", "family", "recipe", "corpus", "evaluation", "seed", "N", "N_total", "D", "C"}
SHARED |= {"step", "lr", "loss", "loss_prose", "loss_code", "is_final", "status", "stage"}
OWN = {
    "ladder": set(),
    "ladder_isoflop": {"budget"},
    "ladder_schedules": {"schedule", "lr_peak", "lr_sum", "steps"},
    "ladder_repeats": {"U", "epochs"},
    "ladder_mixtures": {"prose_share"},
}
needs_data = pytest.mark.skipif(
    not os.environ.get("BAYESCALE_DATA"), reason="BAYESCALE_DATA is not set"
)


def test_names_and_info() -> None:
    assert datasets.names() == sorted(datasets.names())
    assert {n for n in NAMES if (DATA / f"{n}.csv").exists()} <= set(datasets.names())
    assert {"chinchilla_besiroglu", "gadre_overtraining", "gadre_evaluations"} <= set(
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
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(BayescaleError, match="no folder"):
        datasets.load("gadre_evaluations")
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path))
    with pytest.raises(BayescaleError, match=r"neither tidy/gadre_overtraining\.csv nor raw/scal"):
        datasets.load("gadre_evaluations")


def test_collections_that_are_not_pinned_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BAYESCALE_DATA", raising=False)
    with pytest.raises(
        BayescaleError, match=r"isoflops is not downloaded: .*tidy/isoflops\.csv.*Op"
    ):
        datasets.load("isoflops")
    rows = (
        "source,dataset,model,condition,experiment,tokens,params,budget,loss,outlier,reason",
        "marin,comma,llama_2,,marin__comma__llama_2,1e9,1e9,6e18,3.5,False,none",
        "marin,comma,llama_2,,marin__comma__llama_2,4e9,1.5e8,3e18,3.8,True,too_few_points",
    )
    file = tmp_path / "tidy" / "isoflops.csv"
    file.parent.mkdir()
    file.write_text("\n".join(rows), encoding="utf-8")
    runs = datasets.read("isoflops", file, where="reason == 'none'")
    assert runs.table[["N", "D", "C", "corpus", "family"]].iloc[0].tolist() == [
        *(1e9, 1e9, 6e18, "comma", "marin__comma__llama_2")
    ]
    assert "was not compared with a pinned one of github.com/Open-Athena" in runs.notes[-1]
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path))
    assert len(datasets.load("isoflops")) == 2
    with pytest.raises(DataError, match="doesn't exist"):
        datasets.read("isoflops", tmp_path / "none.csv")


@needs_data
@pytest.mark.parametrize("name", [one.name for one in COLLECTIONS if one.name != "isoflops"])
def test_collections_are_read_as_their_cards_say(name: str) -> None:
    file = Path(os.environ["BAYESCALE_DATA"]) / "tidy" / datasets.info(name).file
    if not file.is_file():
        pytest.skip(f"BAYESCALE_DATA has no {file.name}")
    runs = datasets.load(name)
    assert 0.1 * datasets.info(name).rows < len(runs) <= datasets.info(name).rows
    assert runs.table[["N", "D", "C", "loss"]].gt(0).all(axis=None)
    assert {"family", "corpus"} <= set(runs.table)


def test_the_list_of_tables_says_whose_they_are() -> None:
    listed = datasets.table()
    assert list(listed.index) == datasets.names()
    assert listed[["title", "licence", "source", "cite"]].map(bool).all(axis=None)
    assert (listed["rows"] > 0).all()
    bundled = listed[listed["bundled"]].index
    for name in bundled:
        assert listed.loc[name, "rows"] == len(datasets.load(name, split="all", role="all"))
    public = listed.drop(index=bundled)
    assert public["source"].str.fullmatch(r"github\.com/[\w-]+/[\w-]+ at [0-9a-f]{12}").all()


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


def measured(name: str) -> pd.DataFrame:
    """Every row of a bundled table."""
    return datasets.load(name, split="all", role="all").table


def final(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["is_final"] == 1) & (table["status"] == "ok")]


def test_the_bundled_ladder_is_stage_a_unless_asked() -> None:
    """What the demo and the committed predictions were fitted to: 96 runs, whatever is added."""
    runs = datasets.load("ladder")
    assert set(runs.table["role"]) == {"fit"}
    assert set(runs.table["stage"]) == {"A"}
    assert len(final(runs.table)) == 96
    assert len(runs) == 4 * 96  # three readings before the end
    assert runs.table["N"].max() < 1.1e5
    everything = datasets.load("ladder", split="all", role="all")
    assert len(everything) == len(pd.read_csv(DATA / "ladder.csv"))
    assert set(everything.table.loc[everything.table["stage"] == "A", "role"]) == {
        *("sweep", "fit", "target")
    }


def test_stage_b_adds_seeds_and_a_size_to_the_ladder() -> None:
    table = measured("ladder")
    added = final(table[table["stage"] == "B"])
    assert len(added)
    assert set(added["role"]) <= {"replicate", "extension"}
    both = datasets.load("ladder", split="train", role="not sweep").table
    assert set(both["role"]) == {"fit", *added["role"]}
    cell = ["family", "N", "D"]
    first = final(table[table["role"] == "fit"]).groupby(cell)["lr"].first()
    for key, runs in added[added["role"] == "replicate"].groupby(cell):
        assert set(runs["seed"]) <= {3, 4}
        assert (runs["lr"] == first[key]).all(), "a replicate differs by chance alone"
    larger = added[added["role"] == "extension"]
    assert larger["N"].between(2.9e5, 3.1e5).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_table_says_what_it_measured(name: str) -> None:
    table = measured(name)
    assert set(table) >= SHARED | OWN[name]
    assert datasets.load(name).units["loss"] == "nat/byte"
    assert "standard errors" in datasets.info(name).about
    assert set(table["status"]) <= {"ok", "diverged"}
    ok = table[table["status"] == "ok"]
    assert ok[["loss", "loss_prose", "loss_code"]].notna().all(axis=None)
    assert np.allclose(
        ok["loss"], np.where(ok["evaluation"] == "code", ok.loss_code, ok.loss_prose)
    )
    assert ok["loss"].between(1.0, np.log(256)).all()
    assert (ok["loss_heldout_se"] / ok["loss"]).between(1e-3, 0.05).all()
    assert (ok["D"] == 2048 * ok["step"]).all()
    per_byte = (ok["C"] / ok["D"]).groupby(ok["run"]).nunique()
    assert (per_byte == 1).all(), "a run's operations grow with its bytes"
    assert (ok["C"] / (6 * ok["N"] * ok["D"])).between(0.9, 5).all()
    ends = final(table)
    assert not ends.duplicated(["run", "evaluation"]).any()
    if name != "ladder":
        assert set(table["role"]) == {"fit"}
        assert set(table["stage"]) == {"B"}


def test_isoflop_runs_cost_their_budget() -> None:
    table = final(measured("ladder_isoflop"))
    assert (table["C"] / table["budget"]).between(0.99, 1.01).all()
    assert table["budget"].isin([2e11, 6e11, 2e12]).all()
    assert not table.duplicated(["family", "budget", "N"]).any()


def test_schedules_give_the_rate_at_every_checkpoint() -> None:
    table = measured("ladder_schedules")
    assert (table["lr"] <= table["lr_peak"]).all()
    ends = final(table).groupby("schedule")
    decayed = ends["lr"].max() / ends["lr_peak"].max()
    for schedule, left in decayed.items():
        assert left == 1 if schedule == "constant" else left < 0.01
    for _, run in table.groupby("run"):
        assert len(run) == 16 or "diverged" in set(run["status"])
        steps, spent = run["step"].to_numpy(), run["lr_sum"].to_numpy()
        assert (np.diff(spent) >= 0).all()
        # The sum of rates is the area under them: at most the peak over the steps between.
        assert (np.diff(spent) <= 1.0001 * run["lr_peak"].max() * np.diff(steps)).all()


def test_repeats_see_unique_bytes_so_often() -> None:
    table = measured("ladder_repeats")
    ends = final(table)
    assert (ends["D"] == ends["U"] * ends["epochs"]).all()
    assert set(ends["epochs"]) <= {1, 2, 4, 8}
    assert (table["U"] <= table["D"]).all()


def test_mixtures_have_a_row_for_the_loss_on_each_corpus() -> None:
    ends = final(measured("ladder_mixtures"))
    assert (ends.groupby("run")["evaluation"].nunique() == 2).all()
    assert ends["prose_share"].isin([0, 0.25, 0.5, 0.75, 1]).all()
    pure = ends[ends["prose_share"].isin([0, 1])]
    own = np.where(pure["prose_share"] == 1, pure["loss_prose"], pure["loss_code"])
    other = np.where(pure["prose_share"] == 1, pure["loss_code"], pure["loss_prose"])
    assert (own < other).all()
    assert (ends.groupby("family")["evaluation"].nunique() == 1).all()


def test_bundled_tables_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.csv")) < 2e6


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
