"""What a report answers: the answers it is given, and its own questions where it has none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from bayescale import costs
from bayescale.allocation import Allocation, allocate
from bayescale.backtesting import Backtest
from bayescale.choosing_runs import next_runs
from bayescale.display.writing import listed
from bayescale.errors import BayescaleError, DataError, LawError
from bayescale.fitting import Fit
from bayescale.goals import Allocate, Choose, Goal
from bayescale.prediction import Prediction, predict
from bayescale.recipes import RecipeComparison, compare_recipes
from bayescale.targets import compute_of, group_labels

BEYOND = 10.0  # times the largest compute of the data, where nothing else is asked
MOST_GROUPS = 12  # predicted and planned for unasked
_SCALED = ("N", "D", "C")
_AROUND = np.array([1.0 / 3.0, 1.0, 3.0])  # of the largest N and D, where no candidate is named


@dataclass(frozen=True)
class Answers:
    """Everything that a report has an answer to; `missing` says why a section has none."""

    predictions: tuple[Prediction, ...] = ()
    allocations: tuple[tuple[str, Allocation], ...] = ()
    comparisons: tuple[tuple[str, RecipeComparison], ...] = ()
    backtests: tuple[Backtest, ...] = ()
    next_runs: tuple[pd.DataFrame, ...] = ()
    unasked_runs: bool = False
    missing: dict[str, str] = field(default_factory=dict)


def sorted_out(nouns: tuple[Any, ...]) -> Answers:
    """Put each given answer in its place.

    Raises
    ------
    BayescaleError
        For something that a report has no section for.
    """
    kinds = (Prediction, Allocation, RecipeComparison, Backtest)
    for noun in nouns:
        if not isinstance(noun, kinds) and not _is_of_next_runs(noun):
            known = ", ".join([*(kind.__name__ for kind in kinds), "a table of next_runs"])
            raise BayescaleError(
                f"a report has no section for a {type(noun).__name__}; give it any of: {known}"
            )
    return Answers(
        tuple(n for n in nouns if isinstance(n, Prediction)),
        tuple((_where(n.loss.table), n) for n in nouns if isinstance(n, Allocation)),
        tuple(("", n) for n in nouns if isinstance(n, RecipeComparison)),
        tuple(n for n in nouns if isinstance(n, Backtest)),
        tuple(n for n in nouns if _is_of_next_runs(n)),
    )


def completed(
    answers: Answers, fit: Fit, targets: Any = None, C: float | None = None, seed: int = 0
) -> Answers:
    """Ask the fit what no answer was given to: predictions, allocations, the recipes.

    Parameters
    ----------
    answers : Answers
    fit : Fit
    targets : DataFrame or dict of columns, optional
        To predict; ten times the largest compute of each group where None.
    C : float, optional
        The budget to split and to compare recipes at; ten times the largest where None.
    seed : int
    """
    if targets is not None or not answers.predictions:
        answers = _with_predictions(answers, fit, targets, seed)
    if not answers.allocations:
        answers = _with_allocations(answers, fit, C)
    if not answers.comparisons:
        answers = _with_comparisons(answers, fit, C)
    if not answers.next_runs:
        answers = _with_next_runs(answers, fit, seed)
    return answers


def _with_predictions(answers: Answers, fit: Fit, targets: Any, seed: int) -> Answers:
    if targets is None:
        targets = usual_targets(fit)
        if targets is None:
            why = "the law is of neither N, D nor C: say what to predict by targets="
            return _lacking(answers, "predictions", why)
    prediction = predict(fit, targets, seed=seed)
    return replace(answers, predictions=(*answers.predictions, prediction))


def usual_targets(fit: Fit) -> pd.DataFrame | None:
    """One target a group, ten times beyond its largest run: N and D grow alike.

    Returns None for a law that is of neither N, D nor C.
    """
    columns = [v.column for v in fit.law.variables.values()]
    growing = [c for c in _SCALED if c in columns]
    if not growing:
        return None
    sizes = [c for c in growing if c != "C"]
    factor = BEYOND ** (1.0 / len(sizes)) if sizes else BEYOND
    rows = []
    for labels, table in groups(fit)[:MOST_GROUPS]:
        order = compute_of(table) if sizes == ["N", "D"] else table[growing[0]].to_numpy(float)
        last = table.iloc[int(np.nanargmax(order))]
        row = {c: float(last[c]) * (factor if c in growing else 1.0) for c in columns}
        if "C" in table.columns and np.isfinite(last["C"]):
            row["C"] = float(last["C"]) * BEYOND
        rows.append({**labels, **row})
    return pd.DataFrame(rows)


def groups(fit: Fit) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """Labels and rows of every group of the fit, the largest compute first."""
    table = fit.runs.table
    found = []
    for named in fit.combinations:
        inside = np.ones(len(table), dtype=bool)
        for name, label in named.items():
            inside &= group_labels(table, name) == label
        found.append((named, table[inside]))
    if not {"N", "D"} <= set(table.columns) and "C" not in table.columns:
        return found
    return sorted(found, key=lambda pair: -float(np.nanmax(compute_of(pair[1]))))


def _with_allocations(answers: Answers, fit: Fit, C: float | None) -> Answers:
    columns = {v.column for v in fit.law.variables.values()}
    if not {"N", "D"} <= columns:
        why = "a budget can only be split by a law of both N and D"
        return _lacking(answers, "allocations", why)
    held = columns - {"N", "D", "C"}
    made, reasons = [], []
    for labels, rows in groups(fit)[:MOST_GROUPS]:
        budget = BEYOND * float(np.nanmax(compute_of(rows))) if C is None else C
        fixed = {name: float(rows[name].max()) for name in held}
        try:
            plan = allocate(fit, budget, cost=cost_of(rows), at={**labels, **fixed}, force=True)
        except (DataError, LawError) as error:
            reasons.append(str(error))
            continue
        made.append((listed(list(labels.values())), plan))
    if not made:
        return _lacking(answers, "allocations", "; ".join(dict.fromkeys(reasons)))
    return replace(answers, allocations=tuple(made))


def cost_of(rows: pd.DataFrame) -> costs.Cost:
    """What compute a group's own runs took; 6 N D where their table doesn't say."""
    try:
        return costs.from_rows(rows)
    except DataError:
        return costs.SixND()


def _with_comparisons(answers: Answers, fit: Fit, C: float | None) -> Answers:
    table = fit.runs.table
    if "recipe" not in table.columns or table["recipe"].nunique() < 2:
        why = "the runs name fewer than two recipes in a column recipe"
        return _lacking(answers, "comparisons", why)
    corpora = table["corpus"].dropna().unique() if "corpus" in table.columns else []
    made, reasons = [], []
    for corpus in corpora if len(corpora) > 1 else [None]:
        rows = table if corpus is None else table[table["corpus"] == corpus]
        label = {} if corpus is None else {"corpus": str(corpus)}
        try:
            budget = BEYOND * float(np.nanmax(compute_of(rows))) if C is None else C
            comparison = compare_recipes(fit, at={"C": budget, **label}, force=True)
        except (DataError, LawError) as error:
            reasons.append(str(error))
            continue
        made.append((" ".join(label.values()), comparison))
    if not made:
        return _lacking(answers, "comparisons", "; ".join(dict.fromkeys(reasons)))
    return replace(answers, comparisons=tuple(made))


def _with_next_runs(answers: Answers, fit: Fit, seed: int) -> Answers:
    """Value usual candidates for the first choice of a recipe, or else the first split."""
    why = "there is no budget to split and no recipe to choose: give a table of bs.next_runs"
    if not answers.allocations or not {"N", "D"} <= set(fit.runs.table.columns):
        return _lacking(answers, "next_runs", why)
    plan = answers.allocations[0][1]
    own = plan.loss.table.iloc[0]
    held = {v.column for v in fit.law.variables.values()} - {"N", "D", "C"}
    at = {name: own[name] for name in (*fit.groups, *held) if name in own}
    goal: Goal = Allocate(plan.C, at or None, cost_of(groups(fit)[0][1]))
    if answers.comparisons and "C" in answers.comparisons[0][1].table:
        label, comparison = answers.comparisons[0]
        where = {"corpus": label} if label else {}
        goal = Choose(at={"C": float(comparison.table["C"].max()), **where})
    pool = usual_candidates(fit, 0.1 * plan.C)
    if pool.empty:
        return _lacking(answers, "next_runs", "a tenth of the budget pays for no candidate")
    try:
        table = next_runs(fit, pool, goal=goal, seed=seed)
    except BayescaleError as error:
        return _lacking(answers, "next_runs", str(error))
    return replace(answers, next_runs=(table,), unasked_runs=True)


def usual_candidates(fit: Fit, most: float) -> pd.DataFrame:
    """Runs of a third, one and three times the largest N and D of each group, up to a cost.

    Parameters
    ----------
    fit : Fit
        Of a law of N and D.
    most : float
        FLOPs of the dearest.
    """
    made = []
    held = {v.column for v in fit.law.variables.values()} - {"N", "D", "C"}
    for labels, rows in groups(fit)[:MOST_GROUPS]:
        N, D = np.meshgrid(*(_AROUND * float(rows[name].max()) for name in ("N", "D")))
        own = pd.DataFrame({"N": N.ravel(), "D": D.ravel()})
        own = own.assign(**labels, **{name: float(rows[name].max()) for name in held})
        made.append(own.assign(C=np.asarray(cost_of(rows).flops(own["N"], own["D"]))))
    pool = pd.concat(made, ignore_index=True)
    return pool[pool["C"] <= most].reset_index(drop=True)


def _is_of_next_runs(noun: Any) -> bool:
    return isinstance(noun, pd.DataFrame) and {"stop", "goal", "perfect"} <= set(noun.attrs)


def _lacking(answers: Answers, what: str, why: str) -> Answers:
    return replace(answers, missing={**answers.missing, what: why})


def _where(table: pd.DataFrame) -> str:
    """The group that an allocation was made for: the labels of its target."""
    row = table.iloc[0]
    return listed([str(v) for v in row if isinstance(v, str)])
