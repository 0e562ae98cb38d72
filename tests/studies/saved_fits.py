"""Small saved fits that every later version must open: `tests/test_saved.py` reads them.

    python tests/studies/saved_fits.py NAME [NAME ...]     (or all)

writes `tests/saved/NAME_VERSION.nc` and what the fit answers to `tests/saved/answers.json`. A file
once there is never written again: when the format changes, files of the new one are added.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))
SAVED = HERE.parents[1] / "saved"
FEW = {"draws": 40, "warmup": 40, "chains": 2}


def power_law() -> tuple:
    """One curve, no groups; converged, so that decisions may be asked of it."""
    import numpy as np
    import pandas as pd

    x = np.geomspace(1e6, 1e9, 8)
    noise = 0.01 * np.random.default_rng(1).standard_normal(8)
    table = pd.DataFrame({"N": x, "D": x, "loss": (1.5 + 30 * x**-0.3) * np.exp(noise)})
    return table, "power_law", {"draws": 200, "warmup": 300, "chains": 4}, {"N": 1e10, "D": 1e10}


def families() -> tuple:
    """Two families, repeated cells, Student-t scatter."""
    from tests.simulate import TWO_FAMILIES, ladder

    table = ladder(families=TWO_FAMILIES, sizes=(1e6, 1e7, 1e8), tokens=(1e8, 1e9), seeds=2, seed=7)
    return table, "chinchilla", FEW, {"N": 1e9, "D": 2e10, "family": "moe"}


def crossed() -> tuple:
    """Two crossed groupings, measured errors, normal scatter."""
    from tests.simulate import crossed_ladder

    pool = {"E": ["corpus"], "A": ["arch"], "alpha": ["arch", "corpus"], "B": [], "beta": []}
    table = crossed_ladder()
    table = table[table["seed"] == 0]
    options = {**FEW, "draws": 20, "pool": pool, "noise": "normal"}
    return (
        table,
        "chinchilla",
        options,
        {"N": 1e9, "D": 2e10, "arch": "recurrent", "corpus": "code"},
    )


def bent() -> tuple:
    """A law that bends."""
    from tests.simulate import ladder

    table = ladder(sizes=(1e6, 1e7, 1e8), tokens=(1e8, 3e8, 1e9), seed=9)
    return table, "chinchilla", {**FEW, "draws": 20, "discrepancy": "bend"}, {"N": 1e9, "D": 2e10}


MADE: dict[str, Callable[[], tuple]] = {f.__name__: f for f in (power_law, families, crossed, bent)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="+", help=f"all, or of {', '.join(MADE)}")
    parser.add_argument("--label", default="", help="behind the version, where one has two kinds")
    arguments = parser.parse_args()

    import bayescale as bs

    SAVED.mkdir(exist_ok=True)
    answers = SAVED / "answers.json"
    known = json.loads(answers.read_text()) if answers.exists() else {}
    for name in MADE if arguments.names == ["all"] else arguments.names:
        file = SAVED / f"{name}_{bs.__version__}{arguments.label}.nc"
        if file.exists():
            print(f"{file.name} is there already")
            continue
        table, law, options, at = MADE[name]()
        fit = bs.fit(bs.load_law(law), table, progress=False, strict=False, **options)
        bs.save(fit, file)
        row = bs.predict(fit, at).table.iloc[0]
        numbers = {
            k: float(row[k]) for k in ("median", "lower_95", "upper_95", "mean_log", "sd_log")
        }
        known[file.name] = {"at": at, "rows": len(fit.runs), "answers": numbers}
        draft = answers.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        os.replace(draft, answers)
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB, {numbers}")


if __name__ == "__main__":
    main()
