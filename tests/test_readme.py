"""The README's own code runs, its card is a law, and its commands can be read."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import bayescale as bs
from bayescale.cli.program import program

pytestmark = pytest.mark.usefixtures("compiled_quickly")

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
SIDE_BY_SIDE = ("step", "side_by_side")
SHORT = {"draws": 60, "warmup": 60, "strict": False, "progress": False}


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(text: str = TEXT) -> list[list[str]]:
    """Every `bayescale ...` in backticks that has arguments, and what it runs."""
    told = re.findall(r"`(bayescale [^`]*)`", text)
    return [shlex.split(line)[1:] for line in told]


def run(code: str, folder: Path) -> None:
    (folder / "block.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(folder / "block.py"))


def test_the_code_runs_with_few_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bs, "fit", partial(bs.fit, **SHORT))
    assert blocks("python")
    for code in blocks("python"):
        run(code, tmp_path)
    assert (tmp_path / "fit.png").stat().st_size > 10_000


def test_rotten_code_would_not_run(tmp_path):
    with pytest.raises(AttributeError, match="lode"):
        run(blocks("python")[0].replace("datasets.load(", "datasets.lode("), tmp_path)


def test_the_card_is_a_law(tmp_path):
    (card,) = blocks("toml")
    law = bs.Law.from_text(card)
    assert law.name == "tokens_only"
    values = {name: float(p.prior.quantile(0.5)) for name, p in law.parameters.items()}
    assert float(law(values, D=1e9)) > 0
    with pytest.raises(bs.LawError, match="prier"):
        bs.Law.from_text(card.replace("prior =", "prier =", 1))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_can_be_read(words):
    assert words[0] in program.commands
    program.commands[words[0]].make_context(words[0], words[1:])


def test_a_command_that_is_gone_would_be_seen():
    (words,) = commands("`bayescale predict fit.nc --att N=7e10`")
    with pytest.raises(Exception, match="--att"):
        program.commands[words[0]].make_context(words[0], words[1:])


def test_what_docstrings_leave_out_is_little(checkout):
    """Doctests run with the suite (`--doctest-modules`); few lines may be skipped."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in (checkout / "bayescale").rglob("*.py"))
    assert text.count(">>> ") > 150
    assert text.count("doctest: +SKIP") <= 45  # decisions, whose fits would cost too much
    options = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    assert "--doctest-modules" in options and 'testpaths = ["tests", "bayescale"]' in options


def test_every_public_function_has_an_example_or_says_where(checkout):
    import inspect

    named = [getattr(bs, name) for name in bs.__all__]
    functions = [f for f in named if inspect.isfunction(f)]
    without = [f.__name__ for f in functions if ">>>" not in (inspect.getdoc(f) or "")]
    assert len(without) <= 3, without


@pytest.mark.parametrize("name", ["06_downstream_accuracy", "09_many_laws_at_scale"])
def test_a_notebook_without_its_data_says_so_and_stops(
    name, checkout, tmp_path, monkeypatch, capsys
):
    import json

    notebook = json.loads((checkout / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    lines = [line for line in "".join(first["source"]).splitlines() if not line.startswith("%")]
    (tmp_path / "cell.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path))
    changes: list = []
    shell = SimpleNamespace(input_transformers_cleanup=changes)
    runpy.run_path(str(tmp_path / "cell.py"), init_globals={"get_ipython": lambda: shell})
    assert "Nothing below is run" in capsys.readouterr().out
    assert changes[0](["no_such_name\n"]) == ["pass\n"]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("echo one", "true", 0),
        ("echo one", "echo two; false; true", 1),
        ("step 'within' fails; echo not here", "echo one", 1),
    ],
)
def test_one_of_two_steps_side_by_side_fails_ci(checkout, tmp_path, first, second, status):
    script = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    parts = [re.search(rf"^{name}\(\) {{.*?^}}$", script, re.M | re.S) for name in SIDE_BY_SIDE]
    program = "\n".join(
        [
            f"set -euo pipefail; scratch={tmp_path}; table=$scratch/steps.txt",
            *(part.group() for part in parts if part),
            f"first() {{ {first}; }}; second() {{ {second}; }}; fails() {{ false; true; }}",
            "side_by_side 'the first' first 'the second' second",
            "echo further",
        ]
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "one" in done.stdout and ("further" in done.stdout) is (status == 0)
    assert "not here" not in done.stdout
    assert ("FAILED" in (tmp_path / "steps.txt").read_text()) is (status == 1)


def test_ci_runs_notebooks_pages_and_docstrings(checkout):
    script = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    assert "--nbmake" in script and "notebooks" in script
    assert re.search(r"^side_by_side .* 'tests, as the README says' tests$", script, re.M)
    assert re.search(r"^side_by_side '[^']+' rest 'notebooks' notebooks$", script, re.M)
    rest = re.search(r"^rest\(\) {.*?^}$", script, re.M | re.S)
    assert rest
    for name in ("trust", "site", "package", "installed", "demo"):
        assert re.search(rf"^    step '[^']+' {name}$", rest.group(), re.M)
    for notebook in (checkout / "notebooks").glob("*.ipynb"):
        source = notebook.read_text(encoding="utf-8")
        assert "raises-exception" not in source and "skip-execution" not in source
    assert ast.parse((checkout / ".ci" / "left_out.py").read_text(encoding="utf-8"))
