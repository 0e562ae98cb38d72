"""Train stage B of the ladder: replicates, a larger size, and four tables of one question each.

    python tests/studies/ladder_b.py estimate    # time each size, print what all would take
    python tests/studies/predict_ladder_b.py     # then commit predicted/ladder_stage_b.csv
    python tests/studies/ladder_b.py run         # one worker; resumes
    python tests/studies/ladder_b.py status

What is trained, and why those runs, stands in ``ladder_parts.stage_b``. The order: replicates,
N = 3e5 (refused until its predictions are committed), isoFLOP slices, schedules, repeats, mixtures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import cache

import ladder  # first: it gives each process one core before jax starts
from ladder_parts import corpus, nets, rates, stage_b, table, worker
from ladder_parts.trial import MIX, Rows, Trial

PREDICTED = "tests/studies/predicted/ladder_stage_b.csv"


def planned_rate(trial: Trial, rows: Rows) -> float:
    """Peak rate of a run by the ladder's rows.

    Replicates take the rate of their cell in stage A. All others lie on the plane that stage A's
    sweeps fitted; a mixture's rate is between its corpora's, by the shares, in logarithms.
    """
    n = nets.parameter_counts(trial.shape)[0]
    if trial.role == "replicate":
        (rate,) = {
            float(row["lr"])
            for row in rows
            if (row["role"], row["family"]) == ("fit", trial.family)
            and (int(row["N"]), int(row["D"]), row["is_final"]) == (n, trial.seen, "1")
        }
        return rate
    best = ladder.optima(rows)
    if trial.corpus != MIX:
        return rates.planned_rate(best, trial.family, n, trial.seen)
    logs = [
        math.log(rates.planned_rate(best, f"{trial.recipe}-{name}", n, trial.seen))
        for name in corpus.CORPORA
    ]
    return math.exp(trial.prose_share * logs[0] + (1 - trial.prose_share) * logs[1])


@cache
def stage_a() -> tuple[dict[str, str], ...]:
    """The ladder's rows of stage A, from which every rate comes."""
    return tuple(row for row in table.read(ladder.RESULTS) if row["stage"] == "A")


def peak_rate(trial: Trial, _: Rows) -> float:
    """Peak rate of a run; the N = 3e5 runs stop here unless they were predicted."""
    if trial.role == "extension" and not ladder.committed(PREDICTED):
        raise SystemExit(f"{trial.run} waits: {PREDICTED} is not committed, or differs")
    return planned_rate(trial, list(stage_a()))


def tasks() -> list[worker.Task]:
    """All runs, in the order of training."""
    sets = stage_b.sets()
    return [
        worker.Task(trial, one.path, one.columns, lambda rows, trial=trial: peak_rate(trial, rows))
        for one in sets.values()
        for trial in one.trials
    ]


def done() -> dict[str, float]:
    """Processor seconds of the runs that have ended."""
    return {
        row["run"]: float(row["seconds"])
        for one in stage_b.sets().values()
        for row in table.read(one.path)
        if row["is_final"] == "1"
    }


def estimate() -> None:
    """Time each shape, and print the hours of each set, evaluation at checkpoints included."""
    texts = corpus.load(corpus.cache_folder())
    held = sum(len(text.held.rows) for text in texts.values()) / nets.BATCH_ROWS
    everything = [(one.name, trial) for one in stage_b.sets().values() for trial in one.trials]
    step: dict[nets.Shape, float] = {}
    print("recipe size N FLOP/byte s/MB")
    for _, trial in everything:
        if trial.shape not in step:
            step[trial.shape] = ladder.step_seconds(trial.shape, texts["prose"].train)
            n, flops = nets.parameter_counts(trial.shape)[0], nets.training_flops(trial.shape, 1)
            per_mb = step[trial.shape] * ladder.MEGABYTE
            print(trial.recipe, trial.size, n, flops, f"{per_mb:.1f}", flush=True)
    total = 0.0
    for name in stage_b.sets():
        own = [trial for one, trial in everything if one == name]
        # A reading is a forward pass, a third of a step for each batch.
        parts = [
            step[trial.shape] * (trial.steps + (len(trial.checkpoints) + 1) * held / 3)
            for trial in own
        ]
        total += sum(parts)
        print(f"{name}: {len(own)} runs, {sum(parts) / 3600:.2f} processor hours")
    print(f"all: {total / 3600:.2f} processor hours")


def status() -> None:
    """Print what is done of each set, and what it took."""
    seconds = done()
    for one in stage_b.sets().values():
        own = [seconds[trial.run] for trial in one.trials if trial.run in seconds]
        print(f"{one.name}: {len(own)} of {len(one.trials)} runs, {sum(own) / 3600:.2f} h")


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description="Train stage B of the ladder.")
    commands: dict[str, Callable[[], None]] = {
        "estimate": estimate,
        "status": status,
        "run": lambda: worker.work(tasks()),
    }
    parser.add_argument("command", choices=commands)
    commands[parser.parse_args().command]()


if __name__ == "__main__":
    main()
