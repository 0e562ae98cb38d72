"""The command line: exit statuses, one JSON document, and messages that say what to do.

The library's own answers are tested beside the library; here its verbs are replaced by ones
that record how they were called and answer with known tables.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import bayescale
from bayescale.cli import main, program
from bayescale.cli.command import spread
from bayescale.cli.examples import EXAMPLES
from bayescale.cli.inputs import point, points, pooling
from bayescale.cli.output import console, dumps, frame, intervals
from bayescale.errors import BayescaleError, ConvergenceError, DataError, FormulaError

CSV = (
    "params,tokens,loss,family\n"
    "1e6,2e7,4.10,a\n2e6,4e7,3.81,a\n4e6,2e7,3.72,a\n8e6,8e7,3.33,a\n"
    "1e6,8e7,3.92,b\n2e6,2e7,3.99,b\n4e6,4e7,3.61,b\n8e6,4e7,3.42,b\n"
)


@pytest.fixture(autouse=True)
def this_process_keeps_its_settings(monkeypatch):
    for module in ("fits", "answers", "reports"):
        monkeypatch.setattr(f"bayescale.cli.{module}.start", lambda: None)


# --- reading the command line -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--columns N=n D=d x.csv", "--columns N=n --columns D=d x.csv"),
        ("--columns=N=n D=d --seed 1", "--columns=N=n --columns D=d --seed 1"),
        ("--columns N=n --columns D=d", "--columns N=n --columns D=d"),
        ("--pool complete x.csv", "--pool complete x.csv"),
        ("--where N=1 D=2 --columns A=a B=b", "--where N=1 D=2 --columns A=a --columns B=b"),
        ("--columns N=n x.csv D=d", "--columns N=n x.csv D=d"),
        ("-- --columns N=n D=d", "-- --columns N=n D=d"),
        ("--columns", "--columns"),
    ],
)
def test_an_option_takes_a_list(words, expected):
    assert spread(words.split(), {"--columns", "--pool"}) == expected.split()


@given(st.lists(st.sampled_from(["--columns", "--seed", "a=b", "c=d", "x.csv", "--", "-h"])))
def test_spreading_adds_options_and_changes_nothing_else(words):
    result = spread(words, {"--columns"})
    rest = iter(result)
    assert all(word in rest for word in words)  # the words, in their order
    assert set(result) <= {*words, "--columns"}
    assert spread(result, {"--columns"}) == result


def test_pooling_is_by_parameter_or_for_all():
    assert pooling(["alpha=family", "E=family,corpus"]) == {
        "alpha": ["family"],
        "E": ["family", "corpus"],
    }
    assert pooling(["alpha="]) == {"alpha": []}
    assert pooling(["complete"]) == "complete"
    assert pooling([]) is None
    for wrong in (["alpha"], ["=family"], ["complete", "alpha=family"], ["a=f", "a=g"]):
        with pytest.raises(BayescaleError, match="--pool"):
            pooling(wrong)


def test_points_are_numbers_and_labels():
    text = "N=7e10,D=1.4e12,family=8x7b,corpus=1"
    assert point(text, ["N", "D"], ["family", "corpus"]) == {
        "N": 7e10,
        "D": 1.4e12,
        "family": "8x7b",
        "corpus": "1",
    }
    with pytest.raises(BayescaleError, match="N must be a number, not 7e1O"):
        point("N=7e1O", ["N"])
    with pytest.raises(BayescaleError, match="lacks D"):
        points(["N=1,D=2", "N=1"])
    with pytest.raises(BayescaleError, match="names U"):
        points(["N=1", "N=1,U=2"])
    with pytest.raises(BayescaleError, match="--at N:"):
        point("N")


# --- printing -----------------------------------------------------------------------------------


_numbers = st.floats() | st.integers() | st.floats(width=32).map(np.float32) | st.none()


@given(
    st.recursive(
        _numbers | st.text() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_printed_is_json_without_nan(document):
    text = dumps(document)
    json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    assert "\n" not in text


def test_json_of_tables_and_arrays():
    table = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", None]})
    document = {"t": table, "v": np.array([1.0, np.inf]), "n": np.int64(3), "s": (1, 2)}
    assert json.loads(dumps(document)) == {
        "t": [{"a": 1, "b": 0.5, "c": "x"}, {"a": 2, "b": None, "c": None}],
        "v": [1.0, None],
        "n": 3,
        "s": [1, 2],
    }


def test_intervals_are_keyed_by_probability():
    row = {"lower_95": 1, "upper_95": 4, "lower_50": 2, "upper_50": 3, "lower_97.5": 0}
    row["upper_97.5"] = 5
    assert intervals(row) == {"0.5": [2, 3], "0.95": [1, 4], "0.975": [0, 5]}


def test_brackets_in_names_are_not_markup(capsys):
    console().print(frame(pd.DataFrame({"parameter": ["alpha[bold]"], "mean": [0.25]})))
    shown = capsys.readouterr().out
    assert "alpha[bold]" in shown and "0.25" in shown


# --- laws ---------------------------------------------------------------------------------------


def test_laws_lists_every_card(capsys, checkout):
    assert main(["laws", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == {p.stem for p in (checkout / "models").glob("*.toml")}
    assert {"title", "formula", "response", "unit", "cite", "n_parameters"} <= set(rows[0])
    assert main(["laws"]) == 0
    assert "chinchilla" in capsys.readouterr().out


def test_laws_shows_one_law(capsys):
    assert main(["laws", "chinchilla", "--json"]) == 0
    (law,) = json.loads(capsys.readouterr().out)
    assert [row["parameter"] for row in law["parameters"]] == ["E", "A", "alpha", "B", "beta"]
    assert law["published"]["hoffmann"]["alpha"] == pytest.approx(0.34, abs=0.01)
    assert main(["laws", "chinchilla"]) == 0
    assert "LogNormal" in capsys.readouterr().out


# --- exit statuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("laws chinchila", "chinchilla"),
        ("fit runs.csv", "bayescale fit: Missing option '--law'"),
        ("fit runs.csv --law chinchilla --draws 0", "--draws"),
        ("fit runs.csv --law chinchilla --columns N", "--columns N: write it as in"),
        ("fit runs.csv --law chinchilla --pool alpha", "--pool alpha: write it as in"),
        ("fit runs.csv --law chinchilla --index domain=a,b", "has no index 'domain'"),
        ("fit runs.csv --law chinchilla --pool alpha=nowhere", "nowhere"),
        ("fit absent.csv --law chinchilla", "absent.csv"),
        ("fit . --law chinchilla", "empty.csv is empty"),
        ("fit empty.csv --law chinchilla", "empty.csv"),
        ("fit runs.csv --law absent.toml", "absent.toml"),
        ("fit runs.csv --law chinchilla --columns N=weights", "weights"),
        ("fit runs.csv --law chinchilla --where loss", "loss"),
        ("fit runs.csv --law chinchilla --out .", "--out .: is a folder"),
        ("fit runs.csv --law chinchilla --out no/fit.nc", "the folder no does not exist"),
        ("predict absent.nc", "--at N=7e10,D=1.4e12 or by --targets"),
        ("predict absent.nc --at N=1,D=1", "absent.nc"),
        ("predict runs.csv --at N=1,D=1", "runs.csv"),
        ("predict x.nc --at N=1,D=1 --prob 95", "--prob"),
        ("allocate absent.nc --compute much", "much"),
        ("compare absent.nc", "--at"),
        ("backtest runs.csv --law chinchilla", "--cut"),
        ("forecast", "forecast"),
        ("laws --jason", "--jason"),
    ],
)
def test_bad_input_is_status_2_and_one_message(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").write_text(CSV)
    (tmp_path / "empty.csv").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BayescaleError("no"), 2, "bayescale: no"),
        (DataError("x.csv has 1 fault", ("row 3: loss is empty",)), 2, "  - row 3: loss is empty"),
        (FormulaError("powers are **", "N^2", 1), 2, "    N^2\n     ^"),
        (ConvergenceError("chains disagree"), 1, "--force"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), 2, "a.csv: No such file"),
        (OSError("not an HDF5 file"), 2, "bayescale: not an HDF5 file"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("broken"), 70, "please report"),
    ],
)
def test_each_failure_has_its_status(error, status, message, monkeypatch, capsys):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("bayescale.catalog.laws", fail)
    assert main(["laws", "--json"]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert ("Traceback" in shown.err) == (status == 70)


def test_help_and_version(capsys):
    for words in ([], ["--help"], ["fit", "--help"]):
        assert main(words) == 0
        assert "Usage: bayescale" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert bayescale.__version__ in capsys.readouterr().out


def test_commands_are_those_of_the_contract_and_the_doctor():
    names = {"demo", "laws", "fit", "predict", "allocate", "compare", "next", "backtest", "report"}
    assert set(program.program.commands) >= names | {"doctor", "completion"}


def test_every_command_has_examples_that_it_can_read(capsys):
    for name, command in program.program.commands.items():
        assert EXAMPLES[name], f"write an example for {name} into bayescale/cli/examples.py"
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        for about, line in EXAMPLES[name]:
            assert f"  # {about}\n  {line}\n" in shown
            found = re.search(r"bayescale (\S+)([^>)\"]*)", line)
            assert found and found[1] == name
            command.make_context(name, shlex.split(found[2]))


@given(
    st.integers(40, 130),
    st.lists(
        st.tuples(
            st.text("abcdefgh_%", min_size=1, max_size=20),
            st.one_of(st.floats(-1e6, 1e6), st.text("abc ", max_size=70)),
        ),
        min_size=1,
        max_size=9,
        unique_by=lambda pair: pair[0],
    ),
)
def test_a_table_fits_its_terminal_and_loses_nothing(width, columns):
    table = pd.DataFrame([dict(columns)])
    terminal = Console(width=width, file=io.StringIO(), color_system=None)
    terminal.print(frame(table, "title"))
    text = terminal.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for name, value in columns:
        assert name in text
        if isinstance(value, float):
            assert f"{value:.4g}" in text


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [("bayescale laws chin", 2, "chinchilla"), ("bayescale fit --la", 2, "--law"),
     ("bayescale rep", 1, "report")],
)  # fmt: skip
def test_a_shell_completes_commands_options_and_laws(words, place, expected):
    environment = {**os.environ, "_BAYESCALE_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run([sys.executable, "-m", "bayescale"], env=environment, check=False,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"plain,{expected}" in done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_for_a_shell_names_the_program(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "_BAYESCALE_COMPLETE" in capsys.readouterr().out


def test_a_report_is_written_from_a_saved_fit(small_fit, tmp_path, capsys):
    bayescale.save(small_fit, tmp_path / "fit.nc")
    words = ["report", str(tmp_path / "fit.nc"), "--out", str(tmp_path / "r.html")]
    words += ["--at", "N=3e8,D=3e9,family=moe", "--compute", "1e19", "--title", "Ours", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    html = (tmp_path / "r.html").read_bytes()
    assert document == {"report": str(tmp_path / "r.html"), "bytes": len(html)}
    assert b"<h1>Ours</h1>" in html and b"A budget of 1e19 FLOP" in html
    assert main([*words[:3], str(tmp_path / "r.pdf")]) == 2
    assert "a report is .html or .md" in capsys.readouterr().err


def test_an_interrupted_fit_leaves_no_file(tmp_path):
    (tmp_path / "runs.csv").write_text(CSV, encoding="utf-8")
    words = ["fit", "runs.csv", "--law", "chinchilla", "--columns", "N=params", "D=tokens"]
    words += ["--discrepancy", "none", "--draws", "1000000", "--out", "fit.nc"]
    # A job in the background ignores interruptions, and hands that on to what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([sys.executable, "-m", "bayescale", *words], cwd=tmp_path,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    try:
        process.stderr.readline()  # the first note: the table has been read
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "bayescale: interrupted; nothing was written" in process.stderr.read()
    finally:
        process.kill()
        process.stderr.close()
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "bayescale", "laws", "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


# --- commands that ask a fit --------------------------------------------------------------------


@dataclass
class Library:
    """Stand-ins for the verbs, and what they were asked."""

    calls: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def diagnose(self, fit: Any) -> Any:
        return SimpleNamespace(
            ok=not self.problems,
            problems=self.problems,
            warnings=["two groups only"],
            divergences=0,
            max_rhat=1.004,
            min_ess_bulk=812.0,
        )

    def fit(self, law: Any, runs: Any, **options: Any) -> Any:
        print("sampling")  # a library that talks must not spoil the document
        self.calls["fit"] = {"law": law, "runs": runs, **options}
        if self.problems and options["strict"]:
            raise ConvergenceError(self.problems[0])
        return SimpleNamespace(
            law=law, runs=runs, groups={"family": ["a", "b"]}, seconds={"total": 3.5}, notes=()
        )

    def load(self, path: str) -> Any:
        law = bayescale.load_law("chinchilla")
        return SimpleNamespace(law=law, groups={"family": ["a", "b"]})

    def prediction(self, targets: pd.DataFrame) -> Any:
        table = targets.assign(median=2.0, lower_95=1.9, upper_95=2.1, mean_log=0.69)
        return SimpleNamespace(
            table=table.assign(sd_log=0.02, decades_beyond=1.2),
            sentences=["One more run of a: 2 nat/token"],
            warnings=["1.2 decades beyond the data"],
        )

    def predict(self, fit: Any, targets: pd.DataFrame, **options: Any) -> Any:
        self.calls["predict"] = {"targets": targets, **options}
        return self.prediction(targets)

    def allocate(self, fit: Any, **options: Any) -> Any:
        self.calls["allocate"] = options
        return SimpleNamespace(
            N=2e9,
            D=4e10,
            N_interval=(1e9, 4e9),
            D_interval=(2e10, 8e10),
            near_optimal=(1.5e9, 3e9),
            expected_regret=0.001,
            p_no_interior=0.0,
            tolerance=0.005,
            notes=("no draw is at an end of the range",),
            unsettled=None,
            loss=self.prediction(pd.DataFrame({"N": [2e9], "D": [4e10]})),
        )

    def compare_recipes(self, fit: Any, **options: Any) -> Any:
        self.calls["compare"] = options
        common = {"median": [2.0, 2.1], "lower_95": [1.9, 2.0], "upper_95": [2.1, 2.2]}
        return SimpleNamespace(
            table=pd.DataFrame(
                {"recipe": ["a", "b"], "p_best": [0.8, 0.2], "expected_regret": [0.01, 0.1]}
                | common
            ),
            crossovers=pd.DataFrame(
                [{"pair": ("a", "b"), "median": np.nan, "lower": 1.0, "upper": 2.0, "p_none": 0.6}]
            ),
            multipliers=pd.DataFrame({"recipe": ["b"], "median": [1.4]}),
            notes=("joint draws",),
            unsettled=None,
        )

    def backtest(self, law: Any, runs: Any, cut: str, **options: Any) -> Any:
        self.calls["backtest"] = {"cut": cut, **options}
        metrics = {"n_train": 5, "n_test": 3, "rmsle": 0.01, "coverage": {"0.5": 0.4, "0.95": 1.0}}
        return SimpleNamespace(metrics=metrics, notes=["5 runs fitted"], fit=None)


@pytest.fixture
def library(monkeypatch) -> Library:
    import bayescale.averages  # before its own imports are stood in for

    stand_in = Library()
    parameters = pd.DataFrame(
        {"mean": [0.34], "sd": [0.01], "lower": [0.32], "upper": [0.36]}, index=["alpha"]
    )
    parameters.attrs["ci_prob"] = 0.89

    def save(fit: Any, path: Any) -> None:
        path.write_text("saved")

    modules = {
        "fitting": {"fit": stand_in.fit},
        "diagnostics": {"diagnose": stand_in.diagnose, "summary": lambda fit: parameters},
        "storage": {"load": stand_in.load, "save": save},
        "prediction": {"predict": stand_in.predict},
        "allocation": {"allocate": stand_in.allocate},
        "recipes": {"compare_recipes": stand_in.compare_recipes},
        "backtesting": {"backtest": stand_in.backtest},
    }
    for name, contents in modules.items():
        module = ModuleType(f"bayescale.{name}")
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(bayescale, name, module, raising=False)
    return stand_in


@pytest.fixture
def runs_csv(tmp_path) -> str:
    (tmp_path / "runs.csv").write_text(CSV)
    return str(tmp_path / "runs.csv")


def answer(capsys: Any, *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_fit(library, runs_csv, capsys, tmp_path):
    out = tmp_path / "fit.nc"
    options = "--columns N=params D=tokens --pool alpha=family E=family --seed 7 --draws 50".split()
    where = ["--where", "loss < 4.05", "--on-failed", "drop", "--out", str(out)]
    document = answer(capsys, "fit", runs_csv, "--law", "chinchilla", *options, *where)
    assert document == {
        "law": "chinchilla",
        "n_rows": 7,
        "groups": {"family": ["a", "b"]},
        "seconds": 3.5,
        "diagnostics": {
            "ok": True,
            "divergences": 0,
            "max_rhat": 1.004,
            "min_ess_bulk": 812.0,
            "problems": [],
        },
        "parameters": {"alpha": {"mean": 0.34, "sd": 0.01, "lower": 0.32, "upper": 0.36}},
        "ci_prob": 0.89,
    }
    asked = library.calls["fit"]
    assert asked["pool"] == {"alpha": ["family"], "E": ["family"]}
    assert (asked["seed"], asked["draws"], asked["warmup"], asked["chains"]) == (7, 50, 1000, 4)
    assert asked["strict"] and asked["on_failed"] == "drop"
    assert list(asked["runs"].table["N"]) == [2e6, 4e6, 8e6, 1e6, 2e6, 4e6, 8e6]
    assert out.read_text() == "saved"


def test_a_refused_fit_writes_nothing_unless_forced(library, runs_csv, capsys, tmp_path):
    library.problems = ["chains disagree"]
    out = tmp_path / "fit.nc"
    words = ["fit", runs_csv, "--law", "chinchilla", "--out", str(out), "--json"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and "chains disagree" in shown.err
    assert not out.exists()
    document = answer(capsys, *words[:-1], "--force")
    assert document["forced"] is True
    assert document["diagnostics"]["problems"] == ["chains disagree"]
    assert out.exists()


def test_fit_for_people(library, runs_csv, capsys):
    assert main(["fit", runs_csv, "--law", "chinchilla"]) == 0
    shown = capsys.readouterr()
    assert "alpha" in shown.out and "R-hat at most 1.004" in shown.out
    assert "sampling" in shown.err and "two groups only" in shown.err


def test_predict(library, capsys):
    texts = ["N=7e10,D=1.4e12,family=a", "N=1e9,D=2e10,family=b"]
    document = answer(capsys, "predict", "fit.nc", "--at", *texts, "--prob", "0.95")
    assert document[1] == {
        "at": {"N": 1e9, "D": 2e10, "family": "b"},
        "kind": "new-run",
        "median": 2.0,
        "mean_log": 0.69,
        "sd_log": 0.02,
        "intervals": {"0.95": [1.9, 2.1]},
        "decades_beyond": 1.2,
    }
    asked = library.calls["predict"]
    assert (asked["kind"], asked["prob"], asked["new_groups"]) == ("new-run", (0.95,), "error")
    assert main(["predict", "fit.nc", "--at", texts[0], "--kind", "mean"]) == 0
    assert library.calls["predict"]["kind"] == "mean"
    assert library.calls["predict"]["prob"] == (0.5, 0.8, 0.9, 0.95)
    shown = capsys.readouterr()
    assert "One more run of a" in shown.out and "decades beyond the data" in shown.err


def test_predict_the_rows_of_a_file(library, capsys, tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("N,D,family\n1e9,2e10,1\n2e9,4e10,2\n")
    document = answer(capsys, "predict", "fit.nc", "--targets", str(path))
    assert [row["at"]["family"] for row in document] == ["1", "2"]  # labels stay text
    for text in ("", "N,D\n", 'N,D\n"1\n'):
        path.write_text(text)
        assert main(["predict", "fit.nc", "--targets", str(path)]) == 2
        assert "targets.csv" in capsys.readouterr().err
    assert main(["predict", "fit.nc", "--targets", str(tmp_path)]) == 2


def test_answers_of_a_refused_fit_are_refused_unless_forced(library, capsys):
    library.problems = ["chains disagree"]
    asks = {
        "predict": ["--at", "N=1e9,D=2e10"],
        "allocate": ["--compute", "1e21"],
        "compare": ["--at", "C=1e21"],
    }
    for command, options in asks.items():
        assert main([command, "fit.nc", *options, "--json"]) == 1
        assert capsys.readouterr().out == ""
        document = answer(capsys, command, "fit.nc", *options, "--force")
        assert (document[0] if command == "predict" else document)["forced"] is True
        assert main([command, "fit.nc", *options, "--force"]) == 0
        assert "FORCED" in capsys.readouterr().out


def test_allocate(library, capsys):
    words = ["--compute", "1e24", "--inference-tokens", "1e13", "--at", "family=a"]
    document = answer(capsys, "allocate", "fit.nc", *words)
    assert document == {
        "C": 1e24,
        "N": 2e9,
        "D": 4e10,
        "N_interval": [1e9, 4e9],
        "D_interval": [2e10, 8e10],
        "near_optimal": [1.5e9, 3e9],
        "expected_regret": 0.001,
        "p_no_interior": 0.0,
        "loss": {"median": 2.0, "intervals": {"0.95": [1.9, 2.1]}},
    }
    asked = library.calls["allocate"]
    assert (asked["C"], asked["inference_tokens"], asked["at"]) == (1e24, 1e13, {"family": "a"})
    assert main(["allocate", "fit.nc", *words]) == 0
    assert "N = 2B" in capsys.readouterr().out


def test_compare(library, capsys):
    document = answer(capsys, "compare", "fit.nc", "--by", "family", "--at", "C=1e22")
    assert document["at"] == {"C": 1e22} and document["kind"] == "mean"
    assert document["recipes"][0] == {
        "recipe": "a",
        "p_best": 0.8,
        "expected_regret": 0.01,
        "median": 2.0,
        "intervals": {"0.95": [1.9, 2.1]},
    }
    assert document["crossovers"] == [
        {"pair": ["a", "b"], "median": None, "interval": [1.0, 2.0], "p_none": 0.6}
    ]
    assert document["multipliers"] == [{"recipe": "b", "median": 1.4}]
    asked = {"by": "family", "at": {"C": 1e22}, "kind": "mean", "tolerance": 0.005, "force": False}
    assert library.calls["compare"] == asked
    assert main(["compare", "fit.nc", "--by", "family", "--at", "C=1e22"]) == 0
    assert "crossovers" in capsys.readouterr().out


def test_backtest(library, runs_csv, capsys):
    words = ["backtest", runs_csv, "--law", "chinchilla", "--cut", "loss > 3.5"]
    assert answer(capsys, *words)["coverage"] == {"0.5": 0.4, "0.95": 1.0}
    assert library.calls["backtest"]["cut"] == "loss > 3.5"
    assert "forced" not in answer(capsys, *words, "--force")  # nothing had to be forced
    assert library.calls["backtest"]["strict"] is False
    library.problems = ["chains disagree"]
    assert answer(capsys, *words, "--force")["forced"] is True
    assert main([*words, "--force"]) == 0
    shown = capsys.readouterr().out
    assert "coverage 0.95" in shown and "FORCED" in shown


# --- the process --------------------------------------------------------------------------------


def test_an_unwritable_home_is_no_obstacle(tmp_path):
    (tmp_path / "home").write_text("a file, so that nothing can be made in it")
    home = str(tmp_path / "home")
    code = (
        "import jax; from bayescale.cli.session import start; start();"
        "print(jax.config.jax_compilation_cache_dir, jax.config.jax_enable_x64)"
    )
    clean = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment = clean | {"HOME": home, "XDG_CACHE_HOME": f"{home}/cache"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["None", "True"], done.stderr
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(str(tmp_path / "cache")), done.stderr


# --- for once, nothing replaced -----------------------------------------------------------------


@pytest.mark.slow
def test_from_a_table_to_decisions(tmp_path, capsys):
    law, rng = bayescale.load_law("chinchilla"), np.random.default_rng(5)
    sizes = np.array([(n, n * r) for n in np.geomspace(1e7, 1e9, 6) for r in (8, 20, 60, 180)])
    truth = {"E": 1.8, "A": 400.0, "alpha": 0.33, "B": 600.0, "beta": 0.3}
    tables = []
    for family, extra in (("lean", 1.0), ("plain", 1.15)):
        loss = law(truth | {"A": 400.0 * extra, "B": 600.0 * extra}, N=sizes[:, 0], D=sizes[:, 1])
        noisy = loss * np.exp(0.004 * rng.standard_normal(len(loss)))
        tables.append(pd.DataFrame(sizes, columns=["N", "D"]).assign(loss=noisy, family=family))
    runs, saved = str(tmp_path / "runs.csv"), str(tmp_path / "fit.nc")
    pd.concat(tables).to_csv(runs, index=False)

    short = "--draws 500 --warmup 500 --chains 2 --seed 3".split()
    fitted = answer(capsys, "fit", runs, "--law", "chinchilla", "--out", saved, *short)
    assert fitted["n_rows"] == 48 and fitted["diagnostics"]["ok"]
    assert fitted["groups"] == {"family": ["lean", "plain"]}
    assert fitted["parameters"]["alpha[lean]"]["mean"] == pytest.approx(0.33, abs=0.05)

    size = {"N": 3e9, "D": 6e10}
    targets = [f"N=3e9,D=6e10,family={family}" for family in ("lean", "plain")]
    lean, plain = answer(capsys, "predict", saved, "--at", *targets)
    assert list(lean["intervals"]) == ["0.5", "0.8", "0.9", "0.95"]
    low, high = lean["intervals"]["0.95"]
    assert low < law(truth, **size) < high
    assert lean["median"] < plain["median"]
    assert lean["decades_beyond"] == pytest.approx(np.log10(18e19 / (180e18)), abs=0.1)

    plan = answer(capsys, "allocate", saved, "--compute", "1e21", "--at", "family=lean")
    assert 6 * plan["N"] * plan["D"] == pytest.approx(1e21, rel=1e-6)
    assert plan["N_interval"][0] < plan["N"] < plan["N_interval"][1]
    assert main(["allocate", saved, "--compute", "1e21"]) == 2  # which of the two?
    assert "lean" in capsys.readouterr().err

    choice = answer(capsys, "compare", saved, "--by", "family", "--at", "C=1e21")
    best = max(choice["recipes"], key=lambda row: row["p_best"])
    assert best["recipe"] == "lean" and best["p_best"] > 0.9
