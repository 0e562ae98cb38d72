"""The pages: their code runs, their commands can be read, and the files of a project are there."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from pathlib import Path
from types import ModuleType

import pytest

import bayescale as bs
from bayescale.cli import main
from bayescale.cli.program import program

pytestmark = pytest.mark.usefixtures("compiled_quickly")

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
_BLOCK = re.compile(r"(<!-- not run: [^>]*-->\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(page: str, language: str) -> list[tuple[bool, str]]:
    """Whether each block of a language is run, and its text."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(not off, body) for off, kind, body in _BLOCK.findall(text) if kind == language]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_code_of_a_page_runs(page, small_fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"bs": bs, "fit": small_fit, "runs": small_fit.runs}
    for run, code in blocks(page, "python"):
        ast.parse(code)  # what isn't run is still Python
        if run:
            (tmp_path / "block.py").write_text(code, encoding="utf-8")
            names |= runpy.run_path(str(tmp_path / "block.py"), init_globals=names)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    """Every `bs.NAME`, and every name of a submodule or class that follows it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for first, second in set(re.findall(r"\bbs\.([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?", text)):
        found = getattr(bs, first)
        if second and isinstance(found, (type, ModuleType)):
            assert hasattr(found, second), f"{page}: bs.{first}.{second}"


def test_the_code_left_out_is_little():
    left = [code for page in PAGES for run, code in blocks(page, "python") if not run]
    assert sum(code.count("\n") for code in left) < 30


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")])
def test_the_commands_of_a_page_can_be_read(page):
    seen = 0
    for _, text in blocks(page, "sh"):
        for line in text.splitlines():
            found = re.search(r"(?:^|\$\()bayescale (\w+)([^)#]*)", line)
            if found:
                command = program.commands[found[1]]
                command.make_context(found[1], shlex.split(found[2]))
                seen += 1
    assert seen


def test_the_commands_of_getting_started_lead_to_a_report(tmp_path, monkeypatch, capsys):
    """From an export with a crashed run to the page; `tests/studies/newcomer.py` installs, too."""
    page = "getting_started.md"
    monkeypatch.chdir(tmp_path)
    for module in ("fits", "answers", "reports"):  # this process keeps its settings
        monkeypatch.setattr(f"bayescale.cli.{module}.start", lambda: None)
    (tmp_path / "export.py").write_text(blocks(page, "python")[0][1], encoding="utf-8")
    runpy.run_path(str(tmp_path / "export.py"))
    lines = [shlex.split(line) for _, text in blocks(page, "sh") for line in text.splitlines()]
    commands = [words[1:] for words in lines if words and words[0] == "bayescale"]
    names = [words[0] for words in commands]
    assert names == ["doctor", "read", "read", "fit", "predict", "allocate", "report"]
    for words in commands[1:]:
        short = ["--draws", "150", "--warmup", "250", "--force"] if words[0] == "fit" else []
        asked = ["--force"] if words[0] in ("predict", "allocate", "report") else []
        assert main([*words, *short, *asked]) == 0, words
    shown = capsys.readouterr()
    assert "not finished (crashed): 1 of 48 rows" in shown.err
    assert "--on-failed drop --out fit.nc" in shown.out
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(text) > 50_000 and "47 runs" in text


def test_every_page_is_reached_and_every_link_leads_somewhere():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page == "index.md" or f"\n{page.removesuffix('.md')}\n" in index
        text = (DOCS / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)|\{image\} (\S+)", text):
            target = link[0] or link[1]
            assert target.startswith("_made/") or (DOCS / target).exists(), f"{page}: {target}"


def test_a_citation_is_of_this_version(checkout):
    text = (checkout / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(bs.__version__)}$", text, re.M)
    assert f"\n## {bs.__version__}\n" in (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in ("CONTRIBUTING.md", "SECURITY.md", "LICENSE"):
        assert (checkout / name).stat().st_size > 500
