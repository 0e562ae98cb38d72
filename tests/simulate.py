"""Ladders simulated from known truths."""

from __future__ import annotations

import numpy as np
import pandas as pd

TRUTH = {"E": 1.7, "A": 12.0, "alpha": 0.34, "B": 40.0, "beta": 0.30}


def ladder(
    *,
    families: dict[str, dict[str, float]] | None = None,
    sizes: tuple[float, ...] = (1e6, 3e6, 1e7, 3e7, 1e8),
    tokens: tuple[float, ...] = (3e7, 1e8, 3e8, 1e9),
    seeds: int = 1,
    sd_run: float = 0.004,
    sd_cell: float = 0.0,
    se: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Runs of the separable law with per-family constants, cell and run deviations."""
    rng = np.random.default_rng(seed)
    rows = []
    for family, change in (families or {"only": {}}).items():
        p = {**TRUTH, **change}
        for n in sizes:
            for d in tokens:
                mean = p["E"] + p["A"] * n ** -p["alpha"] + p["B"] * d ** -p["beta"]
                cell = sd_cell * rng.standard_normal()
                for s in range(seeds):
                    error = 0.0 if se is None else se * rng.standard_normal()
                    log_loss = np.log(mean) + cell + sd_run * rng.standard_normal() + error
                    loss = float(np.exp(log_loss))
                    row = {"family": family, "N": n, "D": d, "C": 6 * n * d, "seed": s}
                    row |= {"run": f"{family}-{n:.0e}-{d:.0e}-{s}", "loss": loss}
                    if se is not None:
                        row["loss_se"] = se * loss
                    rows.append(row)
    return pd.DataFrame(rows)


TWO_FAMILIES = {"dense": {}, "moe": {"A": 10.0, "alpha": 0.36}}
FOUR_FAMILIES = {
    "a-prose": {},
    "a-code": {"E": 1.2, "alpha": 0.37},
    "b-prose": {"A": 15.0},
    "b-code": {"E": 1.2, "A": 15.0, "beta": 0.32},
}

ARCHITECTURES = {"attention": {}, "recurrent": {"A": 15.0, "alpha": 0.31}}
CORPORA = {"prose": 1.7, "code": 1.1, "maths": 1.4}


def crossed_ladder(seed: int = 4) -> pd.DataFrame:
    """Architectures by corpora: floors by corpus, sizes by architecture; two seeds a cell."""
    families = {
        f"{arch}-{corpus}": {**change, "E": floor}
        for arch, change in ARCHITECTURES.items()
        for corpus, floor in CORPORA.items()
    }
    table = ladder(
        families=families,
        sizes=(1e6, 5e6, 2e7, 1e8),
        tokens=(3e7, 1e8, 3e8, 1e9),
        seeds=2,
        sd_run=0.006,
        sd_cell=0.010,
        se=0.004,
        seed=seed,
    )
    parts = table["family"].str.split("-", expand=True)
    return table.assign(arch=parts[0], corpus=parts[1])


def rank_statistic(truths: np.ndarray, draws: list[np.ndarray], bins: int = 5) -> tuple:
    """P values of uniform ranks: of equal counts in bins, and of the largest ECDF departure."""
    from scipy import stats

    places = [np.mean(own < truth) for truth, own in zip(truths, draws, strict=True)]
    counts = np.bincount(
        np.minimum((np.array(places) * bins).astype(int), bins - 1), minlength=bins
    )
    return stats.chisquare(counts).pvalue, stats.kstest(places, "uniform").pvalue
