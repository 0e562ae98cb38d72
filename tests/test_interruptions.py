"""An interruption ends the work where nothing is half done, and is never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import bayescale as bs
from bayescale import fitting, interruptions, many_fits
from bayescale.interruptions import Interrupted, interruptible, stop_if_interrupted
from tests.simulate import ladder


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """A job in the background ignores interruptions; and none is left after any test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    stop_if_interrupted()


def test_work_goes_on_to_a_place_where_it_may_end():
    went_on = False
    with pytest.raises(Interrupted), interruptible():
        interrupt()
        went_on = True
        stop_if_interrupted()
        went_on = False
    assert went_on


def test_work_that_comes_to_no_such_place_ends_at_its_end():
    went_on = False
    with pytest.raises(Interrupted), interruptible():
        interrupt()
        went_on = True
    assert went_on


def test_a_finaliser_loses_none(monkeypatch):
    """Python would print it and go on."""

    class Finaliser:
        def __del__(self):
            interrupt()

    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    with pytest.raises(Interrupted), interruptible():
        Finaliser()
    assert seen == []


def test_the_second_is_raised_at_once():
    with pytest.raises(KeyboardInterrupt) as raised, interruptible():
        interrupt()
        interrupt()
    assert raised.type is KeyboardInterrupt


def test_threads_hear_of_it():
    heard = []

    def work():
        with pytest.raises(Interrupted):
            stop_if_interrupted()
        heard.append(True)

    with pytest.raises(Interrupted), interruptible():
        with interruptible():  # as where one fit asks for others
            interrupt()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert heard == [True]


@pytest.mark.parametrize(("times", "patience"), [(1, 0.2), (2, 3600.0)])
def test_who_waits_gives_up(times, patience, monkeypatch):
    monkeypatch.setattr(interruptions, "PATIENCE", patience)
    gave_up = threading.Event()
    with pytest.raises(Interrupted), interruptible(gave_up.set):
        for _ in range(times):
            assert not gave_up.is_set()
            interrupt()
        assert gave_up.wait(60)


@pytest.mark.parametrize("times", [0, 1])
def test_nobody_gives_up_on_work_that_ends(times, monkeypatch):
    monkeypatch.setattr(interruptions, "PATIENCE", 0.3)
    gave_up = []
    try:
        with interruptible(lambda: gave_up.append(True)):
            for _ in range(times):
                interrupt()
    except Interrupted:
        assert times
    time.sleep(0.6)
    assert gave_up == []


def test_another_handler_is_left_alone():
    caught = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        with interruptible():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT]


def test_a_thread_works_on_and_changes_no_handler():
    seen = []

    def work():
        with interruptible():  # Python lets no thread but the main one set a handler
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


@pytest.mark.parametrize("many", [False, True])
def test_fits_end(many, monkeypatch):
    module = many_fits if many else fitting
    frame = module.frame

    def interrupted(*words, **named):
        framed = frame(*words, **named)
        interrupt()
        return framed

    monkeypatch.setattr(module, "frame", interrupted)
    law, table = bs.load_law("chinchilla"), ladder()
    options = {"discrepancy": "none", "progress": False}
    with pytest.raises(Interrupted):  # else it would take hours
        if many:
            bs.fit_many(law, [table, table], min_ess=1e7, max_draws=10**7, **options)
        else:
            bs.fit(law, table, draws=200_000, **options)


STUCK = """
import os, sys, threading
from pathlib import Path
from bayescale import catalog, files, interruptions
from bayescale.cli import main

interruptions.PATIENCE = 0.5

def stuck(*words, **named):
    threading.Thread(target=threading.Event().wait).start()  # Python would wait for it at its end
    os.write(1, b"stuck\\n")  # a command writes to standard output at its end
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

catalog.laws = lambda: files.write_whole(Path("out.csv"), b"half")
os.replace = stuck
sys.argv = ["bayescale", "laws", "--json"]
sys.exit(main())
"""


def test_a_command_that_is_stuck_ends_and_leaves_nothing(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command, pipe = [sys.executable, "-c", STUCK], subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe,
                               text=True)  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "bayescale: interrupted; nothing was written\n")
    assert list(tmp_path.iterdir()) == []
