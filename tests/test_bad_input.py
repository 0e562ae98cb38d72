"""Every message for bad input, against the checked-in table `bad_input_messages.csv`.

A row of the table is a case, what a person types (a call with literal arguments, or a `bayescale`
command line) and the whole message. `python tests/test_bad_input.py` writes the messages anew;
read the difference before you commit it.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import functools
import io
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import bayescale as bs
from bayescale import datasets
from bayescale.catalog import load_law
from bayescale.errors import BayescaleError, LawError
from bayescale.fitting import Fit, fit
from bayescale.prediction import predict
from bayescale.rows import select_rows
from bayescale.runs import read_runs
from tests.simulate import TWO_FAMILIES, ladder

TABLE = Path(__file__).with_name("bad_input_messages.csv")
HEADER = "run,family,params,tokens,loss\n"
ROWS = [
    f"r{i},{('moe', 'dense')[i % 2]},{1e6 * 2 ** (i % 5):g},{1e8 * 3 ** (i // 5):g},{4 - i / 20:g}"
    for i in range(20)
]


def _with(rows: Iterable[int], column: str, value: str) -> str:
    """Write the good table with another value in some rows of a column."""
    cells = [line.split(",") for line in ROWS]
    for row in rows:
        cells[row - 1][HEADER.strip().split(",").index(column)] = value
    return HEADER + "".join(",".join(line) + "\n" for line in cells)


GOOD = HEADER + "".join(line + "\n" for line in ROWS)
FILES = {
    "good.csv": GOOD,
    "missing_column.csv": GOOD.replace("tokens", "tokns"),
    "nan_row_17.csv": _with([17], "loss", "nan"),
    "negative_tokens.csv": _with([4], "tokens", "-3e8"),
    "text.csv": _with([4], "tokens", "abc"),
    "separators.csv": _with([4], "tokens", '"1,000"'),
    "infinite.csv": _with([9], "loss", "inf"),
    "empty.csv": "",
    "header_only.csv": HEADER,
    "one_row.csv": HEADER + ROWS[0] + "\n",
    "constant_N.csv": _with(range(1, 21), "params", "1e7"),
    "duplicate.csv": GOOD + ROWS[2] + "\n",
    "two_sizes.csv": GOOD.replace("run,family,params", "run,params_total,params")
    .replace("dense", "2e6")
    .replace("moe", "3e6"),
    "several.csv": _with([4], "tokens", "abc").replace("r7,dense,4e+06", "r7,dense,-1"),
    "ragged.csv": GOOD.replace(ROWS[6], ROWS[6] + ",9"),
    "semicolons.csv": GOOD.replace(",", ";"),
    "no_label.csv": _with([5], "family", ""),
    "diverged.csv": "\n".join(
        [HEADER.strip() + ",status", *(f"{line},ok" for line in ROWS[:-1]), f"{ROWS[-1]},diverged"]
    ),
    "runs.xlsx": "PK",
}
CARD = """name = "short"
title = "A short card"
formula = "E + A / N**alpha"
cite = "nobody"
unverified = "a test"
varies = "1 + (1 | family)"
[variables]
N = { column = "N", unit = "parameters", about = "size" }
[parameters.E]
share = "E"
of = "smallest"
prior = "LogNormal(log(0.6), 0.4)"
about = "the floor"
[parameters.A]
share = "A / N**alpha"
prior = "LogNormal(log(0.3), 1.0)"
about = "the term"
[parameters.alpha]
prior = "LogNormal(log(0.35), 0.4)"
about = "the exponent"
"""
FILES |= {
    "short.toml": CARD,
    "caret.toml": CARD.replace('"E + A / N**alpha"', '"E + A/N^alpha"'),
    "unknown_function.toml": CARD.replace("E + A / N**alpha", "E + A / frob(N**alpha)"),
    "unknown_name.toml": CARD.replace("E + A / N**alpha", "E + A / M**alpha"),
    "calls_python.toml": CARD.replace("E + A / N**alpha", "E + __import__('os').getcwd()"),
    "negative_share.toml": CARD.replace("LogNormal(log(0.3), 1.0)", "Normal(0.3, 1.0)"),
    "unknown_prior.toml": CARD.replace("LogNormal(log(0.3), 1.0)", "LogNromal(0, 1)"),
    "negative_scale.toml": CARD.replace("LogNormal(log(0.3), 1.0)", "LogNormal(0, -1)"),
    "no_toml.toml": "name = ",
}


def _select(file: str, law: str, groups: tuple[str, ...] = (), **options: Any) -> object:
    return select_rows(read_runs(file), load_law(law), groups, **options)


def _predict(targets: dict[str, Any], **options: Any) -> object:
    return predict(_two_families(), targets, **options)


@functools.cache
def _two_families() -> Fit:
    """The fit of conftest's `small_fit`: in one session the second compiles nothing."""
    return fit(load_law("chinchilla"), read_runs(ladder(families=TWO_FAMILIES)), progress=False)


CALLS: dict[str, Callable[..., object]] = {
    "read_runs": read_runs,
    "read_runs_for": lambda file, law, **options: read_runs(file, law=load_law(law), **options),
    "select_rows": _select,
    "where": lambda file, text: read_runs(file).where(text),
    "predict": _predict,
    "datasets.load": datasets.load,
    "datasets.info": datasets.info,
}


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder of bad files, and check that nothing is written there."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "folder").mkdir(exist_ok=True)
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    with contextlib.chdir(folder):
        yield
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def message(text: str) -> str:
    """Do what the table says a person typed; give back what they read."""
    if text.startswith("bayescale "):
        return _command(text)
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call), text
    arguments = [ast.literal_eval(a) for a in call.args]
    options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    with pytest.raises(BayescaleError) as caught:
        CALLS[ast.unparse(call.func)](*arguments, **options)
    return str(caught.value)


def _command(text: str) -> str:
    """Run a command line in this process; the last line of standard error is the message's."""
    from bayescale.cli import main

    said, printed = io.StringIO(), io.StringIO()
    with (  # this process is not the command line's own: JAX's settings stay
        mock.patch("bayescale.cli.fits.start"),
        mock.patch("bayescale.cli.answers.start"),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
    ):
        status = main(shlex.split(text)[1:])
    assert status == 2, said.getvalue()
    assert "Traceback" not in said.getvalue()
    assert printed.getvalue() == ""
    return said.getvalue().strip()


def _cases() -> list[dict[str, str]]:
    with TABLE.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["case"])
def test_message(case: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAYESCALE_DATA", raising=False)
    with _inside(tmp_path):
        assert message(case["call"]) == case["message"]


TAKE_A_LAW: dict[str, Callable[[Any, Any], Any]] = {
    "fit": lambda law, runs: bs.fit(law, runs),
    "fit_many": lambda law, runs: bs.fit_many(law, [runs]),
    "backtest": lambda law, runs: bs.backtest(law, runs, "N < 4e6"),
    "prior_predictive": lambda law, runs: bs.prior_predictive(law, runs),
    "elicit": lambda law, runs: bs.elicit(law, bs.belief(N=1e6, D=1e8, loss=(2, 3)), runs),
    "presets": lambda law, runs: bs.presets(law),
    "preset": lambda law, runs: bs.preset(law, "hoffmann", runs),
    "plan_ladder": lambda law, runs: bs.plan_ladder(law, runs, budget=1e18, goal={"C": 1e20}),
    "read_runs": lambda law, runs: bs.read_runs(runs, law=law),
}
NO_LAW = {
    "chinchilla": r"bs.load_law\('chinchilla'\)",
    "chinchila": "Did you mean 'chinchilla'",
    None: "of type NoneType; give one of bs.load_law",
}


@pytest.mark.parametrize(
    ("verb", "law"),
    [(v, law) for v in TAKE_A_LAW for law in NO_LAW if (v, law) != ("read_runs", None)],
)
def test_what_is_no_law_is_refused(verb: str, law: str | None) -> None:
    with pytest.raises(LawError, match=NO_LAW[law]):
        TAKE_A_LAW[verb](law, ladder())


def test_good_file_is_good(tmp_path: Path) -> None:
    with _inside(tmp_path):
        assert len(_select("good.csv", "chinchilla", ("family",)).table) == 20  # type: ignore[attr-defined]


def _rewrite() -> None:
    import tempfile

    os.environ.pop("BAYESCALE_DATA", None)
    cases = _cases()
    for case in cases:
        with tempfile.TemporaryDirectory() as folder, _inside(Path(folder)):
            case["message"] = message(case["call"])
    with TABLE.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ("case", "call", "message"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(cases)


if __name__ == "__main__":
    _rewrite()
