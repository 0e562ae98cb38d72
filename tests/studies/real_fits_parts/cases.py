"""Which cards are fitted to which tables, and how each table is divided."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from backtest_parts.ladders import data_folder
from backtest_parts.suite import GAP, sides
from decision_parts import tasks

from bayescale import catalog
from bayescale.law import Law
from real_fits_parts import tables

TENTH = 0.1
FEWEST = 3  # targets
MIXED = 0.75  # share of prose of fitted mixtures
ALL = {"checkpoints": "all"}


@dataclass(frozen=True, eq=False)
class Divided:
    """Rows to fit and, by the split's name, rows to predict."""

    train: pd.DataFrame
    tests: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Case:
    """One card and one table.

    Attributes
    ----------
    dataset
        Its name in the results.
    law
        The card's name; with `made`, what is said of it.
    divide
        Reads the table and divides it.
    made
        Makes the law where it is not the library's card as it stands.
    options
        For `fit_many`.
    outputs
        Columns of the response; several are fitted apart and scored together.
    """

    dataset: str
    law: str
    divide: Callable[[], Divided]
    made: Callable[[], Law] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    def load(self) -> Law:
        """The law to be fitted."""
        return self.made() if self.made else catalog.load_law(self.law)


# --- Divisions ----------------------------------------------------------------------------------


def ordered(read: Callable[[], pd.DataFrame], kind: str = "ladder") -> Divided:
    """Targets 4 times dearer than every fitted run, or 2 times further along x.

    The dearest origin that leaves a tenth of the rows to predict; costs only decide. Where there is
    none, the tenth of highest cost.
    """
    table, gap = read(), GAP[kind]
    enough = max(FEWEST, math.ceil(TENTH * len(table)))
    for cost in np.unique(table["C"].to_numpy(float))[::-1]:
        found = sides(table, cost, gap)
        if found is not None and len(found[1]) >= enough:
            return Divided(found[0], {f"C<={cost:.4g}, targets {gap:g}x dearer": found[1]})
    return dearest_tenth(lambda: table)


def dearest_tenth(read: Callable[[], pd.DataFrame]) -> Divided:
    """The tenth of highest cost, of families that are fitted."""
    table = read().sort_values("C", kind="stable").reset_index(drop=True)
    size = max(FEWEST, round(TENTH * len(table)))
    train, test = table.iloc[:-size], table.iloc[-size:]
    test = test[test["family"].isin(train["family"])].reset_index(drop=True)
    ratio = test["C"].min() / train["C"].max()
    return Divided(train, {f"dearest tenth, too short for a gap (from {ratio:.2g}x)": test})


def along_schedules() -> Divided:
    """Fit the authors' three short schedules; predict the second half of the long ones.

    And, from the same fit, all that the authors held out.
    """
    table = tables.multi_power()
    seen = table["source"] == "visible"
    long = table["C"] >= GAP["curve"] * table.loc[seen, "C"].max()
    return Divided(
        table[seen].reset_index(drop=True),
        {
            "steps<=24000, targets 2x further": table[~seen & long].reset_index(drop=True),
            "the authors' own, six schedules": table[~seen].reset_index(drop=True),
        },
    )


def along_shares() -> Divided:
    """Fit mixtures with up to three quarters of prose; predict prose alone."""
    table = tables.own_mixtures()
    pure = table["r_prose"] > MIXED
    return Divided(
        table[~pure].reset_index(drop=True),
        {f"prose<={MIXED:g}, targets of prose alone": table[pure].reset_index(drop=True)},
    )


def of_task(task: tasks.Task) -> Divided:
    """A pool of ScaleBench without the tenth of highest cost of each group, as `scalebench.py`."""
    train, test = task.read(data_folder() / "scalebench")
    name = "dearest tenth of each group"
    if task.name == "domain_mixture":
        name = "a tenth of each group at random: all cost the same"
    return Divided(train, {name: test})


# --- Laws ---------------------------------------------------------------------------------------


def study_law(name: str) -> Law:
    """A card of ScaleBench's study, or the library's."""
    own = tasks.CARDS / f"{name}.toml"
    return catalog.load_law(own if own.exists() else name)


def task_law(task: tasks.Task) -> Law:
    """The law that the task takes, without groups where there is one."""
    law = task.law()
    return law.varying("complete") if task.name in ONE_GROUP else law


ONE_GROUP = ("vocab", "moe", "data_constrained", "lr_bsz", "farseer")
FURTHER = (  # laws that the training rows of a task ask for; the study's README says why
    ("sparsity", "sb_upcycling"),
    ("data_constrained", "sb_overfitting"),
    ("moe", "routed"),
)
CURVES = ("m1", "m2", "m4", "bnsl_1")
DOMAINS = (  # a few curves of each of the benchmark's domains
    ("alabdulmohsin_vision", "bird_10"),
    ("alabdulmohsin_language", "nmt"),
    ("alabdulmohsin_language", "lm"),
    ("alabdulmohsin_language", "bigbench/date/1"),
)


def cases() -> list[Case]:
    """All cases, in a fixed order."""
    suite = partial(partial, tables.of_suite)
    gadre, hoffmann = suite("gadre", "c4_val"), suite("chinchilla", "massivetext")
    return [
        Case("gadre", "overtraining", partial(ordered, gadre)),
        Case("gadre", "chinchilla", partial(ordered, gadre)),
        Case("chinchilla", "chinchilla", partial(ordered, hoffmann)),
        *(
            Case(f"{data}:{name}", law, partial(ordered, suite(data, name), "curve"))
            for data, name in DOMAINS
            for law in CURVES
        ),
        *(
            Case("multi_power", law, along_schedules, options=ALL)
            for law in ("multi_power", "lr_annealing")
        ),
        Case("clip_mammut", "clip_mammut", partial(ordered, tables.clip_mammut)),
        Case("routed", "routed", partial(ordered, tables.routed)),
        Case("routed", "routed_floor", partial(ordered, tables.routed)),
        Case("steplaw", "step_law_loss", partial(ordered, tables.step_law)),
        Case("steplaw", "step_law_lr", partial(ordered, tables.step_law_best)),
        Case("steplaw", "step_law_batch", partial(ordered, tables.step_law_best)),
        Case("observational", "observational", partial(ordered, tables.observational)),
        Case("observational", "sloth", partial(ordered, tables.sloth)),
        Case("bimix", "bimix", partial(ordered, tables.bimix, "curve"), options=ALL),
        *(
            Case("own_ladder", law, partial(ordered, suite("own_ladder", "bytes")))
            for law in ("chinchilla", "bottleneck")
        ),
        Case("own_isoflop", "chinchilla", partial(ordered, partial(tables.own, "ladder_isoflop"))),
        *(
            Case(
                "own_schedules",
                law,
                partial(ordered, tables.own_schedules, "curve"),
                options=ALL,
            )
            for law in ("lr_annealing", "multi_power")
        ),
        Case("own_repeats", "data_constrained", partial(ordered, tables.own_repeats)),
        Case("own_mixtures", "data_mixing", along_shares, partial(_own_mixtures_law)),
        *(_task_case(task) for task in tasks.TASKS),
        *(_further_case(name, law) for name, law in FURTHER),
    ]


def _own_mixtures_law() -> Law:
    return catalog.load_law("data_mixing").with_index(domain=["prose", "code"])


def _task_case(task: tasks.Task) -> Case:
    return Case(
        f"scalebench:{task.name}",
        task.law().name,
        partial(of_task, task),
        partial(task_law, task),
        outputs=task.outputs,
    )


def _without_groups(name: str) -> Law:
    return study_law(name).varying("complete")


def _further_case(name: str, law: str) -> Case:
    task = next(one for one in tasks.TASKS if one.name == name)
    return Case(
        f"scalebench:{name}",
        law,
        partial(of_task, task),
        partial(_without_groups, law),
        outputs=task.outputs,
    )
