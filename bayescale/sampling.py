"""NUTS: one compiled chain, called from as many threads as there are cores.

A chain advances in short pieces of one compiled program, so that progress can be shown, a fit can
be interrupted, and warm-up and sampling share a single compilation.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from bayescale.density import log_likelihood, log_prior
from bayescale.geometry import unwhiten
from bayescale.model import Structure
from bayescale.precision import x64
from bayescale.quadratic import layout

PIECE = 50
START_TRIES = 12


@dataclass(frozen=True)
class Settings:
    """How to sample."""

    draws: int = 1000
    warmup: int = 1000
    chains: int = 4
    seed: int = 0
    target_accept: float = 0.9
    max_tree_depth: int = 10


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


@dataclass(frozen=True)
class _Program:
    start: Callable
    advance: Callable


_PROGRAMS: dict[tuple, _Program] = {}


def _signature(tree: Any) -> tuple:
    import jax

    leaves, shape = jax.tree.flatten(tree)
    return (str(shape), tuple((np.shape(a), str(np.asarray(a).dtype)) for a in leaves))


def _compile(structure: Structure, settings: Settings, data: dict) -> _Program:
    """Compile the chain for this structure and these shapes, or find it compiled."""
    import jax
    import jax.numpy as jnp
    from numpyro.infer.hmc import hmc

    key = (
        structure.key,
        settings.warmup,
        settings.target_accept,
        settings.max_tree_depth,
        _signature(data),
    )
    if key in _PROGRAMS:
        return _PROGRAMS[key]

    def terms(flat, data):
        position, log_jacobian = unwhiten(structure, flat, data["quadratic"], jnp)
        prior = log_prior(structure, position, data)
        return prior, log_likelihood(structure, position, data), log_jacobian

    def potential(data):
        return lambda flat: -sum(terms(flat, data))

    init_kernel, kernel = hmc(potential_fn_gen=potential, algo="NUTS")

    def start(flat, seed, data):
        return init_kernel(
            flat,
            num_warmup=settings.warmup,
            step_size=0.5,
            target_accept_prob=settings.target_accept,
            max_tree_depth=settings.max_tree_depth,
            model_args=(data,),
            rng_key=jax.random.PRNGKey(seed),
        )

    def advance(state, data):
        def step(state, _):
            state = kernel(state, model_args=(data,))
            out = (
                state.z,
                state.diverging,
                state.energy,
                state.num_steps,
                state.adapt_state.step_size,
            )
            return state, out

        state, out = jax.lax.scan(step, state, None, length=PIECE)
        parts = jax.lax.map(lambda flat: jnp.stack(terms(flat, data)[:2]), out[0])
        return state, (*out, parts)

    flat = np.zeros(layout(structure).size)
    state = jax.eval_shape(start, flat, np.int64(0), data)
    program = _Program(
        _single_threaded(jax.jit(start).lower(flat, np.int64(0), data)),
        _single_threaded(jax.jit(advance).lower(state, data)),
    )
    _PROGRAMS[key] = program
    return program


def _single_threaded(lowered: Any) -> Any:
    """Compile for one core: chains run side by side, and small kernels lose by being spread."""
    import jax

    if jax.default_backend() == "cpu":
        try:
            return lowered.compile(compiler_options={"xla_cpu_multi_thread_eigen": False})
        except Exception:  # an XLA that has dropped the option; only speed is lost
            return lowered.compile()
    return lowered.compile()


def prepare(structure: Structure, inputs: dict, settings: Settings) -> float:
    """Compile the chain ahead (the values of `inputs` don't matter); returns the seconds taken."""
    began = perf_counter()
    with x64():
        _compile(structure, settings, inputs)
    return perf_counter() - began


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Interrupted(KeyboardInterrupt):
    """Sampling was interrupted; nothing was kept."""


def sample(
    structure: Structure,
    inputs: dict,
    draw_start: Callable[[int, float], np.ndarray],
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
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
    import jax

    compiled_in = prepare(structure, inputs, settings)
    with x64():
        program = _compile(structure, settings, inputs)
    stop = threading.Event()
    lock = threading.Lock()
    finished = [0]
    pieces_warm = int(np.ceil(settings.warmup / PIECE))
    extra_warm = pieces_warm * PIECE - settings.warmup
    pieces = pieces_warm + int(np.ceil((settings.draws - extra_warm) / PIECE))
    total = settings.chains * pieces

    def chain(index: int) -> tuple:
        with x64():
            state = None
            for attempt in range(START_TRIES):
                flat = draw_start(index, 2.0 * 0.6**attempt)
                seed = np.int64(settings.seed * 1_000_003 + index * 7919 + 17) % (2**31 - 1)
                state = program.start(flat, np.int64(seed), inputs)
                if np.isfinite(float(state.potential_energy)):
                    break
            kept: list[tuple] = []
            for piece in range(pieces):
                if stop.is_set():
                    raise Interrupted("sampling interrupted")
                state, out = program.advance(state, inputs)
                out = jax.device_get(out)
                if (piece + 1) * PIECE > settings.warmup:
                    kept.append(out)
                with lock:
                    finished[0] += 1
                    if progress is not None:
                        progress(finished[0], total)
        joined = tuple(np.concatenate([k[i] for k in kept]) for i in range(6))
        return tuple(part[-settings.draws :] for part in joined)

    workers = max(1, min(settings.chains, _cores()))
    began, cpu = perf_counter(), process_time()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(chain, i) for i in range(settings.chains)]
        try:
            results = [future.result() for future in futures]
        except BaseException:
            stop.set()
            raise
    flat, diverging, energy, n_steps, step_size, parts = (
        np.stack([r[i] for r in results]) for i in range(6)
    )
    return Sampled(
        flat=flat,
        log_prior=parts[..., 0],
        log_likelihood=parts[..., 1],
        diverging=diverging,
        energy=energy,
        n_steps=n_steps,
        step_size=step_size[:, -1],
        compile_seconds=compiled_in,
        sampling_seconds=perf_counter() - began,
        sampling_cpu_seconds=process_time() - cpu,
    )
