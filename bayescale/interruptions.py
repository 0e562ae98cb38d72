"""Interruptions that are not lost, and break nothing.

Python raises a KeyboardInterrupt wherever its main thread happens to be. Inside an import, a lock
or a compiler's callback that can leave other threads waiting for ever, or crash; in a finaliser it
is printed and forgotten. So the first one is remembered, and raised by the work itself where
nothing is half done.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from time import monotonic
from types import FrameType

PATIENCE = 2.0  # seconds that work may take to end
LOOK = 0.1  # seconds between two looks whether it has

_ASKED: list[float] = []  # when; a signal may arrive anywhere, so no lock guards it


class Interrupted(KeyboardInterrupt):
    """The user interrupted; what was being done ends unfinished."""


@contextmanager
def interruptible(give_up: Callable[[], object] | None = None) -> Generator[None]:
    """Raise interruptions of what is done within at its next `stop_if_interrupted`, or at its end.

    Nothing changes in threads, which get none, nor where someone handles them otherwise.

    Parameters
    ----------
    give_up : callable, optional
        Called, in a thread of its own, at the second interruption, or `PATIENCE` seconds after the
        first where the work has not ended. Without it the second is raised as Python does.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def remember(number: int, frame: FrameType | None) -> None:
        again = bool(_ASKED)
        _ASKED.append(monotonic())
        if again and give_up is None:
            signal.default_int_handler(number, frame)

    _ASKED.clear()
    signal.signal(signal.SIGINT, remember)
    try:
        with nullcontext() if give_up is None else _watched(give_up):
            yield
            stop_if_interrupted()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _ASKED.clear()


def stop_if_interrupted() -> None:
    """Raise `Interrupted` where the user has interrupted, in any thread."""
    if _ASKED:
        raise Interrupted("interrupted")


@contextmanager
def _watched(give_up: Callable[[], object]) -> Generator[None]:
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK):
            asked = tuple(_ASKED)
            if len(asked) > 1 or (asked and monotonic() - asked[0] > PATIENCE):
                give_up()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
