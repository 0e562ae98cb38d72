"""A slice of `tests/studies/faults.py`: killed in the middle of writing, and no room to write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bayescale as bs

SAVED = Path(__file__).resolve().parent / "saved"
ONE, TWO = SAVED / "bent_0.1.0.nc", SAVED / "families_0.1.0.nc"

SAVING = """
import sys, bayescale as bs
one, two = bs.load(sys.argv[1]), bs.load(sys.argv[2])
bs.save(one, sys.argv[3])
print("ready", flush=True)
while True:
    bs.save(two, sys.argv[3])
    bs.save(one, sys.argv[3])
"""

NO_ROOM = """
import resource, signal, sys, bayescale as bs
from pathlib import Path
fit, folder = bs.load(sys.argv[1]), Path(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
for work in (lambda: bs.save(fit, folder / "fit.nc"), lambda: bs.report(fit, to=folder / "p.html")):
    try:
        work()
    except bs.BayescaleError as error:
        print(error)
"""


def test_killed_at_any_moment_a_file_is_whole(tmp_path):
    out, rng = tmp_path / "fit.nc", random.Random(1)
    sizes = {len(bs.load(path).runs) for path in (ONE, TWO)}
    command = [sys.executable, "-c", SAVING, str(ONE), str(TWO), str(out)]
    for _ in range(2):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.3))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert len(bs.load(out).runs) in sizes
        assert {p.suffix for p in tmp_path.iterdir()} <= {".nc", ".part"}


def test_where_there_is_no_room_the_old_files_stay(tmp_path):
    """HDF5 crashes where it can't write (signal 11), so that it never writes to the disk itself."""
    for name in ("fit.nc", "p.html"):
        (tmp_path / name).write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(TWO), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == ["File too large"] * 2
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        "fit.nc": b"old",
        "p.html": b"old",
    }


def test_a_store_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    from bayescale.shelf import Shelf

    (tmp_path / "file").write_text("")
    with pytest.raises(bs.BayescaleError, match="can't hold finished problems"):
        Shelf(tmp_path / "file" / "store")


def test_the_command_line_finds_a_shut_folder_before_it_works(tmp_path, monkeypatch):
    from bayescale.cli.inputs import checked_destination

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(bs.BayescaleError, match="can't be written"):
        checked_destination(tmp_path / "fit.nc")
