"""Many independent posteriors through one compiled program.

A lane is one chain of one problem with that problem's data. Lanes step side by side, a program to a
core; when a problem's chains have converged they leave, and the next problem takes their lanes.
The last bits of a lane depend on where it stands among the others, since vectors of numbers end
there, so each problem has its place. One that takes long moves to a program of its own, in which no
empty lanes are stepped beside it; it goes by its own count of pieces, whatever the others do.
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
from bayescale.interruptions import Interrupted, stop_if_interrupted
from bayescale.model import Structure
from bayescale.precision import x64
from bayescale.quick_convergence import Convergence, quick_convergence
from bayescale.sampling import (
    ENDED,
    FIRST_STEP,
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
PATIENCE = 120  # pieces after which a problem gets a program of its own
FEW_SEATS = 2  # programs of so few problems keep their slow ones
WAIT = 0.2  # seconds between two looks for an interruption
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
    pieces: int = 0

    def drawn(self) -> int:
        """Transitions that every chain has made."""
        return min(sum(map(len, parts)) for parts in self.numbers)


@dataclass(frozen=True)
class _Moved:
    """A problem between two programs: its seat, and its chains' state."""

    seat: _Seat
    state: Any


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
        where there is none just now; called by one thread at a time. A thread that holds no
        problem then waits for slow ones, of other threads too, and ends when none can come.
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
    workers = max(cores(), device_count())
    source = _Shared(problems, finish, pulse, workers)
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
    stop_if_interrupted()
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
        workers: int,
    ) -> None:
        self._problems, self._finish, self._lock = problems, finish, threading.Lock()
        self._pulse, self._held = pulse, dict[int, float]()
        self._slow, self._changed = list[_Moved](), threading.Condition()
        self._at_work = workers
        self.stopped = threading.Event()

    def next(self, place: int, seats: int) -> Problem | None:
        self.check()
        with self._lock:
            return self._problems(place, seats)

    def put_slow(self, moved: _Moved) -> None:
        with self._changed:
            self._slow.append(moved)
            self._changed.notify()

    def next_slow(self) -> _Moved | None:
        """A slow problem; waits for one as long as another thread may find some."""
        with self._changed:
            self._at_work -= 1
            while not self._slow:
                self.check()
                if not self._at_work:
                    self._changed.notify_all()
                    return None
                self._changed.wait(WAIT)
            self._at_work += 1
            return self._slow.pop(0)

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
        stop_if_interrupted()
        if self.stopped.is_set():
            raise Interrupted("sampling interrupted")


class _Program:
    """One thread's program: its lanes, and the problems in them."""

    def __init__(
        self, structure: Structure, source: _Shared, stop: Stop, chains: int, held: int, worker: int
    ) -> None:
        self.structure, self.source, self.stop = structure, source, stop
        self.chains, self.held, self.worker = chains, held, worker
        self.seats: list[_Seat | None] = [None] * held
        self.state: Any = None
        self.data: Any = None
        self.target = np.full(held * chains, 0.8)
        self._spare = np.random.default_rng(0)  # for lanes that hold no problem any more

    def seat(self, place: int, problem: Problem) -> None:
        """Let a problem's chains begin."""
        starts = [
            finite_start(self.structure, problem.inputs, problem.draw_start, c)
            for c in range(self.chains)
        ]
        generators = [np.random.default_rng([problem.seed, c, 29]) for c in range(self.chains)]
        seat = _Seat(
            problem,
            generators,
            perf_counter(),
            self.stop.warmup + self.stop.first,
            [[] for _ in range(self.chains)],
            [[] for _ in range(self.chains)],
        )
        self.take(place, _Moved(seat, nuts.start(np.stack(starts), FIRST_STEP)))

    def take(self, place: int, moved: _Moved) -> None:
        """Let a problem's chains go on where they stand."""
        import jax

        problem = moved.seat.problem
        mine = jax.tree.map(
            lambda a: np.broadcast_to(a, (self.chains, *np.shape(a))), problem.inputs
        )
        if self.state is None:  # until its lanes are taken, every place repeats the first problem
            self.state = jax.tree.map(lambda a: np.concatenate([a] * self.held), moved.state)
            self.data = jax.tree.map(lambda a: np.concatenate([a] * self.held), mine)
        lanes = self._lanes(place)
        for whole, part in ((self.state, moved.state), (self.data, mine)):
            for all_lanes, own in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
                all_lanes[lanes] = own
        self.target[lanes] = problem.target_accept
        self.seats[place] = moved.seat

    def _lanes(self, place: int) -> slice:
        return slice(place * self.chains, (place + 1) * self.chains)

    def step(self) -> None:
        """Run all lanes for a piece; problems that are done leave, slow ones go elsewhere."""
        import jax

        spare = [self._spare] * self.chains
        generators = [g for s in self.seats for g in (s.generators if s else spare)]
        schedule = plan(self.stop.warmup, 0.8)._replace(target=self.target.copy())
        lanes = self.held * self.chains
        with x64():
            run = program(
                self.structure,
                self.data,
                lanes,
                shared=False,
                schedule=schedule,
                worker=self.worker,
            )
            size = self.state.left.z.shape[-1]
            self.state, turns = run(self.state, chance(generators, size), self.data, schedule)
            self.state = jax.tree.map(np.array, self.state)
            z, numbers = np.asarray(turns.z), np.asarray(turns.numbers)
        self.source.check()
        ended = numbers[..., ENDED] > 0
        for place, taken in enumerate(self.seats):
            if taken is None:
                continue
            taken.pieces += 1
            for c in range(self.chains):
                lane = place * self.chains + c
                taken.z[c].append(z[ended[:, lane], lane])
                taken.numbers[c].append(numbers[ended[:, lane], lane])
            if taken.drawn() >= taken.next_look and _leaves(taken, self.stop, self.source):
                self.seats[place] = None
            elif self.held > FEW_SEATS and taken.pieces >= PATIENCE:
                self.source.put_slow(_Moved(taken, _copied(self.state, self._lanes(place))))
                self.seats[place] = None
        held = sum(min(s.drawn() / s.next_look, NEARLY) for s in self.seats if s)
        self.source.pulse(self.worker, held)


def _copied(state: Any, lanes: slice) -> Any:
    """Some lanes' state, which stays as it is when others take them."""
    import jax

    return jax.tree.map(lambda a: a[lanes].copy(), state)


def _work(
    structure: Structure, source: _Shared, stop: Stop, chains: int, held: int, worker: int
) -> None:
    """One thread: many problems side by side, then the slow ones, which would hold empty lanes."""
    many = _Program(structure, source, stop, chains, held, worker)
    alone = _Program(structure, source, stop, chains, 1, worker)
    while True:
        for place in range(held):
            problem = source.next(place, held) if many.seats[place] is None else None
            if problem is not None:
                many.seat(place, problem)
        if any(many.seats):
            many.step()
        elif (moved := source.next_slow()) is not None:
            alone.take(0, moved)
            while any(alone.seats):
                alone.step()
        else:
            return


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
