"""Many independent posteriors through one compiled program.

A lane is one chain of one problem with that problem's data. Lanes step side by side, a program to a
core; when a problem's chains have converged they leave, and the next problem takes their lanes.
The last bits of a lane depend on where it stands among the others, since vectors of numbers end
there, so each problem has its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from bayescale import nuts
from bayescale.adaptation import plan
from bayescale.model import Structure
from bayescale.precision import x64
from bayescale.quick_convergence import Convergence, quick_convergence
from bayescale.sampling import (
    ENDED,
    FIRST_STEP,
    Interrupted,
    Sampled,
    chance,
    cores,
    device_count,
    finite_start,
    joined_draws,
    program,
)

MOST_SEATS = 8  # problems that a program holds at once
NEARLY = 0.95  # how far a problem counts as done until it is
GROWTH = 1.5  # by how much longer chains run that have not converged


@dataclass(frozen=True)
class Stop:
    """When a problem's chains may stop.

    Attributes
    ----------
    warmup : int
    first, most : int
        Draws a chain after which convergence is first asked for, and at which chains stop anyway.
    min_ess, max_rhat : float
        Asked of what `watch` gives.
    """

    warmup: int
    first: int
    most: int
    min_ess: float
    max_rhat: float


@dataclass(frozen=True)
class Problem:
    """One posterior to sample.

    Attributes
    ----------
    index : int
    inputs : dict
        Arguments of the density, padded to the shapes that all problems share.
    draw_start : callable
        ``draw_start(chain, scale)`` gives a start.
    watch : callable
        From draws of the flat vector (chain, draw, size) to those whose convergence counts.
    seed : int
    target_accept : float
    """

    index: int
    inputs: dict
    draw_start: Callable[[int, float], np.ndarray]
    watch: Callable[[np.ndarray], np.ndarray]
    seed: int
    target_accept: float


@dataclass
class _Seat:
    """A problem in its lanes, with what its chains have drawn so far."""

    problem: Problem
    generators: list[np.random.Generator]
    began: float
    next_look: int
    z: list[list[np.ndarray]] = field(default_factory=list)
    numbers: list[list[np.ndarray]] = field(default_factory=list)

    def drawn(self) -> int:
        """Transitions that every chain has made."""
        return min(sum(map(len, parts)) for parts in self.numbers)


def sample_many(
    structure: Structure,
    problems: Callable[[int, int], Problem | None],
    expected: int,
    stop: Stop,
    chains: int,
    finish: Callable[[Problem, Sampled, Convergence], None],
    pulse: Callable[[float], None] | None = None,
) -> None:
    """Run NUTS on every problem until it has converged.

    Parameters
    ----------
    structure : Structure
        What all problems share.
    problems : callable
        ``problems(place, seats)`` gives the next problem whose place among so many that is, or None
        where there is none just now; called by one thread at a time. Threads that hold no problem
        end when there is none.
    expected : int
        How many there are; a program holds no more at once than it takes to share them out.
    stop : Stop
    chains : int
    finish : callable
        Called with each problem that is done, from worker threads, one at a time.
    pulse : callable, optional
        Called after every piece, one at a time, with how many problems' worth of transitions the
        lanes hold unfinished. What it raises ends the sampling.
    """
    source = _Shared(problems, finish, pulse)
    workers = max(cores(), device_count())
    seats = 1
    while seats < min(MOST_SEATS, expected / workers):  # few sizes, so that programs are reused
        seats *= 2
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [
            pool.submit(_work, structure, source, stop, chains, seats, k) for k in range(workers)
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            if all(future.done() and not future.exception() for future in futures):
                return
        finally:
            source.stopped.set()
    for future in futures:  # the first fault, not the interruption that it caused elsewhere
        if not isinstance(future.exception(), Interrupted | None):
            future.result()


class _Shared:
    """What threads share: the problems still to do, and where done ones go; one at a time."""

    def __init__(
        self,
        problems: Callable[[int, int], Problem | None],
        finish: Callable[[Problem, Sampled, Convergence], None],
        pulse: Callable[[float], None] | None,
    ) -> None:
        self._problems, self._finish, self._lock = problems, finish, threading.Lock()
        self._pulse, self._held = pulse, dict[int, float]()
        self.stopped = threading.Event()

    def next(self, place: int, seats: int) -> Problem | None:
        self.check()
        with self._lock:
            return self._problems(place, seats)

    def finish(self, problem: Problem, sampled: Sampled, seen: Convergence) -> None:
        with self._lock:
            self._finish(problem, sampled, seen)

    def pulse(self, worker: int, held: float) -> None:
        """Tell how far the problems are that `worker` holds."""
        if self._pulse is not None:
            with self._lock:
                self._held[worker] = held
                self._pulse(sum(self._held.values()))

    def check(self) -> None:
        """End this thread where another one has failed or the user interrupted."""
        if self.stopped.is_set():
            raise Interrupted("sampling interrupted")


def _work(
    structure: Structure, source: _Shared, stop: Stop, chains: int, held: int, worker: int
) -> None:
    """One thread's lanes, of `held` problems: fill them, step them, empty them."""
    import jax

    seats: list[_Seat | None] = [None] * held
    state: Any = None
    data: Any = None
    target = np.full(held * chains, 0.8)
    spare = np.random.default_rng(0)  # for lanes that hold no problem any more

    def seat(place: int, problem: Problem) -> None:
        nonlocal state, data
        starts = [
            finite_start(structure, problem.inputs, problem.draw_start, c) for c in range(chains)
        ]
        fresh = nuts.start(np.stack(starts), FIRST_STEP)
        mine = jax.tree.map(lambda a: np.broadcast_to(a, (chains, *np.shape(a))), problem.inputs)
        if state is None:  # until its lanes are taken, every place repeats the first problem
            state = jax.tree.map(lambda a: np.concatenate([a] * held), fresh)
            data = jax.tree.map(lambda a: np.concatenate([a] * held), mine)
        lanes = slice(place * chains, (place + 1) * chains)
        for whole, part in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
            whole[lanes] = part
        for whole, part in zip(jax.tree.leaves(data), jax.tree.leaves(mine), strict=True):
            whole[lanes] = part
        target[lanes] = problem.target_accept
        generators = [np.random.default_rng([problem.seed, c, 29]) for c in range(chains)]
        seats[place] = _Seat(
            problem,
            generators,
            perf_counter(),
            stop.warmup + stop.first,
            [[] for _ in range(chains)],
            [[] for _ in range(chains)],
        )

    while True:
        for place in range(held):
            problem = source.next(place, held) if seats[place] is None else None
            if problem is not None:
                seat(place, problem)
        if all(s is None for s in seats):
            return
        generators = [g for s in seats for g in (s.generators if s else [spare] * chains)]
        schedule = plan(stop.warmup, 0.8)._replace(target=target.copy())
        with x64():
            run = program(
                structure, data, held * chains, shared=False, schedule=schedule, worker=worker
            )
            size = state.left.z.shape[-1]
            state, turns = run(state, chance(generators, size), data, schedule)
            state = jax.tree.map(np.array, state)
            z, numbers = np.asarray(turns.z), np.asarray(turns.numbers)
        source.check()
        ended = numbers[..., ENDED] > 0
        for place, taken in enumerate(seats):
            if taken is None:
                continue
            for c in range(chains):
                lane = place * chains + c
                taken.z[c].append(z[ended[:, lane], lane])
                taken.numbers[c].append(numbers[ended[:, lane], lane])
            if taken.drawn() >= taken.next_look and _leaves(taken, stop, source):
                seats[place] = None
        source.pulse(worker, sum(min(s.drawn() / s.next_look, NEARLY) for s in seats if s))


def _leaves(seat: _Seat, stop: Stop, source: _Shared) -> bool:
    """Whether a problem's chains are done; if so they are handed over."""
    draws = min(seat.drawn() - stop.warmup, stop.most)
    z = [np.concatenate(parts) for parts in seat.z]
    numbers = [np.concatenate(parts) for parts in seat.numbers]
    wanted = slice(stop.warmup, stop.warmup + draws)
    flat = np.stack([one[wanted] for one in z])
    seen = quick_convergence(seat.problem.watch(flat))
    settled = seen.r_hat <= stop.max_rhat and min(seen.ess_bulk, seen.ess_tail) >= stop.min_ess
    if not settled and draws < stop.most:
        seat.next_look = stop.warmup + min(int(GROWTH * draws), stop.most)
        seat.z, seat.numbers = [[one] for one in z], [[one] for one in numbers]
        return False
    said = np.stack([one[wanted] for one in numbers])
    seconds = perf_counter() - seat.began
    source.finish(seat.problem, joined_draws(flat, said, seconds), seen)
    return True
