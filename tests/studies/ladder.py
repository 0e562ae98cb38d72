"""Train the ladder of byte-level language models that the package's studies fit.

Four families (two recipes on two corpora), each over a grid of sizes and horizons with two seeds,
every run decayed to zero on its own horizon and measured on held-out documents of both corpora::

    python tests/studies/ladder.py corpora          # fetch and build the text
    python tests/studies/ladder.py estimate         # time each size, print what all would take
    python tests/studies/ladder.py run --workers 2  # sweeps and grid; resumes
    python tests/studies/ladder.py status
    python tests/studies/ladder.py drop-misplaced   # fitted runs far from the rule's rate, if any
    python tests/studies/ladder.py targets --workers 2   # only once predictions are committed

Learning rates: each size and family has a sweep of four rates at two horizons (``role=sweep``,
never fitted), read by the rule in ``ladder_parts.rates``. Runs of the grid start from other seeds.
A row's ``loss`` is its loss on its own corpus, in nats per byte; ``seconds`` is processor time to
that row. Rows with ``is_final`` 0 are readings inside a run, before its rate has decayed.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# One core a process: set before jax starts.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
from ladder_parts import corpus, feeds, nets, rates, schedules, table, train, worker
from ladder_parts.grid import HORIZONS, MEGABYTE, RECIPES, SIZES
from ladder_parts.trial import CHECKPOINTS, Trial

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bayescale" / "data" / "ladder.csv"
SOURCES = ROOT / "bayescale" / "data" / "ladder_corpora.csv"
PREDICTED = "tests/studies/predicted/ladder_targets.csv"

TARGET_SIZE = "3e5"
SWEEP_HORIZONS = (1, 2)
TARGET_HORIZON = 14
SWEEP_SEED = 0
FIT_SEEDS = (1, 2)
TARGET_SEEDS = (11, 12)
SWEEP_POINTS = (-1.5, -0.5, 0.5, 1.5)
SWEEP_RATIO = 2.2
RATE_WITHIN = 1.25
SWEEP_CENTRE: dict[tuple[str, str], float] = {
    ("transformer", "3e3"): 5e-2,
    ("transformer", "1e4"): 3.5e-2,
    ("transformer", "3e4"): 2e-2,
    ("transformer", "1e5"): 1.2e-2,
    ("gatedconv", "3e3"): 5e-2,
    ("gatedconv", "1e4"): 3.5e-2,
    ("gatedconv", "3e4"): 2e-2,
    ("gatedconv", "1e5"): 1.2e-2,
}


@dataclass(frozen=True)
class Job:
    """One run: a network, a corpus, a horizon in megabytes, and why it is trained."""

    recipe: str
    corpus: str
    size: str
    horizon: int
    seed: int
    role: str
    point: int = 0
    stage: str = "A"

    @property
    def family(self) -> str:
        """Name of the recipe on the corpus."""
        return f"{self.recipe}-{self.corpus}"

    @property
    def run(self) -> str:
        """Name of the run, unique in the table."""
        tail = f"lr{self.point}" if self.role == "sweep" else f"s{self.seed}"
        return f"{self.role}-{self.family}-n{self.size}-d{self.horizon}M-{tail}"

    @property
    def shape(self) -> nets.Shape:
        """Shape of the network."""
        return nets.SHAPES[self.recipe, self.size]

    @property
    def steps(self) -> int:
        """Optimisation steps."""
        return self.horizon * MEGABYTE

    @property
    def seen(self) -> int:
        """Bytes trained on."""
        return self.steps * nets.BATCH_BYTES

    @property
    def trial(self) -> Trial:
        """The run as a worker takes it."""
        marks = () if self.role == "sweep" else CHECKPOINTS
        return Trial(
            self.run,
            self.recipe,
            self.corpus,
            self.size,
            self.steps,
            self.seed,
            self.role,
            stage=self.stage,
            split="target" if self.role == "target" else "train",
            checkpoints=marks,
        )


def sweeps(size: str) -> list[Job]:
    """Learning-rate runs of one size."""
    return [
        Job(recipe, name, size, horizon, SWEEP_SEED, "sweep", point)
        for horizon in SWEEP_HORIZONS
        for recipe in RECIPES
        for name in corpus.CORPORA
        for point in range(len(SWEEP_POINTS))
    ]


def grid(size: str) -> list[Job]:
    """Fitted runs of one size."""
    return [
        Job(recipe, name, size, horizon, seed, "fit")
        for horizon in HORIZONS
        for seed in FIT_SEEDS
        for recipe in RECIPES
        for name in corpus.CORPORA
    ]


def queue() -> list[Job]:
    """All but the targets: the sweeps, which every rate is read from, then the grid by size."""
    return [*(job for size in SIZES for job in sweeps(size)), *(j for s in SIZES for j in grid(s))]


def targets() -> list[Job]:
    """Runs outside the grid, whose losses are predicted before they are trained."""
    return [
        Job(recipe, name, TARGET_SIZE, TARGET_HORIZON, seed, "target")
        for seed in TARGET_SEEDS
        for recipe in RECIPES
        for name in corpus.CORPORA
    ]


def swept_rate(job: Job) -> float:
    """Rate of a run of a sweep."""
    return SWEEP_CENTRE[job.recipe, job.size] * SWEEP_RATIO ** SWEEP_POINTS[job.point]


def optima(rows: Sequence[dict[str, str]]) -> dict[tuple[str, int, int], float]:
    """Best rates by family, size and horizon, of the sweeps that are complete."""
    found: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    for row in rows:
        if row["role"] == "sweep":
            reading = (float(row["lr"]), float(row["loss"] or "nan"))
            cell = row["family"], int(row["N"]), int(row["D"])
            found.setdefault(cell, []).append(reading)
    return {
        cell: rates.best_rate(*zip(*sorted(points), strict=True))
        for cell, points in found.items()
        if len(points) == len(SWEEP_POINTS)
    }


def peak_rate(job: Job, rows: Sequence[dict[str, str]]) -> float | None:
    """Peak rate of a run, none while the sweeps it needs are not complete."""
    if job.role == "sweep":
        return swept_rate(job)
    best = optima(rows)
    if len(best) < len(SIZES) * len(SWEEP_HORIZONS) * len(RECIPES) * len(corpus.CORPORA):
        return None
    n = nets.parameter_counts(job.shape)[0]
    return rates.planned_rate(best, job.family, n, job.seen)


def tasks(jobs: Sequence[Job]) -> list[worker.Task]:
    """Jobs with the rule for their rates."""
    return [worker.Task(job.trial, RESULTS, table.COLUMNS, partial(peak_rate, job)) for job in jobs]


def drop_misplaced() -> None:
    """Drop fitted runs that were trained at another rate than the rule's, so that `run` repeats."""
    rows = table.read(RESULTS)
    planned = {job.run: peak_rate(job, rows) for size in SIZES for job in grid(size)}
    misplaced = set()
    for row in rows:
        rate = planned.get(row["run"])
        if rate is not None and abs(math.log(float(row["lr"]) / rate)) > math.log(RATE_WITHIN):
            misplaced.add(row["run"])
    if misplaced and any(row["role"] == "target" for row in rows):
        raise SystemExit("targets have been measured: the runs they were predicted from stay")
    kept = [row for row in rows if row["run"] not in misplaced]
    table.write(RESULTS, list(rows[0]), kept)
    print(f"dropped {len(misplaced)} runs: " + ", ".join(sorted(misplaced)))


def committed(path: str) -> bool:
    """Tell whether a file of the repository is committed as it stands."""
    known = ["git", "ls-files", "--error-unmatch", path]
    same = ["git", "diff", "--quiet", "HEAD", "--", path]
    return all(
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
        for command in (known, same)
    )


def require_predictions() -> None:
    """Stop unless the targets' losses were predicted and committed."""
    if not committed(PREDICTED):
        raise SystemExit(f"targets wait: {PREDICTED} is not committed, or differs from its commit")
    rows = table.read(RESULTS)
    if any(peak_rate(job, rows) is None for job in targets()):
        raise SystemExit("targets wait: their rates need every sweep")


def spawn(command: str, workers: int) -> None:
    """Run several workers of a command and wait for them."""
    script = [sys.executable, str(Path(__file__).resolve()), command]
    started = [subprocess.Popen(script) for _ in range(workers)]
    if any([one.wait() for one in started]):
        raise SystemExit("a worker failed")


def build_corpora() -> None:
    """Fetch and build the text, and write the table of its sources."""
    folder = corpus.cache_folder()
    (folder / "downloads").mkdir(parents=True, exist_ok=True)
    sources: list[dict[str, object]] = []
    for name in corpus.CORPORA:
        built, given = corpus.build(name, folder / "downloads")
        corpus.save(built, folder)
        sources += given
        print(f"{name}: {built.train.size} bytes to train on, {built.held.rows.size} held out")
    table.write(SOURCES, list(sources[0]), sources)


def step_seconds(shape: nets.Shape, rows: np.ndarray) -> float:
    """Processor seconds of one optimisation step, the first chunk's start-up left out."""
    steps = 4 * train.CHUNK
    given, pace = feeds.once(rows, steps, 0), schedules.rates("linear", steps, 1e-3)
    first, last = train.train_run("timing", shape, given, {}, pace, (0.5,))
    return 2 * (last.seconds - first.seconds) / steps


def estimate() -> None:
    """Time each size and print what its runs would take."""
    total = 0.0
    rows = corpus.load(corpus.cache_folder())["prose"].train
    print("size recipe N FLOP/byte GFLOP/s s/MB sweep_s grid_s")
    for size in (*SIZES, TARGET_SIZE):
        for recipe in RECIPES:
            shape = nets.SHAPES[recipe, size]
            step = step_seconds(shape, rows)
            jobs = [*sweeps(size), *grid(size)] if size in SIZES else targets()
            own = [job for job in jobs if job.recipe == recipe]
            swept, fitted = (
                step * sum(job.steps for job in own if (job.role == "sweep") == which)
                for which in (True, False)
            )
            total += (swept + fitted) * (size in SIZES)
            flops = 3 * nets.forward_flops_per_byte(shape)
            speed = flops * nets.BATCH_BYTES / step / 1e9
            counts = f"{nets.parameter_counts(shape)[0]} {flops} {speed:.1f}"
            print(size, recipe, counts, f"{step * MEGABYTE:.1f} {swept:.0f} {fitted:.0f}")
    print(f"sweeps and grid: {total:.0f} processor seconds, {total / 2:.0f} s on two cores")


def status() -> None:
    """Print what is done, by size and role, and the hours left at the speed of what is done."""
    rows = table.read(RESULTS)
    seconds = {row["run"]: float(row["seconds"]) for row in rows if row["is_final"] == "1"}
    speeds: dict[nets.Shape, list[float]] = {}
    everything = [*queue(), *targets()]
    for job in everything:
        if job.run in seconds:
            speeds.setdefault(job.shape, []).append(seconds[job.run] / job.steps)
    left, unknown = 0.0, 0
    for job in everything:
        if job.run not in seconds and job.role != "target":
            known = speeds.get(job.shape)
            left += job.steps * sum(known) / len(known) if known else 0.0
            unknown += not known
    for size in (*SIZES, TARGET_SIZE):
        for role in ("sweep", "fit", "target"):
            own = [job.run for job in everything if (job.size, job.role) == (size, role)]
            if own:
                print(f"{size} {role}: {sum(run in seconds for run in own)} of {len(own)}")
    diverged = sum(row["status"] != "ok" for row in rows)
    print(f"{left / 3600:.2f} processor hours left, and {unknown} runs of sizes not timed yet")
    print(f"{diverged} runs diverged")


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description="Train the ladder of byte-level models.")
    commands: dict[str, Callable[[], None]] = {
        "corpora": build_corpora,
        "estimate": estimate,
        "status": status,
        "drop-misplaced": drop_misplaced,
        "work": lambda: worker.work(tasks(queue())),
        "work-targets": lambda: (require_predictions(), worker.work(tasks(targets())))[1],
    }
    parser.add_argument("command", choices=[*commands, "run", "targets"])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.command == "targets":
        require_predictions()
        spawn("work-targets", given.workers)
    elif given.command == "run":
        status()
        spawn("work", given.workers)
    else:
        commands[given.command]()


if __name__ == "__main__":
    main()
