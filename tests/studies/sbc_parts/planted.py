"""Bugs planted in the package's log density, each to be caught by calibration.

A tiny law is enough: `E + A x**-alpha` in one group (four unknowns) or in four (nine), with the
package's own priors, coordinates and likelihood in numpy. Truths and runs come from the healthy
package. The posterior of all replicates is sampled at once by an affine-invariant ensemble (Goodman
and Weare 2010), with no compilation, so that a bug costs seconds. What is tested is the density and
the calibration test itself; the sampler, whitening and bookkeeping of `fit_many` are tested by
`sbc.py run`.

Ranks can't see a bug that changes nothing they measure. Arithmetic in float32 is one on so small a
model; it is caught by the other thing that `sbc.py run` records, whether stored log likelihoods are
those of a float64 recomputation (`inexact`), to 1e-6. And fifty ranks don't see a prior that is a
little wrong; that is caught by the third thing, `sbc.py priors`, to 1e-6 again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from record import RESULTS, provenance, read, without, write

from bayescale import density
from bayescale.catalog import load_law
from bayescale.density import Position
from bayescale.model import Model, Reference
from sbc_parts.bands import ecdf_p_value
from sbc_parts.independent import EXACT
from sbc_parts.independent import log_prior as numpyro_log_prior
from sbc_parts.simulate import Question, draw, quantities

FOUND = RESULTS / "sbc_planted.csv"
LEVEL = 0.01
MOST = 63
WALKERS, BURN, STEPS = 32, 400, 500
LONGER = 3  # in groups, whose ensemble forgets its start more slowly


@dataclass(frozen=True)
class Bug:
    """What is wrong, in which model, and how it is put there."""

    about: str
    grouped: bool
    plant: Callable[[Model], contextlib.AbstractContextManager]


def _replaced(name: str, function: Callable) -> contextlib.AbstractContextManager:
    return mock.patch(f"bayescale.{name}", function)


def _wrong_jacobian(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.log_prior_population

    def wrong(structure: Any, population: Any, reference: Any, xp: Any) -> Any:
        at = structure.free.index(structure.names.index("alpha"))
        prior = structure.parameters[structure.names.index("alpha")].prior
        jacobian = prior.log_jacobian(population[..., at], xp)
        return healthy(structure, population, reference, xp) - jacobian

    return _replaced("density.log_prior_population", wrong)


def _swapped_prior(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.log_prior_population

    def wrong(structure: Any, population: Any, reference: Any, xp: Any) -> Any:
        order = list(range(population.shape[-1]))
        order[0], order[2] = order[2], order[0]  # the floor's prior on the exponent
        return healthy(structure, population[..., order], reference, xp)

    return _replaced("density.log_prior_population", wrong)


def _prior_twice(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.log_prior_population

    def wrong(*arguments: Any) -> Any:
        return 2.0 * healthy(*arguments)

    return _replaced("density.log_prior_population", wrong)


def _likelihood_twice(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.cell_log_likelihood
    return _replaced("density.cell_log_likelihood", lambda *a: 2.0 * healthy(*a))


def _sd_for_variance(model: Model) -> contextlib.AbstractContextManager:
    return _replaced("noise.RunScatter.variance", lambda self, values, rows, xp: values["sigma"])


def _off_by_one_row(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.cell_log_likelihood

    def wrong(structure: Any, eta: Any, inputs: Any, xp: Any) -> Any:
        moved = {k: np.roll(v, 1, axis=-1) for k, v in inputs["columns"].items()}
        return healthy(structure, eta, {**inputs, "columns": moved}, xp)

    return _replaced("density.cell_log_likelihood", wrong)


def _off_by_one_group(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.group_coordinates

    def wrong(*arguments: Any) -> Any:
        return np.roll(healthy(*arguments), 1, axis=-2)

    return _replaced("density.group_coordinates", wrong)


def _group_sd_jacobian(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.hyper_log_prior

    def wrong(structure: Any, factor: Any, log_sd: Any, corr: Any, xp: Any) -> Any:
        return healthy(structure, factor, log_sd, corr, xp) - 2.0 * xp.sum(log_sd, axis=-1)

    return _replaced("density.hyper_log_prior", wrong)


def _dropped_run_effect(model: Model) -> contextlib.AbstractContextManager:
    """The deviation that seeds of a configuration share is left out of their covariance."""
    return _replaced(
        "noise.CellScatter.variance", lambda self, values, rows, xp: 0.0 * values["sd(cell)"]
    )


def _log10(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.cell_log_likelihood

    def wrong(structure: Any, eta: Any, inputs: Any, xp: Any) -> Any:
        losses = np.log(inputs["reference"]["typical"])
        scaled = losses + (inputs["observed"] - losses) / np.log(10.0)
        return healthy(structure, eta, {**inputs, "observed": scaled}, xp)

    return _replaced("density.cell_log_likelihood", wrong)


def _float32(model: Model) -> contextlib.AbstractContextManager:
    healthy = density.cell_log_likelihood

    def wrong(structure: Any, eta: Any, inputs: Any, xp: Any) -> Any:
        shorter = {k: v.astype(np.float32) for k, v in inputs["columns"].items()}
        losses = inputs["observed"].astype(np.float32)
        small = {**inputs, "columns": shorter, "observed": losses}
        return healthy(structure, eta.astype(np.float32), small, xp).astype(np.float64)

    return _replaced("density.cell_log_likelihood", wrong)


BUGS = {
    "none": Bug("nothing is wrong", False, lambda model: contextlib.nullcontext()),
    "none, groups": Bug("nothing is wrong", True, lambda model: contextlib.nullcontext()),
    "none, repeats": Bug("nothing is wrong", False, lambda model: contextlib.nullcontext()),
    "wrong Jacobian": Bug("the exponent's prior without its Jacobian", False, _wrong_jacobian),
    "swapped prior": Bug("priors of floor and exponent exchanged", False, _swapped_prior),
    "prior twice": Bug("the population's prior counted twice", False, _prior_twice),
    "likelihood twice": Bug("every row counted twice", False, _likelihood_twice),
    "sd for variance": Bug("sigma where sigma**2 belongs", False, _sd_for_variance),
    "off by one row": Bug("losses beside the next row's size", False, _off_by_one_row),
    "off by one group": Bug("parameters of the next group", True, _off_by_one_group),
    "group sd's Jacobian": Bug("the sign of the log sd's Jacobian", True, _group_sd_jacobian),
    "dropped run effect": Bug("what repeated runs share left out", False, _dropped_run_effect),
    "log10": Bug("decimal logarithms of the losses", False, _log10),
    "float32": Bug("the likelihood in float32", False, _float32),
}


REPEATED = ("dropped run effect", "none, repeats")  # whose configurations were run twice


def tiny(grouped: bool, repeated: bool) -> Question:
    """One curve of four points over a decade, or four whose floors differ."""
    law = load_law("power_law").varying({"E": ["family"], "A": [], "alpha": []})
    x = np.geomspace(1e7, 1e8, 4)
    families = ("a", "b", "c", "d") if grouped else ("a",)
    table = pd.DataFrame([{"family": f, "C": v} for f in families for v in x])
    if repeated:
        table = pd.concat([table, table.assign(seed=1)], ignore_index=True)
    table["loss"] = 2.9
    reference = Reference({"x": float(np.exp(np.log(table["C"]).mean()))}, 2.9, 2.4)
    return Question(law, table, reference, {"noise": "normal", "discrepancy": "none"})


def study(names: list[str] | None, repeats: int, counts: list[int], minutes: float) -> None:
    began = perf_counter()
    for name in names or BUGS:
        table = read(FOUND)
        done = table[table["bug"] == name] if len(table) else table
        if (
            len(done)
            and done["repeats"].min() >= repeats
            and set(counts) <= set(done["replicates"])
        ):
            continue
        if perf_counter() - began > 60 * minutes:
            return
        clock = process_time()
        rows = caught(name, repeats, counts)
        write(FOUND, pd.concat([without(read(FOUND), {"bug": name}), pd.DataFrame(rows)]))
        for row in rows:
            told = f"{row['caught']} of {row['repeats']} caught at {row['replicates']} replicates"
            print(f"{name}: {told}, {process_time() - clock:.0f} processor s", flush=True)
    missed = _missed(read(FOUND), names or list(BUGS), max(counts))
    if missed:
        raise SystemExit(f"not as it should be at {max(counts)} replicates: {', '.join(missed)}")


def _missed(table: pd.DataFrame, names: list[str], count: int) -> list[str]:
    """Bugs caught in less than 9 of 10 repeats, and health taken for a bug in more than 1."""
    missed = []
    for _, row in table[(table["replicates"] == count) & table["bug"].isin(names)].iterrows():
        healthy = row["bug"].startswith("none")
        share = row["caught"] / row["repeats"]
        if (healthy and share > 0.1) or (not healthy and share < 0.9):
            missed.append(row["bug"])
    return missed


def caught(name: str, repeats: int, counts: list[int]) -> list[dict]:
    """How often a bug is caught, at each number of replicates."""
    bug = BUGS[name]
    most = max(counts)
    asked = tiny(bug.grouped, repeated=name in REPEATED)
    model = asked.model
    rng = np.random.default_rng([7, *name.encode()])
    truths = draw(asked, rng, repeats * most)
    losses = np.stack([_laid_out(model, t) for t in truths.tables])
    with bug.plant(model):
        draws, stored = _sampled(model, truths.position, losses, rng)
        priors = density.log_prior(model.structure, truths.position, model.arrays.inputs(), np)
    astray = np.abs(priors - numpyro_log_prior(model, truths.position))
    before = _each(asked, model, truths.position, losses)
    ranks: dict[str, np.ndarray] = {}
    ties: dict[str, np.ndarray] = {}
    inexact = np.zeros(len(losses))
    for k in range(MOST):
        after = _each(asked, model, _at(draws, k), losses)
        inexact = np.maximum(inexact, np.abs(after["log_likelihood"] - stored[k]))
        for quantity, value in before.items():
            if quantity in after:
                ranks[quantity] = ranks.get(quantity, 0) + (after[quantity] < value)
                ties[quantity] = ties.get(quantity, 0) + (after[quantity] == value)
    for quantity, equal in ties.items():  # a truth among its equals has any place
        ranks[quantity] = ranks[quantity] + rng.integers(0, equal + 1)
    rows = []
    for count in counts:
        smallest, far, wrong = [], [], []
        for repeat in range(repeats):
            part = slice(repeat * most, repeat * most + count)
            p = [ecdf_p_value(r[part], MOST) for r in ranks.values()]
            smallest.append(min(p) * len(p))
            far.append(inexact[part].max())
            wrong.append(astray[part].max())
        by_ranks, recomputed = np.array(smallest) < LEVEL, np.array(far) > EXACT
        by_priors = np.array(wrong) > EXACT
        rows.append(
            {
                "bug": name,
                "about": bug.about,
                "replicates": count,
                "repeats": repeats,
                "caught": int((by_ranks | recomputed | by_priors).sum()),
                "by_ranks": int(by_ranks.sum()),
                "by_recomputation": int(recomputed.sum()),
                "by_priors": int(by_priors.sum()),
                "median_p": float(np.median(smallest)),
                **provenance(7),
            }
        )
    return rows


def _laid_out(model: Model, table: pd.DataFrame) -> np.ndarray:
    log_loss = np.array(model.arrays.observed)
    log_loss[tuple(model.arrays.position.T)] = np.log(table["loss"].to_numpy())
    return log_loss


def _each(asked: Question, model: Model, position: Position, losses: np.ndarray) -> dict:
    """Quantities of every replicate at its own data; healthy arithmetic."""
    found = quantities(asked, model, position)
    inputs = {**model.arrays.inputs(), "observed": losses}
    found["log_likelihood"] = density.log_likelihood(model.structure, position, inputs, np)
    return found


def _flat(position: Position) -> np.ndarray:
    """Positions (replicate,) as rows of numbers."""
    parts = [position.population]
    for group in (position.effects, position.log_sd, position.corr):
        parts += [a.reshape(len(a), -1) for a in group]
    return np.concatenate(parts, axis=1)


def _unflat(flat: np.ndarray, like: Position) -> Position:
    at = 0

    def take(shape: tuple[int, ...]) -> np.ndarray:
        nonlocal at
        size = int(np.prod(shape, dtype=int))
        piece = flat[..., at : at + size].reshape(*flat.shape[:-1], *shape)
        at += size
        return piece

    population = take(like.population.shape[1:])
    groups = [tuple(take(a.shape[1:]) for a in part) for part in like[1:]]
    return Position(population, *groups)


def _at(draws: tuple[np.ndarray, Position], k: int) -> Position:
    return _unflat(draws[0][k], draws[1])


def _sampled(
    model: Model, truths: Position, losses: np.ndarray, rng: np.random.Generator
) -> tuple[tuple[np.ndarray, Position], np.ndarray]:
    """Draws (draw, replicate, dimension) of every replicate's posterior, and log likelihoods."""
    inputs = {**model.arrays.inputs(), "observed": losses}

    def both(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position = _unflat(flat, truths)
        with np.errstate(all="ignore"):
            prior = density.log_prior(model.structure, position, inputs, np)
            likelihood = density.log_likelihood(model.structure, position, inputs, np)
        total = prior + likelihood
        return np.where(np.isfinite(total), total, -np.inf), likelihood

    start = _flat(truths)
    replicates, size = start.shape
    factor = LONGER if model.structure.factors else 1
    walkers = start + 0.1 * rng.standard_normal((WALKERS, replicates, size))
    density_there, likelihood = both(walkers)
    half = WALKERS // 2
    kept, stored = [], []
    burn, every = factor * BURN, factor * STEPS // MOST
    for step in range(burn + every * MOST):
        for mine, other in (
            (slice(0, half), slice(half, None)),
            (slice(half, None), slice(0, half)),
        ):
            stretch = (rng.random((half, replicates)) + 1.0) ** 2 / 2.0  # a = 2
            partner = rng.permuted(np.tile(np.arange(half)[:, None], replicates), axis=0)
            others = np.take_along_axis(walkers[other], partner[..., None], axis=0)
            proposal = others + stretch[..., None] * (walkers[mine] - others)
            there, told = both(proposal)
            ratio = (size - 1) * np.log(stretch) + there - density_there[mine]
            taken = np.log(rng.random((half, replicates))) < ratio
            walkers[mine] = np.where(taken[..., None], proposal, walkers[mine])
            density_there[mine] = np.where(taken, there, density_there[mine])
            likelihood[mine] = np.where(taken, told, likelihood[mine])
        if step >= burn and (step - burn) % every == 0:
            one = rng.integers(0, WALKERS)  # another walker each time
            kept.append(walkers[one].copy())
            stored.append(likelihood[one].copy())
    return (np.array(kept), truths), np.array(stored)


@contextlib.contextmanager
def planted(name: str, model: Model) -> Iterator[None]:
    """The bug, for tests."""
    with BUGS[name].plant(model):
        yield
