"""Decisions on real runs, beside what was published or measured.

    python tests/studies/decision_cases.py                      # all four, one after another
    python tests/studies/decision_cases.py --cases clip marin   # some; the other rows stay

- ``chinchilla``: the split of 5.76e23 FLOP (Hoffmann et al. 2022 trained 70B parameters on 1.4T
  tokens with it; their three approaches say 40B to 73B), from the digitised runs;
- ``clip``: CLIP against MaMMUT on DataComp, best of the sweep in each doubling of compute, with
  ImageNet error and with text retrieval on COCO (Nezhurina et al. 2025 see them cross between 1e10
  and 1e11 GFLOP); at most 3e9 samples seen, as there;
- ``marin``: the corpora comma, dclm and nemotron at ten times the compute of the largest run;
- ``ladder``: the bundled ladder's two recipes on each corpus, from the runs of at most a hundredth
  of the target's compute, at the target's N and D, beside the targets as they were measured.

A row is one number: ``case``, ``question``, ``at``, ``what``, ``value``, its 95% interval where it
has one, and ``known``: what others published, or the measurement.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import record

from bayescale import allocate, compare_recipes, datasets, fit, load_law, read_runs
from bayescale.demo import LAW, measured_targets, target_cells
from bayescale.diagnostics import diagnose
from bayescale.fitting import Fit
from bayescale.recipes import RecipeComparison

OUT = record.RESULTS / "decision_cases.csv"
BUDGET = 5.76e23
METRICS = ("error_imagenet1k", "error_mscoco_text_retrieval_r5")
SCALES = (1e18, 3e18, 1e19, 3e19, 1e20, 3e20, 1e21)
Row = dict[str, object]


def row(
    question: str, at: str, what: str, value: float, ends=(np.nan, np.nan), known: str = ""
) -> Row:
    """One number of one answer."""
    low, high = map(float, ends)
    made = {"question": question, "at": at, "what": what, "value": float(value)}
    return {**made, "lower": low, "upper": high, "known": known}


def table_of(name: str) -> pd.DataFrame:
    """A public table."""
    folder = os.environ.get("BAYESCALE_DATA", "")
    path = Path(folder) / "tidy" / f"{name}.csv"
    if not path.is_file():
        raise SystemExit(f"BAYESCALE_DATA leads to no tidy/{name}.csv")
    return pd.read_csv(path)


def fitted(law: str, table: pd.DataFrame) -> Fit:
    """A fit with default settings, refused or not; refusals are in the rows."""
    card = load_law(law)
    return fit(card, read_runs(table, law=card), progress=False, strict=False)


def quality(made: Fit) -> Row:
    """Whether the diagnostics accept the fit."""
    known = "; ".join(diagnose(made).problems)
    return row("fit", made.law.name, "diagnostics ok", float(diagnose(made).ok), known=known)


def chinchilla() -> Iterator[Row]:
    """The split of Chinchilla's own budget."""
    runs = datasets.load("chinchilla_besiroglu")
    made = fit(load_law("chinchilla"), runs, progress=False, strict=False)
    yield quality(made)
    plan = allocate(made, C=BUDGET)
    at = f"C={BUDGET:g}"
    yield row("split", at, "N", plan.N, plan.N_interval, "40B to 73B; 70B trained")
    yield row("split", at, "D", plan.D, plan.D_interval, "1.4T trained")
    yield row("split", at, "tokens a parameter", plan.D / plan.N)
    within = f"N within {plan.tolerance:g} of the best"
    yield row("split", at, within, plan.N, plan.near_optimal)
    yield row("split", at, "expected regret", plan.expected_regret)
    yield row("split", at, "waste, share of the budget", plan.waste)
    loss = plan.loss.table.iloc[0]
    yield row("split", at, "loss", loss["median"], (loss["lower_95"], loss["upper_95"]))


def clip() -> Iterator[Row]:
    """Where MaMMUT overtakes CLIP."""
    table = table_of("clip_mammut_best")
    table = table[(table["dataset"] == "datacomp_1_4b") & (table["schedule"] == "cosine")]
    table = table[table["family"].isin(["clip", "mammut"]) & (table["samples_seen"] <= 3e9)]
    for metric in METRICS:
        own = table.dropna(subset=[metric])
        doubling = np.floor(np.log2(own["flops"]))
        best = own.loc[own.groupby(["family", doubling])[metric].idxmin()]
        best = best.rename(columns={"flops": "C", metric: "error"})
        made = fitted("clip_mammut", best[["family", "run", "C", "error"]])
        yield quality(made)
        answer = compare_recipes(made, by="family", at={"C": 1e20})
        what = metric.removeprefix("error_")
        yield from over_scale(answer, f"{what}, best recipe", "mammut")
        yield from pairs(answer, what, "1e19 to 1e20 FLOP (1e10 to 1e11 GFLOP)")


def over_scale(answer: RecipeComparison, question: str, name: str) -> Iterator[Row]:
    """A recipe's chance of being best at a few scales, between those of the curve."""
    assert answer.curve is not None
    own = answer.curve[answer.curve["recipe"] == name]
    for C in SCALES:
        chance = np.interp(np.log(C), np.log(own["C"]), own["p_best"])
        yield row(question, f"C={C:g}", f"P({name} best)", float(chance))


def pairs(answer: RecipeComparison, question: str, known: str = "") -> Iterator[Row]:
    """Crossovers and compute multipliers."""
    for one in answer.crossovers.itertuples():
        ends = (one.lower, one.upper)
        yield row(f"{question}, crossover", one.pair, "C", one.median, ends, known)
        yield row(f"{question}, crossover", one.pair, "P(none)", one.p_none)
    for one in answer.multipliers.itertuples():
        where, what = f"{question}, compute multiplier", f"{one.b} needs over {one.a}"
        yield row(where, one.pair, what, one.median, (one.lower, one.upper))


def marin() -> Iterator[Row]:
    """Which of three corpora at ten times the largest run."""
    table = table_of("marin_isoflops")
    table = table[(table["outlier_flag"] == 0) & (table["run_type"] == "isoflop")]
    named = {"params_total": "N", "tokens": "D", "flops": "C"}
    table = table.assign(family=table["dataset"]).drop(columns="dataset").rename(columns=named)
    made = fitted("chinchilla", table[["family", "run", "N", "D", "C", "loss"]])
    yield quality(made)
    C = 10.0 * float(table["C"].max())
    answer = compare_recipes(made, by="family", at={"C": C})
    yield from ranked(answer, "best corpus", f"C={C:.3g}", {})
    yield from pairs(answer, "corpora")


def ranked(
    answer: RecipeComparison, question: str, at: str, known: dict[str, str]
) -> Iterator[Row]:
    """The table of a comparison."""
    for one in answer.table.itertuples():
        name, told = str(one.recipe), known.get(str(one.recipe), "")
        yield row(question, at, f"P({name} best)", one.p_best)
        yield row(question, at, f"expected regret of {name}", one.expected_regret)
        yield row(question, at, f"loss of {name}", one.median, (one.lower_95, one.upper_95), told)


def ladder() -> Iterator[Row]:
    """Which recipe to scale, from a hundredth of the target's compute."""
    targets = target_cells(pd.DataFrame(), measured_targets())
    runs = datasets.load("ladder").table
    runs = runs[(runs["status"] == "ok") & (runs["is_final"] == 1)]
    least = targets.groupby("corpus")["C"].min()
    small = runs[runs["C"] <= 0.01 * runs["corpus"].map(least)]
    yield row("runs of at most 1% of a target's compute", "all", "runs", len(small))
    made = fitted(LAW, small)
    yield quality(made)
    for corpus, cells in targets.groupby("corpus"):
        at = {name: float(cells[name].iloc[0]) for name in ("N", "D")}
        answer = compare_recipes(made, at={**at, "corpus": str(corpus)})
        told = {
            r: f"measured {v:.4g}" for r, v in zip(cells["recipe"], cells["observed"], strict=True)
        }
        where = f"{corpus}, N={at['N']:.3g}, D={at['D']:.3g}"
        yield from ranked(answer, "which recipe to scale", where, told)


CASES: dict[str, Callable[[], Iterator[Row]]] = {
    "chinchilla": chinchilla,
    "clip": clip,
    "marin": marin,
    "ladder": ladder,
}


def main() -> None:
    """Answer, write, show."""
    parser = argparse.ArgumentParser(description="Decisions on real runs.")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    for name in given.cases:
        made = pd.DataFrame([{"case": name, **one} for one in CASES[name]()])
        made = made.assign(**record.provenance(0))
        record.write(
            given.out, pd.concat([record.without(record.read(given.out), {"case": name}), made])
        )
        shown = made[["question", "at", "what", "value", "lower", "upper", "known"]]
        print(shown.to_string(index=False, float_format="%.4g"), flush=True)


if __name__ == "__main__":
    main()
