"""Pure error and lack of fit of the bundled ladder, from its table alone.

    python tests/studies/ladder_statistics.py        # single cells are in its table only

Pure error is the standard deviation of log loss between runs that differ by seed alone, pooled over
cells (a family, N and D) and given by family, size and horizon. Lack of fit compares a law's misfit
of the cells' means with it: the ratio of mean squares that the classical F test uses, 1 where the
law leaves nothing but seed noise. Laws are fitted to log loss by least squares, each family alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import record
from scipy.optimize import least_squares
from scipy.stats import f as f_distribution

from bayescale import datasets, load_law
from bayescale.law import Law

OUT = record.RESULTS / "ladder_statistics.csv"
CELL = ["family", "N", "D"]
LAWS = ("chinchilla", "bottleneck")
START = {"E": 0.6, "A": 0.4, "alpha": 0.3, "B": 0.4, "beta": 0.4, "gamma": 0.7}
STAGES = {"A": "role == 'fit'", "A and B": "role != 'target'"}


def finals(where: str) -> pd.DataFrame:
    """Final rows of the runs, sweeps left out, with log loss and a round size."""
    table = datasets.load("ladder", role="not sweep", where=where).table
    table = table[(table["is_final"] == 1) & (table["status"] == "ok")]
    size = [float(f"{n:.0e}") for n in table["N"]]
    return table.assign(log_loss=np.log(table["loss"]), size=size)


def pooled_sd(table: pd.DataFrame) -> tuple[float, int, int]:
    """Pooled sd of log loss within cells, its degrees of freedom, and the cells that repeat."""
    cells = table.groupby(CELL)["log_loss"]
    inside = table["log_loss"] - cells.transform("mean")
    repeated = int(np.count_nonzero(cells.size() > 1))
    freedom = len(table) - cells.ngroups
    return float(np.sqrt((inside**2).sum() / freedom)), freedom, repeated


def pure_error(table: pd.DataFrame) -> list[dict[str, object]]:
    """Pooled sd of everything, by family, size and horizon, and of each cell that repeats."""
    parts = [("all", "", table)]
    for column in ("family", "size", "D"):
        parts += [(column, f"{level}", part) for level, part in table.groupby(column)]
    for _, part in table.groupby(CELL):
        if len(part) > 1:
            named = part.iloc[0]
            parts.append(("cell", f"{named['family']} N={named['N']:.0f} D={named['D']:.0f}", part))
    made: list[dict[str, object]] = []
    for by, level, part in parts:
        sd, freedom, cells = pooled_sd(part)
        made.append({"by": by, "level": level, "value": sd, "freedom": freedom, "cells": cells})
    return made


def residuals(law: Law, table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Log loss minus the law fitted by least squares, and how many parameters that took."""
    middle = {name: float(np.exp(np.log(table[name]).mean())) for name in ("N", "D")}
    n, d = (np.asarray(table[name]) / middle[name] for name in ("N", "D"))
    names = list(law.parameters)
    scale = float(table["loss"].min())
    start = [np.log(START[name] * (scale if name in "EAB" else 1.0)) for name in names]

    def misfit(logs: np.ndarray) -> np.ndarray:
        values = dict(zip(names, np.exp(logs), strict=True))
        return np.asarray(table["log_loss"]) - np.log(law(values, N=n, D=d))

    best = least_squares(misfit, start, x_scale=0.3, bounds=(np.log(1e-3), np.log(1e2)))
    return np.asarray(best.fun), len(names)


def lack_of_fit(law: Law, table: pd.DataFrame) -> dict[str, object]:
    """Ratio of mean squares: misfit of the cells' means over pure error, and what chance gives."""
    left, parameters = residuals(law, table)
    cells = table.assign(left=left).groupby(CELL)["left"]
    within = float(((left - cells.transform("mean")) ** 2).sum())
    between = float((left**2).sum()) - within
    first, second = cells.ngroups - parameters, len(table) - cells.ngroups
    ratio = (between / first) / (within / second)
    return {
        "value": ratio,
        "p": float(f_distribution.sf(ratio, first, second)),
        "misfit_sd": float(np.sqrt(between / len(table))),
        "freedom": first,
        "cells": cells.ngroups,
    }


def main() -> None:
    """Write the table and print it."""
    made: list[dict[str, object]] = []
    for stage, where in STAGES.items():
        table = finals(where)
        told = {"stage": stage, "runs": len(table)}
        made += [{**told, "statistic": "pure error sd", **one} for one in pure_error(table)]
        for name in LAWS:
            law = load_law(name)
            for family, part in table.groupby("family"):
                found = lack_of_fit(law, part)
                kind = f"lack of fit of {name}"
                made.append({**told, "statistic": kind, "by": "family", "level": family, **found})
    shown = pd.DataFrame(made)
    brief = shown[shown["by"] != "cell"]
    print(brief.to_string(index=False, float_format="%.3g", na_rep=""))
    record.write(OUT, shown.assign(**record.provenance(0)))


if __name__ == "__main__":
    main()
