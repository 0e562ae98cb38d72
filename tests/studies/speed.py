"""How fast the posterior is sampled, beside others' samplers, and what a whole process costs.

Each part writes its own table and resumes; ``--again`` redoes. Part 1 needs BAYESCALE_DATA::

    python tests/studies/speed.py posterior                  # ours
    python tests/studies/speed.py posterior --baselines      # and NumPyro's NUTS, PyMC with nutpie
    python tests/studies/speed.py variants --baselines       # Student-t; run effects; groups; rows
    python tests/studies/speed.py gradients                  # beside a hand-written one
    python tests/studies/speed.py processes                  # import to printed prediction
    python tests/studies/speed.py many                       # 1,000 fits at once, and one by one

1. ``posterior``: 832 rows of Gadre et al. in 24 families (corpus x evaluation set); E, A, alpha, B,
   beta and sigma all pooled over families; normal scatter: 156 parameters.

Effective draws are rank-normalised bulk ESS, the smallest over the same coordinates whatever the
sampler's own: population, log group sds and every family's values. Processor seconds of sampling
hold the warm-up; those of setting up (starts, compiling) stand apart. Where chains disagree (R-hat
of 1.01 or more) there is no ratio. Samplers take turns, all in one process. Machines differ more
than twofold in speed, and one machine from hour to hour: compare rows of one machine and day only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import record
from speed_parts import gradients, many, processes
from speed_parts.benchmark import Benchmark, overtraining, simulated
from speed_parts.samplers import CHAINS, EXPONENTS, Run, by_numpyro, by_nutpie, ours, settled

from bayescale.diagnostics import MAX_RHAT, convergence
from bayescale.errors import BayescaleError

OUT = record.RESULTS / "speed.csv"
CAP = 3600.0
OURS = "bayescale"
KEY = ("benchmark", "sampler", "warmup", "seed")
BASELINES: dict[str, Callable[[Benchmark, int, float], Run]] = {
    "numpyro, centred": lambda b, seed, cap: by_numpyro(b, ~EXPONENTS & False, 1000, seed, cap),
    "numpyro, exponents apart": lambda b, seed, cap: by_numpyro(b, EXPONENTS, 1000, seed, cap),
    "pymc + nutpie, centred": lambda b, seed, cap: by_nutpie(b, 1000, seed, cap),
}
VARIANTS: tuple[Callable[[], Benchmark], ...] = (
    lambda: overtraining("t"),
    lambda: simulated(30, 11, repeats=3),
    lambda: simulated(3, 100),
    lambda: simulated(30, 33),
    lambda: simulated(300, 33),
    lambda: simulated(30, 333),
    lambda: simulated(30, 3333),
)


def largest_z(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of means in Monte Carlo standard errors."""
    from arviz_stats.base import array_stats

    options = {"chain_axis": 0, "draw_axis": 1, "method": "mean"}
    errors = [np.asarray(array_stats.mcse(draws, **options)) for draws in (one, other)]
    difference = one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))
    return float(np.max(np.abs(difference) / np.hypot(*errors)))


def row(bench: Benchmark, sampler: str, run: Run, warmup: int, seed: int) -> dict[str, object]:
    """One row of the table."""
    table = convergence(run.draws)
    ess, rhat = float(table["ess_bulk"].min()), float(table["r_hat"].max())
    draws, agree = run.draws.shape[1], rhat < MAX_RHAT
    gradients_taken = run.gradients_per_draw * draws * CHAINS
    whole = run.sampling_cpu + run.setup_cpu
    return {
        "benchmark": bench.name,
        "sampler": sampler,
        "warmup": warmup,
        "draws": draws,
        "chains": CHAINS,
        "min_ess_bulk": ess,
        "worst": bench.names[int(table["ess_bulk"].argmin())],
        "max_rhat": rhat,
        "divergences": run.divergences,
        "converged": settled(run.draws),
        "gradients_per_draw": run.gradients_per_draw,
        "ess_per_1000_gradients": 1000 * ess / gradients_taken if agree else np.nan,
        "setup_seconds": run.setup_seconds,
        "setup_cpu_seconds": run.setup_cpu,
        "sampling_seconds": run.sampling_seconds,
        "sampling_cpu_seconds": run.sampling_cpu,
        "ess_per_cpu_second": ess / run.sampling_cpu if agree else np.nan,
        "ess_per_cpu_second_with_setup": ess / whole if agree else np.nan,
        **record.provenance(seed),
    }


def add(out: Path, new: dict[str, object]) -> None:
    """Put a row into the table, in place of an older one of the same settings."""
    table = record.without(record.read(out), {name: new[name] for name in KEY})
    record.write(out, pd.concat([table, pd.DataFrame([new])], ignore_index=True))
    shown = ("min_ess_bulk", "max_rhat", "divergences", "gradients_per_draw", "ess_per_cpu_second")
    said = ", ".join(f"{name} {float(str(new[name])):.4g}" for name in shown)
    print(f"{new['benchmark']}: {new['sampler']}, warm-up {new['warmup']}: {said}", flush=True)


def compare(bench: Benchmark, given: argparse.Namespace) -> None:
    """Time our sampler at each warm-up, and the others where asked for."""

    def wanted(sampler: str, warmup: int) -> bool:
        values = (bench.name, sampler, warmup, given.seed)
        key = dict(zip(KEY, values, strict=True))
        return given.again or not record.matches(record.read(given.out), key).any()

    reference = None
    for warmup in given.warmup:
        if wanted(OURS, warmup) or given.baselines:
            reference = ours(bench, warmup, given.draws, given.seed)
        if wanted(OURS, warmup):
            add(given.out, row(bench, OURS, reference, warmup, given.seed))
    for name, sample in BASELINES.items() if given.baselines else ():
        if (given.only is None or name in given.only) and wanted(name, 1000):
            run = sample(bench, given.seed, given.cap)
            said = row(bench, name, run, 1000, given.seed)
            add(given.out, said | {"z_against_ours": largest_z(run.draws, reference.draws)})


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description="Time samplers, gradients, processes, many fits.")
    parts = ("posterior", "variants", "gradients", "processes", "many")
    parser.add_argument("part", choices=parts)
    parser.add_argument("--warmup", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", type=int, default=1000, help="of `many`")
    parser.add_argument("--baselines", action="store_true", help="also other samplers")
    parser.add_argument("--cap", type=float, default=CAP, help="seconds for each baseline")
    parser.add_argument("--only", nargs="+", choices=list(BASELINES), help="these baselines alone")
    parser.add_argument("--max-rows", type=int, help="of a variant with baselines")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    try:
        if given.part == "posterior":
            compare(overtraining(), given)
        elif given.part == "variants":
            for build in VARIANTS:
                bench = build()
                small = given.max_rows is None or bench.mask.sum() <= given.max_rows
                told = {**vars(given), "baselines": given.baselines and small}
                compare(bench, argparse.Namespace(**told))
        elif given.part == "gradients":
            gradients.main(given.seed)
        elif given.part == "processes":
            processes.main(given.seed)
        else:
            many.main(given.problems, given.seed)
    except BayescaleError as error:
        raise SystemExit(f"nothing is timed: {error}") from None


if __name__ == "__main__":
    main()
