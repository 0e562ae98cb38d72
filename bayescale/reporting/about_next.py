"""The section that says which run to buy next."""

from __future__ import annotations

from math import isfinite

import pandas as pd

from bayescale.display.writing import exponential, human
from bayescale.fitting import Fit
from bayescale.reporting.answers import Answers
from bayescale.reporting.blocks import Block, Paragraph, Section, grid

_SHOWN = 8
UNASKED = (
    "Nobody named candidates: these are runs of a third, one and three times the largest N and D of"
    " each group, as far as a tenth of the budget pays for them."
)


def next_runs(fit: Fit, answers: Answers) -> Section:
    """What a further run is worth to the decision, beside what it costs."""
    blocks: list[Block] = []
    if why := answers.missing.get("next_runs"):
        blocks.append(Paragraph(f"Not answered: {why}."))
    for table in answers.next_runs:
        blocks += [Paragraph(sentence(table)), grid(_shown(fit, table))]
    if answers.next_runs and answers.unasked_runs:
        blocks.append(Paragraph(UNASKED))
    return Section("next-runs", "Which run to buy next", tuple(blocks))


def sentence(table: pd.DataFrame) -> str:
    """Whether to buy a run, which, and what it is worth, in words.

    Examples
    --------
    >>> table = pd.DataFrame({"candidate": ["s1"], "value": [0.01], "cost": [1e20], "net": [9e20]})
    >>> table.attrs = {"stop": False, "reason": "", "goal": "to split 1e+22 FLOP",
    ...                "unit": "loss", "perfect": 0.04, "worth": 1e23}
    >>> sentence(table).split(" on average")[0]
    'Runs to split 1e+22 FLOP: candidate s1 gains 0.01 (loss)'
    """
    said, first = table.attrs, table.iloc[0]
    if said["stop"]:
        return f"Runs {said['goal']}: buy none; {said['reason']}."
    sizes = [f"{name} = {human(first[name])}" for name in ("N", "D") if name in table]
    which = f"the run of {', '.join(sizes)}" if sizes else f"candidate {first['candidate']}"
    worth = said["worth"]
    back = ""
    if worth is not None and isfinite(worth) and first["cost"] > 0:
        back = f" and is worth {first['value'] * worth / first['cost']:.2g} times its cost"
    return (
        f"Runs {said['goal']}: {which} gains {first['value']:.2g} ({said['unit']}) on average, of"
        f" {said['perfect']:.2g} that knowing everything would, costs {exponential(first['cost'])}"
        f"{back}."
    )


def _shown(fit: Fit, table: pd.DataFrame) -> pd.DataFrame:
    """The first rows, what a candidate is before what it is worth."""
    own = [c for c in (*fit.groups, *(v.column for v in fit.law.variables.values())) if c in table]
    named = [] if {"N", "D"} <= set(own) else ["candidate"]
    columns = [*named, *dict.fromkeys(own), "cost", "value", "value_error", "net"]
    shown = table[columns].head(_SHOWN)
    return shown.assign(net=[exponential(v) if v > 0 else "none" for v in shown["net"]])
