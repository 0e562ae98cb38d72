"""Interruptions that are not lost.

Python raises a KeyboardInterrupt wherever the main thread is. In a callback of the garbage
collector (JAX has one) or in a finaliser it is printed, forgotten, and the work goes on; so it is
remembered, too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_ASKED = threading.Event()


class Interrupted(KeyboardInterrupt):
    """The user interrupted; what was being done ends unfinished."""


def _remember(number: int, frame: FrameType | None) -> None:
    _ASKED.set()
    signal.default_int_handler(number, frame)


@contextmanager
def interruptible() -> Generator[None]:
    """Remember interruptions of what is done within; one that was lost is raised at its end.

    Nothing changes in threads, which get none, nor where someone handles them otherwise.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _ASKED.clear()
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
        stop_if_interrupted()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _ASKED.clear()


def stop_if_interrupted() -> None:
    """Raise `Interrupted` where the user has interrupted, in any thread."""
    if _ASKED.is_set():
        raise Interrupted("interrupted")
