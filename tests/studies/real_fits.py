"""Cards fitted to real data, with an ordered split each; resumable.

::

    python tests/studies/real_fits.py list                        # what there is
    python tests/studies/real_fits.py run                         # results/real_fits.csv
    python tests/studies/real_fits.py run --dataset gadre --law chinchilla --again
    python tests/studies/real_fits.py show

A row is a data set, a law and a split: fitted at the package's defaults to the cheap rows, scored
on the dear ones. Tables are read from the folder that BAYESCALE_DATA names, our own from the
package. A fit that diagnostics refuse is scored all the same, and one that could not be made keeps
its row; ``why`` says what was wrong.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
import record
from real_fits_parts.cases import Case, cases

OUT = record.RESULTS / "real_fits.csv"
MOST, ENOUGH = 1500, 400.0  # draws a chain at most, and effective draws that stop a fit
SECONDS = 300.0  # of wall time a fit
SHOWN = ("n_train", "n_test", "rmsle", "r2", "r2_train", "coverage_95", "width_95", "ok", "why")


def chosen(given: argparse.Namespace) -> list[Case]:
    """The cases asked for."""
    return [
        one
        for one in cases()
        if (not given.dataset or any(one.dataset.startswith(d) for d in given.dataset))
        and (not given.law or one.law in given.law)
    ]


def show_cases(given: argparse.Namespace) -> None:
    """Print data sets, laws and splits."""
    for one in chosen(given):
        divided = one.divide()
        for name, test in divided.tests.items():
            print(f"{one.dataset}, {one.law}: {name}; {len(divided.train)} and {len(test)} rows")


def run(given: argparse.Namespace) -> None:
    """Fit and score what the table lacks, a case at a time."""
    from real_fits_parts.one import rows

    began = time.perf_counter()
    options = {"max_draws": given.draws, "min_ess": ENOUGH, "max_seconds": given.seconds}
    for one in chosen(given):
        names = set(one.divide().tests)
        if _same(record.read(given.out), one, names).any() and not given.again:
            continue
        made = pd.DataFrame(rows(one, given.seed, **options))
        made = made.assign(**record.provenance(given.seed))
        table = record.read(given.out)  # again: others may have written
        kept = table[~_same(table, one, names)]
        record.write(given.out, pd.concat([kept, made], ignore_index=True))
        for row in made.to_dict("records"):
            told = {k: row[k] for k in ("r2", "coverage_95", "ok") if k in row}
            print(f"{one.dataset}, {one.law}, {row['split']}: {told} {row['why']}", flush=True)
        if given.stop and time.perf_counter() - began > given.stop:
            print("stopped by --stop; call again for the rest")
            return


def _same(table: pd.DataFrame, one: Case, names: set[str]) -> pd.Series:
    """The table's rows of a case."""
    same = record.matches(table, {"dataset": one.dataset, "law": one.law})
    return same & table["split"].isin(names) if len(table) else same


def show(given: argparse.Namespace) -> None:
    """Print the table."""
    table = record.read(given.out)
    wide = table.set_index(["dataset", "law", "split"])[list(SHOWN)].round(4)
    wide["why"] = wide["why"].astype(object).fillna("").astype(str).str[:60]
    print(wide.to_string())
    print(f"{table['cpu_seconds'].sum() / 60:.1f} processor minutes")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Cards fitted to real data.")
    commands = parser.add_subparsers(required=True)
    for name, verb in (("list", show_cases), ("run", run), ("show", show)):
        one = commands.add_parser(name)
        one.set_defaults(verb=verb)
        one.add_argument("--dataset", action="append", help="begins with")
        one.add_argument("--law", action="append")
        one.add_argument("--out", type=Path, default=OUT)
        if name == "run":
            one.add_argument("--seed", type=int, default=0)
            one.add_argument("--again", action="store_true", help="also what is there")
            one.add_argument("--draws", type=int, default=MOST, help="a chain at most")
            one.add_argument("--seconds", type=float, default=SECONDS, help="of wall time a fit")
            one.add_argument("--stop", type=float, help="seconds after which no case is begun")
    given = parser.parse_args()
    given.verb(given)


if __name__ == "__main__":
    main()
