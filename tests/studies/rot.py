"""Docs can't rot: plant a rotten line in a copy of each kind, and see what runs them fail.

    python tests/studies/rot.py

Kinds: a docstring's example, the README's code, its card and its commands, a page's commands, a
notebook. Each is run sound, then rotten, by what `.ci/run` runs. Results: `results/rot.csv`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, provenance, write  # noqa: E402

FOUND = RESULTS / "rot.csv"
CHECKOUT = HERE.parents[1]
NOTEBOOK = """{"cells": [{"cell_type": "code", "execution_count": null, "id": "a", "metadata": {},
"outputs": [], "source": ["import bayescale as bs\\n", "bs.load_law('chinchilla')"]}],
"metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
"nbformat": 4, "nbformat_minor": 5}"""


@dataclass(frozen=True)
class Rot:
    """A sound text in a file, a rotten one, and what must notice."""

    kind: str
    file: str
    sound: str
    rotten: str
    run: tuple[str, ...]


ROTS = (
    Rot(
        "docstring",
        "bayescale/grammar.py",
        "mean 'alpha'?\"",
        "mean 'beta'?\"",
        ("bayescale/grammar.py",),
    ),
    Rot(
        "README: code",
        "README.md",
        'runs = bs.datasets.load("ladder")',
        'runs = bs.datasets.lode("ladder")',
        ("tests/test_readme.py", "-k", "code_runs"),
    ),
    Rot(
        "README: card",
        "README.md",
        'share = "E"  ',
        'chare = "E"  ',
        ("tests/test_readme.py", "-k", "card"),
    ),
    Rot(
        "README: command",
        "README.md",
        "bayescale predict fit.nc --at",
        "bayescale predict fit.nc --att",
        ("tests/test_readme.py", "-k", "can_be_read"),
    ),
    Rot(
        "notebook",
        "notebooks/rot.ipynb",
        "load_law",
        "lode_law",
        ("--nbmake", "notebooks/rot.ipynb"),
    ),
)


def fails(folder: Path, words: tuple[str, ...]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode == 1  # 5 and 4 are "nothing was run"


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        skip = shutil.ignore_patterns(".git", ".venv", "results", "__pycache__")
        shutil.copytree(CHECKOUT, folder, ignore=skip)
        (folder / "notebooks" / "rot.ipynb").write_text(NOTEBOOK)
        for rot in ROTS:
            if rot.kind == "notebook" and find_spec("nbmake") is None:
                print("notebook: nbmake is not installed")
                continue
            path = folder / rot.file
            text = path.read_text(encoding="utf-8")
            assert rot.sound in text, f"{rot.file} has no {rot.sound!r}"
            slow = rot.kind == "README: code"  # the suite runs it sound
            sound = None if slow else not fails(folder, rot.run)
            path.write_text(text.replace(rot.sound, rot.rotten), encoding="utf-8")
            caught = fails(folder, rot.run)
            path.write_text(text, encoding="utf-8")
            rows.append({"kind": rot.kind, "sound_passes": sound, "rot_is_caught": caught})
            print(rows[-1], flush=True)
    write(FOUND, pd.DataFrame(rows).assign(**provenance(0)))


if __name__ == "__main__":
    main()
