"""How a study's table was made, and a table that a reader never sees half written."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd

STUDIES = Path(__file__).resolve().parent
RESULTS = Path(os.environ.get("STUDY_RESULTS", STUDIES / "results"))  # .ci/run: elsewhere
PACKAGES = ("jax", "numpyro", "numpy", "scipy", "pandas")


def commit() -> str:
    """Commit of the checkout, with a + where files differ from it; empty without git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(STUDIES), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/bayescale/*.py")
        return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return ""


def code() -> str:
    """Digest of the package's own modules and cards."""
    told = hashlib.sha256()
    for folder, kind in (("bayescale", "*.py"), ("models", "*.toml")):
        for path in sorted((STUDIES.parents[1] / folder).rglob(kind)):
            told.update(path.read_bytes())
    return told.hexdigest()[:16]


def provenance(seed: int) -> dict[str, object]:
    """Seed, versions and command, for every row of a table."""
    import bayescale

    ours = f"bayescale {bayescale.__version__} {commit()}".strip()
    others = [f"{name} {version(name)}" for name in PACKAGES]
    script = f"tests/studies/{Path(sys.argv[0]).name}"
    return {
        "seed": seed,
        "versions": ", ".join([ours, f"python {platform.python_version()}", *others]),
        "command": shlex.join(["python", script, *sys.argv[1:]]),
    }


def read(path: Path) -> pd.DataFrame:
    """Read a table of results, empty where there is none yet."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table under another name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_csv(draft, index=False, float_format="%.10g", lineterminator="\n")
    os.replace(draft, path)


def without(table: pd.DataFrame, key: dict[str, object]) -> pd.DataFrame:
    """Leave out the rows that have these values, of which some may be new columns."""
    return table[~matches(table, key)] if len(table) else table


def matches(table: pd.DataFrame, key: dict[str, object]) -> pd.Series:
    """Which rows have these values; none in a table that lacks the columns."""
    same = pd.Series(True, index=table.index)
    for column, value in key.items():
        same &= table[column] == value if column in table else False
    return same
