"""A catalogue of sick fits: each must be named in plain words with its remedy, and refused.

    python tests/studies/sick.py run [--case NAME ...] [--minutes 5]
    python tests/studies/sick.py healthy [--of prior ladders bent] [--law NAME] [--fits 200]
    python tests/studies/sick.py floors [--minutes 5]
    python tests/studies/sick.py summary

`run` fits each sick case without `strict`, asks `diagnose`, saves the fit, and asks the command
line for a prediction, or for a decision where the fit is sound and the decision is not; it must end
with status 1, and with `--force` answer and say so. `healthy` counts false alarms of `fit_many` at
default settings, 200 fits each of `power_law` and `chinchilla`: of data from the cards' own priors
(the fits of `sbc.py run`), where many truths are such that the data don't tell the floor, and of
ladders about published constants, by laws taken as true and by ones that may bend, the default
(`bent`). What was refused is fitted once more by `fit`, and refusals of that are counted, too.
Results stand in `results/sick.csv`; ladders' fits wait in a temporary folder until all are there.

`floors` says in `results/floors.csv` of every split of the backtests whether the runs tell the
floor, by fits that take the law as true (100 draws a chain), and which share of the targets the
95% intervals of the default fits held (`backtests_bend.csv`); where they don't, whether a split of
the compute of the largest target, and a choice of group there, are refused for it ("no answer"
where the law or the table has none). Finished data sets are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, code, provenance, read, without, write  # noqa: E402

FOUND = RESULTS / "sick.csv"
FLOORS = RESULTS / "floors.csv"
BACKTESTS = RESULTS / "backtests_bend.csv"
MISDESCRIBED = "clip_mammut"  # error rates near 1, which no law of these describes
LADDERS = 200
LAWS = ("power_law", "chinchilla")


@dataclass(frozen=True)
class Sick:
    """A fit that should not be trusted, what must be said of it, and what is asked of it."""

    about: str
    make: Callable[[], tuple[Any, pd.DataFrame, dict[str, Any]]]
    words: tuple[str, ...]
    question: tuple[str, ...] = ("predict", "--at", "C=1e12,D=1e12,N=1e12,family=f0")


def _curve(n: int, low: float, high: float, loss: Callable, sd: float = 0.01) -> pd.DataFrame:
    x = np.geomspace(low, high, n)
    scatter = np.exp(sd * np.random.default_rng(3).standard_normal(n))
    return pd.DataFrame({"C": x, "D": x, "N": x, "loss": loss(x) * scatter})


def _law(name: str) -> Any:
    import bayescale as bs

    return bs.load_law(name)


def unidentified_floor() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Two recipes that share no floor, over less than a decade, and no bend."""
    one = _curve(8, 1e8, 5e8, lambda x: 60 * x**-0.15)
    other = one.assign(loss=60 * one["C"] ** -0.15)
    recipes = {"a": one, "b": other}
    table = pd.concat([t.assign(family=k, recipe=k) for k, t in recipes.items()], ignore_index=True)
    return _law("power_law"), table, {"pool": "none"}


def _alike(runs: int, low: float) -> pd.DataFrame:
    """Twelve families about one law."""
    table = pd.concat(
        [
            _curve(runs, low, 1e9, lambda x: 1.5 + 30 * x**-0.3).assign(family=f"f{k}")
            for k in range(12)
        ],
        ignore_index=True,
    )
    rng = np.random.default_rng(8)
    table["C"] *= np.exp(rng.uniform(-0.5, 0.5, len(table)))
    return table


def funnel() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Spreads near 0, and steps too long for the narrow part."""
    return _law("power_law"), _alike(4, 1e6), {"target_accept": 0.6, "draws": 500, "warmup": 300}


def two_runs_a_family() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Three parameters of each family's own, and two runs for them."""
    return _law("power_law"), _alike(2, 1e7), {"draws": 500, "warmup": 300}


def swapped_breaks() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Two breaks a decade apart, either of which may be the first."""

    def loss(x: np.ndarray) -> np.ndarray:
        bent = (1 + (x / 3e6) ** 4) ** -0.06 * (1 + (x / 1e8) ** 4) ** 0.05
        return 0.5 + 3 * x**-0.05 * bent

    return _law("bnsl_2"), _curve(24, 1e5, 1e10, loss, sd=0.002), {"draws": 200, "warmup": 100}


def prior_conflict() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """A floor in bits where the losses are in nats, and more."""
    law = _law("power_law")
    table = _curve(10, 1e6, 1e10, lambda x: 1.5 + 30 * x**-0.3)
    prior = {"E": "LogNormal(log(30), 0.05)"}
    return law, table, {"prior": prior, "draws": 300, "warmup": 300}


def unconverged() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """A handful of draws."""
    table = _curve(10, 1e6, 1e10, lambda x: 1.5 + 30 * x**-0.3)
    return _law("power_law"), table, {"draws": 25, "warmup": 5}


TWO_MODES = """
name = "mirrored"
title = "An exponent that is a square: its root may have either sign"
formula = "E + A * (x / 1e8)**-(b * b)"
cite = "nobody"
unverified = "a study"
varies = "1"
[variables]
x = { column = "C", unit = "FLOP", about = "scale" }
[parameters.E]
share = "E"
of = "smallest"
prior = "LogNormal(log(0.6), 0.4)"
about = "the floor"
[parameters.A]
prior = "LogNormal(log(0.5), 1.0)"
about = "height at 1e8"
[parameters.b]
prior = "Normal(0, 0.7)"
about = "root of the exponent"
"""


def two_modes() -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Two mirrored modes with nothing between."""
    import bayescale as bs

    table = _curve(16, 1e6, 1e10, lambda x: 1.5 + 0.5 * (x / 1e8) ** -0.3)
    return bs.Law.from_text(TWO_MODES), table, {"draws": 500, "warmup": 300}


CASES = {
    "unidentified floor": Sick(
        "two recipes, 8 runs each over 0.7 decades of a straight power law",
        unidentified_floor,
        ("don't tell the floor", "prior"),
        ("compare", "--at", "C=1e12"),
    ),
    "funnel": Sick("12 families of 4 runs, spreads near 0, long steps", funnel, ("funnel", "pool")),
    "two runs a family": Sick(
        "12 families of 2 runs, three parameters each",
        two_runs_a_family,
        ("2 runs for 3 parameters of their own", "pool="),
    ),
    "swapped breaks": Sick(
        "bnsl_2, two breaks", swapped_breaks, ("chains disagree", "prior information")
    ),
    "prior-data conflict": Sick(
        "a floor of 30 where losses are 2",
        prior_conflict,
        ("prior and data conflict", "units"),
    ),
    "unconverged": Sick("25 draws after 5", unconverged, ("effective draws", "run longer")),
    "two modes": Sick(
        "an exponent that is a square", two_modes, ("several modes", "priors that tell")
    ),
}


def _asked(path: Path, question: tuple[str, ...], force: bool) -> tuple[int, str]:
    """Ask the command line."""
    from bayescale.cli import main

    command, *options = question
    words = [command, str(path), *options, "--json"]
    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        status = main([*words, *(["--force"] if force else [])])
    return status, printed.getvalue() + said.getvalue()


def run(names: list[str], minutes: float) -> None:
    import bayescale as bs

    began = perf_counter()
    for name in names:
        table = read(FOUND)
        if len(table) and (table["case"] == name).any():
            continue
        if perf_counter() - began > 60 * minutes:
            return
        case = CASES[name]
        law, runs, options = case.make()
        fit = bs.fit(law, runs, discrepancy="none", progress=False, strict=False, **options)
        diagnosis = bs.diagnose(fit)
        said = " | ".join([*diagnosis.problems, *diagnosis.warnings])
        with tempfile.TemporaryDirectory() as folder:
            path = bs.save(fit, Path(folder) / "fit.nc")
            status, told = _asked(path, case.question, force=False)
            forced, answer = _asked(path, case.question, force=True)
        if diagnosis.ok:
            said += f" | {' '.join(told.split())}"
        row = {
            "case": name,
            "about": case.about,
            "ok": diagnosis.ok,
            "named": all(word in said for word in case.words),
            "refused": status == 1,
            "forced": forced == 0 and '"forced": true' in answer.lower(),
            "said": said[:1500],
            **provenance(0),
        }
        print({k: row[k] for k in ("case", "named", "refused", "forced", "said")}, flush=True)
        write(FOUND, pd.concat([without(read(FOUND), {"case": name}), pd.DataFrame([row])]))


def healthy(of: str, laws: Iterable[str], fits: int) -> None:
    """False alarms among fits of data from the model itself."""
    for law in laws:
        if of == "prior":
            count, alarms, still, said = _of_prior(law)
        else:
            count, alarms, still, said = _of_ladders(law, fits, "bend" if of == "bent" else "none")
        row = {
            "case": f"healthy, {of}: {law}",
            "fits": count,
            "alarms": alarms,
            "alarms_of_fit": still,
            "said": said,
            **provenance(0),
        }
        print({k: row[k] for k in ("case", "fits", "alarms", "alarms_of_fit", "said")}, flush=True)
        write(FOUND, pd.concat([without(read(FOUND), {"case": row["case"]}), pd.DataFrame([row])]))


def _refused_by_fit(
    law: Any, tables: dict[int, pd.DataFrame], discrepancy: str = "none"
) -> tuple[int, str]:
    import bayescale as bs

    said: list[str] = []
    for number, runs in tables.items():
        try:
            bs.fit(law, runs, discrepancy=discrepancy, seed=number, progress=False)
        except bs.ConvergenceError as error:
            said.append(f"{number}: {error}".replace("diagnostics refuse this fit: ", "")[:120])
    return len(said), " | ".join(said)


def _of_prior(name: str) -> tuple[int, int, int, str]:
    from sbc import asked, ranks_file, simulated

    config = f"{name}/card/card/none"
    table, question = read(ranks_file(config)), asked(config)
    refused = table.loc[~table["ok"], "replicate"]
    tables = {int(k): simulated(config, question, int(k)) for k in refused}
    with question.reference_held():
        still, said = _refused_by_fit(question.law, tables)
    return len(table), len(refused), still, said


def _of_ladders(name: str, fits: int, discrepancy: str) -> tuple[int, int, int, str]:
    import bayescale as bs

    law, tables = _law(name), [_ladder(name, seed) for seed in range(fits)]
    shelf = Path(tempfile.gettempdir()) / "bayescale-sick" / code() / f"{name}-{discrepancy}"
    many = bs.fit_many(law, tables, discrepancy=discrepancy, progress=False, store=shelf)
    refused = [i for i in range(len(many)) if not bs.diagnose(many[i]).ok]
    still, said = _refused_by_fit(law, {i: tables[i] for i in refused}, discrepancy)
    shutil.rmtree(shelf)
    return len(many), len(refused), still, said


def _ladder(name: str, seed: int) -> pd.DataFrame:
    """Four families that differ by 10% in floor and exponents and by 20% in heights."""
    from tests.simulate import TRUTH, ladder

    rng = np.random.default_rng([seed, 5])
    spread = {"E": 0.1, "A": 0.2, "B": 0.2, "alpha": 0.1, "beta": 0.1}
    families = {
        f"family {k}": {p: v * np.exp(spread[p] * rng.standard_normal()) for p, v in TRUTH.items()}
        for k in range(4)
    }
    if name == "chinchilla":
        return ladder(families=families, seed=seed)
    rows = [
        _curve(10, 1e6, 1e9, lambda x, p=p: p["E"] + 5 * p["A"] * x ** -p["alpha"], sd=0.0).assign(
            family=family, loss=lambda t: t["loss"] * np.exp(0.004 * rng.standard_normal(len(t)))
        )
        for family, p in families.items()
    ]
    return pd.concat(rows, ignore_index=True)


def floors(minutes: float) -> None:
    """Whether the runs of each split tell the floor, and what intervals held."""
    from backtest_parts.methods import fits_of
    from backtest_parts.suite import splits

    from bayescale.symptoms import floors_of

    began = perf_counter()
    held = read(BACKTESTS).set_index("split")["coverage_95"]
    chosen: dict[str, list[Any]] = {}
    for split in splits():
        if split.name in held.index:
            chosen.setdefault(split.dataset, []).append(split)
    for dataset, some in chosen.items():
        done = read(FLOORS)
        if len(done) and (done["dataset"] == dataset).any():
            continue
        if perf_counter() - began > 60 * minutes:
            return
        rows = []
        for split, fit, about in fits_of(some, discrepancy="none", max_draws=100, progress=False):
            floors = floors_of(fit)
            if not floors:
                continue
            floor = max(floors, key=lambda one: one.after)
            row = {"dataset": dataset, "split": split.name, "law": about["law"]}
            row |= {"floor": floor.name, "after": floor.after, "prior": floor.prior}
            row |= {"untold": floor.untold, "held_95": held[split.name]}
            row |= decided(fit, split.test) if floor.untold else {"split_of": "", "choice": ""}
            rows.append(row | {"n_train": len(split.train), **provenance(0)})
        write(FLOORS, pd.concat([done, pd.DataFrame(rows)], ignore_index=True))
        print(f"{dataset}: {sum(row['untold'] for row in rows)} of {len(rows)}", flush=True)


def decided(fit: Any, test: pd.DataFrame) -> dict[str, str]:
    """Whether decisions at the largest target are refused for the floor."""
    import bayescale as bs
    from bayescale.targets import compute_of

    budget = compute_of(test)
    place = int(np.nanargmax(budget))
    own = {name: test[name].iloc[place] for name in fit.groups}
    first = next(iter(fit.groups), "")
    asked = {
        "split_of": lambda: bs.allocate(fit, C=float(budget[place]), at=own),
        "choice": lambda: bs.compare_recipes(
            fit, by=first, at={"C": float(budget[place]), **{k: own[k] for k in own if k != first}}
        ),
    }
    out = {}
    for name, question in asked.items():
        try:
            question()
            out[name] = "made"
        except bs.UnsettledError:
            out[name] = "refused"
        except bs.BayescaleError:
            out[name] = "no answer"
    return out


def tell_floors() -> None:
    """Print, of splits whose runs tell the floor and of the others, how many and what was held."""
    table = read(FLOORS)
    others = table[table["dataset"] != MISDESCRIBED]
    for title, some, by in (
        ("by law and data set", table, ["law", "untold", "dataset"]),
        ("all", table, ["untold"]),
        (f"without {MISDESCRIBED}", others, ["untold"]),
    ):
        told = some.groupby(by).agg(splits=("split", "size"), held_95=("held_95", "mean"))
        print(f"{title}\n{told.reset_index().to_string(index=False)}")
    untold = table[table["untold"]]
    for name in ("split_of", "choice"):
        print(untold.groupby(["dataset", name]).size().unstack(fill_value=0).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    running.add_argument("--minutes", type=float, default=5.0)
    counting = commands.add_parser("healthy")
    kinds = ["prior", "ladders", "bent"]
    counting.add_argument("--of", nargs="+", choices=kinds, default=["prior"])
    counting.add_argument("--law", nargs="+", choices=LAWS, default=LAWS)
    counting.add_argument("--fits", type=int, default=LADDERS)
    commands.add_parser("floors").add_argument("--minutes", type=float, default=5.0)
    commands.add_parser("summary")
    given = parser.parse_args()
    if given.command == "run":
        run(given.case, given.minutes)
    elif given.command == "healthy":
        for of in given.of:
            healthy(of, given.law, given.fits)
    elif given.command == "floors":
        floors(given.minutes)
    else:
        if len(read(FLOORS)):
            tell_floors()
        print(read(FOUND).drop(columns=["command", "versions", "said"]).to_string())


if __name__ == "__main__":
    main()
