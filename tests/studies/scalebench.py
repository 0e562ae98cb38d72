"""ScaleBench's protocol on its training pools: which runs to buy so that a law extrapolates.

    python tests/studies/scalebench.py                       # all tasks, 10 repeats; resumes
    python tests/studies/scalebench.py --tasks farseer --repeats 1 --out elsewhere.csv

For each task (`decision_parts/tasks.py`) runs are bought one after another up to shares of the
pool's cost, in each group apart, and R2 on the target, all groups and outputs together, is clipped
to [-1, 1] (arXiv:2604.22753). The benchmark's own targets are not here: the target is the tenth of
highest cost of each group, taken out of the pool. Every method's runs are fitted alike, by
`fit_many` with the task's law; they differ in the choice:

- ``ours``: fall of the targets' variance under draws of the whole posterior (before any run, of the
  prior), where the law may depart from what holds at the targets the further away a run is
  (`bayescale.misfit`, as in `next_runs`), over cost to the power 0.4; the posterior is that of the
  runs bought for the budget before;
- ``exact``: the same with the law taken as exact;
- ``v-opt``, ``d-opt``: the same steps with a law made straight at the posterior's median, without
  its prior: fall of the targets' variance, or of the parameters' volume;
- ``random``, ``cheapest``.

The power 0.4 is the benchmark's. All fits alike take a run's departure as its own standard error
(``loss_se``), unless ``--fit plain``, and no bends, which would say the same again. ``ceiling`` is
the R2 of the targets' own means by the law's columns: no function of them does better.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import record
from decision_parts.choosing import (
    DRAWS,
    Departures,
    Straight,
    greedy,
    in_order,
    of_draws,
    of_slopes,
    prior_draws,
)
from decision_parts.tasks import TASKS, Task

from bayescale import fit_many
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.law import Law
from bayescale.model_from_runs import build_model
from bayescale.population_prior import sample_population_prior
from bayescale.predictive_draws import loss_draws, parameter_draws

OUT = record.RESULTS / "scalebench.csv"
METHODS = ("ours", "exact", "v-opt", "d-opt", "random", "cheapest")
ENOUGH = {"min_ess": 100, "max_draws": 400}  # a median within a tenth of the posterior's sd
NOISE = 0.01  # sd of log loss before any run is fitted


@dataclass(frozen=True, eq=False)
class Problem:
    """A task with its law, its tables, and how far the law may depart from the targets' place."""

    task: Task
    law: Law
    pool: pd.DataFrame
    targets: pd.DataFrame
    departures: Departures
    wary: bool  # whether fits count a departure as a run's own error

    @classmethod
    def of(cls, task: Task, folder: Path, wary: bool) -> Problem:
        """Read a task."""
        law = task.law()
        pool, targets = task.read(folder)
        if pool["family"].nunique() == 1:
            law = law.varying("complete")
        return cls(task, law, pool, targets, Departures.of(law, pool, targets), wary)

    def asked(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table's columns that the law asks for."""
        return table[[*(v.column for v in self.law.variables.values()), "family"]]

    @property
    def ceiling(self) -> float:
        """R2 of each target cell's own mean."""
        outputs = list(self.task.outputs)
        cells = self.targets.groupby(list(self.asked(self.targets)), sort=False)
        means = cells[outputs].transform("mean").to_numpy(float).T
        return r_squared(self.targets[outputs].to_numpy(float).T.ravel(), means.ravel())


def choose(
    method: str,
    one: Problem,
    observed: list[int],
    fits: list[Fit] | None,
    left: dict[str, float],
    seed: int,
) -> list[int]:
    """What a method buys next."""
    pool, targets, law = one.pool, one.targets, one.law
    price, family = pool["cost"].to_numpy(float), pool["family"].to_numpy()
    if method in ("random", "cheapest"):
        mixed = np.random.default_rng([seed, 59]).permutation(len(pool))
        order = mixed if method == "random" else mixed[np.argsort(price[mixed], kind="stable")]
        return in_order(order, set(observed), price, family, left)
    criterion = method if method == "d-opt" else "v-opt"
    noise = NOISE if fits is None else float(np.mean([_noise(fit) for fit in fits]))
    if method in ("ours", "exact"):
        if fits is None:
            f, t = prior_draws(law, pool, targets, one.task.typical, seed)
            straight = of_draws(f[None], t[None], noise)
        else:
            drawn = [_drawn(one, fit) for fit in fits]
            straight = of_draws(*(np.stack(parts) for parts in zip(*drawn, strict=True)), noise)
            criterion = "posterior"
        if method == "ours":
            known = observed if criterion == "posterior" else []  # else they are seen below
            straight = one.departures.beside(straight, noise, known)
        return greedy(straight, observed, price, family, left, criterion)
    if fits is None:
        model = build_model(law, pool.assign(**{law.response.column: one.task.typical}))
        _, values = sample_population_prior(model, np.random.default_rng(seed), 2000)
        groups = pool["family"].nunique()
        centres = [{k: np.full(groups, np.median(values[k])) for k in law.parameters}]
    else:
        groups = pd.DataFrame({"family": sorted(pool["family"].unique())})
        draws = [parameter_draws(fit, groups) for fit in fits]
        centres = [{k: np.median(d[k], axis=0) for k in law.parameters} for d in draws]
    parts = [of_slopes(law, centre, pool, targets, noise) for centre in centres]
    straight = Straight(
        *(np.concatenate([getattr(p, n) for p in parts]) for n in Straight.__annotations__)
    )
    return greedy(straight, observed, price, family, left, criterion)


def _drawn(one: Problem, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Log losses of candidates and targets under some of a posterior's draws."""
    few = np.linspace(0, len(fit.position.population) - 1, DRAWS).astype(int)
    f, t = (np.log(loss_draws(fit, one.asked(rows))[few]) for rows in (one.pool, one.targets))
    return f, t


def _noise(fit: Fit) -> float:
    names = fit.model.structure.names
    values = np.exp(fit.position.population[:, list(names).index("sigma")])
    return float(np.clip(np.median(values), 1e-3, 0.2))


def r_squared(true: np.ndarray, predicted: np.ndarray) -> float:
    """Clipped to [-1, 1], as the benchmark's."""
    left = np.sum((true - predicted) ** 2) / np.sum((true - true.mean()) ** 2)
    return float(np.clip(1.0 - left, -1.0, 1.0)) if np.isfinite(left) else -1.0


def fit_all(one: Problem, chosen: list[list[int]], seed: int, store: Path) -> list:
    """Posteriors of every choice, one for each output; None where it can't be fitted."""
    law, task, tables = one.law, one.task, []
    for places in chosen:
        rows, away = one.pool.iloc[places], one.departures.sd[places]
        for output in task.outputs:
            response = law.response.column
            own = one.asked(rows).assign(run=rows["run"], **{response: rows[output]})
            if one.wary:
                own[f"{response}_se"] = np.maximum(away, 1e-6) * rows[output]
            tables.append(own)
    options: dict = {"seed": seed, "progress": False, "store": store, "discrepancy": "none"}
    options |= ENOUGH
    try:
        flat: list[Fit | None] = list(fit_many(law, tables, **options))
    except (BayescaleError, np.linalg.LinAlgError):
        flat = []
        for table in tables:
            try:
                flat.append(fit_many(law, [table], **options)[0])
            except (BayescaleError, np.linalg.LinAlgError) as error:
                print(f"{task.name}, {len(table)} rows: {type(error).__name__}: {error}")
                flat.append(None)
    count = len(task.outputs)
    grouped = [flat[k : k + count] for k in range(0, len(flat), count)]
    return [None if any(f is None for f in fits) else fits for fits in grouped]


NOTHING = {"r2": -1.0, "coverage_95": np.nan, "width_95": np.nan}


def _exact(fit: Fit) -> Fit:
    """The fit where runs have no standard error of their own: at the targets nothing departs."""
    return replace(fit, model=replace(fit.model, mean_se2=0.0))


def score(one: Problem, fits: list[Fit] | None) -> dict[str, float]:
    """R2, coverage of 95% intervals of one more run, and their width."""
    if fits is None:
        return NOTHING
    seen = set(fits[0].runs.table["family"].astype(str))  # as the benchmark, groups bought from
    targets = one.targets[one.targets["family"].isin(seen)]
    true = targets[list(one.task.outputs)].to_numpy(float).T
    asked = one.asked(targets)
    mean = np.stack([np.median(loss_draws(f, asked, kind="mean"), axis=0) for f in fits])
    new = [loss_draws(_exact(f), asked, kind="new-run") for f in fits]
    low, high = np.stack([np.quantile(draws, [0.025, 0.975], axis=0) for draws in new], axis=1)
    return {
        "r2": r_squared(true.ravel(), mean.ravel()),
        "coverage_95": float(np.mean((true >= low) & (true <= high))),
        "width_95": float(np.mean(np.log(high / low))),
    }


def run(one: Problem, methods: list[str], repeats: int, seed: int, store: Path, out: Path) -> None:
    """One task: all methods and repeats side by side, a budget at a time."""
    task, pool = one.task, one.pool
    key = {"task": task.name, "repeats": repeats, "seed": seed, "wary": int(one.wary)}
    there = record.read(out)
    methods = [
        m for m in methods if not (len(there) and record.matches(there, {**key, "method": m}).any())
    ]
    if not methods:
        return
    families = pool["family"].to_numpy()
    total = pool.groupby("family")["cost"].sum().to_dict()
    states: dict[tuple, list[int]] = {(m, k): [] for m in methods for k in range(repeats)}
    posterior: dict[tuple, list[Fit] | None] = dict.fromkeys(states)
    rows, began = [], perf_counter()
    for share in task.budgets:
        for (method, k), observed in states.items():
            spent = pool.iloc[observed].groupby("family")["cost"].sum().to_dict()
            left = {g: share * total[g] - spent.get(g, 0.0) for g in total}
            own = posterior[(method, k)]
            if set(families[observed]) != set(families):
                own = None  # a group without runs: the prior chooses on
            observed += choose(method, one, observed, own, left, seed + 1000 * k)
        unlike = [list(o) for o in {tuple(sorted(o)) for o in states.values() if o}]
        unlike.sort()
        fits = dict(zip(map(tuple, unlike), fit_all(one, unlike, seed, store), strict=True))
        scores = {c: score(one, f) for c, f in fits.items()}
        for (method, k), observed in states.items():
            choice = tuple(sorted(observed))
            posterior[(method, k)] = fits.get(choice)
            rows.append(
                {
                    **key,
                    "method": method,
                    "repeat": k,
                    "share": share,
                    "spent": pool.iloc[observed]["cost"].sum() / sum(total.values()),
                    "n_runs": len(observed),
                    "groups_seen": len(set(families[observed])),
                    **scores.get(choice, NOTHING),
                    "ceiling": one.ceiling,
                }
            )
        print(f"{task.name}: {share:.1%} of the cost, {perf_counter() - began:.0f} s", flush=True)
    made = pd.DataFrame(rows).assign(law=one.law.name, seconds=perf_counter() - began)
    made = made.assign(**{k: v for k, v in record.provenance(seed).items() if k != "seed"})
    record.write(out, pd.concat([record.read(out), made]))


def main() -> None:
    """Run tasks, print the table."""
    parser = argparse.ArgumentParser(description="ScaleBench's protocol on its training pools.")
    names = [task.name for task in TASKS]
    parser.add_argument("--tasks", nargs="+", choices=names, default=names)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit", choices=["wary", "plain"], default="wary")
    parser.add_argument("--store", type=Path, help="Folder of fits, to resume within a task.")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    folder = Path(os.environ.get("BAYESCALE_DATA", "")) / "scalebench"
    if not folder.is_dir():
        raise SystemExit("BAYESCALE_DATA leads to no folder scalebench")
    with tempfile.TemporaryDirectory() as spare:
        for task in TASKS:
            if task.name in given.tasks:
                store = given.store or Path(spare)
                one = Problem.of(task, folder, given.fit == "wary")
                run(one, given.methods, given.repeats, given.seed, store, given.out)
    table = record.read(given.out)
    shown = table.groupby(["task", "share", "method"])["r2"].agg(["mean", "std"]).round(3)
    print(shown.unstack("method").to_string())


if __name__ == "__main__":
    main()
