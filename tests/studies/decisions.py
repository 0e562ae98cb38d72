"""Decisions on simulated ladders: regret beside the plug-in's, calibration of P(best), EVSI.

    python tests/studies/decisions.py run --simulations 500     # resumes; about a second each
    python tests/studies/decisions.py evsi --simulations 40     # EVSI beside nested Monte Carlo
    python tests/studies/decisions.py summary                   # the tables, from what there is

Truths are drawn from each law's own prior (`decision_parts/ladders.py`): two recipes, 6 to 24 runs
each, two decades of N and D. Both ways decide on the same runs: `allocate` and `compare_recipes` on
the posterior, and the same questions put to a least-squares fit of each recipe alone (the plug-in).
Regret is in the unit of the loss: of the split chosen for recipe a, its true loss less the least
possible; of the recipe chosen, its true least loss less that of the better one. Budgets are 10, 100
and 1000 times the compute of the largest run. Simulations whose fit diagnostics refuse are kept and
marked (``ok``).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import record
from decision_parts.ladders import RECIPES, Ladder, point_fit, simulate
from decision_parts.nested import Asked, candidates, compared, nested

from bayescale import fit_many, load_law
from bayescale.allocation import surface_of
from bayescale.budgets import choose_size, judge_of
from bayescale.costs import SixND
from bayescale.diagnostics import MIN_ESS
from bayescale.errors import BayescaleError
from bayescale.evidence import Judge, gather, perfect_worth
from bayescale.fitting import Fit
from bayescale.goals import Allocate, Choose, Draws
from bayescale.law import Law
from bayescale.optimum import Minima, minimise
from bayescale.predictive_draws import loss_draws, parameter_draws
from bayescale.recipe_curves import chances
from bayescale.surfaces import Surface, at_budget, search_range

SIMULATIONS = record.RESULTS / "decisions_simulations.csv"
EVSI = record.RESULTS / "decisions_evsi.csv"
SUMMARY = record.RESULTS / "decisions.csv"
LAWS = ("chinchilla", "bottleneck", "kaplan", "overtraining")
RUNS = (6, 9, 12, 24)
BEYOND = (10.0, 100.0, 1000.0)
TOGETHER = 4  # simulations of each length fitted at once
DRAWS = 1000  # that decide
MANY = 2000.0  # effective draws, for nested Monte Carlo


def decide(fit: Fit | None, law: Law, ladder: Ladder) -> list[dict[str, object]]:
    """Both ways' decisions at every budget, and what they lose."""
    if fit is None:
        return [{"beyond": factor} for factor in BEYOND]
    draws = parameter_draws(fit, pd.DataFrame({"family": list(RECIPES)}))
    few = np.unique(np.linspace(0, len(draws["sigma"]) - 1, DRAWS).astype(int))
    ours = [
        surface_of(law, {k: draws[k][few][:, [i]] for k in law.parameters}, {}, SixND())
        for i in range(2)
    ]
    theirs = [point_fit(law, ladder.runs, recipe) for recipe in RECIPES]
    truths = [ladder.surface(law, i) for i in range(2)]
    made = []
    for factor in BEYOND:
        C = factor * float(ladder.runs["C"].max())
        best = [own_optima(truth, C) for truth in truths]
        true_least = [float(one.value[0, 0]) for one in best]
        guesses = [own_optima(surface, C) for surface in theirs]
        guessed = [float(one.value[0, 0]) for one in guesses]
        sizes = [float(np.exp(expected_best(surface, C).x[0])) for surface in ours]
        losses = np.column_stack(
            [on_budget(surface, N, C) for surface, N in zip(ours, sizes, strict=True)]
        )
        each = own_optima(ours[0], C)
        low, high = np.quantile(each.x[each.interior], [0.025, 0.975])
        chosen = [sizes[0], float(np.exp(guesses[0].x[0, 0]))]
        regrets = [float(on_budget(truths[0], N, C)[0]) - true_least[0] for N in chosen]
        better = min(true_least)
        made.append(
            {
                "beyond": factor,
                "C": C,
                "split": regrets[0],
                "split_plug_in": regrets[1],
                "split_expected": float(np.mean(losses[:, 0] - each.value[:, 0])),
                "recipe": true_least[int(np.argmin(losses.mean(axis=0)))] - better,
                "recipe_plug_in": true_least[int(np.argmin(guessed))] - better,
                "p_a": float(chances(losses)[0]),
                "a_is_best": int(true_least[0] <= true_least[1]),
                "N_inside": int(low <= best[0].x[0, 0] <= high),
            }
        )
    return made


def own_optima(surface: Surface, C: float) -> Minima:
    """Each draw's own best log N on a budget, as `allocate` finds it, a little more coarsely."""
    low, high = search_range(C)
    losses = at_budget(surface, SixND(), C)
    size = len(losses(np.array([[low]])))
    return minimise(losses, np.full((size, 1), low), high, points=65, iterations=15, polish=1)


def expected_best(surface: Surface, C: float) -> Minima:
    """The log N of least expected loss on a budget: what `allocate` chooses."""
    return choose_size(at_budget(surface, SixND(), C), judge_of("mean"), *search_range(C))


def on_budget(surface: Surface, N: float, C: float) -> np.ndarray:
    """Loss of each draw at N on a budget."""
    return surface(np.array([[N]]), np.array([[C / 6.0 / N]]))[:, 0]


def fitted(
    law: Law, ladders: list[Ladder], seed: int, store: Path, min_ess: float = MIN_ESS
) -> tuple[list[Fit | None], list[bool]]:
    """Posteriors of some ladders; None where sampling broke down, which is counted, not hidden."""
    tables = [one.runs for one in ladders]
    try:
        many = fit_many(
            law,
            tables,
            discrepancy="none",
            seed=seed,
            min_ess=min_ess,
            progress=False,
            store=store,
        )
        return list(many), many.table["ok"].tolist()
    except (np.linalg.LinAlgError, BayescaleError) as error:
        if len(ladders) == 1:
            print(f"{law.name}: {type(error).__name__}: {error}", flush=True)
            return [None], [False]
    alone = [fitted(law, [one], seed, store, min_ess) for one in ladders]
    return [fits[0] for fits, _ in alone], [ok[0] for _, ok in alone]


def run(simulations: int, seed: int, laws: list[str], store: Path, out: Path) -> None:
    """Make what is missing, a block at a time; a law's ladders of all lengths share a program."""
    each = -(-simulations // (len(LAWS) * len(RUNS)))
    for name in laws:
        law = load_law(name)
        for start in range(0, each, TOGETHER):
            key = {"law": name, "block": start, "seed": seed}
            there = record.read(out)
            numbers = range(seed + start, seed + min(start + TOGETHER, each))
            pairs = [(number, n_runs) for n_runs in RUNS for number in numbers]
            if len(there) and int(record.matches(there, key).sum()) >= len(pairs) * len(BEYOND):
                continue
            ladders = [simulate(law, n_runs, number) for number, n_runs in pairs]
            fits, ok = fitted(law, ladders, seed, store)
            rows = [
                {**key, "n_runs": n_runs, "simulation": number, "ok": good, **row}
                for (number, n_runs), ladder, fit, good in zip(
                    pairs, ladders, fits, ok, strict=True
                )
                for row in decide(fit, law, ladder)
            ]
            made = pd.DataFrame(rows).assign(commit=record.commit())
            record.write(out, pd.concat([record.without(there, key), made]))
            print(f"{name}: {min(start + TOGETHER, each)} of {each} a length", flush=True)


def evsi(simulations: int, seed: int, laws: list[str], store: Path, out: Path) -> None:
    """EVSI of eight candidates by our regression and by nested Monte Carlo."""
    each = -(-simulations // len(LAWS))
    for name in laws:
        law = load_law(name)
        key = {"law": name, "seed": seed}
        there = record.read(out)
        done = set(there[record.matches(there, key)]["simulation"]) if len(there) else set()
        if len(done) >= each:
            continue
        ladders = [simulate(law, 9, seed + k) for k in range(each)]
        fits, ok = fitted(law, ladders, seed, store, MANY)
        for number, (ladder, fit, good) in enumerate(zip(ladders, fits, ok, strict=True)):
            if fit is None or seed + number in done:
                continue
            made = pd.DataFrame(judged(name, fit, ladder, np.random.default_rng([seed, number])))
            made = made.assign(**key, simulation=seed + number, ok=good)
            made = made.assign(commit=record.commit())
            record.write(out, pd.concat([record.read(out), made]))
            print(f"{name}: {number + 1} of {each}", flush=True)


def judged(name: str, fit: Fit, ladder: Ladder, rng: np.random.Generator) -> list[dict]:
    """Both values of every candidate, for a split and for a choice."""
    own = Draws(parameter_draws, loss_draws)
    C = 100.0 * float(ladder.runs["C"].max())
    goals = {"split": Allocate(C, {"family": "a"}), "recipe": Choose("family", {"C": C})}
    rows = []
    for goal_name, goal in goals.items():
        stakes = goal.stakes(fit, own)
        pool = candidates(stakes, C, rng)
        asked = Asked(stakes)
        judge = Judge(asked, gather(own, {name: fit}, pool, asked))
        whole = perfect_worth(stakes).value
        for i in range(len(pool)):
            worth, exact = judge.worth([i]), nested(stakes, fit, pool.iloc[[i]])
            rows.append(
                {
                    "goal": goal_name,
                    "candidate": i,
                    "evsi": worth.value,
                    "evsi_error": worth.error,
                    "nested": exact.value,
                    "nested_error": exact.error,
                    "evpi": whole,
                }
            )
    return rows


def paired(table: pd.DataFrame, ours: str, theirs: str) -> dict[str, float]:
    """Mean regrets, their paired difference, and an interval of the relative change."""
    a, b = table[ours].to_numpy(float), table[theirs].to_numpy(float)
    away = a - b
    rng = np.random.default_rng(0)
    again = rng.integers(0, len(a), (2000, len(a)))
    change = a[again].mean(axis=1) / np.maximum(b[again].mean(axis=1), 1e-9) - 1.0
    low, high = np.quantile(change, [0.025, 0.975])
    return {
        "simulations": len(a),
        "ours": a.mean(),
        "plug_in": b.mean(),
        "difference": away.mean(),
        "se": away.std(ddof=1) / np.sqrt(len(a)) if len(a) > 1 else np.nan,
        "change": a.mean() / max(b.mean(), 1e-9) - 1.0,
        "change_lower": low,
        "change_upper": high,
    }


def summary(simulations: Path, values: Path, out: Path) -> None:
    """Regret by runs and budget, P(best) in ten bins, EVSI beside nested Monte Carlo."""
    table = record.read(simulations)
    if len(table):
        broken = table["split"].isna()
        print(f"{len(table) // len(BEYOND)} simulations, {broken.sum() // len(BEYOND)} broken down")
        table = table[~broken]
        rows = []
        for (n_runs, beyond), part in table.groupby(["n_runs", "beyond"]):
            for decision in ("split", "recipe"):
                found = paired(part, decision, f"{decision}_plug_in")
                rows.append({"decision": decision, "n_runs": n_runs, "beyond": beyond, **found})
        regrets = pd.DataFrame(rows)
        print(regrets.to_string(index=False, float_format="%.4g"))
        record.write(out, regrets.assign(**record.provenance(0)))
        one = table[table["beyond"] == BEYOND[1]]  # one budget a simulation: bins are independent
        bins = pd.qcut(one["p_a"].rank(method="first"), 10, labels=False)
        binned = one.groupby(bins).agg(
            p=("p_a", "mean"), best=("a_is_best", "mean"), n=("p_a", "size")
        )
        error = np.sqrt(binned["p"] * (1 - binned["p"]) / binned["n"])
        binned["within_3_se"] = (
            np.abs(binned["p"] - binned["best"]) <= 3 * error + 1.0 / binned["n"]
        )
        print(binned.to_string(float_format="%.3f"))
        told = binned.reset_index(drop=True).assign(**record.provenance(0))
        record.write(out.with_name("decisions_chances.csv"), told)
        print(f"95% of N holds the true optimum in {table['N_inside'].mean():.1%}")
    found = record.read(values)
    if len(found):
        agreement = compared(found)
        print(agreement.to_string(index=False, float_format="%.3f"))
        told = agreement.assign(**record.provenance(0))
        record.write(out.with_name("decisions_evsi_summary.csv"), told)


def main() -> None:
    """Simulate, decide, compare."""
    parser = argparse.ArgumentParser(description="Decisions on simulated ladders.")
    parser.add_argument("part", choices=["run", "evsi", "summary"])
    parser.add_argument("--simulations", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--laws", nargs="+", default=list(LAWS))
    parser.add_argument("--store", type=Path, help="Folder of fits; a temporary one without it.")
    parser.add_argument("--out", type=Path, help="Another folder of results, for a trial.")
    given = parser.parse_args()
    folder = given.out or record.RESULTS
    places = [folder / path.name for path in (SIMULATIONS, EVSI, SUMMARY)]
    with tempfile.TemporaryDirectory() as spare:
        store = given.store or Path(spare)
        if given.part == "run":
            run(given.simulations, given.seed, given.laws, store, places[0])
        elif given.part == "evsi":
            evsi(given.simulations, given.seed, given.laws, store, places[1])
    summary(*places)


if __name__ == "__main__":
    main()
