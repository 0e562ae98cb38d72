"""Ordered backtests over every public ladder, beside baselines; resumable.

::

    python tests/studies/backtests.py splits                    # what there is
    python tests/studies/backtests.py baselines                 # results/backtests_baselines.csv
    python tests/studies/backtests.py peers                     # results/backtests_peers.csv
    python tests/studies/backtests.py benchmark                 # results/backtests_benchmark.csv
    python tests/studies/backtests.py ours --name default --out FILE.csv [--noise normal]
    python tests/studies/backtests.py ours --benchmark --name default --out FILE.csv
    python tests/studies/backtests.py summary FILE.csv ...      # results/backtests_summary.csv
    python tests/studies/backtests.py measured FILE.csv         # what predictions say was measured
    python tests/studies/backtests.py scales FILE.csv           # results/bend_scales.csv
    python tests/studies/backtests.py drift --store FOLDER      # results/bend_drift.csv
    python tests/studies/backtests.py ablation FILE.csv ...     # results/backtests_ablation.csv

A row is one split and method with the scores of `bayescale.scoring`. Tables are read from the
folder that BAYESCALE_DATA names. The split ``extra:chinchilla`` stands in the tables and is left
out of the summary.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import record
from backtest_parts import methods, peers
from backtest_parts.scores import score, summarise
from backtest_parts.suite import (
    DOMAINS,
    OrderedSplit,
    benchmark_splits,
    chinchilla_split,
    splits,
)

from bayescale import bends
from bayescale.errors import BayescaleError
from bayescale.priors import Prior

OUT = record.RESULTS / "backtests_baselines.csv"
PEERS = record.RESULTS / "backtests_peers.csv"
BENCHMARK = record.RESULTS / "backtests_benchmark.csv"
MEASURED = Path(__file__).parents[2] / "bayescale" / "data" / "measured_coverage.csv"
DISTANCES = (0.0, 1.0, 2.0, 9.0)  # decades of compute beyond the runs
FEWEST = 5  # data sets that a share is told of
SUITE = {"min_ess": 200.0, "max_draws": 1500}  # effective draws a fit, draws a chain at most
DRIFTS = (0.0, -0.5, -1.0, -1.5, -2.0, -3.0)
CURVES_DRIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
DRIFT = record.RESULTS / "bend_drift.csv"
ABLATION = record.RESULTS / "backtests_ablation.csv"
SCALES = record.RESULTS / "bend_scales.csv"
SUMMARY = record.RESULTS / "backtests_summary.csv"


def wanted(datasets: list[str] | None) -> list[OrderedSplit]:
    """The chosen splits and, with its data set, the extra one."""
    extra = [chinchilla_split()] if not datasets or "chinchilla" in datasets else []
    return [*splits(datasets), *extra]


def run_baselines(given: argparse.Namespace) -> None:
    """The usual baselines on the macro suite's splits."""
    score_missing(given, wanted(given.dataset), methods.BASELINES)


def run_peers(given: argparse.Namespace) -> None:
    """Other packages on the ladders, cheapest first; installed apart (see `peers`)."""
    names = given.method or list(peers.PEERS)
    for name in set(names) & set(peers.PACKAGES):
        peers.required(name)
    ladders = [split for split in wanted(given.dataset) if split.kind == "ladder"]
    score_missing(given, sorted(ladders, key=lambda s: len(s.train)), peers.PEERS)


def run_benchmark(given: argparse.Namespace) -> None:
    """M1 to M4 on the curves of the benchmark, by its own division."""
    score_missing(given, curves(given.dataset), methods.CURVE_FORMS)
    show_benchmark(record.read(given.out))


def curves(domains: list[str] | None) -> list[OrderedSplit]:
    """Curves of the benchmark's domains."""
    found = benchmark_splits()
    return [s for domain in domains or DOMAINS.values() for s in found if s.ladder == domain]


def show_benchmark(table: pd.DataFrame) -> None:
    """Means over the curves of each domain."""
    shown = ["n_test", "rmsle", "log_score_y", "coverage_95", "width_95"]
    print(table.groupby(["ladder", "method"])[shown].mean().round(4).to_string())


def score_missing(
    given: argparse.Namespace, chosen: list[OrderedSplit], known: dict[str, methods.Method]
) -> None:
    """Score what the table lacks, a split at a time."""
    table = record.read(given.out)
    for split in chosen:
        done = set(table.loc[table["split"] == split.name, "method"]) if len(table) else set()
        rows = []
        for name in given.method or known:
            if name in done:
                continue
            start = time.perf_counter()
            try:
                said, density = known[name](split, given.seed)
                row = score(split, said, density, given.seed)
            except (BayescaleError, np.linalg.LinAlgError) as error:
                row = {"dataset": split.dataset, "split": split.name, "failed": str(error)[:200]}
            seconds = time.perf_counter() - start
            about = record.provenance(given.seed)
            rows.append({"method": name, **row, "seconds": seconds, **about})
        if rows:
            table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
            record.write(given.out, table)
            print(f"{split.name}: {', '.join(row['method'] for row in rows)}", flush=True)


def run_ours(given: argparse.Namespace) -> None:
    """Score bayescale at the given options under the given name."""
    options = {
        k: v
        for k in ("noise", "pool", "discrepancy", "checkpoints")
        if (v := getattr(given, k)) is not None
    }
    table = record.read(given.out)
    done = set(table.loc[table["method"] == given.name, "split"]) if len(table) else set()
    options |= SUITE
    chosen = curves(given.dataset) if given.benchmark else wanted(given.dataset)
    todo = [split for split in chosen if split.name not in done]
    for ladder in sorted({(split.dataset, split.ladder) for split in todo}):
        chosen = [split for split in todo if (split.dataset, split.ladder) == ladder]
        options["store"] = given.store
        law = (*given.law, None)[0]
        if given.together:
            said = methods.together(chosen, curves(None), given.seed, law=law, **options)
        elif len(given.law) > 1:
            said = methods.mixed(chosen, given.law, given.seed, **options)
        else:
            said = methods.bayescale(chosen, given.seed, law=law, **options)
        for split, draws, density, about in said:
            row = {"method": given.name, **score(split, draws, density, given.seed), **about}
            row |= record.provenance(given.seed)
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            record.write(given.out, table)
            print(f"{split.name}: 95% interval {row['coverage_95']:.0%}", flush=True)
    if given.benchmark:
        show_benchmark(table)


def tell_drift(given: argparse.Namespace) -> None:
    """Scores of the stored fits with other drifts, and the drift that the other data sets choose.

    A drift has no part in a fit, only in how a bend goes on beyond it. For each data set the one
    is taken that has the least mean log CRPS over all others. Of the benchmark's curves, which one
    study made, a domain is a data set here.
    """
    table = record.read(given.out)
    by = "ladder" if given.benchmark else "dataset"
    done = set(table[by]) if len(table) else set()
    known = DOMAINS.values() if given.benchmark else sorted({s.dataset for s in splits()})
    for dataset in given.dataset or known:
        found = curves([dataset]) if given.benchmark else splits([dataset])
        chosen = [s for s in found if s.kind == ("curve" if given.benchmark else "ladder")]
        if dataset in done or not chosen:
            continue
        options = {"store": given.store, "discrepancy": "bend", **SUITE}
        rows = []
        for split, fit, _ in methods.fits_of(chosen, given.seed, **options):
            for drift in CURVES_DRIFTS if given.benchmark else DRIFTS:
                said = methods.foretell(methods.drifting(fit, drift), split, given.seed)
                row = {"method": f"drift {drift:g}", **score(split, *said, given.seed)}
                rows.append({**row, "drift": drift, **record.provenance(given.seed)})
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        record.write(given.out, table)
    table = table[table["drift"].notna()]
    crps = np.log(table.groupby([by, "drift"])["crps"].mean().unstack("drift"))
    if len(crps) < 2:
        raise SystemExit("a drift is chosen across data sets: give two or more")
    best = {d: crps.drop(index=d).mean().idxmin() for d in crps.index}
    others = table[table["drift"] == table[by].map(best)]
    others = others.assign(method="drift that the others choose", drift=np.nan)
    record.write(given.out, pd.concat([table, others], ignore_index=True))
    print(f"all choose {crps.mean().idxmin():g}; leaving one out {sorted(set(best.values()))}")


def tell_ablation(given: argparse.Namespace) -> None:
    """Treatments side by side on the splits that all have: means over data sets."""
    table = pd.concat([record.read(path) for path in given.tables], ignore_index=True)
    table = table[~table["split"].str.startswith("extra:") & (table["kind"] == "ladder")]
    held = [f"coverage_{p}" for p in (50, 80, 90, 95)]
    scored = ["width_95", "crps", "interval_score_95"]
    if given.method:
        table = table[table["method"].isin(given.method)]
    counts = table.groupby("split")["method"].nunique()
    table = table[table["split"].map(counts) == table["method"].nunique()]
    each = table.groupby(["method", "dataset"])[held + scored].mean()
    found = each[held].groupby("method").mean()
    for name in scored:  # geometric, since data sets differ in how hard they are
        found[name] = np.exp(np.log(each[name]).groupby("method").mean())
    found = found.loc[list(given.method or found.index)]
    found.insert(0, "n_datasets", table["dataset"].nunique())
    found.insert(1, "n_splits", table["split"].nunique())
    found = found.rename_axis("treatment").reset_index()
    record.write(given.out, found.assign(**record.provenance(0)))
    print(found.round(4).to_string(index=False))


def show_splits(given: argparse.Namespace) -> None:
    """Print the splits."""
    rows = [
        {
            "split": s.name,
            "law": s.law,
            "n_train": len(s.train),
            "n_test": len(s.test),
            "distance": s.distance,
            "weight": s.weight,
        }
        for s in wanted(given.dataset)
    ]
    print(pd.DataFrame(rows).to_string(index=False))


def show_summary(given: argparse.Namespace) -> None:
    """Summarise tables of scores into one."""
    table = pd.concat([record.read(path) for path in given.tables], ignore_index=True)
    macro = table[~table["split"].str.startswith("extra:") & table["crps"].notna()]
    macro = macro[~macro["dataset"].isin(given.without)]
    if given.kind:
        macro = macro[macro["kind"] == given.kind]
    if given.common:
        methods_of = macro.groupby("split")["method"].nunique()
        macro = macro[macro["split"].map(methods_of) == macro["method"].nunique()]
    summary = summarise(macro).assign(**record.provenance(0))
    record.write(given.out, summary)
    shown = ["method", "quantity", "against", "value", "lower", "upper", "worst_dataset"]
    print(summary[shown].to_string(index=False))


def tell_measured(given: argparse.Namespace) -> None:
    """Coverage by distance, for predictions to quote: bayescale/data/measured_coverage.csv."""
    table = pd.concat([record.read(path) for path in given.tables], ignore_index=True)
    table = table[~table["split"].str.startswith("extra:") & table["crps"].notna()]
    decades = table["distance"] / np.log(10.0)
    rng = np.random.default_rng(0)
    rows = []
    ladders = table["kind"] == "ladder"
    for (kind, own), (above, to) in product(
        (("ladder", ladders), ("all", ladders | True)), pairwise(DISTANCES)
    ):
        near = table[own & (decades > above) & (decades <= to)]
        for prob in (0.5, 0.8, 0.9, 0.95):
            by = near.groupby("dataset")[f"coverage_{100 * prob:g}"].mean().to_numpy()
            if len(by) < FEWEST:
                continue
            again = rng.choice(by, (4000, len(by))).mean(axis=1)
            low, high = np.quantile(again, [0.025, 0.975])
            counts = {"n_datasets": len(by), "n_splits": len(near)}
            ends = {"coverage": by.mean(), "lower": low, "upper": high}
            span = {"kind": kind, "above": above, "to": to, "prob": prob}
            rows.append({**span, **ends, **counts})
    found = pd.DataFrame(rows).round(4)
    record.write(given.out, found)
    print(found.to_string(index=False))


def tell_scales(given: argparse.Namespace) -> None:
    """The population of bends' scales over data sets, whole and without each, from training runs.

    Each split's posterior of the log scale, its prior divided out, is taken as normal; a data set
    weighs 1. Expectation and maximisation of a normal population's mean and sd. With ``--kind
    curve`` of laws of one variable, else of all others.
    """
    table = pd.concat([record.read(path) for path in given.tables], ignore_index=True)
    table = table[~table["split"].str.startswith("extra:") & table["log_scales"].notna()]
    alone = given.kind == "curve"  # of laws of one variable
    table = table[(table["law"] == "power_law") == alone]
    each = table["log_scales"].map(lambda said: list(json.loads(said).values())).explode()
    ends = pd.DataFrame(each.tolist(), each.index, ["log_scale", "log_scale_sd"])
    table = table[["dataset"]].join(ends)
    prior = Prior.parse(bends.PRIOR_ALONE if alone else bends.PRIOR)
    mean, sd = prior.args
    told = np.maximum(table["log_scale_sd"] ** -2.0 - sd**-2.0, 1e-3).to_numpy()
    middle = (table["log_scale"] * table["log_scale_sd"] ** -2.0 - mean * sd**-2.0) / told
    rows = []
    for left_out in ("", *sorted(table["dataset"].unique())):
        use = (table["dataset"] != left_out).to_numpy()
        weight = 1.0 / table[use].groupby("dataset")["log_scale"].transform("size").to_numpy()
        weight = weight / weight.sum()
        at, wide = mean, sd
        for _ in range(500):
            variance = 1.0 / (told[use] + wide**-2.0)
            each = variance * (middle.to_numpy()[use] * told[use] + at * wide**-2.0)
            at = float(np.sum(weight * each))
            wide = float(np.sqrt(np.sum(weight * (variance + (each - at) ** 2))))
        rows.append({"without": left_out, "median": np.exp(at), "log_sd": wide})
    found = pd.DataFrame(rows).assign(**record.provenance(0))
    record.write(given.out, found)
    print(found[["without", "median", "log_sd"]].round(3).to_string(index=False))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ordered backtests over public ladders.")
    commands = parser.add_subparsers(required=True)
    known = {
        "baselines": methods.BASELINES,
        "benchmark": methods.CURVE_FORMS,
        "peers": peers.PEERS,
    }
    for name, verb, out in (
        ("splits", show_splits, None),
        ("baselines", run_baselines, OUT),
        ("benchmark", run_benchmark, BENCHMARK),
        ("peers", run_peers, PEERS),
        ("ours", run_ours, None),
        ("summary", show_summary, SUMMARY),
        ("measured", tell_measured, MEASURED),
        ("scales", tell_scales, SCALES),
        ("drift", tell_drift, DRIFT),
        ("ablation", tell_ablation, ABLATION),
    ):
        one = commands.add_parser(name)
        one.set_defaults(verb=verb)
        if name != "splits":
            one.add_argument("--out", type=Path, default=out, required=out is None)
        if name in ("summary", "measured", "scales", "ablation"):
            one.add_argument("tables", type=Path, nargs="+")
            one.add_argument("--kind", choices=("ladder", "curve"), help="only such splits")
            one.add_argument("--common", action="store_true", help="only splits that all have")
            one.add_argument("--without", action="append", default=[], help="a data set")
        else:
            one.add_argument("--dataset", action="append")
            one.add_argument("--seed", type=int, default=0)
        if name == "ablation":
            one.add_argument("--method", action="append", help="in this order")
        if name in known:
            one.add_argument("--method", action="append", choices=list(known[name]))
        if name == "drift":
            one.add_argument("--store", required=True, help="folder of the fits of `ours`")
        if name in ("drift", "ours"):
            one.add_argument("--benchmark", action="store_true", help="curves; data sets: domains")
        if name == "ours":
            one.add_argument("--name", required=True, help="of this treatment, in the table")
            one.add_argument("--together", action="store_true", help="curves of a task in one fit")
            for option in ("--noise", "--pool", "--discrepancy", "--store"):
                one.add_argument(option)
            one.add_argument("--law", action="append", default=[], help="several: equal weights")
            one.add_argument("--checkpoints", choices=("all",), help="a family's rows are one run")
    given = parser.parse_args()
    given.verb(given)


if __name__ == "__main__":
    main()
