"""Runs that were tuned badly: what their losses do to a law, by how runs are taken to scatter.

::

    python tests/studies/mistuned.py shape    # log loss that Step Law's runs lose
    python tests/studies/mistuned.py bias [--heights step_law none ...] [--tables 8]

`bias`: a ladder of 49 runs (seven sizes by seven numbers of tokens, four decades each) is drawn
from a law of floor 1.7 with 0.3% of normal scatter; every run then loses by a height drawn for it.
Of each fit, the medians of the floor and of the law at the largest run, beside the truth. Resumes.
Step Law's runs are read from the folder that BAYESCALE_DATA names.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import record
from scipy import stats

import bayescale as bs

TRUTH = {"E": 1.7, "A": 12.0, "alpha": 0.34, "B": 40.0, "beta": 0.30}
FAR = {"N": 1e10, "D": 1e12}
SHAPES = {"exponential": stats.expon(), "half-normal": stats.halfnorm()}
KINDS = ("step_law", "exponential", "half-normal", "some", "none")


def step_law(octaves: float) -> np.ndarray:
    """Log loss above its grid's best, of runs whose rate and batch are so near the best's."""
    folder = Path(os.environ["BAYESCALE_DATA"])
    table = pd.read_csv(folder / "tidy" / "steplaw_dense.csv").query("diverged == 0")
    grid = table.groupby(["params", "tokens"])
    best = table.loc[grid["loss"].transform("idxmin")].reset_index(drop=True)
    table = table.reset_index(drop=True)
    off = [np.abs(np.log2(table[c] / best[c])) for c in ("lr", "batch_size")]
    return np.log(table["loss"] / best["loss"])[np.maximum(*off) <= octaves].to_numpy()


def shape() -> pd.DataFrame:
    """Moments of Step Law's heights, and how straight their quantiles are against two shapes."""
    rows = []
    for factor in (2, 4, 256):
        heights = np.sort(step_law(np.log2(factor) + 0.1))
        places = (np.arange(len(heights)) + 0.5) / len(heights)
        row = {"within": factor, "runs": len(heights), "mean": heights.mean(), "sd": heights.std()}
        row["median"] = np.median(heights)
        for name, of in SHAPES.items():
            row[f"correlation_{name}"] = np.corrcoef(of.ppf(places), heights)[0, 1]
        rows.append({**row, **record.provenance(0)})
    return pd.DataFrame(rows)


def heights(kind: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """What runs lose by: as Step Law's within four times the best, or of a stated shape."""
    if kind == "step_law":
        return rng.choice(step_law(2.1), size)
    if kind == "some":  # two in five runs, and those by much
        return rng.exponential(0.05, size) * (rng.random(size) < 0.4)
    drawn = {"exponential": rng.exponential(0.02, size), "none": np.zeros(size)}
    return drawn[kind] if kind in drawn else 0.03 * np.abs(rng.standard_normal(size))


def ladder(kind: str, seed: int) -> pd.DataFrame:
    """Runs of the law, each above it by what its tuning lost."""
    rng = np.random.default_rng([seed, 53])
    sizes, tokens = np.geomspace(1e6, 1e10, 7), np.geomspace(1e8, 1e12, 7)
    N, D = (a.ravel() for a in np.meshgrid(sizes, tokens))
    log_loss = np.log(bs.load_law("chinchilla")(TRUTH, N=N, D=D))
    log_loss = log_loss + 0.003 * rng.standard_normal(len(N)) + heights(kind, rng, len(N))
    return pd.DataFrame({"N": N, "D": D, "C": 6.0 * N * D, "loss": np.exp(log_loss)})


def bias(kind: str, tables: int) -> pd.DataFrame:
    """Floor and far loss by each noise, a row a fit."""
    law, rows = bs.load_law("chinchilla"), []
    truth = float(law(TRUTH, **FAR))
    made = [ladder(kind, seed) for seed in range(tables)]
    for noise in ("frontier", "t"):
        many = bs.fit_many(law, made, noise=noise, discrepancy="none", chains=2, progress=False)
        for seed, fit in enumerate(many):
            at = bs.predict(fit, FAR, kind="mean").table.iloc[0]
            row = {"heights": kind, "noise": noise, "table": seed}
            row["floor_error"] = float(fit.data["posterior"]["E"].median()) - TRUTH["E"]
            row["log_error_far"] = float(np.log(at["median"] / truth))
            row["covered_95"] = bool(at["lower_95"] <= truth <= at["upper_95"])
            rows.append({**row, **record.provenance(0)})
    return pd.DataFrame(rows)


def main() -> None:
    """Run what is asked and missing."""
    parser = argparse.ArgumentParser(description="What badly tuned runs do to a law.")
    parser.add_argument("what", choices=("shape", "bias"))
    parser.add_argument("--heights", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--tables", type=int, default=8)
    given = parser.parse_args()
    if given.what == "shape":
        table = shape()
        record.write(record.RESULTS / "mistuned_shape.csv", table)
        print(table.drop(columns=["seed", "versions", "command"]).round(4).to_string())
        return
    out = record.RESULTS / "mistuned.csv"
    table = record.read(out)
    for kind in given.heights:
        if len(table) and (table["heights"] == kind).any():
            continue
        table = pd.concat([table, bias(kind, given.tables)], ignore_index=True)
        record.write(out, table)
        each = table.groupby(["heights", "noise"])
        print(each[["floor_error", "log_error_far", "covered_95"]].mean().round(4), flush=True)


if __name__ == "__main__":
    main()
