"""How well larger runs are foretold from smaller ones, beside the usual forecasts.

Two tables: the bundled ladder, cut at several quantiles of its runs' compute (a rolling backtest),
and Hoffmann's runs below and above 3e20 FLOPs, as read by Besiroglu et al., where BAYESCALE_DATA
leads to them::

    python tests/studies/extrapolation.py            # resumes; --again to redo everything

A row is one data set, cut and method (ours by law, and with a law that bends where one group makes
that affordable), with the scores of `bayescale.backtest` (all
but ``are`` on log loss; ``width_*`` and ``interval_score_*`` by level). Our fits use default
settings and are kept whatever their diagnostics say; ``ok`` and ``max_rhat`` tell.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import record

from bayescale import datasets, scoring
from bayescale.backtesting import backtest
from bayescale.baseline_forecasts import baselines
from bayescale.catalog import load_law
from bayescale.diagnostics import diagnose
from bayescale.errors import BayescaleError
from bayescale.runs import Runs

OUT = record.RESULTS / "extrapolation.csv"
LAWS = ("bottleneck", "chinchilla")
BENT = "chinchilla"
OURS = "bayescale"
BASELINES = ("best_so_far", "log_linear", "huber_bootstrap", "vpnls")
QUANTILES = (0.4, 0.5, 0.6, 0.7, 0.8)
CHINCHILLA = "chinchilla_besiroglu"
CHINCHILLA_CUT = "C < 3e20"
CHINCHILLA_ROWS = "excluded_by_source == 0"


@dataclass(frozen=True)
class Part:
    """One cut of one data set."""

    dataset: str
    runs: Runs
    cut: str
    bends: bool = False

    @property
    def treatments(self) -> list[tuple[str, str]]:
        """Laws and discrepancies to fit."""
        return [(law, "none") for law in LAWS] + ([(BENT, "bend")] if self.bends else [])

    @property
    def fingerprint(self) -> str:
        """Changes with the rows, so that scores of a table that has grown are made anew."""
        rows = self.runs.table[["N", "D", "C", "loss"]].to_numpy(float)
        return sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:12]


def ladder_parts() -> list[Part]:
    """Cuts of the ladder at quantiles of its final runs' compute."""
    runs = datasets.load("ladder")
    final = runs.table.loc[runs.table["is_final"] == 1, "C"].to_numpy(float)
    cuts = dict.fromkeys(f"C < {np.quantile(final, q):.4g}" for q in QUANTILES)
    return [Part("ladder", runs, cut) for cut in cuts]


def chinchilla_parts() -> list[Part]:
    """The holdout of Hoffmann's runs, where their table is at hand."""
    try:
        runs = datasets.load(CHINCHILLA, where=CHINCHILLA_ROWS)
    except BayescaleError as error:
        print(f"left out: {error}")
        return []
    return [Part(CHINCHILLA, runs, CHINCHILLA_CUT, bends=True)]


def score(part: Part, seed: int, trial: dict[str, int]) -> pd.DataFrame:
    """Scores of our fits and of the baselines on one cut."""
    options = {"on_failed": "drop", "seed": seed}
    rows = []
    for law, discrepancy in part.treatments:
        ours = backtest(
            load_law(law),
            part.runs,
            part.cut,
            discrepancy=discrepancy,
            progress=False,
            strict=False,
            **options,
            **trial,
        )
        seen = diagnose(ours.fit)
        rows.append(
            {
                "method": f"{OURS} {law}" + (f", {discrepancy}" if discrepancy != "none" else ""),
                **scoring.flat(ours.metrics),
                "ok": seen.ok,
                "max_rhat": seen.max_rhat,
                "min_ess_bulk": seen.min_ess_bulk,
                "divergences": seen.divergences,
            }
        )
    others = baselines(part.runs, cut=part.cut, names=BASELINES, **options)
    if set(others["n_test"]) != {row["n_test"] for row in rows}:
        raise SystemExit(f"{part.dataset}, {part.cut}: the methods were not given the same rows")
    scores = pd.concat([pd.DataFrame(rows), others.rename(columns={"baseline": "method"})])
    scores.insert(0, "dataset", part.dataset)
    scores.insert(1, "cut", part.cut)
    draws = trial.get("draws", "default")
    return scores.assign(data=part.fingerprint, draws=draws, **record.provenance(seed))


def main() -> None:
    """Score the cuts that the table lacks."""
    parser = argparse.ArgumentParser(description="Backtest extrapolations beside baselines.")
    parser.add_argument("--dataset", choices=["ladder", CHINCHILLA], help="only this one")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, help="for a trial: draws and warm-up")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    trial = {"draws": given.draws, "warmup": given.draws} if given.draws else {}
    if trial and given.out.resolve() == OUT:
        raise SystemExit("a trial's scores are no results: give --out")
    parts = [*ladder_parts(), *chinchilla_parts()]
    wanted = [part for part in parts if given.dataset in (None, part.dataset)]
    table = record.read(given.out)
    for name in dict.fromkeys(part.dataset for part in wanted):  # cuts move as the ladder grows
        cuts = [part.cut for part in wanted if part.dataset == name]
        table = table[(table["dataset"] != name) | table["cut"].isin(cuts)] if len(table) else table
    for part in wanted:
        where = {"dataset": part.dataset, "cut": part.cut}
        key = {**where, "data": part.fingerprint, "seed": given.seed}
        if not given.again and record.matches(table, key).any():
            print(f"{part.dataset}, {part.cut}: there already")
            continue
        scores = score(part, given.seed, trial)
        table = pd.concat([record.without(table, where), scores], ignore_index=True)
        record.write(given.out, table)
        shown = ["method", "n_train", "n_test", "rmsle", "crps", "coverage_95", "width_95"]
        print(f"\n{part.dataset}, {part.cut}\n{scores[shown].to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
