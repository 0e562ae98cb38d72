"""`fit_many`: one law to many tables of runs, through one compiled program."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, overload

import numpy as np
import pandas as pd

from bayescale import settling
from bayescale.beliefs import StatedPriors
from bayescale.diagnostics import MAX_RHAT, MIN_ESS, too_many_divergences
from bayescale.effort import OutOfTime, check_limit, limited, memory_to_draw, require_memory
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import (
    CAREFUL_ACCEPT,
    TARGET_ACCEPT,
    Fit,
    complete,
    mode_notes,
    place,
    sampled_again,
)
from bayescale.framing import Framed, frame
from bayescale.interruptions import interruptible
from bayescale.lanes import Problem, Stop, sample_many
from bayescale.law import Law
from bayescale.model import Arrays, Model, padded
from bayescale.posterior_tree import posterior_variables
from bayescale.progress import reporter
from bayescale.quick_convergence import Convergence
from bayescale.runs import Runs
from bayescale.sampling import Sampled, Settings
from bayescale.shelf import Drawn, Shelf
from bayescale.starts import Starts, find_starts

FIRST_LOOK = 150
SMALL = 256  # padded rows; below this a program costs the same
SHOWN = 20  # missing problems, by number
MARGIN = 1.1  # over the effective draws asked for, since the estimate is one


class ManyFits(Sequence[Fit]):
    """Posteriors of one law given many tables, in the order of the tables.

    An item is a whole `Fit`, made when it is asked for.

    Attributes
    ----------
    table : pandas.DataFrame
        A row a problem: n_rows, draws (a chain), ok, max_rhat, min_ess_bulk, min_ess_tail,
        divergences, seconds (that it held its lanes), seed. ``ok`` asks what `diagnose` asks of
        R-hat, effective draws and divergences.
    seconds : float
        In all.
    """

    def __init__(
        self, framed: Sequence[Framed], drawn: Sequence[Drawn], seconds: float = 0.0
    ) -> None:
        self._framed, self._drawn, self.seconds = tuple(framed), tuple(drawn), seconds

    def __len__(self) -> int:
        return len(self._framed)

    @overload
    def __getitem__(self, index: int) -> Fit: ...
    @overload
    def __getitem__(self, index: slice) -> ManyFits: ...
    def __getitem__(self, index: int | slice) -> Fit | ManyFits:
        if isinstance(index, slice):
            return ManyFits(self._framed[index], self._drawn[index], self.seconds)
        framed, drawn = self._framed[index], self._drawn[index]
        return complete(
            framed,
            drawn.position,
            drawn.sampled,
            drawn.settings,
            drawn.mode_notes,
            drawn.again,
            {"sampling": drawn.sampled.sampling_seconds},
        )

    @property
    def table(self) -> pd.DataFrame:
        rows = []
        for framed, drawn in zip(self._framed, self._drawn, strict=True):
            seen, diverging = drawn.convergence, drawn.sampled.diverging
            divergences = int(np.sum(diverging))
            ok = (
                seen.r_hat <= MAX_RHAT
                and min(seen.ess_bulk, seen.ess_tail) >= MIN_ESS
                and not too_many_divergences(divergences, diverging.size)
            )
            rows.append(
                {
                    "n_rows": len(framed.runs),
                    "draws": diverging.shape[1],
                    "ok": ok,
                    "max_rhat": seen.r_hat,
                    "min_ess_bulk": seen.ess_bulk,
                    "min_ess_tail": seen.ess_tail,
                    "divergences": divergences,
                    "seconds": drawn.sampled.sampling_seconds,
                    "seed": drawn.settings.seed,
                }
            )
        return pd.DataFrame(rows).rename_axis("problem")

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        return answer_html(repr(self).strip("<>"), table=self.table.reset_index())

    def __repr__(self) -> str:
        ok = int(self.table["ok"].sum()) if len(self) else 0
        return f"<{len(self)} fits, {ok} converged; see table>"


@interruptible()
def fit_many(
    law: Law,
    runs: Sequence[Runs | pd.DataFrame],
    pool: Mapping[str, Sequence[str]] | str | None = None,
    prior: Mapping[str, Any] | StatedPriors | None = None,
    noise: str | None = None,
    discrepancy: str | None = None,
    checkpoints: str = "final",
    on_failed: str = "error",
    seed: int = 0,
    min_ess: float = MIN_ESS,
    max_draws: int = 4000,
    warmup: int = 200,
    chains: int = 4,
    progress: bool = True,
    correlate: bool | None = None,
    store: str | Path | None = None,
    max_seconds: float | None = None,
) -> ManyFits:
    """Fit one law to many independent tables: backtests, simulations, resampled data.

    All problems of a shape run through one compiled program, each with its own adaptation and
    diagnostics, and each stops when it has converged.

    Parameters
    ----------
    law : Law
    runs : sequence of Runs or DataFrame
        The tables, a problem each.
    pool, prior, noise, discrepancy, checkpoints, on_failed, correlate
        As in `fit`, the same for all problems.
    seed : int
        Each problem's own seed is made from this and its place; ``table["seed"]`` tells it. The
        same bits follow on the same machine, versions and number of cores.
    min_ess : float
        Effective draws, bulk and tail, after which a problem stops if R-hat is 1.01 or less.
    max_draws : int
        Draws a chain at which a problem stops anyway; ``table["ok"]`` is then False.
    warmup, chains : int
        For each problem. Warm-up is shorter than for a single fit: chains that need more run on.
    progress : bool
        A progress bar on standard error.
    store : path, optional
        A folder for finished problems, a file each. Called again with the same arguments, only
        what is missing there is sampled.
    max_seconds : float, optional
        Wall time after which no more is sampled. Finished problems stay in `store`.

    Returns
    -------
    ManyFits

    Raises
    ------
    DataError
        For a table that can't be fitted; it names the problem.
    BayescaleError
        If the draws need more memory than is free, or `max_seconds` went by; it names the problems
        that are missing.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder")
    >>> tables = [runs.where(f"family == '{f}'") for f in ("transformer-prose", "gatedconv-prose")]
    >>> many = bs.fit_many(bs.load_law("power_law"), tables, progress=False)
    >>> [fit.law.name for fit in many]
    ['power_law', 'power_law']
    """
    for name, value in (("max_draws", max_draws), ("warmup", warmup), ("chains", chains)):
        if value < 1:
            raise BayescaleError(f"{name} must be at least 1, not {value}")
    if chains < 2:
        raise BayescaleError("chains must be at least 2: convergence is judged between chains")
    check_limit(max_seconds)
    began = perf_counter()
    framed = []
    for index, table in enumerate(runs):
        try:
            framed.append(
                frame(
                    law, table, pool, prior, noise, checkpoints, on_failed, correlate, discrepancy
                )
            )
        except DataError as error:
            raise DataError(f"problem {index}: {error}") from error
    stop = Stop(warmup, min(FIRST_LOOK, max_draws), max_draws, MARGIN * min_ess, MAX_RHAT)
    shelf = Shelf(None if store is None else Path(store))
    drawn: dict[int, Drawn] = {}
    first = Settings(stop.first, warmup, chains)
    memory = sum(memory_to_draw(one.model, first) for one in framed)
    require_memory(memory, f"{len(framed)} problems", "fit fewer at a time, into the same store")
    title = f"fitting {law.name} to {len(framed)} tables"
    with reporter(progress, title, memory) as shown:
        report = limited(shown, began, max_seconds, "problems")

        def keep(index: int, one: Drawn) -> None:
            drawn[index] = one

        def pulse(held: float) -> None:
            if report is not None:
                report(len(drawn) + held, len(framed))

        try:
            for members in _batches(framed):
                _fit_batch(framed, members, stop, chains, seed, shelf, keep, pulse)
        except OutOfTime:
            missing = [i for i in range(len(framed)) if i not in drawn]
            raise OutOfTime(_unfinished(max_seconds, len(drawn), missing, store)) from None
    return ManyFits(framed, [drawn[i] for i in range(len(framed))], perf_counter() - began)


def _batches(framed: Sequence[Framed]) -> list[list[int]]:
    """Problems that can share a program: equal structures and groups, and like sizes.

    A program pads every problem to its largest, so that a small one would pay for a large one.
    """
    found: dict[tuple, list[int]] = {}
    for index, one in enumerate(framed):
        model = one.model
        size = max(SMALL, 2 ** math.ceil(math.log2(model.arrays.mask.size)))
        key = (model.structure.key, len(model.groups), tuple(sorted(model.arrays.rows)), size)
        found.setdefault(key, []).append(index)
    return list(found.values())


def _unfinished(
    seconds: float | None, done: int, missing: Sequence[int], store: str | Path | None
) -> str:
    reason = (
        f"max_seconds={seconds:g} went by with {done} of {done + len(missing)} problems finished"
    )
    named = ", ".join(map(str, missing[:SHOWN])) + ", ..." * (len(missing) > SHOWN)
    kept = f"the others lie in {store}: call again with the same arguments"
    lost = "nothing is kept: name a store, and call again for what is missing"
    return f"{reason}; missing: {named}; {lost if store is None else kept}"


def _seed_of(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def _fit_batch(
    framed: Sequence[Framed],
    members: Sequence[int],
    stop: Stop,
    chains: int,
    seed: int,
    shelf: Shelf,
    keep: Callable[[int, Drawn], None],
    pulse: Callable[[float], None],
) -> None:
    """Sample the problems of one batch that are not on the shelf, each with its own start."""
    shapes = [framed[i].model.arrays.mask.shape for i in members]
    cells, seeds = (max(shape[axis] for shape in shapes) for axis in (1, 2))
    settings = Settings(stop.most, stop.warmup, chains, seed, TARGET_ACCEPT)
    todo: list[tuple[int, Settings]] = []
    rank = {index: k for k, index in enumerate(members)}
    names: dict[int, str] = {}
    for index in members:
        own = replace(settings, seed=_seed_of(seed, index))
        names[index] = _digest(framed[index].model, own, stop)
        found = shelf.find(names[index])
        if found is None:
            todo.append((index, own))
        else:
            keep(index, found)
    if not todo:
        return
    starts: dict[int, Starts] = {}
    asked: dict[int, Settings] = {}
    again: dict[int, tuple[str, ...]] = {}

    def problem(place: int, seats: int) -> Problem | None:
        mine = [k for k, (index, _) in enumerate(todo) if rank[index] % seats == place]
        if not mine:
            return None
        index, own = todo.pop(mine[0])
        model = framed[index].model
        if index not in starts:
            starts[index] = find_starts(model, own.seed)
        asked[index] = own
        data = padded(model.arrays, cells, seeds).inputs()
        quadratic = starts[index].geometry.inputs()
        if "settle" in quadratic:
            quadratic["settle"] = settling.padded(quadratic["settle"], cells)
        return Problem(
            index,
            {**data, "quadratic": quadratic},
            partial(_start, starts[index], model, own.seed),
            partial(_watched, starts[index], model),
            own.seed,
            own.target_accept,
        )

    def finish(done: Problem, sampled: Sampled, seen: Convergence) -> None:
        index, own = done.index, asked[done.index]
        diverged = int(np.sum(sampled.diverging))
        if own.target_accept < CAREFUL_ACCEPT and too_many_divergences(
            diverged, sampled.diverging.size
        ):
            again[index] = (sampled_again(diverged),)
            todo.append((index, replace(own, target_accept=CAREFUL_ACCEPT)))
            return
        model, own_starts = framed[index].model, starts.pop(index)
        one = Drawn(
            position=place(model, own_starts, sampled.flat),
            sampled=replace(sampled, flat=sampled.flat[..., :0]),
            convergence=seen,
            settings=replace(own, draws=sampled.energy.shape[1]),
            mode_notes=mode_notes(own_starts),
            again=again.get(index, ()),
        )
        shelf.put(names[index], one)
        keep(index, one)

    structure = framed[members[0]].model.structure
    # As many lanes where some problems are done already, so that the others have the same bits.
    sample_many(structure, problem, len(members), stop, chains, finish, pulse)


def _start(starts: Starts, model: Model, seed: int, chain: int, scale: float) -> np.ndarray:
    return starts.draw(model.structure, chain, seed, scale)


def _watched(starts: Starts, model: Model, flat: np.ndarray) -> np.ndarray:
    """Draws (chain, draw, quantity) of everything that diagnostics look at."""
    values, _, _ = posterior_variables(model, place(model, starts, flat))
    columns = [v[:, None] if v.ndim == 1 else v for v in values.values()]
    joined = np.concatenate(columns, axis=1)
    return joined.reshape(*flat.shape[:2], joined.shape[1])


def _digest(model: Model, settings: Settings, stop: Stop) -> str:
    """A name that changes with anything that changes the draws."""
    described = repr((model.structure.key, model.groups, settings, stop, model.arrays.reference))
    told = hashlib.sha256(described.encode())
    arrays: Arrays = model.arrays
    for values in (
        *(arrays.columns[k] for k in sorted(arrays.columns)),
        arrays.observed,
        arrays.mask,
        *(arrays.rows[k] for k in sorted(arrays.rows)),
        *arrays.levels,
        *(() if arrays.features is None else (arrays.features,)),
    ):
        told.update(np.ascontiguousarray(values).tobytes())
    return told.hexdigest()[:32]
