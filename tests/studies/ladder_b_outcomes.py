"""Set stage B's measured runs of the ladder beside what was predicted of them.

One row a run, as in ``target_outcomes.py``; ``role`` tells the larger size (``extension``) from
seeds 3 and 4 of cells that were fitted (``replicate``)::

    python tests/studies/ladder_b_outcomes.py
"""

from __future__ import annotations

import pandas as pd
import record
from target_outcomes import CELL, LEVELS, scored

from bayescale import datasets

PREDICTED = record.STUDIES / "predicted" / "ladder_stage_b.csv"
OUT = record.RESULTS / "ladder_stage_b.csv"
SHOWN = [
    *("role", "run", *CELL, "seed", "lr", "median", "lower_95", "upper_95", "loss", "error"),
    *("pit", "decades_beyond", *(f"inside_{level}" for level in LEVELS)),
]


def main() -> None:
    """Write the table and print the counts of each role."""
    everything = datasets.load("ladder", role="all").table
    of_stage_b = (everything["stage"] == "B") & (everything["is_final"] == 1)
    measured = everything[of_stage_b & (everything["status"] == "ok")]
    if measured.empty:
        raise SystemExit("no run of stage B is measured yet")
    table = scored(pd.read_csv(PREDICTED), measured)[SHOWN]
    record.write(OUT, table.assign(**record.provenance(0)))
    for role, part in table.groupby("role"):
        inside = ", ".join(f"{int(part[f'inside_{p}'].sum())} in {p}%" for p in LEVELS)
        spread = f"mean error {part['error'].mean():+.4f}, sd {part['error'].std():.4f}"
        print(f"{role}: {len(part)} runs, {inside}; {spread}")
    larger = table[table["role"] == "extension"]
    if len(larger):
        print(larger.groupby(CELL)[["median", "loss", "error", "pit"]].mean().to_string())


if __name__ == "__main__":
    main()
