"""An interruption ends the work, also where Python itself would print it and go on."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

import bayescale as bs
from bayescale import fitting, many_fits
from bayescale.interruptions import Interrupted, interruptible, stop_if_interrupted
from tests.simulate import ladder


class Finaliser:
    """Interrupts where it is cleared away, which Python only prints."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def lost(monkeypatch):
    """A function that interrupts where nobody sees it."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda said: seen.append(said.exc_type))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        Finaliser()
        assert seen.pop() is KeyboardInterrupt

    yield interrupt
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    stop_if_interrupted()  # nothing is left of it


def test_one_that_was_lost_is_raised_at_the_end(lost):
    went_on = False
    with pytest.raises(Interrupted), interruptible():
        lost()
        went_on = True
    assert went_on


def test_threads_hear_of_it(lost):
    heard = []

    def work():
        with pytest.raises(Interrupted):
            stop_if_interrupted()
        heard.append(True)

    with pytest.raises(Interrupted), interruptible():
        with interruptible():  # as where one fit asks for others
            lost()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert heard == [True]


def test_one_that_is_seen_is_raised_as_ever(lost):
    with pytest.raises(KeyboardInterrupt) as raised, interruptible():
        signal.raise_signal(signal.SIGINT)
    assert raised.type is KeyboardInterrupt


def test_another_handler_is_left_alone():
    caught = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT]


@pytest.mark.usefixtures("lost")
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
def test_fits_end_where_one_was_lost(many, lost, monkeypatch):
    module = many_fits if many else fitting
    frame = module.frame

    def interrupted(*words, **named):
        framed = frame(*words, **named)
        lost()
        return framed

    monkeypatch.setattr(module, "frame", interrupted)
    law, table = bs.load_law("chinchilla"), ladder()
    options = {"discrepancy": "none", "progress": False}
    with pytest.raises(KeyboardInterrupt):  # else it would take hours
        if many:
            bs.fit_many(law, [table, table], min_ess=1e7, max_draws=10**7, **options)
        else:
            bs.fit(law, table, draws=200_000, **options)
