"""Runs read from where they live: every tracker's files give a table, bad ones one message."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayescale as bs
from bayescale.catalog import load_law
from bayescale.errors import BayescaleError, DataError
from bayescale.rows import select_rows
from bayescale.sources import read_source, tensorboard, yaml_lines
from bayescale.sources.naming import propose
from bayescale.sources.thinning import spaced, thin
from tests import tracker_files as made

PLAIN = pd.DataFrame({"params": [1e6, 2e6], "tokens": [1e8, 7e12], "loss": [4.1, 3.9]})
WAYS: dict[str, tuple[Callable[[Path], Path], dict[str, str]]] = {
    "runs table": (made.wandb_table, {}),
    "api table": (made.wandb_api, {}),
    "exports": (made.wandb_exports, {}),
    "wandb": (made.wandb_folder, {}),
    "mlruns": (made.mlflow_store, {"D": f"step * {made.TOKENS:.0f}"}),
    "tensorboard": (made.tensorboard_logs, {}),
    "trainer": (made.trainer_outputs, {"N": "total"}),
    "lightning": (made.lightning_logs, {"D": f"step * {made.TOKENS:.0f}"}),
}


def file_of(name: str, folder: Path) -> Path:
    make, _ = WAYS[name]
    return make(folder / (f"{name}.csv" if name.endswith("table") else name))


@pytest.mark.parametrize("name", [n for n in WAYS if n != "trainer"])
def test_a_tracker_gives_the_runs(name: str, tmp_path: Path) -> None:
    runs = bs.read_runs(file_of(name, tmp_path), columns=WAYS[name][1])
    rows = select_rows(runs, load_law("power_law"), on_failed="drop").table
    assert len(rows) == 3
    assert np.allclose(sorted(rows["loss"]), sorted(made.final().values()), rtol=1e-6)
    order = rows.sort_values("loss", ascending=False)
    assert np.allclose(order["N"], list(made.SIZES.values()))
    assert np.allclose(rows["D"], made.STEPS[-1] * made.TOKENS)
    assert any("question: does N" in note for note in runs.notes)
    assert not (tmp_path / "evil").exists() and not Path("evil").exists()


def test_a_trainer_counts_tokens_and_asks_for_parameters(tmp_path: Path) -> None:
    folder = made.trainer_outputs(tmp_path / "out")
    law = load_law("chinchilla")
    with pytest.raises(
        DataError, match=r"columns=\{'N': '1.24e8'\}.*is a 1e\+06, b 4e\+06, c 1\.6"
    ):
        bs.read_runs(folder, law=law)
    runs = bs.read_runs(folder / "b", columns={"N": "4e6"}, law=law)
    assert len(runs) == 4
    assert runs.table["N"].tolist() == 4 * [4e6]
    assert runs.table["D"].tolist() == [s * made.TOKENS for s in made.STEPS]
    assert np.allclose(runs.table["loss"], [made.loss(4e6, s) for s in made.STEPS])
    assert runs.table["C"].iloc[-1] == 6 * 4e6 * made.STEPS[-1] * made.TOKENS  # as it counted
    assert "N is 4e6 in every row" in runs.notes
    bare = made.trainer_outputs(tmp_path / "bare", counted=False)
    with pytest.raises(DataError, match="include_num_input_tokens_seen"):
        bs.read_runs(bare, columns={"N": "4e6"}, law=law)


def test_a_crashed_run_is_counted_as_failed(tmp_path: Path) -> None:
    runs = bs.read_runs(made.wandb_table(tmp_path / "t.csv"))
    assert runs.table["status"].tolist() == ["finished"] * 3 + ["crashed"]
    with pytest.raises(DataError, match="run z failed"):
        select_rows(runs, load_law("power_law"))
    assert any("columns={'family': 'model.arch'}" in note for note in runs.notes)


def test_a_runs_table_that_shows_the_step_is_no_history(tmp_path: Path) -> None:
    table = pd.read_csv(made.wandb_table(tmp_path / "t.csv"))
    table["Notes"] = ["-", "restarted", "-", "-"]
    table.loc[3, "data.tokens"] = None  # it failed before its first step
    table.assign(_step=400, _runtime=3601.5).to_csv(tmp_path / "t.csv", index=False)
    runs = bs.read_runs(tmp_path / "t.csv")
    assert len(select_rows(runs, load_law("power_law"), on_failed="drop").table) == 3
    assert runs.table["status"].tolist() == ["finished"] * 3 + ["crashed"]
    assert runs.table["step"].tolist() == [400] * 4
    (hint,) = [note for note in runs.notes if note.startswith("no column family")]
    assert "Notes" not in hint and "User" not in hint


def test_checkpoints_come_with_settings_and_read_tokens(tmp_path: Path) -> None:
    runs = bs.read_runs(made.wandb_exports(tmp_path / "w"))
    assert len(runs) == 3 * len(made.STEPS)
    assert np.allclose(runs.table["D"], runs.table["step"] * made.TOKENS)
    assert "D is read between logged steps in 9 rows" in runs.notes
    assert "12 rows of the log have no loss and are left out" in runs.notes
    two = bs.read_runs(tmp_path / "w", thin=2)
    assert two.table["step"].tolist() == 3 * [100, 400]
    assert two.notes[-1] == "6 checkpoints are left out: at most 2 of a run are kept"
    assert len(bs.read_runs(two)) == 6


def test_a_charts_download(tmp_path: Path) -> None:
    runs = bs.read_runs(made.wandb_chart(tmp_path / "chart.csv"))
    assert len(runs) == 12
    assert sorted(set(runs.table["run"])) == ["a", "b", "c"]


def test_a_run_without_a_loss_is_named(tmp_path: Path) -> None:
    table = pd.read_csv(made.wandb_table(tmp_path / "t.csv"))
    table.loc[1, "val/loss"] = np.nan  # it finished, and diverged
    table.to_csv(tmp_path / "t.csv", index=False)
    runs = bs.read_runs(tmp_path / "t.csv")
    assert "runs without a loss are left out: b" in runs.notes
    table["val/loss"] = ["4.1", "high", "4.0", "NaN"]
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="row 2: loss is 'high', not a number"):
        bs.read_runs(tmp_path / "t.csv")


def test_mlflow_search_runs(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "run_id": ["x", "y", "z", "v"],
            "status": ["FINISHED", "FAILED", "FINISHED", "FINISHED"],
            "metrics.eval_loss": [3.5, None, 3.6, 3.7],
            "params.n_params": ["3000000", "2000000", "2000000", "1000000"],
            "params.tokens": ["1e8", "1e8", "1e8", "1e8"],
            "tags.mlflow.user": ["u", "u", "u", "u"],
        }
    )
    rows.to_csv(tmp_path / "search.csv", index=False)
    runs = bs.read_runs(tmp_path / "search.csv")
    assert runs.table["C"].tolist() == [1.8e15, 1.2e15, 1.2e15, 6e14]
    assert len(select_rows(runs, load_law("power_law"), on_failed="drop").table) == 3
    assert bs.read_runs(rows, format="mlflow").table["run"].tolist() == ["x", "y", "z", "v"]


def test_frames_of_other_libraries() -> None:
    columns = PLAIN.to_dict("list")
    arrow = SimpleNamespace(to_pydict=lambda: columns, to_pandas=None)
    other = SimpleNamespace(to_pandas=lambda: PLAIN)
    lazy = SimpleNamespace(collect=lambda: other)
    for source in (arrow, other, lazy, columns):
        assert bs.read_runs(source).table["C"].tolist() == [6e14, 8.4e19]  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not int"):
        bs.read_runs(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_real_frames(library: str, tmp_path: Path) -> None:
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    columns = {k: [int(v) if k != "loss" else v for v in c] for k, c in PLAIN.items()}
    frame = module.DataFrame(columns) if library == "polars" else module.table(columns)
    assert bs.read_runs(frame).table["C"].tolist() == [6e14, 8.4e19]  # int64 would overflow
    if library == "pyarrow":
        import pyarrow.parquet as parquet

        parquet.write_table(frame, tmp_path / "runs.parquet")
        assert len(bs.read_runs(tmp_path / "runs.parquet")) == 2


def test_json_lines_and_json(tmp_path: Path) -> None:
    lines = [{"model": {"params": int(1e9)}, "tokens": 2e10, "loss": 2.6}, {}]
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(line) for line in lines[:1]) + "\n\n")
    runs = bs.read_runs(tmp_path / "r.jsonl", columns={"N": "model.params"})
    assert runs.table["C"].tolist() == [1.2e20]
    for document in (PLAIN.to_dict("records"), PLAIN.to_dict("list")):
        (tmp_path / "r.json").write_text(json.dumps(document))
        assert len(bs.read_runs(tmp_path / "r.json")) == 2


def test_products_of_columns() -> None:
    table = {"steps": [10, 20], "bs": [8, 8], "loss": [4.0, 3.9], "N": [1e6, 2e6]}
    runs = bs.read_runs(table, columns={"D": "steps * bs * 2048"})
    assert runs.table["D"].tolist() == [163840.0, 327680.0]
    assert "D is steps * bs * 2048 in every row" in runs.notes
    with pytest.raises(DataError, match=r"neither a number nor a column.*did you mean 'steps'"):
        bs.read_runs(table, columns={"D": "step * 2048"})


def test_what_only_the_user_knows_is_asked(tmp_path: Path) -> None:
    path = made.wandb_table(tmp_path / "t.csv")
    table = pd.read_csv(path).iloc[:3]
    table["model.params_non_embedding"] = 0.9 * table["model.params"]
    table["val_code/loss"] = 3.0
    table.to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        bs.read_runs(path)
    text = str(caught.value)
    assert "could all be N; the two counts differ by the embeddings" in text
    assert "columns={'N': 'model.params_non_embedding'}" in text
    assert "could all be loss; a law describes one evaluation" in text
    runs = bs.read_runs(path, columns={"N": "model.params", "loss": "val/loss"})
    assert len(runs) == 3


@pytest.mark.parametrize("own, asked", [("eval/bpb", "in bits"), ("val_ppl_loss", "perplexity")])
def test_units_are_asked_for(own: str, asked: str) -> None:
    table = PLAIN.rename(columns={"loss": own})
    runs = bs.read_runs(table, columns={"loss": own})
    assert any(n.startswith("question: ") and asked in n for n in runs.notes)
    told = bs.read_runs(table, columns={"loss": own}, units={"loss": "bit/byte"})
    assert not any("question" in n for n in told.notes)


def test_names_choose_only_where_one_fits() -> None:
    table = pd.DataFrame(
        {"model.hidden": [64], "model.params": ["tiny"], "n_params": [1e6], "aux/loss": [0.1]}
    )
    assert propose(table, ()).mapping == {"N": "n_params"}
    assert propose(table, ("N",)).mapping == {}


def test_a_folder_of_two_kinds_needs_a_word(tmp_path: Path) -> None:
    made.mlflow_store(tmp_path / "all" / "mlruns")
    made.tensorboard_logs(tmp_path / "all" / "logs")
    with pytest.raises(DataError, match=r"runs of tensorboard and of mlflow; say which by format="):
        bs.read_runs(tmp_path / "all")
    assert len(bs.read_runs(tmp_path / "all", format="tensorboard")) == 12
    with pytest.raises(DataError, match="holds nothing of format 'wandb'"):
        bs.read_runs(tmp_path / "all", format="wandb")
    with pytest.raises(BayescaleError, match="did you mean 'wandb'"):
        bs.read_runs(tmp_path / "all", format="wandbb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        bs.read_runs(tmp_path / "empty")


def test_offline_runs_are_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    (tmp_path / "wandb" / "offline-run-1" / "run-1.wandb").write_bytes(b"\x00")
    with pytest.raises(DataError, match="wandb sync"):
        bs.read_runs(tmp_path / "wandb")


BAD = {
    "deep.json": ("[" * 100_000, "nested too deeply"),
    "deep.jsonl": ('{"a":' * 100_000, "line 1: its JSON is nested too deeply"),
    "list.jsonl": ("[1]", "line 1: one JSON object a run"),
    "half.jsonl": ('{"N": 1e9, "D"', "line 1 is no JSON"),
    "number.json": ("3", "neither a list of objects"),
    "trainer_state.json": ('{"log_history": 3}', "no list log_history"),
    "metrics.csv": ("step,epoch,loss\n1,0\n", "rows of another length"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_message(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        bs.read_runs(tmp_path / name)


def test_a_printed_dict_is_never_run(tmp_path: Path) -> None:
    cell = "__import__('pathlib').Path('evil').write_text('x')"
    pd.DataFrame({"name": ["a"], "config": [cell]}).to_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="row 1: config holds neither JSON nor a printed dict"):
        bs.read_runs(tmp_path / "t.csv")
    assert not Path("evil").exists()


def test_an_mlflow_metric_that_is_none(tmp_path: Path) -> None:
    store = made.mlflow_store(tmp_path / "mlruns")
    (store / "0/a/metrics/val/loss").write_text("1700000000000 low 3\n")
    with pytest.raises(DataError, match=r"line 1: '1700000000000 low 3' is not a time"):
        bs.read_runs(store)


EVENTS = b"".join(made.scalar(step, "loss", 4.0 - step / 9) for step in range(1, 6))


def test_an_event_file_still_written_is_read_so_far(tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1.host"
    for cut in (1, 5, 20):
        file.write_bytes(EVENTS[:-cut])
        runs = bs.read_runs(file)
        assert len(runs) == 4
        assert (
            "events.out.tfevents.1.host ends within a record: it was read up to there" in runs.notes
        )


def test_an_event_file_that_lies_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1.host"
    flipped = bytearray(EVENTS)
    flipped[40] ^= 1
    for content, message in (
        (bytes(flipped), "checksum of a record is wrong"),
        (b"\xff" * 40, "checksum of a record's length is wrong"),
        (made.record(made.field(5, made.field(1, b"\x0a\xff\x01x"))), "a field of 255 bytes where"),
        (made.record(b"\x0b"), "a field of kind 3"),
        (made.record(made.field(5, made.field(1, made.field(1, b"\xff\xfe")))), "utf-8"),
        (b"", "no runs with a measured value"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            bs.read_runs(file)


@given(st.binary(max_size=400), st.integers(0, len(EVENTS) - 1), st.integers(0, 255))
def test_no_bytes_break_the_reader(noise: bytes, place: int, byte: int) -> None:
    """Anything at all ends in scalars or in one `DataError`."""
    spoilt = EVENTS[:place] + bytes([byte]) + EVENTS[place + 1 :]
    for content in (noise, made.record(noise), spoilt, made.record(made.field(5, noise))):
        file = SimpleNamespace(
            name="f", stat=lambda c=content: SimpleNamespace(st_size=len(c)), open=opened(content)
        )
        try:
            for step, tag, _ in tensorboard.events(file, []):  # type: ignore[arg-type]
                assert isinstance(tag, str)
                assert step is None or -(2**63) <= step < 2**63
        except DataError as error:
            assert "damaged at byte" in str(error)


def opened(content: bytes) -> Callable[[str], object]:
    import io

    return lambda mode: io.BytesIO(content)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader_of_settings(text: str) -> None:
    for value in yaml_lines.parse(text).values():
        assert value is None or isinstance(value, (str, float, bool))


def test_settings_of_yaml_lines() -> None:
    text = (
        "# comment\nlr: 3e-4\n'quoted': \"a: b\"\nflag: yes\non: true\nnone: null\nempty:\n"
        "list: [1, 2]\nanchor: &a 3\nblock: |\n  text: 3\n  more\ndeep:\n  er:\n    est: 1\n"
    )
    found = yaml_lines.parse(text)
    assert found["lr"] == 3e-4
    assert found["quoted"] == "a: b"
    assert found["on"] is True and found["none"] is None
    assert found["deep.er.est"] == 1
    assert "list" not in found and "anchor" not in found


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60, unique=True), st.integers(1, 12))
def test_thinning_keeps_the_last_and_no_more_than_asked(values: list[float], most: int) -> None:
    at = np.array(values)
    kept = spaced(at, most)
    assert 1 <= len(kept) <= max(most, 1)
    assert at.argmax() in kept
    assert len(set(kept)) == len(kept)


def test_thinning_leaves_single_rows_and_says_nothing() -> None:
    rows = PLAIN.assign(run=["a", "b"], step=[1, 1])
    assert thin(rows, 1)[1] is None
    with pytest.raises(BayescaleError, match="thin is the number"):
        thin(rows, 0)


def test_readers_need_no_tracker() -> None:
    read_source(PLAIN)
    assert not {"wandb", "mlflow", "tensorboard", "yaml", "torch"} & set(sys.modules)
