"""A whole process, from the interpreter's start to a printed prediction."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import product
from time import perf_counter

import pandas as pd
import record

from bayescale.responses import DISCREPANCIES

OUT = record.RESULTS / "speed_processes.csv"
REPEATS = 3
PROGRAM = """
import sys
import bayescale as bs
bs.configure(cache_dir=sys.argv[1])
runs = bs.datasets.load("chinchilla_besiroglu", where="excluded_by_source == 0")
fit = bs.fit(bs.load_law("chinchilla"), runs, discrepancy=sys.argv[2], progress=False)
print(bs.predict(fit, {"N": 7e10, "D": 1.4e12}))
"""


def main(seed: int) -> None:
    """Time Chinchilla's 240 rows in fresh processes, cold and with compiled programs kept."""
    rows = []
    for discrepancy, repeat in product(DISCREPANCIES, range(REPEATS)):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                before, began = os.times(), perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", PROGRAM, cache, discrepancy],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                seconds, after = perf_counter() - began, os.times()
                cpu = sum(after[2:4]) - sum(before[2:4])
                row = {"discrepancy": discrepancy, "state": state, "repeat": repeat}
                rows.append({**row, "seconds": seconds, "cpu": cpu})
                print(
                    discrepancy,
                    state,
                    f"{seconds:.1f} s",
                    done.stdout.strip().splitlines()[0],
                    flush=True,
                )
    record.write(OUT, pd.DataFrame(rows).assign(**record.provenance(seed)))
