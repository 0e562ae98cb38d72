"""Progress of long computations, on standard error, in terminals and notebooks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import perf_counter

Report = Callable[[float, float], None]
LONG = 30.0  # seconds, from which on a run's length is said in words
MUCH = 1e9  # bytes, likewise
SETTLE = 2.0  # seconds of work before its pace is believed


class Pace:
    """How long work will take, from how far it has come since it was first heard of."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._said = False

    def expected(self, now: float, finished: float, total: float) -> float | None:
        """Seconds from first call to end: once, when the pace is known and they are many."""
        if self._first is None:
            self._first = now, finished
        began, already = self._first
        if self._said or now - began < SETTLE or finished <= already:
            return None
        self._said = True
        seconds = (now - began) * (total - already) / (finished - already)
        return seconds if seconds > LONG else None


def duration(seconds: float) -> str:
    """A length of time as one says it."""
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.0f} seconds"


@contextmanager
def reporter(show: bool, title: str, memory: float = 0.0) -> Generator[Report | None]:
    """A callback ``(finished, total)`` that moves a progress bar, or None where not shown.

    A run that needs much memory (bytes), or that will take long by the pace of its first pieces,
    says so in a line of its own. The bar's own time left follows the pace of the last half minute.
    """
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task, pace = bar.add_task(title, total=None), Pace()
        if memory > MUCH:
            bar.console.print(
                f"{title}: about {memory / 1e9:.1f} GB of memory", highlight=False, soft_wrap=True
            )

        def report(finished: float, total: float) -> None:
            expected = pace.expected(perf_counter(), finished, total)
            if expected is not None:
                text = f"{title}: about {duration(expected)}, by the pace of the first pieces"
                bar.console.print(text, highlight=False, soft_wrap=True)
            bar.update(task, completed=finished, total=total)

        yield report
