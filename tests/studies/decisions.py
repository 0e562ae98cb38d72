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
from scipy.stats import spearmanr

from bayescale import fit_many, load_law
from bayescale.allocation import surface_of
from bayescale.budgets import plan_budget
from bayescale.costs import SixND
from bayescale.errors import BayescaleError
from bayescale.evidence import Judge, gather, perfect_worth
from bayescale.fitting import Fit
from bayescale.goals import Allocate, Choose, Draws
from bayescale.law import Law
from bayescale.prediction import log_predictive, loss_draws, parameter_draws
from bayescale.recipe_curves import chances
from bayescale.surfaces import Surface

SIMULATIONS = record.RESULTS / "decisions_simulations.csv"
EVSI = record.RESULTS / "decisions_evsi.csv"
SUMMARY = record.RESULTS / "decisions.csv"
LAWS = ("chinchilla", "bottleneck", "kaplan", "overtraining")
RUNS = (6, 9, 12, 24)
BEYOND = (10.0, 100.0, 1000.0)
TOGETHER = 50  # simulations fitted at once
OUTER = 400


def regret_of_split(truth: Surface, N: float, C: float) -> float:
    """True loss at N on a budget, less the least on it."""
    best = plan_budget(truth, C)
    return float(truth(np.array([[N]]), np.array([[C / 6.0 / N]]))[0, 0] - best.optima.value[0, 0])


def least(truth: Surface, C: float) -> float:
    """Least true loss on a budget."""
    return float(plan_budget(truth, C).optima.value[0, 0])


def decide(fit: Fit | None, law: Law, ladder: Ladder) -> list[dict[str, object]]:
    """Both ways' decisions at every budget, and what they lose."""
    if fit is None:
        return [{"beyond": factor} for factor in BEYOND]
    draws = parameter_draws(fit, pd.DataFrame({"family": list(RECIPES)}))
    ours = [
        surface_of(law, {k: draws[k][:, [i]] for k in law.parameters}, {}, SixND())
        for i in range(2)
    ]
    theirs = [point_fit(law, ladder.runs, recipe) for recipe in RECIPES]
    truths = [ladder.surface(law, i) for i in range(2)]
    made = []
    for factor in BEYOND:
        C = factor * float(ladder.runs["C"].max())
        plans = [plan_budget(surface, C) for surface in ours]
        guesses = [plan_budget(surface, C) for surface in theirs]
        losses = np.column_stack(
            [
                surface(np.array([[p.N]]), np.array([[p.D]]))[:, 0]
                for surface, p in zip(ours, plans, strict=True)
            ]
        )
        expected = losses.mean(axis=0)
        guessed = [float(g.optima.value[0, 0]) for g in guesses]
        true_least = [least(truth, C) for truth in truths]
        better = min(true_least)
        made.append(
            {
                "beyond": factor,
                "C": C,
                "split": regret_of_split(truths[0], plans[0].N, C),
                "split_plug_in": regret_of_split(truths[0], guesses[0].N, C),
                "split_expected": plans[0].expected_regret,
                "recipe": true_least[int(np.argmin(expected))] - better,
                "recipe_plug_in": true_least[int(np.argmin(guessed))] - better,
                "p_a": float(chances(losses)[0]),
                "a_is_best": int(true_least[0] <= true_least[1]),
                "N_inside": int(
                    plans[0].N_interval[0]
                    <= float(np.exp(plan_budget(truths[0], C).optima.x[0, 0]))
                    <= plans[0].N_interval[1]
                ),
            }
        )
    return made


def fitted(
    law: Law, ladders: list[Ladder], seed: int, store: Path
) -> tuple[list[Fit | None], list[bool]]:
    """Posteriors of some ladders; None where sampling broke down, which is counted, not hidden."""
    tables = [one.runs for one in ladders]
    try:
        many = fit_many(law, tables, seed=seed, progress=False, store=store)
        return list(many), many.table["ok"].tolist()
    except (np.linalg.LinAlgError, BayescaleError) as error:
        if len(ladders) == 1:
            print(f"{law.name}: {type(error).__name__}: {error}", flush=True)
            return [None], [False]
    alone = [fitted(law, [one], seed, store) for one in ladders]
    return [fits[0] for fits, _ in alone], [ok[0] for _, ok in alone]


def run(simulations: int, seed: int, laws: list[str], store: Path, out: Path) -> None:
    """Make what is missing, a block at a time."""
    each = -(-simulations // (len(laws) * len(RUNS)))
    for name in laws:
        law = load_law(name)
        for n_runs in RUNS:
            for start in range(0, each, TOGETHER):
                key = {"law": name, "n_runs": n_runs, "block": start, "seed": seed}
                there = record.read(out)
                size = min(TOGETHER, each - start)
                if len(there) and int(record.matches(there, key).sum()) >= size * len(BEYOND):
                    continue
                numbers = [seed + start + k for k in range(size)]
                ladders = [simulate(law, n_runs, number) for number in numbers]
                fits, ok = fitted(law, ladders, seed, store)
                rows = [
                    {**key, "simulation": number, "ok": good, **row}
                    for number, ladder, fit, good in zip(numbers, ladders, fits, ok, strict=True)
                    for row in decide(fit, law, ladder)
                ]
                made = pd.DataFrame(rows).assign(**record.provenance(seed))
                record.write(out, pd.concat([record.without(there, key), made]))
                print(f"{name}, {n_runs} runs a recipe: {start + size} of {each}", flush=True)


def nested(losses: np.ndarray, line: bool, fit: Fit, pool: pd.DataFrame, i: int, rng) -> tuple:
    """EVSI of a candidate by nested Monte Carlo over the fit's own draws, and its error."""
    from scipy.interpolate import CubicSpline

    seen = loss_draws(fit, pool.iloc[[i]], kind="new-run", seed=int(rng.integers(1 << 30)))[:, 0]
    picked = rng.choice(len(seen), OUTER, replace=len(seen) < OUTER)
    rows = pd.concat([pool.iloc[[i]]] * OUTER, ignore_index=True)
    density = log_predictive(fit, rows.assign(loss=seen[picked]))
    weight = np.exp(density - density.max(axis=0))
    after = (weight.T @ losses) / weight.sum(axis=0)[:, None]
    before = losses.mean(axis=0)
    if line:
        fine = np.linspace(0, losses.shape[1] - 1, 801)
        after = CubicSpline(np.arange(losses.shape[1]), after, axis=1)(fine)
        before = CubicSpline(np.arange(losses.shape[1]), before)(fine)
    gained = after[:, before.argmin()] - after.min(axis=1)
    ess = float(np.median(weight.sum(axis=0) ** 2 / (weight**2).sum(axis=0)))
    return float(gained.mean()), float(gained.std() / np.sqrt(OUTER)), ess


def evsi(simulations: int, seed: int, laws: list[str], store: Path, out: Path) -> None:
    """EVSI of eight candidates by our regression and by nested Monte Carlo."""
    own = Draws(parameter_draws, loss_draws)
    each = -(-simulations // len(laws))
    for name in laws:
        law = load_law(name)
        ladders = [simulate(law, 9, seed + k) for k in range(each)]
        fits, ok = fitted(law, ladders, seed, store)
        for number, (ladder, fit, good) in enumerate(zip(ladders, fits, ok, strict=True)):
            key = {"law": name, "simulation": seed + number, "seed": seed}
            there = record.read(out)
            if len(there) and record.matches(there, key).any():
                continue
            if fit is None:
                continue
            rng = np.random.default_rng([seed, number])
            C = 100.0 * float(ladder.runs["C"].max())
            pool = pd.DataFrame(
                {
                    "N": np.exp(rng.uniform(np.log(1e7), np.log(1e10), 8)),
                    "D": np.exp(rng.uniform(np.log(3e8), np.log(3e11), 8)),
                    "family": rng.permutation(list(RECIPES) * 4),
                }
            )
            pool["C"] = 6.0 * pool["N"] * pool["D"]
            rows = []
            goals = {"split": Allocate(C, {"family": "a"}), "recipe": Choose("family", {"C": C})}
            for goal_name, goal in goals.items():
                evidence = gather(own, {name: fit}, pool, goal, seed=seed)
                judge, stakes = Judge(goal, evidence, seed), goal.stakes(fit, own)
                assert stakes.losses is not None
                whole = perfect_worth(evidence.stakes)
                for i in range(len(pool)):
                    worth = judge.worth([i])
                    line = stakes.actions is not None
                    exact, error, ess = nested(stakes.losses, line, fit, pool, i, rng)
                    rows.append(
                        {
                            "goal": goal_name,
                            "candidate": i,
                            "evsi": worth.value,
                            "evsi_error": worth.error,
                            "nested": exact,
                            "nested_error": error,
                            "inner_ess": ess,
                            "evpi": whole.value,
                        }
                    )
            made = pd.DataFrame(rows).assign(**{**key, "ok": good, **record.provenance(seed)})
            record.write(out, pd.concat([there, made]))
            print(f"{name}: {number + 1} of {each}", flush=True)


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
        print(f"95% of N holds the true optimum in {table['N_inside'].mean():.1%}")
    found = record.read(values)
    if len(found):
        allowed = np.maximum(2 * np.hypot(found["evsi_error"], found["nested_error"]), 0)
        allowed = np.maximum(allowed, 0.1 * found["nested"])
        found["agrees"] = np.abs(found["evsi"] - found["nested"]) <= allowed
        ranks = [
            spearmanr(part["evsi"], part["nested"]).statistic
            for _, part in found.groupby(["law", "simulation", "goal"])
            if part["nested"].nunique() > 1
        ]
        print(f"EVSI agrees with nested Monte Carlo in {found['agrees'].mean():.1%}; ", end="")
        print(f"rank correlation, median {np.nanmedian(ranks):.3f}, least {np.nanmin(ranks):.3f}")


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
