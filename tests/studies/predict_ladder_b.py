"""Predict stage B's runs of the ladder before they are trained, from stage A's runs alone.

One row a cell: the demo's fit of stage A, asked for one more run at each cell of N = 3e5
(``extension``) and at each cell that gets two seeds more (``replicate``, whose cell was fitted)::

    python tests/studies/predict_ladder_b.py    # then commit it, then ladder_b.py run

The table is refused once a run of stage B has been measured (``--out`` elsewhere for a trial).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ladder_b  # first: it gives each process one core before jax starts
import pandas as pd
import record
from ladder_parts import stage_b, table
from predict_ladder import COLUMNS, cells, predictions

from bayescale.demo import ladder_fit
from bayescale.errors import ConvergenceError

PREDICTED = ladder_b.ladder.ROOT / ladder_b.PREDICTED
SHOWN = [
    "role",
    *(name for name in COLUMNS if name not in ("distance", "width_95", "narrow_enough")),
]


def main() -> None:
    """Fit, predict, write."""
    parser = argparse.ArgumentParser(description="Predict stage B's runs of the ladder.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, help="for a trial: draws and warm-up, no diagnostics")
    parser.add_argument("--out", type=Path, default=PREDICTED)
    given = parser.parse_args()
    final = given.out.resolve() == PREDICTED
    if final and any(row["stage"] == "B" for row in table.read(ladder_b.ladder.RESULTS)):
        raise SystemExit(
            "stage B has been measured: what is computed now is no prediction made before;"
            " write it elsewhere with --out"
        )
    if final and given.draws:
        raise SystemExit("a trial is no prediction: give --out")
    trial = {"draws": given.draws, "warmup": given.draws, "strict": False} if given.draws else {}
    try:
        fitted = ladder_fit(given.seed, progress=True, **trial)
    except ConvergenceError as error:
        raise SystemExit(f"nothing is written: {error}") from None
    parts = {"extension": stage_b.extension(), "replicate": stage_b.replicates()}
    said = [
        predictions(fitted, cells(runs), given.seed).assign(role=role)
        for role, runs in parts.items()
    ]
    record.write(given.out, pd.concat(said)[SHOWN])
    print(f"wrote {given.out.name}: {sum(map(len, said))} cells")


if __name__ == "__main__":
    main()
