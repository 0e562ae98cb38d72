"""How fast the posterior of the over-training benchmark is sampled.

832 rows of Gadre et al. in 24 families (corpus x evaluation set); E, A, alpha, B, beta and sigma
all pooled over families; normal scatter: 156 parameters. Needs BAYESCALE_DATA::

    python tests/studies/overtraining_speed.py                       # our sampler
    python tests/studies/overtraining_speed.py --baseline            # and plain NumPyro, up to 1 h

Effective draws are rank-normalised bulk ESS, the smallest over the same 156 coordinates whatever
the sampler's own: population (6), log group sds (6) and every family's values (144), terms as logs
of their size at the data's centre. Processor seconds of sampling hold the warm-up; those of setting
up (starts, compiling) stand apart. Where chains disagree (R-hat of 1.01 or more) there is no ratio.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import record

from bayescale import datasets
from bayescale.catalog import load_law
from bayescale.density import Position, group_coordinates
from bayescale.diagnostics import MAX_RHAT, MIN_ESS, convergence
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit, fit
from bayescale.model import Model, has_share
from bayescale.numpyro_model import numpyro_model
from bayescale.precision import x64

OUT = record.RESULTS / "overtraining_speed.csv"
POOLED = ("E", "A", "alpha", "B", "beta", "sigma")
CHAINS = 4
PARAMETERS = 156
CAP = 3600.0
PIECE = 100
CHECK_EVERY = 500
OURS = "bayescale"
THEIRS = "numpyro, centred effects"
KEY = ("sampler", "warmup", "seed")


@dataclass(frozen=True)
class Run:
    """What one sampler gave: canonical draws (chain, draw, parameter), and what they cost."""

    draws: np.ndarray
    divergences: int
    gradients_per_draw: float
    setup_seconds: float
    setup_cpu: float
    sampling_seconds: float
    sampling_cpu: float


def canonical_names(model: Model) -> list[str]:
    """Names of the canonical coordinates, in order."""
    names = list(model.structure.names)
    families = [",".join(group) for group in model.groups]
    hyper = [f"log sd({name}|family)" for name in names]
    return [*names, *hyper, *(f"{name}[{family}]" for family in families for name in names)]


def canonical(model: Model, position: Position, chains: int) -> np.ndarray:
    """Canonical coordinates of draws, shape (chain, draw, parameter)."""
    eta = np.asarray(group_coordinates(model.structure, position, model.arrays.levels, np))
    parts = [position.population, position.log_sd[0], eta.reshape(len(eta), -1)]
    flat = np.concatenate(parts, axis=1)
    if flat.shape[1] != PARAMETERS:
        raise SystemExit(f"the benchmark has {PARAMETERS} parameters, not {flat.shape[1]}")
    return flat.reshape(chains, -1, PARAMETERS)


def our_fit(warmup: int, draws: int, seed: int) -> tuple[Fit, Run]:
    """Fit by the package's sampler."""
    law, runs = load_law("chinchilla"), datasets.load("gadre_evaluations")
    began = process_time()
    fitted = fit(
        law,
        runs,
        pool={name: ["family"] for name in POOLED},
        noise="normal",
        correlate=False,
        seed=seed,
        draws=draws,
        warmup=warmup,
        chains=CHAINS,
        progress=False,
        strict=False,
    )
    stats = fitted.data["sample_stats"].dataset
    seconds = fitted.seconds
    run = Run(
        draws=canonical(fitted.model, fitted.position, CHAINS),
        divergences=int(stats["diverging"].sum()),
        gradients_per_draw=float(stats["n_steps"].mean()),
        setup_seconds=seconds["total"] - seconds["sampling"],
        setup_cpu=process_time() - began - seconds["sampling_cpu"],
        sampling_seconds=seconds["sampling"],
        sampling_cpu=seconds["sampling_cpu"],
    )
    return fitted, run


def numpyro_run(model: Model, warmup: int, seed: int, cap: float) -> Run:
    """Sample the same model by NumPyro's own NUTS, until it converges or `cap` seconds are spent.

    Its model is `bayescale.numpyro_model`: priors at the data's reference, group effects centred.
    Chains start at the prior median. One compiled program is called from a thread a core, which is
    kinder than NumPyro's own chains, each compiled anew.
    """
    import jax
    from numpyro.infer import NUTS, init_to_median

    began, cpu = perf_counter(), process_time()
    with x64():
        kernel = NUTS(numpyro_model(model), init_strategy=init_to_median)
        keys = jax.random.split(jax.random.PRNGKey(seed), CHAINS)
        states = [kernel.init(key, warmup, None, (), {}) for key in keys]

        def step(state: Any, _: None) -> Any:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging, state.num_steps)

        def piece(state: Any) -> Any:
            return jax.lax.scan(step, state, None, length=PIECE)

        advance = jax.jit(piece).lower(states[0]).compile()
        constrain = jax.jit(jax.vmap(kernel.postprocess_fn((), {})))
    compiling = perf_counter() - began, process_time() - cpu

    def advanced(state: Any) -> Any:
        with x64():
            state, out = advance(state)
            return state, jax.device_get(out)

    def draws() -> np.ndarray:
        with x64():
            sites = [jax.device_get(constrain(join([z for z, _, _ in chain]))) for chain in kept]
        return canonical(model, position_of(model, join(sites)), CHAINS)

    kept: list[list[Any]] = [[] for _ in range(CHAINS)]
    began, sampling, done = perf_counter(), np.zeros(2), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while True:
            clock = np.array([perf_counter(), process_time()])
            results = list(pool.map(advanced, states))
            sampling += np.array([perf_counter(), process_time()]) - clock
            states = [state for state, _ in results]
            done += PIECE
            if done > warmup:
                for chain, (_, out) in zip(kept, results, strict=True):
                    chain.append(out)
            over = perf_counter() - began > cap
            enough = done > warmup and (done - warmup) % CHECK_EVERY == 0
            if kept[0] and (over or (enough and converged(convergence(draws())))):
                break
            if over:
                raise SystemExit(f"NumPyro was still warming up after {cap:.0f} s: no draws")
    flat = [out for chain in kept for out in chain]
    return Run(
        draws=draws(),
        divergences=int(sum(np.sum(diverging) for _, diverging, _ in flat)),
        gradients_per_draw=float(np.mean([np.mean(steps) for _, _, steps in flat])),
        setup_seconds=compiling[0],
        setup_cpu=compiling[1],
        sampling_seconds=float(sampling[0]),
        sampling_cpu=float(sampling[1]),
    )


def join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One dictionary of arrays, put end to end."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def position_of(model: Model, sites: dict[str, np.ndarray]) -> Position:
    """The package's coordinates of draws of NumPyro's sites."""
    structure, (factor,) = model.structure, model.structure.factors
    population = []
    for i in structure.free:
        p = structure.parameters[i]
        name = f"share({p.name})" if has_share(p) and p.on == "share" else p.name
        population.append(np.asarray(p.prior.to_real(sites[name], np)))
    varied = [structure.names[factor.varied[k]] for k in factor.learned_index]
    log_sd = [np.log(sites[f"sd({name}|{factor.name})"]) for name in varied]
    effects = sites[f"effects({factor.name})"]
    nothing = np.zeros((len(effects), 0))
    return Position(np.stack(population, -1), (effects,), (np.stack(log_sd, -1),), (nothing,))


def converged(table: pd.DataFrame) -> bool:
    """Whether chains agree and have enough draws to be compared with."""
    return bool(table["r_hat"].max() < MAX_RHAT and table["ess_bulk"].min() >= MIN_ESS)


def largest_z(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of means in Monte Carlo standard errors."""
    from arviz_stats.base import array_stats

    options = {"chain_axis": 0, "draw_axis": 1, "method": "mean"}
    errors = [np.asarray(array_stats.mcse(draws, **options)) for draws in (one, other)]
    difference = one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))
    return float(np.max(np.abs(difference) / np.hypot(*errors)))


def row(sampler: str, run: Run, names: list[str], warmup: int, seed: int) -> dict[str, object]:
    """One row of the table."""
    table = convergence(run.draws)
    ess, rhat = float(table["ess_bulk"].min()), float(table["r_hat"].max())
    draws = run.draws.shape[1]
    agree = rhat < MAX_RHAT
    sampling_gradients = run.gradients_per_draw * draws * CHAINS
    return {
        "sampler": sampler,
        "warmup": warmup,
        "draws": draws,
        "chains": CHAINS,
        "min_ess_bulk": ess,
        "worst": names[int(table["ess_bulk"].argmin())],
        "max_rhat": rhat,
        "divergences": run.divergences,
        "converged": converged(table),
        "gradients_per_draw": run.gradients_per_draw,
        "ess_per_1000_gradients": 1000 * ess / sampling_gradients if agree else np.nan,
        "setup_seconds": run.setup_seconds,
        "setup_cpu_seconds": run.setup_cpu,
        "sampling_seconds": run.sampling_seconds,
        "sampling_cpu_seconds": run.sampling_cpu,
        "ess_per_cpu_second": ess / run.sampling_cpu if agree else np.nan,
        "ess_per_cpu_second_with_setup": ess / (run.sampling_cpu + run.setup_cpu)
        if agree
        else np.nan,
        **record.provenance(seed),
    }


def add(out: Path, new: dict[str, object]) -> None:
    """Put a row into the table, in place of an older one of the same settings."""
    key = {name: new[name] for name in KEY}
    table = record.without(record.read(out), key)
    record.write(out, pd.concat([table, pd.DataFrame([new])], ignore_index=True))
    shown = ("min_ess_bulk", "max_rhat", "divergences", "gradients_per_draw", "ess_per_cpu_second")
    said = ", ".join(f"{name} {float(str(new[name])):.4g}" for name in shown)
    print(f"{new['sampler']}, warm-up {new['warmup']}: {said}", flush=True)


def main() -> None:
    """Time our sampler at each warm-up, and the baseline where asked for."""
    parser = argparse.ArgumentParser(description="Time samplers on the over-training benchmark.")
    parser.add_argument("--warmup", type=int, nargs="+", default=[300, 500, 1000])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--baseline", action="store_true", help="also plain NumPyro")
    parser.add_argument("--baseline-warmup", type=int, default=1000)
    parser.add_argument("--cap", type=float, default=CAP, help="seconds for the baseline")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    if any(w % PIECE for w in (*given.warmup, given.baseline_warmup)):
        raise SystemExit(f"a warm-up is a multiple of {PIECE}")
    try:
        datasets.load("gadre_evaluations")
    except BayescaleError as error:
        raise SystemExit(f"nothing is timed: {error}") from None

    def wanted(sampler: str, warmup: int, seed: int) -> bool:
        key = {"sampler": sampler, "warmup": warmup, "seed": seed}
        return given.again or not record.matches(record.read(given.out), key).any()

    for seed in given.seeds:
        for warmup in given.warmup:
            if wanted(OURS, warmup, seed):
                fitted, run = our_fit(warmup, given.draws, seed)
                add(given.out, row(OURS, run, canonical_names(fitted.model), warmup, seed))
        if given.baseline and wanted(THEIRS, given.baseline_warmup, seed):
            fitted, ours = our_fit(max(given.warmup), given.draws, seed)
            run = numpyro_run(fitted.model, given.baseline_warmup, seed, given.cap)
            names = canonical_names(fitted.model)
            said = row(THEIRS, run, names, given.baseline_warmup, seed)
            add(given.out, said | {"z_against_ours": largest_z(run.draws, ours.draws)})


if __name__ == "__main__":
    main()
