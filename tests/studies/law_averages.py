"""Averages of laws beside each law alone, on the cuts of `extrapolation.py`.

Two laws are fitted to the smaller runs of each cut, weighed there by how well they predict larger
runs from smaller (`bayescale.compare_laws`), and the larger runs of the cut are then predicted by
each law, by equal weights and by those weights::

    python tests/studies/law_averages.py             # resumes; --again to redo everything

Our fits use default settings and are kept whatever their diagnostics say.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pandas as pd
import record
from extrapolation import CHINCHILLA, LAWS, Part, chinchilla_parts, ladder_parts

import bayescale as bs
from bayescale import scoring
from bayescale.predictive_draws import log_predictive, loss_draws
from bayescale.splits import split_runs

OUT = record.RESULTS / "law_averages.csv"


def score(part: Part, seed: int, store: Path) -> pd.DataFrame:
    """Scores of each law and of both averages on one cut."""
    split = split_runs(part.runs, bs.load_law(LAWS[0]), part.cut, on_failed="drop")
    options = {"seed": seed, "progress": False, "strict": False}
    fits = {law: bs.fit(bs.load_law(law), split.train, **options) for law in LAWS}
    table = bs.compare_laws(fits, seed=seed, store=store)
    asked = {**fits, "equal weights": bs.average(fits), "lfo weights": bs.average(fits, table)}
    observed = split.test["loss"].to_numpy(float)
    hidden = split.test.drop(columns="loss")
    rows = []
    for method, one in asked.items():
        draws = loss_draws(one, hidden, kind="new-run", seed=seed)
        scores = scoring.metrics(draws, observed, log_predictive(one, split.test))
        told = table.loc[method] if method in table.index else {}
        rows.append(
            {
                "method": method,
                "n_train": len(split.train),
                **scoring.flat(scores),
                "weight": told.get("weight", np.nan),
                "weight_lower": told.get("weight_lower", np.nan),
                "weight_upper": told.get("weight_upper", np.nan),
                "lean": told.get("lean", np.nan),
                "ok": bs.diagnose(one).ok if isinstance(one, bs.Fit) else None,
            }
        )
    scores = pd.DataFrame(rows)
    scores.insert(0, "dataset", part.dataset)
    scores.insert(1, "cut", part.cut)
    return scores.assign(data=part.fingerprint, **record.provenance(seed))


def main() -> None:
    """Score the cuts that the table lacks."""
    parser = argparse.ArgumentParser(description="Averages of laws beside each law alone.")
    parser.add_argument("--dataset", choices=["ladder", CHINCHILLA], help="only this one")
    parser.add_argument("--cut", help="only this one")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--store", type=Path, default=Path(gettempdir()) / "law_averages")
    given = parser.parse_args()
    for part in [*chinchilla_parts(), *ladder_parts()]:
        if given.dataset not in (None, part.dataset) or given.cut not in (None, part.cut):
            continue
        table = record.read(given.out)
        where = {"dataset": part.dataset, "cut": part.cut}
        key = {**where, "data": part.fingerprint, "seed": given.seed}
        if not given.again and record.matches(table, key).any():
            print(f"{part.dataset}, {part.cut}: there already")
            continue
        scores = score(part, given.seed, given.store)
        table = pd.concat([record.without(table, where), scores], ignore_index=True)
        record.write(given.out, table)
        shown = ["method", "rmsle", "crps", "coverage_95", "width_95", "log_score", "weight"]
        print(f"\n{part.dataset}, {part.cut}\n{scores[shown].to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
