"""Nothing that is read is run: what the source may not call, fetch or trust, and under which terms.

`SECURITY.md` says what may come from strangers; `tests/studies/fuzz.py` tries it by the thousand.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
import re
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bayescale"
SOURCES = sorted(PACKAGE.rglob("*.py"))

BUILTINS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"),
    *("ctypes", "code", "codeop", "pty", "xmlrpc", "telnetlib", "ftplib", "smtplib"),
    *("yaml", "sympy", "numexpr", "formulaic", "patsy"),  # each runs text, by default
}
PROGRAMS = {
    "system",
    "popen",
    "spawnl",
    "spawnv",
    "execl",
    "execv",
    "execvp",
    "posix_spawn",
    "fork",
}
FRAMES = {"query", "eval", "read_pickle", "to_pickle"}  # of pandas
NETWORK = {"urllib", "http", "socket", "requests", "httpx", "aiohttp", "urllib3", "ssl"}
SHA = re.compile(r"[0-9a-f]{64}")


def called(node: ast.AST) -> str:
    """Name of what a call calls: `eval`, `pd.read_pickle`."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def dangers(source: str) -> list[str]:
    """What a source does that no input may lead to, with the line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        words = []
        if isinstance(node, ast.Import):
            words = [a.name.partition(".")[0] for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            words = [(node.module or "").partition(".")[0]]
        bad = [w for w in words if w in MODULES or w == "subprocess"]
        name = called(node)
        last = name.rpartition(".")[2]
        if name in BUILTINS or last in FRAMES or (name.startswith("os.") and last in PROGRAMS):
            bad.append(name)
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                true = not isinstance(keyword.value, ast.Constant) or keyword.value.value
                if keyword.arg in ("allow_pickle", "shell", "weights_only") and true:
                    bad.append(f"{name}({keyword.arg}=...)")
            if last == "load" and name.startswith(("np.", "numpy.")):
                said = {k.arg for k in node.keywords}
                bad += [] if "allow_pickle" in said else [f"{name} without allow_pickle=False"]
        found += [f"line {node.lineno}: {word}" for word in bad]
    return found


# Reasons for the few: each is what its module is for, and none is given anything that was read.
EXPECTED: dict[str, str] = {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_read_can_be_run(path):
    name = str(path.relative_to(PACKAGE))
    found = dangers(path.read_text(encoding="utf-8"))
    assert name in EXPECTED or not found, f"{name}: {found}"


@pytest.mark.parametrize(
    "planted",
    [
        "eval(text)",
        "exec(text)",
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load(path)",
        "np.load(path, allow_pickle=True)",
        "table.query(condition)",
        "pd.eval(condition)",
        "table.eval('a = b')",
        "pd.read_pickle(path)",
        "os.system(command)",
        "import subprocess",
        "compile(text, 'card', 'exec')",
        "import yaml",
        "__import__(name)",
    ],
)
def test_the_scan_sees_what_it_looks_for(planted):
    assert dangers(planted)


def test_the_scan_lets_pass_what_is_harmless():
    harmless = "import re\nre.compile('a')\nnp.load(f, allow_pickle=False)\nast.literal_eval(t)\n"
    assert dangers(harmless.replace("re.compile('a')", "p = 1")) == []


# --- what is fetched ----------------------------------------------------------------------------


def fetches(source: str) -> list[tuple[int, bool]]:
    """Line of every download, and whether what must arrive is named by its SHA-256."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if called(node).rpartition(".")[2] == "retrieve" and isinstance(node, ast.Call):
            told = {k.arg: k.value for k in node.keywords}
            known = told.get("known_hash", node.args[1] if len(node.args) > 1 else None)
            none = known is None or (isinstance(known, ast.Constant) and known.value is None)
            found.append((node.lineno, not none))
        if called(node) in ("pooch.create", "pooch.Pooch") and isinstance(node, ast.Call):
            told = {k.arg: k.value for k in node.keywords}
            registry = told.get("registry")
            none = isinstance(registry, ast.Dict) and any(
                isinstance(v, ast.Constant) and v.value is None for v in registry.values
            )
            found.append((node.lineno, registry is not None and not none))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_downloads_are_pinned_and_made_by_pooch(path):
    text = path.read_text(encoding="utf-8")
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & NETWORK, f"{path.name} reaches the network by itself"
    loose = [line for line, pinned in fetches(text) if not pinned]
    assert not loose, f"{path.name}: downloads without a digest in lines {loose}"


def test_an_unpinned_download_would_be_seen():
    assert fetches("pooch.retrieve(url, known_hash=None)") == [(1, False)]
    assert fetches("pooch.retrieve(url)") == [(1, False)]
    assert fetches("pooch.retrieve(url, known_hash='sha256:' + digest)") == [(1, True)]
    assert fetches("pooch.create(path, base, registry={'a': None})") == [(1, False)]


def test_tables_of_sources_name_digests():
    """Every row of a bundled table that names an address or an archive names its SHA-256."""
    checked = 0
    for path in (PACKAGE / "data").rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        columns = set(rows[0]) if rows else set()
        if columns & {"url", "archive", "download"} and path.name != "ladder.csv":
            digests = [c for c in columns if "sha" in c.lower() or "digest" in c.lower()]
            assert digests, f"{path.name} names sources without digests"
            for row in rows:
                assert any(SHA.search(row[c] or "") for c in digests), f"{path.name}: {row}"
            checked += 1
    for path in SOURCES:  # addresses of data in the source stand beside a digest
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(
            r"https?://\S+\.(?:csv|tsv|parquet|json|jsonl|zip|gz|npz)\b", text
        ):
            near = text[max(0, match.start() - 600) : match.end() + 600]
            assert SHA.search(near), f"{path.name}: {match.group()} has no SHA-256 beside it"
            checked += 1


# --- licences -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audit(checkout):
    spec = importlib.util.spec_from_file_location("audit", checkout / ".ci" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_we_depend_on_may_be_used(audit):
    assert len(audit.closure({"test"})) > 20
    assert audit.faults({"test"}) == []


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("License-Expression", "GPL-3.0-only", False),
        ("License-Expression", "MIT OR GPL-3.0-only", True),
        ("License-Expression", "MIT AND GPL-3.0-only", False),
        ("Classifier", "License :: OSI Approved :: MIT License", True),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        ("License", "BSD 3-Clause License\n\nCopyright", True),
        ("Summary", "says nothing", False),
    ],
)
def test_a_licence_is_read_and_a_strange_one_is_a_fault(audit, monkeypatch, field, text, expected):
    told = Message()
    told["Name"] = "strange"
    told[field] = text
    strange = SimpleNamespace(metadata=told, version="1.0", requires=[])
    own = audit.distribution("bayescale")
    monkeypatch.setattr(audit, "closure", lambda _: {"bayescale": own, "strange": strange})
    assert (not [f for f in audit.faults(set()) if f.startswith("strange")]) == expected


def test_the_security_note_names_what_is_tested(checkout):
    text = (checkout / "SECURITY.md").read_text(encoding="utf-8")
    for word in ("unpickled", "checksum", "SHA-256", "tests/studies/fuzz.py", ".ci/audit.py"):
        assert word in text, f"SECURITY.md does not speak of {word}"
