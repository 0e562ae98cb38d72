"""A newcomer's ten minutes: the commands of the getting-started page, as they stand there.

    python tests/studies/newcomer.py

A fresh virtual environment in a scratch folder, the package installed from this checkout as the
page says, an export as W&B writes it, then every shell line of the page, run by bash and timed. The
export is made from the ladder's runs on prose and has what a project's table has: settings and
metrics nobody needs, runs that crashed, failed before their first step or still go on.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import record

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "getting_started.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)


def lines(page: str) -> list[str]:
    """The shell lines of a page, in order, those that install it first."""
    return [line for block in _BLOCK.findall(page) for line in block.splitlines() if line]


def export(ladder: pd.DataFrame) -> pd.DataFrame:
    """Make a table of runs as W&B's download button gives it, columns in its order."""
    runs = ladder[(ladder["is_final"] == 1) & (ladder["role"] == "fit")]
    runs = runs[runs["corpus"] == "prose"].reset_index(drop=True)
    count = len(runs)
    table = pd.DataFrame(
        {
            "Name": [f"brisk-river-{100 + i}" for i in range(count)],
            "State": "finished",
            "Notes": "-",
            "User": "someone",
            "Tags": "ladder, v2",
            "Created": "2026-02-01T10:00:00.000Z",
            "Runtime": runs["seconds"].astype(int),
            "Sweep": "",
            "batch_size": runs["batch"],
            "data.tokens": runs["D"],
            "max_iters": runs["step"],
            "model.arch": runs["recipe"],
            "model.n_layer": np.where(runs["N"] < 2e4, 4, 6),
            "model.n_params": runs["N"],
            "optim.lr": runs["lr"],
            "optim.name": "adamw",
            "seed": runs["seed"],
            "_runtime": runs["seconds"] + 3.2,
            "_step": runs["step"],
            "_timestamp": 1769911200.0,
            "train/loss": (0.97 * runs["loss"]).round(4),
            "val/loss": runs["loss"].round(5),
            "val/ppl": np.exp(runs["loss"]).round(4),
        }
    )
    odd = table.iloc[[5, 15, 25]].astype(object)
    odd["Name"] = ["odd-dawn-1", "odd-dawn-2", "odd-dawn-3"]
    odd["State"] = ["crashed", "running", "failed"]
    odd["Notes"] = ["restarted", "-", "-"]
    odd["val/loss"] = 1.25 * odd["val/loss"].astype(float)
    never = ["data.tokens", *odd.columns[odd.columns.get_loc("_runtime") :]]
    odd.iloc[2, odd.columns.get_indexer(pd.Index(never))] = None  # it failed before its first step
    return pd.concat([table.iloc[:9], odd, table.iloc[9:]], ignore_index=True)


def trial(folder: Path) -> list[dict[str, object]]:
    """Install, then run every line of the page; one bash, as one who types would have."""
    clone, home = folder / "bayescale", folder / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
    table = export(pd.read_csv(clone / "bayescale" / "data" / "ladder.csv"))
    table.to_csv(clone / "wandb_export.csv", index=False, quoting=csv.QUOTE_ALL)
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "PIP_INDEX_URL")}
    environment = {**kept, "HOME": str(home), "COLUMNS": "120"}
    done: list[str] = []
    rows: list[dict[str, object]] = []
    for line in lines(PAGE.read_text(encoding="utf-8")):
        activated = [old for old in done if old.startswith("source ")]
        began = time.perf_counter()
        ran = subprocess.run(
            ["bash", "-c", "\n".join([*activated, line])],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        print(f"$ {line}\n{ran.stdout}{ran.stderr}", file=sys.stderr)
        rows.append({"line": line, "seconds": round(seconds, 1), "status": ran.returncode})
        done.append(line)
    report = clone / "report.html"
    size = report.stat().st_size if report.exists() else 0
    rows.append({"line": "report.html, bytes", "seconds": np.nan, "status": size})
    return rows


def main() -> None:
    """Run the page in a scratch folder and write what each line took."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = trial(Path(folder))
    table = pd.DataFrame(rows).assign(
        minutes_so_far=lambda t: (t["seconds"].cumsum() / 60).round(2)
    )
    record.write(record.RESULTS / "newcomer.csv", table.assign(**record.provenance(0)))
    print(table.to_string(index=False))
    if (table["status"].iloc[:-1] != 0).any() or not table["status"].iloc[-1]:
        raise SystemExit("a line of the page failed")


if __name__ == "__main__":
    main()
