"""What bayescale finds on this machine, and what it would use."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

GPU_FILES = ("/dev/nvidia0", "/dev/kfd")


@dataclass(frozen=True)
class Machine:
    """What was found.

    Attributes
    ----------
    facts : dict
        python, platform, cores, memory_gib, backend, devices, float64, one_kernel,
        compile_seconds (of a small program), cache, data, versions.
    plan : str
        How a fit of four chains would run.
    problems : list of str
        What is amiss, each with its remedy.
    """

    facts: Mapping[str, Any]
    plan: str
    problems: list[str]

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        return answer_html("This machine", str(self).splitlines())

    def __str__(self) -> str:
        shown = {k: v for k, v in self.facts.items() if k != "versions"}
        lines = [f"{name}: {_text(value)}" for name, value in shown.items()]
        lines.append(", ".join(f"{k} {v}" for k, v in self.facts["versions"].items()))
        lines.append(f"a fit: {self.plan}")
        return "\n".join([*lines, *(f"problem: {text}" for text in self.problems)])


def doctor() -> Machine:
    """Look at this machine: processors, devices, precision, caches, versions.

    Compiles and runs one small program.

    Returns
    -------
    Machine

    Examples
    --------
    >>> import bayescale as bs
    >>> found = bs.doctor()
    >>> found.facts["float64"], found.problems
    (True, [])
    """
    import jax

    from bayescale.sampling import TOGETHER, cores
    from bayescale.storage import versions

    devices = [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]
    compiled, joined = _compile_something()
    cache = getattr(jax.config, "jax_compilation_cache_dir", None)
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cores(),
        "memory_gib": _memory(),
        "backend": jax.default_backend(),
        "devices": devices,
        "float64": _float64_in_a_thread(),
        "one_kernel": joined,
        "compile_seconds": round(compiled, 2),
        "cache": cache or "none: every process compiles anew (bs.configure(cache_dir=...))",
        "data": os.environ.get("BAYESCALE_DATA") or "BAYESCALE_DATA is not set: bundled data only",
        "versions": versions(),
    }
    programs = -(-4 // TOGETHER)
    plan = (
        f"4 chains, {TOGETHER} to a program, on {min(programs, max(cores(), len(devices)))} threads"
        f" of {jax.default_backend()} device 0"
    )
    if len(devices) > 1:
        plan += f" to {min(programs, len(devices)) - 1}; fit_many uses all {len(devices)}"
    return Machine(facts, plan, _problems(facts))


def _problems(facts: Mapping[str, Any]) -> list[str]:
    found = []
    if not facts["float64"]:
        found.append("threads compute in float32: install jax 0.8 or later")
    if facts["backend"] == "cpu" and any(Path(file).exists() for file in GPU_FILES):
        found.append(
            "a GPU is here, but JAX sees none: pip install 'bayescale[cuda12]' (or [cuda13]) for"
            " one by NVIDIA; fits run on the processor"
        )
    if facts["backend"] == "cpu" and not facts["one_kernel"]:
        found.append(
            "this version of JAX can't join kernels: sampling takes three to five times longer;"
            " install jax 0.10 or later"
        )
    if not str(facts["cache"]).startswith("none") and not os.access(facts["cache"], os.W_OK):
        found.append(f"the cache of compiled programs, {facts['cache']}, can't be written")
    data = os.environ.get("BAYESCALE_DATA")
    if data and not Path(data).is_dir():
        found.append(f"BAYESCALE_DATA is {data}, which is no folder")
    return found


def _compile_something() -> tuple[float, bool]:
    """Seconds that a small program takes to compile, and whether it became one kernel."""
    import jax.numpy as jnp
    import numpy as np

    from bayescale.kernels import compile_small
    from bayescale.precision import x64

    began = perf_counter()
    with x64():
        program = compile_small(lambda wrap: wrap(lambda x: jnp.exp(x) - jnp.sum(x)), np.zeros(3))
        joined = "xla_cpu_small_call" in program.as_text()
    return perf_counter() - began, joined


def _float64_in_a_thread() -> bool:
    """Whether our precision reaches a thread, where JAX's own setting does not."""
    import jax.numpy as jnp

    from bayescale.precision import x64

    seen: list[str] = []

    def look() -> None:
        with x64():
            seen.append(str(jnp.ones(1).dtype))

    thread = Thread(target=look)
    thread.start()
    thread.join()
    return seen == ["float64"]


def _memory() -> float | None:
    """GiB of memory, where the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
