"""Simulation-based calibration of every card through `bs.fit_many`, and bugs that it must catch.

    python tests/studies/sbc.py run [--config NAME ...] [--replicates N] [--draws N]
                                    [--minutes 5] [--each 5]
    python tests/studies/sbc.py part --config NAME [--first 0] [--before N]
    python tests/studies/sbc.py priors [--config NAME ...]
    python tests/studies/sbc.py planted [--bug NAME ...] [--repeats 10] [--replicates 200 50]
    python tests/studies/sbc.py list
    python tests/studies/sbc.py summary

A configuration is LAW/NOISE/POOLING/DISCREPANCY. `power_law` and `chinchilla` stand for every
noise, pooling and discrepancy that ships (200 replicates), every other card for its defaults (50).
Truths and runs are drawn from the card's prior at a fixed reference; each table is fitted; the
rank of the truth among 99 thinned draws is kept for every parameter, the log likelihood, a
prediction beyond the data, which group is better there, and the best N. Ranks stand in
`results/sbc/CONFIG.csv`, a row a replicate, in chunks of 50 that are not run again, with what
`diagnose` says of the fit; `results/sbc.csv` has a row a quantity. Fits of a chunk share one
compiled program and keep its lanes full, so that large chunks are cheaper; a fit stops at 400
draws a chain (4,000 for the two laws' defaults) or where `--draws` says. After `--each` minutes
of one configuration the next has its turn; finished fits wait in a temporary folder.

p is that of a simultaneous band of the ECDF (Säilynoja et al. 2022). A configuration fails where
min(p) times the number of quantities is below 0.01. Refused fits keep their ranks and are counted.

`part` says of some of a configuration's replicates what `run` says of all, without a table.

`priors` compares the log prior at 200 truths of every configuration with what NumPyro's own
distributions and transforms say of it (`sbc_parts/independent.py`), and needs no fit; a row a
configuration in `results/sbc_priors.csv`. A configuration fails above 1e-6.

`planted`: see `sbc_parts/planted.py`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zlib
from itertools import product
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, code, provenance, read, without, write  # noqa: E402

MOST = 99
CHUNK = 50
RANKS = RESULTS / "sbc"
FOUND = RESULTS / "sbc.csv"
PRIORS = RESULTS / "sbc_priors.csv"
TRUTHS = 200
LEVEL = 0.01
WIDE = ("power_law", "chinchilla")
NOISES = ("t", "normal", "t+scale")
POOLS = ("card", "complete", "none")
DISCREPANCIES = ("none", "bend")


def configurations() -> list[str]:
    """Names, in the order in which they are run: defaults first."""
    from bayescale.catalog import laws

    first = [f"{law}/card/card/none" for law in WIDE]
    others = [f"{name}/card/card/none" for name in laws()["name"] if name not in WIDE]
    wide = [
        f"{law}/{noise}/{pool}/{bend}"
        for law, bend, pool, noise in product(WIDE, DISCREPANCIES, POOLS, NOISES)
        if not (noise == "t" and pool == "card" and bend == "none")
    ]
    return [*first, *others, *wide]


def wanted(config: str) -> int:
    return 200 if config.split("/")[0] in WIDE else 50


def longest(config: str) -> int:
    """Draws a chain at which fits stop: `fit_many`'s default for both laws' own defaults.

    Elsewhere earlier, since a few fits that never converge would hold up all others; ranks are
    taken all the same, and the fits are refused.
    """
    return 4000 if config in configurations()[: len(WIDE)] else 400


def asked(config: str):
    """The question of a configuration."""
    from sbc_parts.simulate import question

    from bayescale.catalog import load_law
    from tests.test_models import place, scales

    name, noise, pool, bend = config.split("/")
    law = load_law(name)
    options = {
        "noise": None if noise == "card" else noise,
        "pool": None if pool == "card" else pool,
        "discrepancy": bend,
    }
    return question(law, options, place(law), scales(law))


def simulated(config: str, question: Any, replicate: int) -> pd.DataFrame:
    """The runs of one replicate again, where chunks were whole."""
    from sbc_parts.simulate import draw

    start = replicate - replicate % CHUNK
    rng = np.random.default_rng(_seed(config, start))
    return draw(question, rng, min(CHUNK, wanted(config) - start)).tables[replicate - start]


def _seed(config: str, start: int) -> int:
    return zlib.crc32(f"{config} {start}".encode())


def chunk(config: str, start: int, size: int, seconds: float, draws: int) -> pd.DataFrame:
    """Ranks of some replicates; `OutOfTime` where they take longer, and then they go on."""
    from sbc_parts.simulate import draw

    import bayescale as bs

    asked_for = asked(config)
    seed = _seed(config, start)
    rng = np.random.default_rng(seed)
    truths = draw(asked_for, rng, size)
    shelf = Path(tempfile.gettempdir()) / "bayescale-sbc" / code() / f"{seed}-{size}"
    shelf.mkdir(parents=True, exist_ok=True)
    spent = shelf / "seconds.txt"
    began = process_time()
    try:
        with asked_for.reference_held():
            many = bs.fit_many(
                asked_for.law,
                truths.tables,
                seed=seed % 2**31,
                progress=False,
                store=shelf,
                max_draws=draws,
                max_seconds=seconds,
                **asked_for.options,
            )
    finally:
        with spent.open("a") as file:
            file.write(f"{process_time() - began}\n")
    cost = sum(map(float, spent.read_text().split())) / size
    rows = []
    for i in range(size):
        problems = bs.diagnose(many[i]).problems
        row = {
            "replicate": start + i,
            "ok": not problems,
            "problem": "" if not problems else problems[0][:60],
            "redrawn": truths.redrawn / size,
            "draws": int(many.table["draws"].iloc[i]),
            "inexact": 0.0,
            "seconds": cost,
        }
        rows.append(row | _ranks(asked_for, many, truths, i, rng))
    shutil.rmtree(shelf)
    return pd.DataFrame(rows)


def _ranks(asked_for: Any, many: Any, truths: Any, i: int, rng: np.random.Generator) -> dict:
    """Rank of the truth among thinned draws, for everything that is a number in all of them."""
    from sbc_parts.simulate import part, quantities

    framed, drawn = many._framed[i], many._drawn[i]
    keep = np.linspace(0, len(drawn.position.population) - 1, MOST).round().astype(int)
    seeds = (int(seed) for seed in rng.integers(0, 2**31, 2))
    after = quantities(asked_for, framed.model, part(drawn.position, keep), next(seeds))
    truth = part(truths.position, slice(i, i + 1))
    before = quantities(asked_for, framed.model, truth, next(seeds))
    stored = drawn.sampled.log_likelihood.reshape(-1)[keep]
    found = {"inexact": float(np.max(np.abs(stored - after["log_likelihood"])))}
    for name in before:
        if name in after:
            ties = rng.integers(0, int(np.sum(after[name] == before[name][0])) + 1)
            found[name] = int(np.sum(after[name] < before[name][0])) + int(ties)
    return found


def ranks_file(config: str) -> Path:
    return RANKS / f"{config.replace('/', '-').replace('+', '_')}.csv"


TOLD = ("replicate", "ok", "problem", "redrawn", "draws", "inexact", "seconds")


def judge(config: str, table: pd.DataFrame) -> pd.DataFrame:
    """A row a quantity."""
    from sbc_parts.bands import ecdf_p_value

    names = [c for c in table if c not in TOLD]
    rows = []
    for name in names:
        ranks = table[name].dropna().to_numpy().astype(int)
        rows.append(
            {
                "config": config,
                "quantity": name,
                "replicates": len(ranks),
                "refused": int((~table["ok"]).sum()),
                "p": ecdf_p_value(ranks, MOST),
                "mean_rank": ranks.mean() / MOST,
                "inexact": table["inexact"].max(),
                "redrawn": table["redrawn"].mean(),
                "cpu_seconds": table["seconds"].mean(),
                **provenance(0),
            }
        )
    return pd.DataFrame(rows)


def run(
    configs: list[str], replicates: int | None, minutes: float, each: float, draws: int | None
) -> None:
    began = perf_counter()
    for config in configs:
        goal, mine = replicates or wanted(config), perf_counter()
        table = read(ranks_file(config))
        while len(table) < goal:
            now = perf_counter()
            left = min(60 * minutes - (now - began), 60 * each - (now - mine))
            if left < 1:
                break
            size = min(CHUNK, goal - len(table))
            try:
                new = chunk(config, len(table), size, left, draws or longest(config))
            except Exception as error:
                why = f"{type(error).__name__}: {error}".split("; missing")[0]
                print(f"{config}: {why}"[:300], flush=True)
                if not len(table):
                    row = {"config": config, "quantity": "NONE", "why": why[:200]}
                    _put(config, pd.DataFrame([row | provenance(0)]))
                break
            table = pd.concat([table, new], ignore_index=True)
            write(ranks_file(config), table)
            judged = judge(config, table)
            _put(config, judged)
            worst = judged.loc[judged["p"].idxmin()]
            print(
                f"{config}: {len(table)} of {goal}, {judged['refused'].iloc[0]} refused,"
                f" smallest p {worst['p']:.4f} ({worst['quantity']}) of {len(judged)},"
                f" {new['seconds'].mean():.2f} processor s a fit",
                flush=True,
            )


def _put(config: str, rows: pd.DataFrame) -> None:
    write(FOUND, pd.concat([without(read(FOUND), {"config": config}), rows], ignore_index=True))


def judge_part(config: str, first: int, before: int | None) -> None:
    """Print p of the replicates from `first` on, up to `before`, the smallest first."""
    judged = judge(config, read(ranks_file(config)).iloc[first:before])
    family = min(1.0, judged["p"].min() * len(judged))
    print(f"{config}: {judged['replicates'].max()} replicates, family p {family:.4f}")
    print(judged.sort_values("p")[["quantity", "replicates", "p"]].to_string(index=False))


def priors(configs: list[str]) -> None:
    """Compare the log prior with NumPyro's at truths from it."""
    from sbc_parts.independent import EXACT, log_prior
    from sbc_parts.simulate import draw

    from bayescale import density

    failed = []
    for config in configs:
        question = asked(config)
        model = question.model
        seed = _seed(config, 0)
        at = draw(question, np.random.default_rng(seed), TRUTHS).position
        ours = density.log_prior(model.structure, at, model.arrays.inputs(), np)
        apart = float(np.max(np.abs(ours - log_prior(model, at))))
        row = {"config": config, "truths": TRUTHS, "largest_difference": apart}
        rows = [without(read(PRIORS), {"config": config}), pd.DataFrame([row | provenance(seed)])]
        write(PRIORS, pd.concat(rows, ignore_index=True))
        failed += [] if apart < EXACT else [config]
    if failed:
        raise SystemExit(f"their log prior is not NumPyro's: {', '.join(failed)}")
    print(f"{len(configs)} configurations, none with a log prior that is not NumPyro's")


def summary() -> None:
    table = read(FOUND)
    none = table[table["quantity"] == "NONE"]
    groups = table[table["quantity"] != "NONE"].groupby("config", sort=False)
    told = groups.agg(
        quantities=("p", "size"),
        replicates=("replicates", "max"),
        refused=("refused", "max"),
        smallest_p=("p", "min"),
        inexact=("inexact", "max"),
        cpu_seconds=("cpu_seconds", "mean"),
    )
    told["worst"] = [g.loc[g["p"].idxmin(), "quantity"] for _, g in groups]
    told["verdict"] = np.where(
        told["smallest_p"] * told["quantities"] < LEVEL, "FAILS", "not refuted"
    )
    told["complete"] = [n >= wanted(c) for c, n in told["replicates"].items()]
    print(told.to_string())
    for _, row in none.iterrows():
        print(f"{row['config']}: none yet: {row['why']}")
    left = [c for c in configurations() if c not in told.index]
    print(f"{len(told)} configurations, {len(left)} not run")
    print(f"{told['refused'].sum()} fits refused of {told['replicates'].sum()}")
    p = table["p"].dropna()
    print(
        f"{len(p)} quantities; p below 0.05: {(p < 0.05).mean():.3f}, 0.5: {(p < 0.5).mean():.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--config", nargs="+")
    running.add_argument("--replicates", type=int)
    running.add_argument("--minutes", type=float, default=5.0)
    running.add_argument("--each", type=float, default=5.0)
    running.add_argument("--draws", type=int)
    partly = commands.add_parser("part")
    partly.add_argument("--config", required=True)
    partly.add_argument("--first", type=int, default=0)
    partly.add_argument("--before", type=int)
    commands.add_parser("priors").add_argument("--config", nargs="+")
    planting = commands.add_parser("planted")
    planting.add_argument("--bug", nargs="+")
    planting.add_argument("--repeats", type=int, default=10)
    planting.add_argument("--replicates", type=int, nargs="+", default=[200, 50])
    planting.add_argument("--minutes", type=float, default=5.0)
    commands.add_parser("list")
    commands.add_parser("summary")
    given = parser.parse_args()
    if given.command == "run":
        asked_for = given.config or configurations()
        run(asked_for, given.replicates, given.minutes, given.each, given.draws)
    elif given.command == "part":
        judge_part(given.config, given.first, given.before)
    elif given.command == "priors":
        priors(given.config or configurations())
    elif given.command == "planted":
        from sbc_parts.planted import study

        study(given.bug, given.repeats, given.replicates, given.minutes)
    elif given.command == "list":
        print("\n".join(configurations()))
    else:
        summary()


if __name__ == "__main__":
    main()
