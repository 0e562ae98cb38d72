"""One case under guard: what came of it, how long it took, and what it touched outside."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

SECONDS = 10.0  # of the processor: others may share the machine
WAITED = 100.0  # on the clock
MEGABYTES = 1000.0
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pty.spawn")
_REACHES = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "urllib.Request",
    "ctypes.dlopen",
)
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod")
_CODE = ("pickle.find_class",)  # modules being imported are code, too, and no fault


@dataclass(frozen=True)
class Outcome:
    """What came of a case: "refused", "answered", or the name of a failure, with its detail."""

    kind: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.kind not in ("refused", "answered")


class Slow(BaseException):
    """No `except Exception` may swallow it."""


class Wrong(AssertionError):
    """An answer that an independent reading contradicts."""


_seen: list[str] | None = None
_allowed: tuple[str, ...] = ()
_installed = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, _, flags = (*arguments, 0, 0)[:3]
        writing = isinstance(flags, int) and flags & _WRITES
        if writing and not isinstance(path, int) and not _inside(path):
            _seen.append(f"wrote {path!r}")
    elif event in _CHANGES:
        path = arguments[1 if event in ("os.rename", "os.symlink", "os.link") else 0]
        if not isinstance(path, int) and not _inside(path):
            _seen.append(f"{event} {path!r}")
    elif event in _RUNS or event in _REACHES or event in _CODE:
        _seen.append(f"{event} {arguments[0] if arguments else ''!r}")


def _inside(path: Any) -> bool:
    text = os.path.abspath(os.fsdecode(path))
    return any(text == a or text.startswith(a + os.sep) for a in _allowed)


@contextlib.contextmanager
def watched(*allowed: Path) -> Iterator[list[str]]:
    """Collect writes outside `allowed`, programs started, code made and networks reached."""
    global _seen, _allowed, _installed
    if not _installed:
        sys.addaudithook(_watch)  # can't be taken away again: it sleeps while `_seen` is None
        _installed = True
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", os.devnull)  # its folder is named to us
    compiling, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # else late imports write
    _seen, _allowed = [], (*(os.path.abspath(a) for a in allowed), os.devnull, cache)
    try:
        yield _seen
    finally:
        _seen = None
        sys.dont_write_bytecode = compiling


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `Slow` in this thread when the time is over."""

    def over(*_: Any) -> None:
        raise Slow

    timers = ((signal.SIGPROF, signal.ITIMER_PROF), (signal.SIGALRM, signal.ITIMER_REAL))
    limits = (seconds, WAITED)
    for (sign, timer), limit in zip(timers, limits, strict=True):
        signal.signal(sign, over)
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for sign, timer in timers:
            signal.setitimer(timer, 0.0)
            signal.signal(sign, signal.SIG_IGN)


def tried(case: Callable[[Path], str], seconds: float = SECONDS) -> Outcome:
    """Run one case in a folder of its own.

    `case(folder)` returns "refused" or "answered"; a BayescaleError that it lets through is
    "refused". Anything else that leaves it is a failure.
    """
    from bayescale.errors import BayescaleError

    before, began = megabytes(), process_time()
    with (
        tempfile.TemporaryDirectory() as name,
        warnings.catch_warnings(),
        watched(Path(name)) as touched,
    ):
        warnings.simplefilter("ignore")
        try:
            with at_most(seconds):
                outcome = Outcome(case(Path(name)))
        except BayescaleError as error:
            outcome = _refusal(error)
        except Wrong as error:
            outcome = Outcome("wrong", str(error))
        except Slow:
            outcome = Outcome("slow", "".join(traceback.format_exc(limit=-3)))
        except MemoryError:
            outcome = Outcome("memory", traceback.format_exc(limit=-3))
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            ours = [
                f"{Path(f.filename).name}:{f.lineno}"
                for f in traceback.extract_tb(error.__traceback__)
                if f"{os.sep}bayescale{os.sep}" in f.filename
            ]
            text = f"{type(error).__name__}: {error} at {place} (ours: {' '.join(ours[-3:])})"
            outcome = Outcome("traceback", text)
    took = process_time() - began
    if touched:
        outcome = Outcome("touched", "; ".join(touched))
    elif megabytes() - before > MEGABYTES:
        outcome = Outcome("memory", f"{megabytes() - before:.0f} MB more")
    return Outcome(outcome.kind, outcome.detail[:1000], took)


def _refusal(error: Exception) -> Outcome:
    text = str(error)
    if not text.strip() or "Traceback" in text or ("0x" in text and "object at" in text):
        return Outcome("unclear", repr(text))
    if len(text) > 6000:
        return Outcome("unclear", f"a message of {len(text)} characters: {text[:200]}")
    return Outcome("refused", text)
