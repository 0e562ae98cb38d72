"""What the command line sets for its own process before it computes."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path


def start() -> None:
    """Compute in float64, and keep compiled programs in the user's cache where that is possible.

    A cache folder named by JAX_COMPILATION_CACHE_DIR is kept; a home that can't be written
    merely compiles anew each time.
    """
    import pooch

    from bayescale.configuration import configure

    configure(x64=True)
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        with suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
            configure(cache_dir=Path(pooch.os_cache("bayescale")) / "compiled" / _machine())


def show_progress() -> bool:
    """Say whether somebody watches standard error."""
    return sys.stderr.isatty()


def _machine() -> str:
    # Compiled programs use the instructions of this processor: a home shared between
    # different machines needs a folder for each kind.
    description = [platform.machine(), platform.processor()]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        description += sorted({line for line in lines if line.startswith(("flags", "Features"))})
    return sha256("\n".join(description).encode()).hexdigest()[:12]
