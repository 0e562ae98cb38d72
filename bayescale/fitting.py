"""`fit`: a law and runs to a posterior, complete and frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale.beliefs import StatedPriors
from bayescale.density import Position, joined
from bayescale.diagnostics import PRIOR_CONFLICT, diagnose, too_many_divergences
from bayescale.effort import check_limit, limited, memory_to_fit, require_memory
from bayescale.errors import BayescaleError, ConvergenceError
from bayescale.framing import Framed, frame
from bayescale.geometry import unwhiten
from bayescale.interruptions import interruptible
from bayescale.law import Law
from bayescale.model import Model, Structure
from bayescale.posterior_tree import posterior_tree
from bayescale.prior_check import prior_conflict
from bayescale.progress import reporter
from bayescale.quadratic import placeholder
from bayescale.runs import Runs
from bayescale.sampling import Sampled, Settings, prepare, sample
from bayescale.starts import Starts, find_starts, may_differ

TARGET_ACCEPT = 0.94
CAREFUL_ACCEPT = 0.99
LONGER = 2  # times as long, for a fit that would be refused
AT_ONCE = 1_000_000  # rows times draws placed at once
SHORTER = "allow more seconds, or ask for fewer draws, a shorter warm-up or fewer chains"


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A posterior with everything it came from.

    Attributes
    ----------
    law : Law
        With the priors and pooling that were used.
    runs : Runs
        The rows that were fitted.
    model : Model
    data : xarray.DataTree
        Groups posterior, sample_stats, log_likelihood (by run), log_likelihood_rows (given a
        configuration's other rows), observed_data, constant_data, coordinates (the sampler's own),
        as ArviZ has them; dims are named by what they run over: the grouping column, run, row.
    settings : Settings
    notes : tuple of str
        What was left out, dropped or assumed.
    prior_z : float
        Where the observed mean log loss lies in its prior predictive, in sd.
    mode_notes : tuple of str
        What the starts said of other modes.
    seconds : dict
        Wall seconds of start, compile and sampling, and ``sampling_cpu``.
    """

    law: Law
    runs: Runs
    model: Model
    data: xr.DataTree
    settings: Settings
    notes: tuple[str, ...] = ()
    prior_z: float = 0.0
    mode_notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        from bayescale.diagnostics import summary
        from bayescale.display import fit_html

        return fit_html(self, diagnose(self), summary(self))

    def __repr__(self) -> str:
        factors = "".join(f", {len(levels)} of {name}" for name, levels in self.groups.items())
        return f"<Fit of {self.law.name} to {len(self.runs)} rows{factors}; see summary, diagnose>"

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def unit(self) -> str:
        """Unit of the response: the runs' own where they name one, else the law's."""
        response = self.law.response
        return self.runs.units.get(response.column, response.unit)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Grouping columns and their levels, as fitted."""
        return {f.name: list(f.levels) for f in self.model.structure.grouping}

    @property
    def combinations(self) -> list[dict[str, str]]:
        """Labels by grouping column of every combination that has runs; one, empty, without."""
        names = [factor.name for factor in self.model.structure.factors]
        return [
            {name: str(label) for name, label in zip(names, labels, strict=True) if name}
            for labels in self.model.groups
        ]

    @cached_property
    def straight(self) -> Fit:
        """The law fitted without bends, for questions of where an optimum lies.

        A bend takes over a part of what the runs say about the law's own shape, and beyond them
        wanders; the law's optimum is then no longer the data's. Sampled when first asked for.

        Raises
        ------
        ConvergenceError
            If its diagnostics refuse.
        """
        structure = self.model.structure
        if structure.bend is None:
            return self
        return fit(
            self.law,
            self.runs,
            pool=noise_pool(structure) or None,
            noise=structure.noise_name,
            discrepancy="none",
            checkpoints="all" if structure.serial else "final",
            seed=self.seed,
            draws=self.settings.draws,
            warmup=self.settings.warmup,
            chains=self.settings.chains,
            progress=False,
            correlate=correlates(structure),
        )

    @cached_property
    def position(self) -> Position:
        """All draws in the sampler's unconstrained coordinates; leading shape (sample,)."""
        tree = self.data["coordinates"].dataset

        def merged(name: str) -> np.ndarray:
            if name not in tree:  # an empty array is not stored
                return np.zeros((tree.sizes["chain"] * tree.sizes["draw"], 0))
            values = tree[name].transpose("chain", "draw", ...).to_numpy()
            return values.reshape(-1, *values.shape[2:])

        factors = self.model.structure.factors
        return Position(
            merged("population"),
            tuple(merged(f"effects_{f.name}") for f in factors),
            tuple(merged(f"log_sd_{f.name}") for f in factors),
            tuple(merged(f"corr_{f.name}") for f in factors),
        )


@interruptible()
def fit(
    law: Law,
    runs: Runs | pd.DataFrame,
    pool: Mapping[str, Sequence[str]] | str | None = None,
    prior: Mapping[str, Any] | StatedPriors | None = None,
    noise: str | None = None,
    discrepancy: str | None = None,
    checkpoints: str = "final",
    on_failed: str = "error",
    seed: int = 0,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    progress: bool = True,
    strict: bool = True,
    correlate: bool | None = None,
    target_accept: float | None = None,
    max_seconds: float | None = None,
) -> Fit:
    """Sample the posterior of a law's parameters given runs, by NUTS.

    Parameters
    ----------
    law : Law
    runs : Runs or DataFrame
        With the law's columns, its response, and the grouping columns that its pooling names.
    pool : dict or str, optional
        What varies by which columns, e.g. ``{"alpha": ["family"]}``; "complete" (nothing) or "none"
        (families apart); noise parameters (``sigma``) may be named too. The card's where None.
    prior : dict, optional
        Changed priors: a text is a prior on the parameter itself in the card's units; a dict may
        say ``{"prior": ..., "on": "share"}``. Also of the scatter (``sigma``, ``nu``, ...) and of a
        bend's scales, ``sd(bend)``. Or what `elicit` or `preset` gave.
    noise : str, optional
        How runs scatter about the law, on the line of the card's link: "t", "normal", "t+scale"; of
        rates also "beta", "binomial", "beta-binomial"; of counts "negative-binomial". "frontier"
        where many runs were tuned less well than they could be: the law is then that of well-tuned
        runs, and configurations lie above it (`tails.FrontierTail`). The card's own where None.
    discrepancy : {"bend", "none"}, optional
        Whether the law itself may be wrong (`bayescale.bends`). Where None it is as the card says,
        and else "bend" for a law of a floor and one or two variables, "none" for others and for all
        checkpoints, whose own deviation is large and remembered. With "bend" parameters are known
        less well and intervals beyond the runs are wider: they mostly held on real ladders, where
        those of a law taken to be exactly true did not (README).
    checkpoints : {"final", "all"}
        One row a run; or all its checkpoints, which deviate together: see `noise.Memory`. A law of
        N and D is one of finished runs, whose learning rate has come down: take "all" where
        checkpoints are as good, as with a constant learning rate and a short decay from each.
    on_failed : {"error", "drop"}
        What to do with runs whose status is not ok.
    seed : int
        The same seed gives the same bits on the same machine and versions.
    draws, warmup, chains : int
        For each chain.
    progress : bool
        A progress bar on standard error.
    strict : bool
        Where diagnostics refuse, sample once more, twice as long (a note says so), and raise
        `ConvergenceError` (with the fit in it) if they still do.
    correlate : bool, optional
        Learn correlations of the card's pairs between groups; from 8 levels on where None.
    target_accept : float, optional
        Acceptance that NUTS aims for. Where None, 0.94, and again with 0.99 if draws diverge.
    max_seconds : float, optional
        Wall time after which the fit is given up, between two pieces of its chains.

    Returns
    -------
    Fit

    Raises
    ------
    DataError
        For rows that can't be fitted, all faults at once.
    BayescaleError
        If the draws need more memory than is free, or `max_seconds` went by; before a run that will
        take long or much memory, the progress bar says how much.
    ConvergenceError
        See `strict`.
    KeyboardInterrupt
        Where the user interrupts: at the fit's next safe place, or at once when asked again.

    Notes
    -----
    Log loss is the log of the law's value plus scatter (`noise`); under a card's other link the sum
    is on that link's line. Priors hold at the data's reference: the geometric mean of the rows'
    columns and of their losses.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> bs.diagnose(fit).ok
    True
    """
    _check_options(draws=draws, warmup=warmup, chains=chains)
    check_limit(max_seconds)
    began = perf_counter()
    framed = frame(law, runs, pool, prior, noise, checkpoints, on_failed, correlate, discrepancy)
    model = framed.model
    settings = Settings(draws, warmup, chains, seed, target_accept or TARGET_ACCEPT)
    _require_memory(model, settings)
    guess = placeholder(model)
    guess = guess.of_distinct if may_differ(model) else guess
    shapes = {**model.arrays.inputs(), "quadratic": guess.inputs()}
    with ThreadPoolExecutor(max_workers=1) as beside:  # compile while looking for the mode
        compiling = beside.submit(prepare, model.structure, shapes)
        starts = find_starts(model, seed, cheaply=True)
        started_in = perf_counter() - began
        compiled_in = compiling.result()
    inputs = {**model.arrays.inputs(), "quadratic": starts.geometry.inputs()}

    def draw_start(chain: int, scale: float) -> np.ndarray:
        return starts.draw(model.structure, chain, seed, scale)

    title = f"fitting {framed.law.name} to {len(framed.runs)} rows"

    def attempt(settings: Settings, again: tuple[str, ...]) -> Fit:
        _require_memory(model, settings)
        with reporter(progress, title, memory_to_fit(model, settings)) as shown:
            report = limited(shown, began, max_seconds, "transitions; " + SHORTER)
            sampled = sample(model.structure, inputs, draw_start, settings, report)
            diverged = int(np.sum(sampled.diverging))
            careless = target_accept is None and settings.target_accept < CAREFUL_ACCEPT
            if careless and too_many_divergences(diverged, sampled.diverging.size):
                settings = replace(settings, target_accept=CAREFUL_ACCEPT)
                sampled = sample(model.structure, inputs, draw_start, settings, report)
                again = (*again, sampled_again(diverged))
        seconds = {
            "start": started_in,
            "compile": compiled_in,
            "sampling": sampled.sampling_seconds,
            "sampling_cpu": sampled.sampling_cpu_seconds,
            "total": perf_counter() - began,
        }
        position = place(model, starts, sampled.flat)
        return complete(framed, position, sampled, settings, mode_notes(starts), again, seconds)

    result = attempt(settings, ())
    if strict and abs(result.prior_z) <= PRIOR_CONFLICT and not diagnose(result).ok:
        used = result.settings
        longer = replace(used, draws=LONGER * used.draws, warmup=LONGER * used.warmup)
        refused = diagnose(result).problems[0].split(";")[0]
        result = attempt(longer, (f"sampled again, {LONGER} times as long: {refused}",))
    if strict:
        require_convergence(result)
    return result


def noise_pool(structure: Structure) -> dict[str, list[str]]:
    """Grouping columns of the noise's parameters."""
    own = [p.name for p in structure.likelihood.parameters]
    pool: dict[str, list[str]] = {}
    for factor in structure.grouping:
        for i in factor.varied:
            if structure.names[i] in own:
                pool.setdefault(structure.names[i], []).append(factor.name)
    return pool


def correlates(structure: Structure) -> bool | None:
    """Whether correlations between groups were learnt; None where there are no groups."""
    if any(f.pairs for f in structure.factors):
        return True
    return False if structure.grouping else None


def _require_memory(model: Model, settings: Settings) -> None:
    what = (
        f"{settings.chains} chains of {settings.draws} draws of {len(model.arrays.position)} rows"
    )
    require_memory(memory_to_fit(model, settings), what, "ask for fewer draws or chains")


def _check_options(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise BayescaleError(f"{name} must be at least 1, not {value}")


def place(model: Model, starts: Starts, flat: np.ndarray) -> Position:
    """Where the sampler's draws (..., size) stand; leading shape (sample,)."""
    flat, quadratic = flat.reshape(-1, flat.shape[-1]), starts.geometry.inputs()
    pieces = -(-len(flat) * model.arrays.mask.size // AT_ONCE)
    placed = [
        unwhiten(model.structure, part, quadratic, np)[0] for part in np.array_split(flat, pieces)
    ]
    return joined(placed)


def sampled_again(diverged: int) -> str:
    """Why chains were run twice."""
    return (
        f"{diverged} draws diverged with target_accept {TARGET_ACCEPT}: sampled again with"
        f" {CAREFUL_ACCEPT}"
    )


def complete(
    framed: Framed,
    position: Position,
    sampled: Sampled,
    settings: Settings,
    mode_notes: tuple[str, ...] = (),
    again: tuple[str, ...] = (),
    seconds: Mapping[str, float] | None = None,
) -> Fit:
    """The fit that draws at `position` (sample, ...) make."""
    return Fit(
        law=framed.law,
        runs=framed.runs,
        model=framed.model,
        data=posterior_tree(framed.model, framed.runs.table, position, sampled),
        settings=settings,
        notes=(*framed.notes, *again),
        prior_z=prior_conflict(framed.model),
        mode_notes=mode_notes,
        seconds=seconds or {},
    )


def require_convergence(fit: Fit) -> None:
    """Raise `ConvergenceError` where diagnostics refuse the fit."""
    diagnosis = diagnose(fit)
    if not diagnosis.ok:
        text = "; ".join(diagnosis.problems)
        raise ConvergenceError(f"diagnostics refuse this fit: {text}", fit)


def mode_notes(starts: Starts) -> tuple[str, ...]:
    """What the starts say of other modes."""
    if len(starts.modes) < 2:
        return ()
    first, second = starts.modes[:2]
    gap = first.objective - second.objective
    return (
        f"a second mode lies {gap:.1f} below the best in log posterior; chains started in both",
    )
