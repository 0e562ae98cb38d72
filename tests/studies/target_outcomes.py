"""Set the ladder's measured targets beside what was predicted of them.

One row a target run: the prediction as committed before it was trained, the loss as measured, and
in which of the intervals it lies::

    python tests/studies/target_outcomes.py

``pit`` is the place of the measured loss in the predicted distribution, taken as normal in log loss
(0.5 is the middle); ``error`` is log(measured / predicted median).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import record
from scipy.stats import norm

from bayescale.demo import measured_targets

PREDICTED = record.STUDIES / "predicted" / "ladder_targets.csv"
OUT = record.RESULTS / "ladder_targets.csv"
LEVELS = (50, 80, 90, 95)


CELL = ["family", "N", "D"]


def scored(predicted: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Join measured runs to the predictions of their cells: error, place and intervals."""
    runs = measured[["run", "seed", *CELL, "lr", "loss"]]
    said = predicted.drop(columns=["seed", "versions", "command"])
    table = runs.merge(said, on=CELL, how="left", validate="many_to_one")
    if table["median"].isna().any():
        raise SystemExit("a target was measured that nobody predicted")
    table["error"] = np.log(table["loss"] / table["median"])
    table["pit"] = norm.cdf((np.log(table["loss"]) - table["mean_log"]) / table["sd_log"])
    for level in LEVELS:
        low, high = table[f"lower_{level}"], table[f"upper_{level}"]
        table[f"inside_{level}"] = (table["loss"] >= low) & (table["loss"] <= high)
    return table


def outcomes(predicted: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Columns of the table of targets."""
    table = scored(predicted, measured)
    shown = ["run", *CELL, "seed", "lr", "median", "lower_95", "upper_95", "best_fitted_loss"]
    shown += ["distance", "width_95", "loss", "error", "pit"]
    return table[[*shown, *(f"inside_{level}" for level in LEVELS)]]


def main() -> None:
    """Write the table and print the count."""
    measured = measured_targets()
    if measured.empty:
        raise SystemExit("no target is measured yet")
    table = outcomes(pd.read_csv(PREDICTED), measured)
    record.write(OUT, table.assign(**record.provenance(0)))
    counts = ", ".join(f"{int(table[f'inside_{p}'].sum())} in {p}%" for p in LEVELS)
    print(table[["run", "median", "lower_95", "upper_95", "loss", "pit"]].to_string(index=False))
    print(f"{len(table)} targets: {counts}")


if __name__ == "__main__":
    main()
