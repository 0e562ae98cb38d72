"""What a long run costs, asked before it starts: memory, and how much time it may take."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from bayescale import nuts
from bayescale.errors import BayescaleError
from bayescale.model import Model
from bayescale.quadratic import layout
from bayescale.sampling import Settings

Report = Callable[[float, float], None]
FLOAT = 8
COPIES = 2  # of the largest arrays, as measured when a fit is put together


def memory_to_draw(model: Model, settings: Settings) -> float:
    """Bytes of all transitions of one problem: positions, and what was said of them."""
    transitions = settings.chains * (settings.warmup + settings.draws)
    return FLOAT * transitions * (layout(model.structure).size + len(nuts.Said._fields))


def memory_to_fit(model: Model, settings: Settings) -> float:
    """Bytes at the peak of a whole fit: transitions, and draws by rows, groups and parameters."""
    mask = model.arrays.mask
    each = len(model.arrays.position) + len(model.groups) * len(model.structure.names)
    samples = settings.chains * settings.draws
    return COPIES * (FLOAT * samples * each + memory_to_draw(model, settings)) + FLOAT * mask.size


def free_memory() -> float | None:
    """Bytes that this process may still take, where the system tells."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024.0 * int(line.split()[1]))
    except (OSError, ValueError, IndexError):
        pass
    try:  # a container's own limit
        folder = Path("/sys/fs/cgroup")
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stats = (folder / "memory.stat").read_text(encoding="ascii").split()
        cached = int(stats[stats.index("inactive_file") + 1])
        found.append(float(limit - used + cached))
    except (OSError, ValueError, IndexError):
        pass
    if not found:
        try:
            return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        except (AttributeError, ValueError, OSError):
            return None
    return min(found)


def require_memory(needed: float, what: str, remedy: str) -> None:
    """Raise `BayescaleError` where `needed` bytes are more than are free."""
    free = free_memory()
    if free is not None and needed > free:
        raise BayescaleError(
            f"{what} needs about {gigabytes(needed)} of memory, and {gigabytes(free)} are free;"
            f" {remedy}"
        )


def gigabytes(size: float) -> str:
    """A size in bytes as one reads it."""
    return f"{size / 1e9:.1f} GB" if size < 1e11 else f"{size / 1e9:.0f} GB"


class OutOfTime(BayescaleError):
    """`max_seconds` went by."""


def limited(
    report: Report | None, began: float, max_seconds: float | None, unit: str
) -> Report | None:
    """`report`, but `OutOfTime` once `max_seconds` have gone by since `began`."""
    if max_seconds is None:
        return report

    def watched(finished: float, total: float) -> None:
        if finished < total and perf_counter() - began > max_seconds:
            raise OutOfTime(
                f"max_seconds={max_seconds:g} went by with {int(finished)} of {int(total)} {unit}"
            )
        if report is not None:
            report(finished, total)

    return watched


def check_limit(max_seconds: float | None) -> None:
    """Refuse a limit that is no time."""
    if max_seconds is not None and not max_seconds > 0:
        raise BayescaleError(f"max_seconds must be positive, not {max_seconds}")
