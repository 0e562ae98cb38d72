"""Intervals where the data follow the law exactly: what allowing for a bend costs.

::

    python tests/studies/true_law.py --out tests/studies/results/true_law.csv [--simulations 30]

A ladder of 36 runs (six sizes, six numbers of tokens a size, four decades of compute) is drawn from
Chinchilla's law with published constants and 0.5% of normal scatter; 16 runs 3 to 100 times dearer
are predicted by fits with the default discrepancy and by the oracle, which knows that the law is
true (discrepancy="none"). Resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import record

import bayescale as bs
from bayescale.predictive_draws import loss_draws

OUT = record.RESULTS / "true_law.csv"
SCATTER = 0.005
BATCH = 10


def ladder(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs to fit and runs to predict."""
    rng = np.random.default_rng([seed, 21])
    law = bs.load_law("chinchilla")

    def runs(sizes: np.ndarray, ratios: np.ndarray) -> pd.DataFrame:
        N, ratio = (a.ravel() for a in np.meshgrid(sizes, ratios))
        loss = law(law.published["besiroglu"], N=N, D=ratio * N)
        loss = loss * np.exp(SCATTER * rng.standard_normal(len(N)))
        return pd.DataFrame({"N": N, "D": ratio * N, "C": 6.0 * ratio * N**2, "loss": loss})

    fitted = runs(np.geomspace(2e7, 7e8, 6), np.geomspace(5.0, 200.0, 6))
    asked = runs(np.geomspace(1e9, 1e10, 4), np.geomspace(10.0, 100.0, 4))
    return fitted, asked[asked["C"] > 3.0 * fitted["C"].max()]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description="Intervals where the law is true.")
    parser.add_argument("--simulations", type=int, default=30)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    law = bs.load_law("chinchilla")
    table = record.read(given.out)
    done = set(table["seed_of_data"]) if len(table) else set()
    todo = [seed for seed in range(given.simulations) if seed not in done]
    for first in range(0, len(todo), BATCH):
        seeds = todo[first : first + BATCH]
        made = [ladder(seed) for seed in seeds]
        rows = []
        for name in ("bend", "none"):
            many = bs.fit_many(law, [m[0] for m in made], discrepancy=name, progress=False)
            for place, (seed, (_, asked)) in enumerate(zip(seeds, made, strict=True)):
                draws = loss_draws(many[place], asked.drop(columns="loss"), kind="new-run")
                row = {"seed_of_data": seed, "discrepancy": name, "n": len(asked)}
                row["ok"] = bool(many.table.loc[place, "ok"])
                for prob in (50, 80, 90, 95):
                    tail = 0.5 - prob / 200
                    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
                    seen = asked["loss"].to_numpy()
                    row[f"coverage_{prob}"] = float(np.mean((low <= seen) & (seen <= high)))
                    row[f"width_{prob}"] = float(np.mean(np.log(high / low)))
                rows.append({**row, **record.provenance(0)})
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        record.write(given.out, table)
        shown = table.groupby("discrepancy")[[c for c in table if c[:5] in ("cover", "width")]]
        print(shown.mean().round(4).to_string(), flush=True)


if __name__ == "__main__":
    main()
