"""Bad input by the thousand: a clear error or a right answer, and nothing else.

    python tests/studies/fuzz.py run [--kind KIND ...] [--cases 2000] [--minutes 5]
    python tests/studies/fuzz.py case KIND NUMBER        (one case, with what came of it)
    python tests/studies/fuzz.py summary

Every case is made from its kind and number alone. Blocks of cases run in processes of their own, so
that a crash is a result, too; finished blocks stand in `results/fuzz.csv` and are not run again
(`--again` runs them anew), failures in `results/fuzz_failures.csv`.

A case passes where the package refuses it with an error of its own kind and a readable message, or
answers as an independent reading does (Python's arithmetic for formulas and conditions, `csv` and
`float` for tables, the undamaged file for saved fits). It fails on any other exception, an exit
status other than 0, 1 and 2, more than 10 seconds, 1 GB more memory, a program started, a network
reached, or a file written, renamed or removed outside the case's own folder.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from fuzz_parts.guard import tried  # noqa: E402
from record import RESULTS, provenance, read, without, write  # noqa: E402

BLOCK = 1000
FOUND = RESULTS / "fuzz.csv"
FAILURES = RESULTS / "fuzz_failures.csv"
CASES = {
    "formula": 5000,
    "prior": 3000,
    "condition": 3000,
    "card": 4000,
    "table": 4000,
    "damaged": 2000,
    "forged": 200,
    "stored": 2000,
    "question": 1000,
    "command": 500,
}


def makers() -> dict[str, Callable[[random.Random, Path], str]]:
    """What makes and judges a case of each kind."""
    from fuzz_parts import asked, files, tables, texts

    files.prepared()
    return {
        "formula": texts.formula,
        "prior": texts.prior,
        "condition": texts.condition,
        "card": texts.card,
        "table": tables.table,
        "damaged": files.damaged,
        "forged": files.forged,
        "stored": files.stored,
        "question": asked.question,
        "command": asked.command,
    }


def work(kind: str, first: int, last: int) -> None:
    """Run cases and tell of each on standard output, a line of JSON each."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    maker = makers()[kind]
    for number in range(first, last):
        print(json.dumps({"begun": number}), file=stdout, flush=True)
        outcome = tried(partial(maker, _generator(kind, number)))
        told = {"number": number, "kind": outcome.kind, "seconds": outcome.seconds}
        told |= {"detail": outcome.detail} if outcome.failed else {}
        print(json.dumps(told), file=stdout, flush=True)


def _generator(kind: str, number: int) -> random.Random:
    return random.Random(f"{kind}-{number}")


def block(kind: str, first: int, last: int) -> list[dict]:
    """Cases of one block, in as many processes as they take."""
    found: list[dict] = []
    at = first
    while at < last:
        command = [sys.executable, __file__, "work", kind, str(at), str(last)]
        limit = 600.0
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=limit
            )
            lines, why = done.stdout, f"the process ended with status {done.returncode}"
            whole = done.returncode == 0
        except subprocess.TimeoutExpired as error:
            lines = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else ""
            why, whole = f"not back after {limit:.0f} seconds", False
        told = [json.loads(line) for line in lines.splitlines() if line.endswith("}")]
        found += [t for t in told if "number" in t]
        if whole:
            break
        begun = max((t["begun"] for t in told if "begun" in t), default=at)
        if begun not in {t["number"] for t in found}:
            found.append({"number": begun, "kind": "crash", "seconds": 0.0, "detail": why})
        at = begun + 1
    return found


def run(kinds: list[str], cases: int | None, minutes: float, again: bool) -> None:
    began = perf_counter()
    for kind in kinds:
        for first in range(0, cases or CASES[kind], BLOCK):
            table = read(FOUND)
            key = {"kind": kind, "first": first}
            if (
                not again
                and len(table)
                and ((table["kind"] == kind) & (table["first"] == first)).any()
            ):
                continue
            if perf_counter() - began > 60 * minutes:
                return
            last = min(first + BLOCK, cases or CASES[kind])
            found = pd.DataFrame(block(kind, first, last))
            failed = found[~found["kind"].isin(["refused", "answered"])]
            row = {
                **key,
                "cases": len(found),
                "refused": int((found["kind"] == "refused").sum()),
                "answered": int((found["kind"] == "answered").sum()),
                "failed": len(failed),
                "slowest": found["seconds"].max(),
                **provenance(0),
            }
            print(
                f"{kind} {first}: {row['refused']} refused, {row['answered']} answered,"
                f" {len(failed)} failed",
                flush=True,
            )
            _keep_failures(key, failed, last)
            write(
                FOUND,
                pd.concat([without(table, key), pd.DataFrame([row])]).sort_values(
                    ["kind", "first"]
                ),
            )


def _keep_failures(key: dict, failed: pd.DataFrame, last: int) -> None:
    table = read(FAILURES)
    if len(table):
        ours = (table["kind"] == key["kind"]) & table["number"].between(key["first"], last - 1)
        table = table[~ours]
    rows = [
        {
            "kind": key["kind"],
            "number": r["number"],
            "failure": r["kind"],
            "detail": " ".join(str(r["detail"]).split())[:300],
        }
        for _, r in failed.iterrows()
    ]
    if rows or len(table):
        write(FAILURES, pd.concat([table, pd.DataFrame(rows)]))
    else:
        FAILURES.unlink(missing_ok=True)


def summary() -> None:
    table = read(FOUND).groupby("kind")[["cases", "refused", "answered", "failed"]].sum()
    table["slowest"] = read(FOUND).groupby("kind")["slowest"].max().round(1)
    print(table.to_string())
    print(table[["cases", "refused", "answered", "failed"]].sum().to_string())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--kind", nargs="+", choices=list(CASES), default=list(CASES))
    running.add_argument("--cases", type=int)
    running.add_argument("--minutes", type=float, default=5.0)
    running.add_argument("--again", action="store_true")
    one = commands.add_parser("case")
    one.add_argument("kind", choices=list(CASES))
    one.add_argument("number", type=int)
    working = commands.add_parser("work")
    working.add_argument("kind", choices=list(CASES))
    working.add_argument("first", type=int)
    working.add_argument("last", type=int)
    commands.add_parser("summary")
    given = parser.parse_args()
    if given.command == "run":
        run(given.kind, given.cases, given.minutes, given.again)
        if FAILURES.exists() and len(read(FAILURES)):
            raise SystemExit(f"failures stand in {FAILURES}")
    elif given.command == "work":
        work(given.kind, given.first, given.last)
    elif given.command == "case":
        print(
            tried(lambda folder: makers()[given.kind](_generator(given.kind, given.number), folder))
        )
    else:
        summary()


if __name__ == "__main__":
    main()
