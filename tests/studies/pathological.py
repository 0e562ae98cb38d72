"""Tables that are legal and strange: what is said of each, and whether the answer is finite.

    python tests/studies/pathological.py [--case NAME ...] [--minutes 5]

Every case ends in a clear refusal, or in a fit whose parameters and predictions are finite, and
which answers the same when it was saved and opened; what was said (refusal, notes, problems,
warnings) stands in `results/pathological.csv`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, provenance, read, without, write  # noqa: E402

FOUND = RESULTS / "pathological.csv"
SHORT = {"draws": 200, "warmup": 300, "chains": 4, "progress": False, "strict": False}


def curve(n: int = 12, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = np.geomspace(1e6, 1e9, n)
    loss = (1.5 + 30 * x**-0.3) * np.exp(0.01 * rng.standard_normal(n))
    return pd.DataFrame({"C": x, "loss": loss})


def surface(**options) -> pd.DataFrame:
    from tests.simulate import ladder

    return ladder(sizes=(1e6, 1e7, 1e8), tokens=(1e8, 1e9, 1e10), **options)


def one_outlier() -> pd.DataFrame:
    table = curve()
    table.loc[5, "loss"] *= 1e6
    return table


def one_run_family() -> pd.DataFrame:
    table = pd.concat([curve(8, k).assign(family=f) for k, f in enumerate("abc")])
    return pd.concat([table, curve(12, 9).iloc[[4]].assign(family="lonely")], ignore_index=True)


def collinear() -> pd.DataFrame:
    table = surface()
    return table[np.isclose(table["D"] / table["N"], 100.0)].reset_index(drop=True)


def thousands_of_groups() -> pd.DataFrame:
    parts = [curve(3, k).assign(family=f"family {k}") for k in range(2000)]
    return pd.concat(parts, ignore_index=True)


def two_groupings() -> pd.DataFrame:
    parts = [
        curve(4, 2 * i + j).assign(family=a, corpus=c)
        for i, a in enumerate("abc")
        for j, c in enumerate("xy")
    ]
    return pd.concat(parts, ignore_index=True)


def unicode_names() -> pd.DataFrame:
    names = ("Größe=1 [x]", "модель, 2", "模型\u202e", 'it\'s "quoted"')
    return pd.concat([curve(8, k).assign(family=f) for k, f in enumerate(names)], ignore_index=True)


def duplicate_checkpoints() -> pd.DataFrame:
    table = curve().assign(run=[f"r{i}" for i in range(12)], step=100)
    return pd.concat([table, table.iloc[[3]].assign(loss=lambda t: t["loss"] * 1.01)])


CASES: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "two rows": ("power_law", lambda: curve(2)),
    "one row": ("power_law", lambda: curve(12).iloc[:1]),
    "equal losses": ("power_law", lambda: curve().assign(loss=2.0)),
    "loss rises with scale": ("power_law", lambda: curve().assign(loss=np.geomspace(2, 4, 12))),
    "loss under any floor": ("power_law", lambda: curve().assign(loss=lambda t: 1e6 / t["C"])),
    "one enormous outlier": ("power_law", one_outlier),
    "losses 1e-30": ("power_law", lambda: curve().assign(loss=lambda t: t["loss"] * 1e-30)),
    "losses 1e30": ("power_law", lambda: curve().assign(loss=lambda t: t["loss"] * 1e30)),
    "compute 1e-30": ("power_law", lambda: curve().assign(C=lambda t: t["C"] * 1e-36)),
    "compute 1e300": ("power_law", lambda: curve().assign(C=lambda t: t["C"] * 1e291)),
    "a family with one run": ("power_law", one_run_family),
    "collinear N and D": ("chinchilla", collinear),
    "thousands of groups": ("power_law", thousands_of_groups),
    "two grouping columns": ("power_law", two_groupings),
    "unicode names": ("power_law", unicode_names),
    "duplicate checkpoints": ("power_law", duplicate_checkpoints),
    "extra columns": (
        "power_law",
        lambda: curve().assign(
            **{f"column {k}": ["x", None, 3.0] * 4 for k in range(200)}, loss_note="y", nu=1.0
        ),
    ),
    "columns named as parameters": ("power_law", lambda: curve().assign(E=1.0, alpha="a", x=3)),
    "one loss repeated exactly": (
        "power_law",
        lambda: pd.concat([curve().assign(run=[f"{s}{i}" for i in range(12)]) for s in "ab"]),
    ),
}


def told(law: str, table: pd.DataFrame) -> dict[str, object]:
    """What came of one case."""
    import bayescale as bs

    began = process_time()
    try:
        card = bs.load_law(law)
        card = card.varying({"A": ["family", "corpus"]}) if "corpus" in table else card
        fit = bs.fit(card, table, **SHORT)
        at = {v.column: 10.0 * float(table[v.column].max()) for v in fit.law.variables.values()}
        at |= {name: levels[0] for name, levels in fit.groups.items()}
        row = bs.predict(fit, at).table.iloc[0]
        with tempfile.TemporaryDirectory() as folder:
            again = bs.load(bs.save(fit, Path(folder) / "fit.nc"))
        other = bs.predict(again, at).table.iloc[0]
    except bs.BayescaleError as error:
        return {"outcome": "refused", "fault": False, "said": " ".join(str(error).split())[:600]}
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return {"outcome": "traceback", "fault": True, "said": text[:600]}
    diagnosis = bs.diagnose(fit)
    ends = ["median", "lower_95", "upper_95"]
    finite = bool(np.isfinite(bs.summary(fit)[["mean", "sd"]].to_numpy()).all())
    finite &= bool(np.isfinite(row[ends].astype(float)).all())
    same = bool(np.allclose(row[ends].astype(float), other[ends].astype(float), rtol=1e-12))
    said = " | ".join([*fit.notes, *diagnosis.problems, *diagnosis.warnings])
    return {
        "outcome": "fitted" if diagnosis.ok else "fitted, diagnostics refuse",
        "fault": not (finite and same),
        "median": row["median"],
        "lower_95": row["lower_95"],
        "upper_95": row["upper_95"],
        "cpu_seconds": process_time() - began,
        "said": said[:600],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--minutes", type=float, default=5.0)
    given = parser.parse_args()
    began = perf_counter()
    for name in given.case:
        known = read(FOUND)
        if len(known) and (known["case"] == name).any():
            continue
        if perf_counter() - began > 60 * given.minutes:
            return
        law, make = CASES[name]
        row = {"case": name, "law": law, **told(law, make()), **provenance(0)}
        write(FOUND, pd.concat([without(read(FOUND), {"case": name}), pd.DataFrame([row])]))
        print({k: row.get(k) for k in ("case", "outcome", "fault", "said")}, flush=True)


if __name__ == "__main__":
    main()
