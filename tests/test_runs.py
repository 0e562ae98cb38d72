"""Reading tables: names, numbers, notes and faults."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayescale import cells
from bayescale import columns as cols
from bayescale.catalog import load_law
from bayescale.errors import DataError, FormulaError
from bayescale.runs import Runs, read_runs
from bayescale.tables import read_file


def table(**changes: object) -> pd.DataFrame:
    base = {
        "run": ["a", "b", "c"],
        "family": ["dense", "dense", "moe"],
        "N": [1e6, 2e6, 4e6],
        "D": [1e8, 3e8, 2e8],
        "loss": [4.1, 3.8, 3.7],
    }
    return pd.DataFrame({k: v for k, v in {**base, **changes}.items() if v is not None})


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def faults(*args: object, **options: object) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_runs(*args, **options)  # type: ignore[arg-type]
    return caught.value.faults


def test_csv_and_frame_agree(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    table().to_csv(path, index=False)
    from_file, from_frame = read_runs(path), read_runs(table())
    pd.testing.assert_frame_equal(from_file.table, from_frame.table)
    assert from_file.table.index.tolist() == [1, 2, 3]
    assert from_file.source == "runs.csv"
    assert len(from_file) == 3


def test_large_counts_stay_exact_float64(tmp_path: Path) -> None:
    path = write(tmp_path, "N,D,loss\n70000000000,1400000000000,1.9\n1e9,2e10,2.5\n")
    runs = read_runs(path)
    assert [runs.table[c].dtype for c in ("N", "D", "C", "loss")] == [np.float64] * 4
    assert runs.table["C"].tolist() == [6 * 7e10 * 1.4e12, 6 * 1e9 * 2e10]  # int64 would overflow
    ints = read_runs(pd.DataFrame({"N": [7 * 10**10], "D": [14 * 10**11], "loss": [2]}))
    assert ints.table["C"].iloc[0] == 6 * 7e10 * 1.4e12


def test_ids_and_labels_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path, "run,family,N,D,loss\n001, dense,1e6,1e8,4\n002,7,2e6,1e8,3.9\n")
    runs = read_runs(path)
    assert runs.table["run"].tolist() == ["001", "002"]
    assert runs.table["family"].tolist() == ["dense", "7"]


def test_files_of_other_kinds(tmp_path: Path) -> None:
    text = "N,D,loss\n1e6,1e8,4\n"
    packed = tmp_path / "runs.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    tabs = write(tmp_path, text.replace(",", "\t"), "runs.tsv")
    marked = tmp_path / "bom.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    blank = write(tmp_path, "\n" + text.replace("\n", "\n\n"), "blank.csv")
    for path in (packed, tabs, marked, blank):
        assert read_runs(path).table["C"].tolist() == [6e14], path.name


def test_parquet_reads_or_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        path.write_bytes(b"PAR1")
        with pytest.raises(DataError, match="pip install pyarrow"):
            read_file(path)
    else:
        table().to_parquet(path)
        assert read_file(path)["N"].tolist() == [1e6, 2e6, 4e6]
        path.write_bytes(b"not parquet")
        with pytest.raises(DataError, match="no parquet"):
            read_file(path)


def test_binary_and_nameless_files(tmp_path: Path) -> None:
    binary = tmp_path / "runs.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="not text"):
        read_runs(binary)
    with pytest.raises(DataError, match="no name for column 2"):
        read_runs(write(tmp_path, "N,,loss\n1,2,3\n"))
    with pytest.raises(DataError, match="column N is there twice"):
        read_runs(write(tmp_path, "N,D,N,loss\n1,2,3,4\n"))
    with pytest.raises(DataError, match="a DataFrame or a dict"):
        read_runs([1, 2])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="unequal length"):
        read_runs({"N": [1.0], "D": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("own", "name"),
    [("params", "N"), ("n_params", "N"), ("tokens", "D"), ("flops", "C"), ("compute", "C")],
)
def test_synonyms_are_read_and_said(own: str, name: str) -> None:
    full = table(C=[1e15, 2e15, 3e15])
    runs = read_runs(full.rename(columns={name: own}))
    assert runs.table[name].tolist() == full[name].tolist()
    assert own not in runs.table
    assert f"{name} is read from column {own!r}" in runs.notes
    assert runs.renamed == {name: own}


def test_dataset_is_corpus_and_other_columns_stay() -> None:
    runs = read_runs(table(dataset=["x", "y", "y"], depth=[2, 4, 8], note=["p", None, "q"]))
    assert runs.table["corpus"].tolist() == ["x", "y", "y"]
    assert runs.table["depth"].tolist() == [2.0, 4.0, 8.0]
    assert runs.table["note"].iloc[2] == "q"


def test_explicit_mapping_wins() -> None:
    both = table(params=[1e6, 2e6, 3e6], params_total=[5e6, 6e6, 7e6], N=None)
    assert "which does the law mean by N" in faults(both)[0]
    runs = read_runs(both, columns={"N": "params_total"})
    assert runs.table["N"].tolist() == [5e6, 6e6, 7e6]
    assert runs.table["params"].tolist() == [1e6, 2e6, 3e6]
    total = read_runs(both, columns={"N_total": "params_total"})
    assert total.table["N"].tolist() == [1e6, 2e6, 3e6]
    assert total.table["N_total"].tolist() == [5e6, 6e6, 7e6]


def test_a_taken_name_keeps_its_column() -> None:
    runs = read_runs(table(width=[7e6, 8e6, 9e6]), columns={"N": "width"})
    assert runs.table["N"].tolist() == [7e6, 8e6, 9e6]
    assert runs.table["N_original"].tolist() == [1e6, 2e6, 4e6]
    assert any("N_original" in note for note in runs.notes)


def test_two_synonyms_are_a_question() -> None:
    fault = faults(table(flops=[1e15] * 3, compute=[2e15] * 3))[0]
    assert "flops and compute" in fault
    assert "columns={'C': 'flops'}" in fault
    chosen = read_runs(table(flops=[1e15] * 3, compute=[2e15] * 3), columns={"C": "compute"})
    assert set(chosen.table["C"]) == {2e15}


def test_two_synonyms_that_the_law_does_not_read_are_no_fault() -> None:
    runs = read_runs(table(flops=[1e15] * 3, compute=[2e15] * 3), law=load_law("chinchilla"))
    assert runs.table["flops"].tolist() == [1e15] * 3


def test_compute_is_filled_only_where_missing() -> None:
    runs = read_runs(table(C=[1e15, None, math.nan]))
    assert runs.table["C"].tolist() == [1e15, 6 * 2e6 * 3e8, 6 * 4e6 * 2e8]
    assert "C is 6*N*D in 2 of 3 rows, where none was given" in runs.notes


def test_every_fault_in_one_message() -> None:
    found = faults(table(N=[1e6, "abc", 4e6], D=[1e8, 3e8, -2e8], loss=[math.inf, 3.8, None]))
    text = "\n".join(found)
    for expected in (
        "row 2: N is 'abc', not a number",
        "row 3: D is -2e+08",
        "row 1: loss is not finite",
        "row 3: loss is empty or NaN",
    ):
        assert expected in text
    assert len(found) == 4  # an empty C only repeats what N and D say


def test_many_rows_are_counted() -> None:
    many = pd.DataFrame({"N": [-1.0] * 40, "D": np.arange(1.0, 41.0), "loss": 3.0})
    assert "... (40 rows): N is" in faults(many)[0]


def test_irrelevant_columns_may_be_empty_but_required_ones_not() -> None:
    law = load_law("chinchilla")
    runs = read_runs(table(U=[None, 1e8, math.nan], extra=[math.nan] * 3), law=law)
    assert len(runs) == 3
    assert "no column D (token" in faults(table(D=None), law=law)[0]
    assert "no column loss" in faults(table(loss=None, val_loss=[4, 3, 2]))[0]
    assert "--columns loss=val_loss" in faults(table(loss=None, val_loss=[4, 3, 2]))[0]


def test_failed_rows_may_lack_a_loss() -> None:
    runs = read_runs(table(loss=[4.1, "nan", 3.7], status=["ok", "diverged", ""]))
    assert math.isnan(runs.table.loc[2, "loss"])
    assert "row 2: loss" in faults(table(loss=[4.1, "nan", 3.7]))[0]


def test_standard_errors_and_steps() -> None:
    runs = read_runs(table(loss_se=[0.01, None, 0.02], step=["10", "20", "30"]))
    assert runs.table["loss_se"].isna().tolist() == [False, True, False]
    assert "row 1: loss_se is negative" in faults(table(loss_se=[-0.1, 0.1, 0.1]))[0]
    assert "row 3: step is 'end'" in faults(table(step=["1", "2", "end"]))[0]
    assert read_runs(table(is_final=["True", "false", "1"])).table["is_final"].tolist() == [1, 0, 1]


def test_equal_rows_are_a_fault_and_near_ones_are_not() -> None:
    double = pd.concat([table(), table().iloc[[1]]])
    assert "rows 2, 4 are equal" in faults(double)[0]
    assert len(read_runs(double.assign(seed=[0, 0, 0, 1]))) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"N": [1.0, 7.0, 70.0]}, "the largest N is 70 parameters; did you mean millions"),
        ({"D": [20.0, 140.0, 1400.0]}, "the largest D is 1400 tokens; did you mean"),
        ({"C": [1.0, 2.0, 3.0]}, "times 6\\*N\\*D"),
        ({"loss": [60.0, 45.0, 41.0]}, "the largest loss is 60.*perplexity"),
        ({"loss": [0.02, 0.01, 0.03]}, "the largest loss is 0.03"),
    ],
)
def test_odd_units_are_warnings_with_the_number(changes: dict[str, list[float]], said: str) -> None:
    notes = "\n".join(read_runs(table(**changes)).notes)
    assert pd.Series([notes]).str.contains(rf"warning: .*{said}").all(), notes
    assert not any("warning" in note for note in read_runs(table()).notes)


def test_where_selects_with_either_name_and_keeps_row_numbers() -> None:
    named = table().rename(columns={"N": "params"})
    for condition in ("N > 1.5e6", "params > 1.5e6"):
        early = read_runs(named, where=condition)
        late = read_runs(named).where(condition)
        assert early.table.index.tolist() == late.table.index.tolist() == [2, 3]
        assert f"{condition}: 2 of 3 rows" in late.notes
    assert read_runs(named).where("family == 'moe' and C > 0").table.index.tolist() == [3]
    with pytest.raises(FormulaError):
        read_runs(named).where("N >")
    with pytest.raises(DataError, match="no row of 3 meets"):
        read_runs(named).where("N > 1e20")


def test_where_leaves_bad_rows_out_but_never_hides_text() -> None:
    spoilt = table(loss=[4.1, None, 3.7])
    assert len(read_runs(spoilt, where="loss > 0")) == 2
    assert "row 2: D is 'x'" in faults(table(D=[1e8, "x", 2e8]), where="D > 1")[0]
    assert len(read_runs(table(D=[1e8, "x", 2e8]), where="N != 2e6")) == 2


def test_the_callers_table_is_left_alone() -> None:
    given_table = table(C=[None, 1e15, 1e15])
    before = given_table.copy()
    read_runs(given_table)
    pd.testing.assert_frame_equal(given_table, before)


def test_runs_are_read_again() -> None:
    runs = read_runs(table(), where="N > 1.5e6")
    again = read_runs(runs)
    assert isinstance(again, Runs)
    assert again.table.index.tolist() == [2, 3]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_text(value: float) -> None:
    assert cells.number(repr(value)) == value
    assert cells.number(f" {value!r} ") == value


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_not(text: str) -> None:
    read = cells.number(text)
    if read is not None and not math.isnan(read):
        assert read == float(text)
        assert "_" not in text


@given(st.lists(st.integers(1, 999), min_size=1, max_size=30))
def test_rows_text_names_the_first_rows(rows: list[int]) -> None:
    text = cols.rows_text(rows)
    assert text.startswith("row")
    assert all(str(row) in text for row in rows[:8])


def test_labels_agree_between_files_and_frames() -> None:
    mixed = pd.Series([2, 2.0, "2", " dense ", None, math.nan, True], dtype=object)
    assert cells.labels(mixed).tolist() == ["2", "2", "2", "dense", None, None, "True"]


def test_failed_reads_states() -> None:
    states = pd.DataFrame({"status": ["ok", "OK", "", None, "diverged", "crashed", "finished"]})
    assert cells.failed(states).tolist() == [False] * 4 + [True, True, False]


@given(st.text(alphabet='NDloss,"\n 1e9-x\t;\x00é', max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_text_does_worse_than_a_data_error(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "N,D,loss\n1e6,1e8,3\n" + text)
    try:
        assert len(read_runs(path)) >= 1
    except DataError as error:
        assert str(error).startswith("runs.csv")
