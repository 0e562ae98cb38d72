"""The recipes that a comparison is between: found among the fitted rows, or refused with why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale.allocation import group_of
from bayescale.costs import Cost, SixND, from_rows
from bayescale.errors import DataError

if TYPE_CHECKING:
    from bayescale.fitting import Fit

Costs = Cost | Mapping[str, Cost]

FREE = ("N", "D", "C")
_NONLINEAR = 0.05


@dataclass(frozen=True, eq=False)
class Arm:
    """One recipe: its rows, the group that the fit knows it as, and what it costs."""

    name: str
    rows: pd.DataFrame
    target: dict[str, Any]
    cost: Cost


def arms_of(fit: Fit, by: str, labels: Mapping[str, Any], cost: Costs | None = None) -> list[Arm]:
    """Find the recipes among the fitted rows, each one group of the fit, or say why not.

    Parameters
    ----------
    fit, by, labels, cost
        As in `compare_recipes`; labels are the part of `at` that isn't N, D or C.

    Returns
    -------
    list of Arm
        In the order of their names.
    """
    table = fit.runs.table
    if by not in table:
        known = [c for c in ("recipe", "family", "corpus", *fit.groups) if c in table]
        raise DataError(
            f"no column {by!r} names the recipes: by is a column of the fitted runs, such as "
            f"{', '.join(dict.fromkeys(known)) or 'recipe'}"
        )
    values = {v.column for v in fit.law.variables.values()} & set(labels)
    words = {name: str(label) for name, label in labels.items() if name not in values}
    for name, label in words.items():
        if name not in table:
            raise DataError(f"at names {name!r}, which is no column of the fitted runs")
        chosen = table[name].astype(str) == label
        if not chosen.any():
            there = ", ".join(sorted(table[name].dropna().astype(str).unique())[:20])
            raise DataError(f"no run has {name} {label!r} (as at asks for): there are {there}")
        table = table[chosen]
    table = table[table[by].notna()]
    names = sorted(table[by].astype(str).unique())
    if len(names) < 2:
        raise DataError(f"only {by} {', '.join(names) or 'nothing'} is left to compare: need two")
    rows = {name: table[table[by].astype(str) == name] for name in names}
    _refuse_corpora(by, rows)
    _refuse_mixtures(fit, by, rows)
    _refuse_evaluations(rows)
    if isinstance(cost, Mapping) and (missing := [n for n in names if n not in cost]):
        raise DataError(f"cost names no cost of {', '.join(missing)}")
    arms = []
    for name in names:
        target = group_of(fit, {**labels, by: name}, free=FREE)
        own = cost[name] if isinstance(cost, Mapping) else cost
        arms.append(Arm(name, rows[name], target, own or _own_cost(rows[name])))
    return arms


def cost_notes(arms: list[Arm]) -> tuple[str, ...]:
    """Say where a recipe's C isn't proportional to D at each N, which a measured cost assumes.

    Examples
    --------
    >>> rows = pd.DataFrame({"N": [1e6, 1e6], "D": [1e8, 2e8], "C": [6e14, 18e14]})
    >>> cost_notes([Arm("a", rows, {}, SixND())])[0].split(":")[0]
    'a'
    """
    notes = []
    for arm in arms:
        if not {"N", "D", "C"} <= set(arm.rows.columns):
            continue
        counted = arm.cost.flops(arm.rows["N"], arm.rows["D"])
        worst = float(np.abs(np.log(arm.rows["C"] / counted)).max())
        if worst > _NONLINEAR:
            notes.append(
                f"{arm.name}: C isn't proportional to D at each N (off by up to {worst:.0%} in "
                "the log): pass cost for a closer count"
            )
    return tuple(notes)


def _refuse_mixtures(fit: Fit, by: str, rows: Mapping[str, pd.DataFrame]) -> None:
    """Each recipe must be one group of the fit, and no group two recipes."""
    factors = list(fit.groups)
    if not factors:
        raise DataError(
            f"the fit has no groups, so it can't tell {by} {', '.join(rows)} apart: let "
            f"parameters vary, e.g. pool={{'E': [{by!r}]}}"
        )
    owner: dict[tuple[str, ...], str] = {}
    several = []
    for name, table in rows.items():
        groups = sorted(set(table[factors].astype(str).itertuples(index=False, name=None)))
        for group in groups:
            if group in owner:
                raise DataError(
                    f"{', '.join(factors)} {', '.join(group)} has runs of {by} {owner[group]} and "
                    f"{name}: the fit can't tell them apart; let parameters vary by {by}"
                )
            owner[group] = name
        if len(groups) > 1:
            several.append(f"{name}: {'; '.join(', '.join(group) for group in groups)}")
    if several:
        raise DataError(
            f"a {by} stands for several groups of the fit; single one out by a label in at",
            tuple(several),
        )


def _refuse_corpora(by: str, rows: Mapping[str, pd.DataFrame]) -> None:
    """Recipes on different corpora differ by the text too, unless all are judged on the same."""
    if by == "corpus" or any("corpus" not in table for table in rows.values()):
        return
    corpora = sorted({str(c) for table in rows.values() for c in table["corpus"].dropna()})
    if len(corpora) < 2:
        return
    judged = {str(e) for t in rows.values() for e in t.get("evaluation", pd.Series([None]))}
    if len(judged) == 1 and judged != {"None"}:
        return
    raise DataError(
        f"the {by}s were trained on several corpora; name the one to compare on, "
        f"e.g. at={{'corpus': {corpora[0]!r}}}",
        tuple(corpora),
    )


def _refuse_evaluations(rows: Mapping[str, pd.DataFrame]) -> None:
    """Losses on different held-out text can't be compared."""
    judged = {
        name: tuple(sorted(table["evaluation"].astype(str).unique()))
        for name, table in rows.items()
        if "evaluation" in table
    }
    if len(set(judged.values())) > 1:
        faults = tuple(f"{name}: {', '.join(found)}" for name, found in judged.items())
        raise DataError(
            "the losses are from different evaluation sets and can't be compared: fit the losses "
            "of one set, or name the set in at",
            faults,
        )


def _own_cost(rows: pd.DataFrame) -> Cost:
    if not {"N", "D", "C"} <= set(rows.columns):
        return SixND()
    return from_rows(rows)
