"""A thousand simulated tables at once, beside a loop over single fits."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter, process_time

import numpy as np
import pandas as pd
import record

import bayescale as bs

OUT = record.RESULTS / "speed_many.csv"
LOOPED = 20  # fits of the loop, after one that compiles; a thousand cost that many times more


def main(problems: int, seed: int) -> None:
    """Time `fit_many` and the loop on tables of Chinchilla's sizes with new losses."""
    law = bs.load_law("chinchilla")
    runs = bs.datasets.load("chinchilla_besiroglu", where="excluded_by_source == 0")
    truth = law.published["besiroglu"]
    columns = {v: runs.table[v].to_numpy(float) for v in ("N", "D")}
    mean = law(truth, **columns)
    rng = np.random.default_rng([seed, 8])
    tables = [
        replace(runs, table=runs.table.assign(loss=mean * np.exp(0.005 * rng.standard_t(4, 240))))
        for _ in range(problems)
    ]
    bs.fit(
        law, tables[0], discrepancy="none", progress=False, strict=False
    )  # compiles for the loop
    began, cpu = perf_counter(), process_time()
    for table in tables[:LOOPED]:
        bs.fit(law, table, discrepancy="none", progress=False, strict=False)
    loop = (perf_counter() - began) / LOOPED, (process_time() - cpu) / LOOPED
    began, cpu = perf_counter(), process_time()
    told = bs.fit_many(law, tables, discrepancy="none", seed=seed).table
    spent = perf_counter() - began, process_time() - cpu
    row = {
        "problems": problems,
        "seconds": spent[0],
        "cpu_seconds": spent[1],
        "converged": int(told["ok"].sum()),
        "smallest_ess_bulk": told["min_ess_bulk"].min(),
        "smallest_ess_tail": told["min_ess_tail"].min(),
        "largest_rhat": told["max_rhat"].max(),
        "loop_seconds_each": loop[0],
        "loop_cpu_each": loop[1],
        "times_faster": loop[0] * problems / spent[0],
        **record.provenance(seed),
    }
    record.write(OUT, pd.DataFrame([row]))
    print({k: v for k, v in row.items() if k not in ("versions", "command")})
