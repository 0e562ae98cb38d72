"""Predict the ladder's target runs before any of them is trained.

One row a family: the default fit of the bundled ladder, asked for one more run at the target's
shape, with the network's own count of operations::

    python tests/studies/predict_ladder.py    # then commit it, then ladder.py targets

The table is refused while the grid is not complete (``--partial`` predicts from what there is) and
once a target has been measured (``--out`` elsewhere for a table that claims nothing).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import ladder  # first: it gives each process one core before jax starts
import pandas as pd
import record
from ladder_parts import nets, table
from ladder_parts.trial import Trial

from bayescale.demo import ladder_fit
from bayescale.errors import ConvergenceError
from bayescale.fitting import Fit
from bayescale.prediction import predict

PREDICTED = ladder.ROOT / ladder.PREDICTED
SHOWN = 3
COLUMNS = (
    "family recipe corpus evaluation N N_total D C kind median lower_50 upper_50 lower_80 upper_80 "
    "lower_90 upper_90 lower_95 upper_95 mean_log sd_log decades_beyond best_fitted_loss distance "
    "width_95 narrow_enough n_rows seed versions command"
).split()


def cells(trials: Iterable[Trial]) -> pd.DataFrame:
    """One row a cell: the shape, bytes and operations of its runs."""
    rows = {}
    for trial in trials:
        n, n_total = nets.parameter_counts(trial.shape)
        rows[trial.family, n, trial.seen] = {
            "family": trial.family,
            "recipe": trial.recipe,
            "corpus": trial.corpus,
            "evaluation": trial.corpus,
            "N": n,
            "N_total": n_total,
            "D": trial.seen,
            "C": nets.training_flops(trial.shape, trial.seen),
        }
    return pd.DataFrame(list(rows.values()))


def target_cells() -> pd.DataFrame:
    """One row a family: its target."""
    return cells(job.trial for job in ladder.targets())


def require_grid(rows: list[dict[str, str]]) -> None:
    """Stop unless every run of the sweeps and of the grid has its final row."""
    done = {row["run"] for row in rows if row["is_final"] == "1"}
    missing = [job.run for job in ladder.queue() if job.run not in done]
    if missing:
        named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise SystemExit(
            f"the grid isn't complete: {len(missing)} of {len(ladder.queue())} runs are missing"
            f" ({named}); run tests/studies/ladder.py run, or predict from what there is: --partial"
        )


def require_unmeasured(rows: list[dict[str, str]], out: Path) -> None:
    """Stop if a target has been measured and the table would pass for a prediction."""
    if out.resolve() == PREDICTED and any(row["role"] == "target" for row in rows):
        raise SystemExit(
            "targets have been measured: what is computed now is no prediction made before;"
            " write it elsewhere with --out"
        )


def predictions(fitted: Fit, cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One more run at each cell, beside its family's best fitted loss."""
    made = predict(fitted, cells, kind="new-run", seed=seed)
    print(made)
    best = fitted.runs.table.groupby("family")["loss"].min()
    said = made.table.assign(kind=made.kind, n_rows=len(fitted.runs))
    said["best_fitted_loss"] = said["family"].map(best)
    said["distance"] = said["best_fitted_loss"] - said["median"]
    said["width_95"] = said["upper_95"] - said["lower_95"]
    said["narrow_enough"] = said["width_95"] <= said["distance"] / 2
    said = said.astype({name: int for name in ("N", "N_total", "D", "C")})
    return said.assign(**record.provenance(seed))


def main() -> None:
    """Fit, predict, write."""
    parser = argparse.ArgumentParser(description="Predict the ladder's targets.")
    parser.add_argument("--partial", action="store_true", help="though the grid isn't complete")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, help="for a trial: draws and warm-up, no diagnostics")
    parser.add_argument("--out", type=Path, default=PREDICTED)
    given = parser.parse_args()
    rows = table.read(ladder.RESULTS)
    require_unmeasured(rows, given.out)
    if not given.partial:
        require_grid(rows)
    trial = {"draws": given.draws, "warmup": given.draws, "strict": False} if given.draws else {}
    if trial and given.out.resolve() == PREDICTED:
        raise SystemExit("a trial is no prediction: give --out")
    try:
        fitted = ladder_fit(given.seed, progress=True, **trial)
    except ConvergenceError as error:
        raise SystemExit(f"nothing is written: {error}") from None
    said = predictions(fitted, target_cells(), given.seed)[COLUMNS]
    record.write(given.out, said)
    narrow = int(said["narrow_enough"].sum())
    print(
        f"wrote {given.out.name}: {narrow} of {len(said)} are narrow enough (width <= distance/2)"
    )


if __name__ == "__main__":
    main()
