"""The best size of each budget, read off its slice, beside what `allocate` says of that budget.

    python tests/studies/isoflop_optimum.py         # two fits, one of stage A, one of A and B

A slice is one recipe's runs at one budget of counted C. ``N_opt`` is the bottom of a parabola of
log loss in log N through the slice's lowest run and two on either side of it, fewer at an edge;
``N_lower`` and ``N_upper`` hold 95% of what 2000 repeats give when every loss is moved by the
seeds' own scatter. ``N_opt_six`` is the bottom of a parabola through the whole slice: where it
differs, the slice is no parabola. The fits never saw these runs. They take C(N, D) from the counted
C of the slices' own sizes.
"""

from __future__ import annotations

import argparse

import ladder_statistics
import numpy as np
import pandas as pd
import record

from bayescale import allocate, costs, datasets, fit, load_law
from bayescale.demo import LAW
from bayescale.fitting import Fit

OUT = record.RESULTS / "isoflop_optimum.csv"
EITHER_SIDE = 2
REPEATS = 2000
FITS = {"A": {"role": "fit"}, "A and B": {"split": "train", "role": "not sweep"}}


def bottom(log_n: np.ndarray, log_loss: np.ndarray, either_side: int) -> float:
    """N at the bottom of the parabola through the lowest point and its neighbours.

    NaN where the parabola has no bottom inside the slice.
    """
    low = int(np.argmin(log_loss))
    near = slice(max(low - either_side, 0), low + either_side + 1)
    x = log_n[near] - log_n[low]
    if len(x) < 3:
        return float("nan")
    bend, slope, _ = np.polyfit(x, log_loss[near], 2)
    best = log_n[low] - slope / (2 * bend) if bend > 0 else np.nan
    return float(np.exp(best)) if log_n[0] <= best <= log_n[-1] else float("nan")


def read_slice(runs: pd.DataFrame, sd: float, seed: int) -> dict[str, float]:
    """Best size of one slice, and how far the seeds' scatter moves it."""
    runs = runs.sort_values("N")
    log_n, log_loss = np.log(runs["N"].to_numpy(float)), np.log(runs["loss"].to_numpy(float))
    rng = np.random.default_rng(seed)
    moved = log_loss + sd * rng.standard_normal((REPEATS, len(runs)))
    again = np.array([bottom(log_n, one, EITHER_SIDE) for one in moved])
    inside = np.isfinite(again)
    return {
        "n_runs": len(runs),
        "N_opt": bottom(log_n, log_loss, EITHER_SIDE),
        "N_lower": float(np.quantile(again[inside], 0.025)),
        "N_upper": float(np.quantile(again[inside], 0.975)),
        "p_inside": float(inside.mean()),
        "N_opt_six": bottom(log_n, log_loss, len(runs)),
        "best_loss": float(runs["loss"].min()),
    }


def slices() -> pd.DataFrame:
    """Runs of the isoFLOP set that ended well."""
    table = datasets.load("ladder_isoflop").table
    return table[(table["is_final"] == 1) & (table["status"] == "ok")]


def read_slices(seed: int) -> pd.DataFrame:
    """Best size of every slice."""
    sd, _, _ = ladder_statistics.pooled_sd(ladder_statistics.finals("role != 'target'"))
    made = []
    for _, runs in slices().groupby(["family", "budget"]):
        if len(runs) >= 3:
            named = runs.iloc[0][["family", "budget"]].to_dict()
            made.append({**named, "sd_seed": sd, **read_slice(runs, sd, seed)})
    return pd.DataFrame(made)


def allocations(fitted: Fit, read: pd.DataFrame) -> pd.DataFrame:
    """What `allocate` says of each slice's budget, beside the slice."""
    runs = slices()
    made = []
    for _, one in read.iterrows():
        own = runs[runs["family"] == one["family"]]
        cost = costs.from_rows(own)
        plan = allocate(fitted, C=one["budget"], cost=cost, at={"family": one["family"]})
        low, high = plan.N_interval
        made.append(
            {
                **one,
                "N_allocate": plan.N,
                "N_allocate_lower": low,
                "N_allocate_upper": high,
                "near_lower": plan.near_optimal[0],
                "near_upper": plan.near_optimal[1],
                "optimum_inside": bool(low <= one["N_opt"] <= high),
                "intervals_meet": bool(low <= one["N_upper"] and one["N_lower"] <= high),
                "loss_allocate": float(plan.loss.table["median"].iloc[0]),
            }
        )
    return pd.DataFrame(made)


def main() -> None:
    """Fit, read, allocate, write."""
    parser = argparse.ArgumentParser(description="N_opt of the slices beside allocate's.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    read = read_slices(given.seed)
    parts = []
    for name, rows in FITS.items():
        runs = datasets.load("ladder", **rows)
        fitted = fit(load_law(LAW), runs, on_failed="drop", seed=given.seed, strict=False)
        part = allocations(fitted, read).assign(n_fitted=len(fitted.runs))
        parts.append(part.assign(fitted=name))
    table = pd.concat(parts)
    print(table.drop(columns=["sd_seed"]).to_string(index=False, float_format="%.3g"))
    for name, part in table.groupby("fitted"):
        inside, meet = int(part["optimum_inside"].sum()), int(part["intervals_meet"].sum())
        print(f"fit of {name}: {inside} of {len(part)} slices inside, {meet} intervals meet")
    record.write(OUT, table.assign(**record.provenance(given.seed)))


if __name__ == "__main__":
    main()
