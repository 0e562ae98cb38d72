"""A slice of `tests/studies/fuzz.py`, whose thousands stand in `tests/EVIDENCE.md`."""

from __future__ import annotations

import random
import sys
from functools import partial
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parent / "studies"
sys.path.append(str(STUDIES))

from fuzz import CASES, makers  # noqa: E402
from fuzz_parts.guard import Wrong, tried  # noqa: E402

FEW = {"forged": 6, "command": 12, "question": 40}


@pytest.mark.parametrize("kind", CASES)
def test_a_clear_error_or_a_right_answer(kind):
    made = makers()[kind]
    outcomes = [
        tried(partial(made, random.Random(f"suite {kind} {number}")))
        for number in range(FEW.get(kind, 80))
    ]
    failed = [o for o in outcomes if o.failed]
    assert not failed, failed[:3]
    assert any(o.kind == "refused" for o in outcomes)


def _crash(folder):
    raise KeyError("x")


def _wrong(folder):
    raise Wrong("2 is not 3")


def _write(folder):
    (folder.parent / "elsewhere.txt").write_text("x")
    (folder.parent / "elsewhere.txt").unlink()
    return "answered"


def _start(folder):
    import subprocess

    subprocess.run(["true"], check=True)
    return "answered"


def _spin(folder):
    while True:
        pass


def _grow(folder):
    bytearray(2_000_000_000)[::4096] = b"x" * 488_282
    return "answered"


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (_crash, "traceback"),
        (_wrong, "wrong"),
        (_write, "touched"),
        (_start, "touched"),
        (_spin, "slow"),
        (_grow, "memory"),
    ],
)
def test_the_guard_sees_each_kind_of_failure(case, kind):
    assert tried(case, seconds=0.2 if kind == "slow" else 10.0).kind == kind


def test_inside_its_folder_a_case_may_write():
    def case(folder):
        (folder / "x").write_text("x")
        return "answered"

    assert tried(case).kind == "answered"
