"""What can be said of the package without building it; `.ci/run` builds and installs it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tomllib

import pytest

import bayescale as bs


@pytest.fixture(scope="module")
def project(checkout) -> dict:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_installed_version_is_the_one_in_the_source():
    assert importlib.metadata.version("bayescale") == bs.__version__


def test_the_command_is_installed_and_can_be_loaded():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="bayescale")
    assert callable(entry.load())


def test_every_supported_python_is_allowed(project):
    assert project["project"]["requires-python"] == ">=3.11"


def test_cards_travel_with_the_wheel_and_everything_with_the_sdist(project, checkout):
    targets = project["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["force-include"] == {"models": "bayescale/models"}
    included = targets["sdist"]["include"]
    assert all(path.startswith("/") for path in included)  # or it would match inside .venv
    assert {"/bayescale", "/models", "/tests", "/notebooks"} <= set(included)
    assert (checkout / "bayescale" / "py.typed").exists()
    assert list((checkout / "models").glob("*.toml"))


def test_every_package_that_the_source_imports_is_declared(project, checkout):
    declared = {
        re.split(r"[\[>=<;\s]", text)[0].replace("-", "_")
        for text in (
            *project["project"]["dependencies"],
            *project["project"]["optional-dependencies"]["parquet"],
        )
    }
    text = "\n".join(p.read_text("utf-8") for p in (checkout / "bayescale").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from)\s+([a-zA-Z_]\w*)", text, re.MULTILINE))
    candidates = imported & set(importlib.metadata.packages_distributions())
    assert candidates - {"bayescale"} <= declared


@pytest.mark.parametrize("name", ["demo", "test"])
def test_ci_finds_the_commands_of_the_readme(name, checkout):
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^<!-- ci:{name} -->\n```\w*\n(.*?)^```", readme, re.M | re.S)
    assert len(blocks) == 1
    assert blocks[0].startswith("python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]'")
    assert blocks[0].count("\n") == 1  # one command


def test_ci_can_be_run(checkout):
    script = checkout / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    listed = re.search(r"subset=\((.*?)\)", script.read_text("utf-8"), re.S)
    assert listed
    missing = [n for n in listed[1].split() if not (checkout / "tests" / f"{n}.py").exists()]
    assert not missing, "these test files moved: say so in .ci/run"
