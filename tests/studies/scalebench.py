"""ScaleBench's protocol on its training pools: which runs to buy so that a law extrapolates.

    python tests/studies/scalebench.py                       # all tasks, 10 repeats; resumes
    python tests/studies/scalebench.py --tasks farseer --repeats 1 --out elsewhere.csv

For each task (`decision_parts/tasks.py`) runs are bought one after another up to shares of the
pool's cost, in each group apart, and R2 on the target, all groups and outputs together, is clipped
to [-1, 1] (arXiv:2604.22753). The benchmark's own targets are not here: the target is the tenth of
highest cost of each group, taken out of the pool. Every method's runs are fitted alike, by
`fit_many` with the task's law; they differ in the choice:

- ``ours``: fall of the targets' variance under draws of the whole posterior (before any run, of the
  prior), over cost to the power 0.4, fitted anew halfway to each budget;
- ``v-opt``, ``d-opt``: the same steps with a law made straight at the posterior's median, without
  its prior: fall of the targets' variance, or of the parameters' volume;
- ``random``, ``cheapest``.

The power 0.4 is the benchmark's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import record
from decision_parts.tasks import TASKS, Task

from bayescale import fit_many
from bayescale.coordinates import to_natural
from bayescale.density import group_covariance
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.law import Law
from bayescale.model import reference_inputs
from bayescale.model_from_runs import build_model
from bayescale.population_prior import sample_population_prior
from bayescale.prediction import loss_draws, parameter_draws

OUT = record.RESULTS / "scalebench.csv"
METHODS = ("ours", "v-opt", "d-opt", "random", "cheapest")
POWER = 0.4
DRAWS = 600
NOISE = 0.01  # sd of log loss before any run is fitted
RIDGE = 1e4  # prior variance of a log parameter where none is to be believed


@dataclass(frozen=True, eq=False)
class Straight:
    """Log losses as linear in a few hidden normal variables: of candidates and of targets."""

    design: np.ndarray  # (output, candidate, r), over the noise
    wanted: np.ndarray  # (output, target, r)
    covariance: np.ndarray  # (output, r, r)


def of_draws(law: np.ndarray, targets: np.ndarray, noise: float) -> Straight:
    """From joint draws: ``(output, sample, candidate)`` and ``(output, sample, target)``."""
    designs, wanted, covariances = [], [], []
    for f, t in zip(law, targets, strict=True):
        both = np.concatenate([f - f.mean(axis=0), t - t.mean(axis=0)], axis=1)
        _, size, right = np.linalg.svd(both / np.sqrt(len(both)), full_matrices=False)
        kept = min(24, int(np.sum(size > 1e-6 * size[0])) or 1)
        designs.append(_padded(right[:kept, : f.shape[1]].T / noise, 24))
        wanted.append(_padded(right[:kept, f.shape[1] :].T, 24))
        covariances.append(np.diag(_padded(size[None, :kept] ** 2, 24)[0]))
    return Straight(np.stack(designs), np.stack(wanted), np.stack(covariances))


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, size - values.shape[1])))


def of_slopes(law: Law, centre: dict[str, np.ndarray], pool, targets, noise: float) -> Straight:
    """The law's slopes at one point, nothing believed of its parameters; a group has its own."""
    groups = sorted(pool["family"].unique())
    count = len(law.parameters)

    def slopes(table: pd.DataFrame) -> np.ndarray:
        inputs = {v.column: table[v.column].to_numpy(float) for v in law.variables.values()}
        place = np.array([groups.index(g) for g in table["family"]])
        own = {k: v[place] for k, v in centre.items()}
        out = np.zeros((len(table), count * len(groups)))
        for k, name in enumerate(law.parameters):
            step = 1e-4 * np.maximum(np.abs(own[name]), 1e-3)
            with np.errstate(all="ignore"):
                up = np.log(law.mean({**own, name: own[name] + step}, inputs, np))
                down = np.log(law.mean({**own, name: own[name] - step}, inputs, np))
            slope = (up - down) / (2 * step) * np.maximum(np.abs(own[name]), 1e-3)
            out[np.arange(len(table)), place * count + k] = np.nan_to_num(slope)
        return out

    return Straight(
        slopes(pool)[None] / noise, slopes(targets)[None], RIDGE * np.eye(count * len(groups))[None]
    )


def greedy(
    straight: Straight,
    observed: list[int],
    price: np.ndarray,
    family: np.ndarray,
    left: dict[str, float],
    criterion: str,
) -> list[int]:
    """Runs one by one, each the most valuable for its cost given those before it."""
    covariance = straight.covariance.copy()

    def see(i: int) -> None:
        for o, cov in enumerate(covariance):
            x = straight.design[o, i]
            pull = cov @ x
            covariance[o] = cov - np.outer(pull, pull) / (1.0 + x @ pull)

    if criterion != "posterior":  # the posterior has seen them already
        for i in observed:
            see(i)
    taken, left = [], dict(left)
    gone = np.zeros(len(price), dtype=bool)
    gone[observed] = True
    while True:
        room = np.array([left[g] for g in family])
        open_to = ~gone & (price <= room * (1 + 1e-9))
        if not open_to.any():
            return taken
        spread = straight.design @ covariance  # (output, candidate, r)
        seen = 1.0 + np.einsum("ocr,ocr->oc", spread, straight.design)
        if criterion == "d-opt":
            value = 0.5 * np.log(seen).sum(axis=0)
        else:
            shared = np.einsum("otr,ocr->otc", straight.wanted, spread)
            value = (np.sum(shared**2, axis=1) / seen).sum(axis=0)
        score = np.where(open_to, value / price**POWER, -np.inf)
        best = int(np.argmax(score))
        taken.append(best)
        gone[best] = True
        left[family[best]] -= price[best]
        see(best)


def in_order(order: np.ndarray, observed, price, family, left: dict[str, float]) -> list[int]:
    """Runs in a given order, as far as the money goes; the first that is too dear ends it."""
    taken, left, ended = [], dict(left), set()
    for i in order:
        group = family[i]
        if i in observed or group in ended:
            continue
        if price[i] > left[group] * (1 + 1e-9):
            ended.add(group)
            continue
        taken.append(int(i))
        left[group] -= price[i]
    return taken


def prior_draws(task: Task, law: Law, pool, targets, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log losses of candidates and targets under the prior alone, groups apart from one another."""
    table = pool.assign(**{law.response.column: task.typical})
    model = build_model(law, table, noise="normal")
    structure, reference = model.structure, reference_inputs(model.arrays.reference)
    rng = np.random.default_rng([seed, 53])
    eta, _ = sample_population_prior(model, rng, 4 * DRAWS)
    groups = sorted(pool["family"].unique())
    each = np.repeat(eta[:, None], len(groups), axis=1)
    for factor in structure.factors:
        learned = [structure.parameters[factor.varied[k]].group_sd for k in factor.learned_index]
        log_sd = np.log([np.asarray(p.sample(rng, len(eta))) for p in learned]).T
        log_sd = log_sd.reshape(len(eta), len(learned))
        corr = np.zeros((len(eta), len(factor.pairs)))
        lower = np.linalg.cholesky(group_covariance(factor, log_sd, corr, np))
        lower = np.broadcast_to(lower, (len(eta), *lower.shape[-2:]))
        z = rng.standard_normal((len(eta), len(groups), len(factor.varied)))
        each[:, :, np.array(factor.varied)] += np.einsum("sij,sgj->sgi", lower, z)
    values = to_natural(structure, each, reference, np)
    parts = []
    for rows in (pool, targets):
        place = np.array([groups.index(g) for g in rows["family"]])
        inputs = {v.column: rows[v.column].to_numpy(float) for v in law.variables.values()}
        with np.errstate(all="ignore"):
            own = {k: values[k][:, place] for k in law.parameters}
            parts.append(np.log(law.mean(own, inputs, np)))
    good = np.isfinite(parts[0]).all(axis=1) & np.isfinite(parts[1]).all(axis=1)
    return parts[0][good][:DRAWS], parts[1][good][:DRAWS]


def choose(
    method: str, task: Task, law: Law, pool, targets, observed, fits, left, seed: int
) -> list[int]:
    """What a method buys next."""
    price, family = pool["cost"].to_numpy(float), pool["family"].to_numpy()
    if method in ("random", "cheapest"):
        mixed = np.random.default_rng([seed, 59]).permutation(len(pool))
        order = mixed if method == "random" else mixed[np.argsort(price[mixed], kind="stable")]
        return in_order(order, set(observed), price, family, left)
    if fits is None:
        f, t = prior_draws(task, law, pool, targets, seed)
        if method == "ours":
            straight, criterion = of_draws(f[None], t[None], NOISE), "v-opt"
        else:
            model = build_model(law, pool.assign(**{law.response.column: task.typical}))
            _, values = sample_population_prior(model, np.random.default_rng(seed), 2000)
            groups = pool["family"].nunique()
            centre = {k: np.full(groups, np.median(values[k])) for k in law.parameters}
            straight, criterion = of_slopes(law, centre, pool, targets, NOISE), method
        return greedy(straight, observed, price, family, left, criterion)
    noise = float(np.mean([_noise(fit) for fit in fits]))
    if method == "ours":
        thin = [np.linspace(0, _size(fit) - 1, DRAWS).astype(int) for fit in fits]
        both = zip(fits, thin, strict=True)
        drawn = [(np.log(loss_draws(fit, _asked(law, pool))[i]), fit, i) for fit, i in both]
        f = np.stack([one for one, _, _ in drawn])
        t = np.stack([np.log(loss_draws(fit, _asked(law, targets))[i]) for _, fit, i in drawn])
        return greedy(of_draws(f, t, noise), observed, price, family, left, "posterior")
    groups = pd.DataFrame({"family": sorted(pool["family"].unique())})
    parts = []
    for fit in fits:
        draws = parameter_draws(fit, groups)
        centre = {k: np.median(draws[k], axis=0) for k in law.parameters}
        parts.append(of_slopes(law, centre, pool, targets, noise))
    straight = Straight(
        *(np.concatenate([getattr(p, n) for p in parts]) for n in Straight.__annotations__)
    )
    return greedy(straight, observed, price, family, left, method)


def _asked(law: Law, table: pd.DataFrame) -> pd.DataFrame:
    return table[[*(v.column for v in law.variables.values()), "family"]]


def _size(fit: Fit) -> int:
    return len(fit.position.population)


def _noise(fit: Fit) -> float:
    names = fit.model.structure.names
    values = np.exp(fit.position.population[:, list(names).index("sigma")])
    return float(np.clip(np.median(values), 1e-4, 0.2))


def r_squared(true: np.ndarray, predicted: np.ndarray) -> float:
    """Clipped to [-1, 1], as the benchmark's."""
    left = np.sum((true - predicted) ** 2) / np.sum((true - true.mean()) ** 2)
    return float(np.clip(1.0 - left, -1.0, 1.0)) if np.isfinite(left) else -1.0


def fit_all(task: Task, law: Law, problems: list[pd.DataFrame], seed: int, store: Path) -> list:
    """Posteriors of every problem, one for each output; None where a problem can't be fitted."""
    tables = []
    for rows in problems:
        for output in task.outputs:
            own = rows[[*_asked(law, rows).columns, "run"]]
            tables.append(own.assign(**{law.response.column: rows[output]}))
    options = {"seed": seed, "progress": False, "store": store, "max_draws": 1500}
    try:
        flat: list[Fit | None] = list(fit_many(law, tables, **options))
    except (BayescaleError, np.linalg.LinAlgError):
        flat = []
        for one in tables:
            try:
                flat.append(fit_many(law, [one], **options)[0])
            except (BayescaleError, np.linalg.LinAlgError) as error:
                print(f"{task.name}, {len(one)} rows: {type(error).__name__}: {error}", flush=True)
                flat.append(None)
    count = len(task.outputs)
    grouped = [flat[k : k + count] for k in range(0, len(flat), count)]
    return [None if any(f is None for f in fits) else fits for fits in grouped]


def score(task: Task, law: Law, fits: list[Fit] | None, targets: pd.DataFrame) -> dict[str, float]:
    """R2, coverage of 95% intervals of one more run, and their log score."""
    if fits is None:
        return {"r2": -1.0, "coverage_95": np.nan, "width_95": np.nan}
    seen = set(fits[0].runs.table["family"].astype(str))  # as the benchmark, groups bought from
    targets = targets[targets["family"].isin(seen)]
    true = targets[list(task.outputs)].to_numpy(float).T
    mean = np.stack([loss_draws(f, _asked(law, targets), kind="mean") for f in fits])
    new = np.stack([loss_draws(f, _asked(law, targets), kind="new-run") for f in fits])
    low, high = np.quantile(new, [0.025, 0.975], axis=1)
    return {
        "r2": r_squared(true.ravel(), np.median(mean, axis=1).ravel()),
        "coverage_95": float(np.mean((true >= low) & (true <= high))),
        "width_95": float(np.mean(np.log(high / low))),
    }


def run(task: Task, methods: list[str], repeats: int, seed: int, folder, store, out: Path) -> None:
    """One task: all methods and repeats side by side, a stage at a time."""
    key = {"task": task.name, "repeats": repeats, "seed": seed}
    there = record.read(out)
    methods = [
        m for m in methods if not (len(there) and record.matches(there, {**key, "method": m}).any())
    ]
    if not methods:
        return
    law = task.law()
    pool, targets = task.read(folder)
    families = pool["family"].to_numpy()
    if pool["family"].nunique() == 1:
        law = law.varying("complete")
    total = pool.groupby("family")["cost"].sum().to_dict()
    states = {(m, k): [] for m in methods for k in range(repeats)}
    posterior: dict[tuple, list[Fit] | None] = dict.fromkeys(states)
    stages, before = [], 0.0
    for share in task.budgets:
        stages += [(0.5 * (before + share), False), (share, True)]
        before = share
    rows, began = [], perf_counter()
    for share, scored in stages:
        for (method, k), observed in states.items():
            spent = pool.iloc[observed].groupby("family")["cost"].sum().to_dict()
            left = {g: share * total[g] - spent.get(g, 0.0) for g in total}
            own = posterior[(method, k)]
            if set(families[observed]) != set(families):
                own = None  # a group without runs: the prior chooses on
            observed += choose(
                method, task, law, pool, targets, observed, own, left, seed + 1000 * k
            )
        needed = {key: o for key, o in states.items() if o and (scored or key[0] in METHODS[:3])}
        unlike = {tuple(sorted(o)): None for o in needed.values()}  # equal choices, one fit
        fits = fit_all(task, law, [pool.iloc[list(o)] for o in unlike], seed, store)
        by_choice = dict(zip(unlike, fits, strict=True))
        for one, observed in needed.items():
            posterior[one] = by_choice[tuple(sorted(observed))]
        if scored:
            scores = {c: score(task, law, f, targets) for c, f in by_choice.items()}
            for (method, k), observed in states.items():
                nothing = {"r2": -1.0, "coverage_95": np.nan, "width_95": np.nan}
                found = scores.get(tuple(sorted(observed)), nothing)
                spent = pool.iloc[observed]["cost"].sum() / sum(total.values())
                rows.append(
                    {
                        **key,
                        "method": method,
                        "repeat": k,
                        "share": share,
                        "spent": spent,
                        "n_runs": len(observed),
                        "groups_seen": len(set(families[observed])),
                        **found,
                    }
                )
        print(f"{task.name}: {share:.1%} of the cost, {perf_counter() - began:.0f} s", flush=True)
    made = pd.DataFrame(rows).assign(law=law.name, seconds=perf_counter() - began)
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
                run(task, given.methods, given.repeats, given.seed, folder, store, given.out)
    table = record.read(given.out)
    shown = table.groupby(["task", "share", "method"])["r2"].agg(["mean", "std"]).round(3)
    print(shown.unstack("method").to_string())


if __name__ == "__main__":
    main()
