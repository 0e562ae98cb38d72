"""The same seed, the same bits: in one process, in another, with compiled programs kept or not.

    python tests/studies/reproducible.py

Fits two families by `fit` and three tables by `fit_many`, and compares SHA-256 digests of all
draws: twice in one process; in a new process that compiles anew; in one that finds compiled
programs kept; on one processor instead of all; from another folder with another hash seed. Results
stand in `results/reproducible.csv`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, provenance, write  # noqa: E402

FOUND = RESULTS / "reproducible.csv"

CHILD = """
import hashlib, sys
import numpy as np
import bayescale as bs
from tests.simulate import TWO_FAMILIES, ladder

def digest(fits):
    told = hashlib.sha256()
    for fit in fits:
        for group in ("posterior", "coordinates", "sample_stats", "log_likelihood"):
            for name, values in sorted(fit.data[group].dataset.data_vars.items()):
                told.update(name.encode() + np.ascontiguousarray(values.to_numpy()).tobytes())
    return told.hexdigest()

law = bs.load_law("power_law")
tables = [ladder(families=TWO_FAMILIES, sizes=(1e6, 1e7, 1e8), tokens=(1e8, 1e9), seed=s)
          for s in range(3)]
for seed in [int(s) for s in sys.argv[1:]]:
    options = {"discrepancy": "none", "seed": seed, "progress": False}
    one = bs.fit(law, tables[0], draws=200, warmup=200, strict=False, **options)
    many = bs.fit_many(law, tables, **options)
    print(digest([one]), digest(many), flush=True)
"""


def told(seeds: list[int], processors: int | None = None, **environment: str) -> list[list[str]]:
    """Digests from a new process, a pair a seed."""
    command = [sys.executable, "-c", CHILD, *map(str, seeds)]
    if processors is not None:
        command = ["taskset", "-c", ",".join(map(str, range(processors))), *command]
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd=tempfile.gettempdir(),
    )
    return [line.split() for line in done.stdout.splitlines()]


def main() -> None:
    with tempfile.TemporaryDirectory() as cold:
        kept = {
            "JAX_COMPILATION_CACHE_DIR": cold,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        first, second, other = told([0, 0, 1], **kept)
        found = {
            "again in one process": second,
            "a new process, programs kept": told([0], **kept)[0],
            "on one processor": told([0], 1, **kept)[0],
            "another hash seed": told([0], PYTHONHASHSEED="17", **kept)[0],
        }
    with tempfile.TemporaryDirectory() as cold:
        found["a new process that compiles"] = told([0], JAX_COMPILATION_CACHE_DIR=cold)[0]
    rows = [
        {"what": what, "fit": pair[0] == first[0], "fit_many": pair[1] == first[1]}
        for what, pair in found.items()
    ]
    rows.append(
        {
            "what": "another seed differs",
            "fit": other[0] != first[0],
            "fit_many": other[1] != first[1],
        }
    )
    table = pd.DataFrame(rows).assign(**provenance(0))
    write(FOUND, table)
    print(table[["what", "fit", "fit_many"]].to_string())


if __name__ == "__main__":
    main()
