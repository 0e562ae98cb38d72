"""Chains of a fit: compiled once, stepped in short pieces from as many threads as there are cores.

A worker steps its chains side by side. Pieces are short, so that progress can be shown, a fit can
be interrupted, and warm-up and sampling share one compiled program.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from bayescale import nuts
from bayescale.adaptation import Plan, plan
from bayescale.density import log_likelihood, log_prior
from bayescale.geometry import unwhiten
from bayescale.interruptions import Interrupted, stop_if_interrupted
from bayescale.kernels import Wrap, compile_small
from bayescale.model import Structure
from bayescale.potential import potential
from bayescale.precision import x64
from bayescale.quadratic import layout

PIECE = 256
TOGETHER = 2
START_TRIES = 12
FIRST_STEP = 0.5
ENDED = nuts.Said._fields.index("ended")


@dataclass(frozen=True)
class Settings:
    """How to sample."""

    draws: int = 1000
    warmup: int = 1000
    chains: int = 4
    seed: int = 0
    target_accept: float = 0.9


@dataclass(frozen=True)
class Sampled:
    """Draws of the flat vector (chain, draw, size) and what the sampler said of them."""

    flat: np.ndarray
    log_prior: np.ndarray
    log_likelihood: np.ndarray
    diverging: np.ndarray
    energy: np.ndarray
    n_steps: np.ndarray
    step_size: np.ndarray
    compile_seconds: float
    sampling_seconds: float
    sampling_cpu_seconds: float


Ended = tuple[np.ndarray, np.ndarray]  # of a chain's draws: positions (draw, size) and numbers


_PROGRAMS: dict[tuple, Any] = {}
_COMPILING = threading.Lock()  # two threads that want one program compile it once


def _signature(tree: Any) -> tuple:
    import jax

    leaves, shape = jax.tree.flatten(tree)
    return (str(shape), tuple((np.shape(a), str(np.asarray(a).dtype)) for a in leaves))


def log_density(structure: Structure, flat: Any, data: dict, xp: Any) -> tuple[Any, Any, Any]:
    """Log prior, log likelihood and log Jacobian at the sampler's flat vector."""
    position, log_jacobian = unwhiten(structure, flat, data["quadratic"], xp)
    prior = log_prior(structure, position, data, xp)
    return prior, log_likelihood(structure, position, data, xp), log_jacobian


def chance(generators: Sequence[np.random.Generator], size: int) -> nuts.Chance:
    """Random numbers of a piece's turns, from each chain's own generator."""
    normal = [g.standard_normal((PIECE, size)) for g in generators]
    uniform = [g.random((PIECE, 3)) for g in generators]
    return nuts.Chance(np.stack(normal, axis=1), np.stack(uniform, axis=1))


def device_count() -> int:
    """Devices that chains can be placed on."""
    import jax

    return jax.local_device_count()


def program(
    structure: Structure,
    data: dict,
    chains: int,
    *,
    shared: bool,
    schedule: Plan,
    worker: int = 0,
) -> Any:
    """The compiled piece of this structure and these shapes: chains stepped PIECE turns.

    With `shared` all chains see the same data, else `data` has a leading axis of chains.
    Workers take the devices in turn; each device has its own.
    """
    import jax

    place = worker % device_count()
    key = (structure.key, chains, shared, _signature(data), place)
    with _COMPILING:
        if key not in _PROGRAMS:
            with jax.default_device(jax.local_devices()[place]):
                _PROGRAMS[key] = _compile(structure, data, chains, shared, schedule)
        return _PROGRAMS[key]


def _compile(structure: Structure, data: dict, chains: int, shared: bool, schedule: Plan) -> Any:
    import jax

    def build(wrap: Wrap) -> Callable:
        def advance(state: nuts.Chains, chances: nuts.Chance, data: dict, schedule: Plan) -> Any:
            into = potential(structure, data, shared, wrap)

            def step(state: nuts.Chains, chance: nuts.Chance) -> tuple[nuts.Chains, nuts.Turn]:
                return nuts.turn(state, chance, into, schedule, wrap)

            return jax.lax.scan(step, state, chances)

        return advance

    size = layout(structure).size
    state = nuts.start(np.zeros((chains, size)), FIRST_STEP)
    chances = nuts.Chance(np.zeros((PIECE, chains, size)), np.zeros((PIECE, chains, 3)))
    return compile_small(build, state, chances, data, schedule, kernels=structure.kernels)


def prepare(structure: Structure, inputs: dict) -> float:
    """Compile the chains ahead (the values of `inputs` don't matter); returns the seconds taken."""
    began = perf_counter()
    with x64():
        program(structure, inputs, TOGETHER, shared=True, schedule=plan(100, 0.8))
    return perf_counter() - began


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def finite_start(
    structure: Structure, inputs: dict, draw_start: Callable[[int, float], np.ndarray], chain: int
) -> np.ndarray:
    """A start of finite density: jittered less and less until there is one."""
    flat = draw_start(chain, 0.0)
    for attempt in range(START_TRIES):
        tried = draw_start(chain, 2.0 * 0.6**attempt)
        with np.errstate(all="ignore"):
            if np.isfinite(sum(log_density(structure, tried, inputs, np))):
                return tried
    return flat


def sample(
    structure: Structure,
    inputs: dict,
    draw_start: Callable[[int, float], np.ndarray],
    settings: Settings,
    progress: Callable[[float, float], None] | None = None,
) -> Sampled:
    """Run NUTS.

    Parameters
    ----------
    structure : Structure
    inputs : dict
        The model's arrays, with the whitening under ``"quadratic"``.
    draw_start : callable
        ``draw_start(chain, scale)`` gives a start; tried with smaller scales until the density
        there is finite.
    settings : Settings
    progress : callable, optional
        Called with (finished, total) transitions over all chains, from worker threads.
    """
    compiled_in = prepare(structure, inputs)
    schedule = plan(settings.warmup, settings.target_accept)
    wanted = settings.warmup + settings.draws
    stop, lock = threading.Event(), threading.Lock()
    finished = np.zeros(settings.chains, int)
    size = layout(structure).size

    def together(members: Sequence[int]) -> list[Ended]:
        padded = [*members, *[members[0]] * (TOGETHER - len(members))]
        generators = [np.random.default_rng([settings.seed, chain, 29]) for chain in padded]
        starts = [finite_start(structure, inputs, draw_start, chain) for chain in padded]
        state: Any = nuts.start(np.stack(starts), FIRST_STEP)
        ended: list[list[Ended]] = [[] for _ in members]
        done = np.zeros(len(padded), int)
        with x64():
            worker = members[0] // TOGETHER
            run = program(
                structure, inputs, TOGETHER, shared=True, schedule=schedule, worker=worker
            )
            while np.min(done) < wanted:
                stop_if_interrupted()
                if stop.is_set():
                    raise Interrupted("sampling interrupted")
                state, turns = run(state, chance(generators, size), inputs, schedule)
                z, numbers = np.asarray(turns.z), np.asarray(turns.numbers)
                drawn = numbers[..., ENDED] > 0
                for k, own in enumerate(ended):  # a draw takes many turns: keep only their last
                    own.append((z[drawn[:, k], k], numbers[drawn[:, k], k]))
                done = done + drawn.sum(axis=0)
                with lock:
                    finished[list(members)] = np.minimum(done[: len(members)], wanted)
                    if progress is not None:
                        progress(int(finished.sum()), settings.chains * wanted)
        kept = slice(settings.warmup, wanted)
        pairs = [[np.concatenate(p)[kept] for p in zip(*own, strict=True)] for own in ended]
        return [(z, numbers) for z, numbers in pairs]

    groups = [
        list(range(k, min(k + TOGETHER, settings.chains)))
        for k in range(0, settings.chains, TOGETHER)
    ]
    workers = max(cores(), device_count())
    began, cpu = perf_counter(), process_time()
    with ThreadPoolExecutor(max_workers=max(1, min(len(groups), workers))) as pool:
        futures = [pool.submit(together, members) for members in groups]
        try:
            results = [one for future in futures for one in future.result()]
        except BaseException:
            stop.set()
            raise
    flat = np.stack([z for z, _ in results])
    numbers = np.stack([numbers for _, numbers in results])
    seconds, used = perf_counter() - began, process_time() - cpu
    return joined_draws(flat, numbers, seconds, used, compiled_in)


def joined_draws(
    flat: np.ndarray,
    numbers: np.ndarray,
    seconds: float,
    cpu: float = np.nan,
    compiled: float = 0.0,
) -> Sampled:
    """What chains drew: positions (chain, draw, size), numbers (chain, draw, len(Said))."""
    said = nuts.Said(*np.moveaxis(numbers, -1, 0))
    return Sampled(
        flat=flat,
        log_prior=said.log_prior,
        log_likelihood=said.log_likelihood,
        diverging=said.diverged > 0,
        energy=said.energy,
        n_steps=said.steps.astype(int),
        step_size=said.step_size[:, -1],
        compile_seconds=compiled,
        sampling_seconds=seconds,
        sampling_cpu_seconds=cpu,
    )
