"""The sections about the fit itself: data, law, priors, diagnostics, the fit, provenance."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence

import pandas as pd

from bayescale.card import read_card
from bayescale.diagnostics import diagnose, prior_summary, summary
from bayescale.display.writing import counted, listed, span
from bayescale.fitting import Fit
from bayescale.law import Law
from bayescale.law_text import equations
from bayescale.plots import plot_exponents, plot_fit, plot_residuals
from bayescale.reporting.answers import Answers
from bayescale.reporting.blocks import (
    Block,
    Formula,
    Grid,
    Paragraph,
    Picture,
    Points,
    Section,
    grid,
    pairs,
)
from bayescale.storage import made_with, table_digest
from bayescale.targets import group_labels

_PROB = 0.95
_RANGES = ("N", "D", "C", "U")


def data(fit: Fit, answers: Answers) -> Section:
    """What was fitted, by group."""
    table, response = fit.runs.table, fit.law.response.column
    columns = [c for c in dict.fromkeys((*_RANGES, response)) if c in table.columns]
    ranges = [f"{c} {span((table[c].min(), table[c].max()), c)}" for c in columns if c != response]
    losses = span((table[response].min(), table[response].max()), response, 4)
    text = (
        f"{counted(len(table), 'run')} from {fit.runs.source}: {', '.join(ranges)};"
        f" {response} {losses} {fit.unit}."
    )
    blocks: list[Block] = [Paragraph(text)]
    if fit.groups:
        blocks.append(_by_group(fit, columns))
    blocks.append(Points("Notes", tuple(dict.fromkeys((*fit.runs.notes, *fit.notes)))))
    return Section("data", "Data", tuple(blocks))


def _by_group(fit: Fit, columns: Sequence[str]) -> Grid:
    factors = list(fit.groups)
    table = fit.runs.table
    keys = [pd.Series(group_labels(table, name), index=table.index, name=name) for name in factors]
    rows = []
    for labels, part in table.groupby(keys, sort=True):
        ends = [span((part[c].min(), part[c].max()), c) for c in columns]
        named = labels if isinstance(labels, tuple) else (labels,)
        rows.append((*map(str, named), str(len(part)), *ends))
    numeric = (*(False for _ in factors), True, *(False for _ in columns))
    return Grid((*factors, "runs", *columns), tuple(rows), numeric)


def law(fit: Fit, answers: Answers) -> Section:
    """The law in maths, and what its letters mean."""
    own = fit.law
    letters = [(v.name, v.about, v.unit, f"column {v.column}") for v in own.variables.values()] + [
        (p.name, p.about, "", _pooling(fit, p.name)) for p in own.parameters.values()
    ]
    blocks = [
        Paragraph(f"{own.title}."),
        *_equation(own),
        Grid(("", "meaning", "unit", ""), tuple(letters), (False,) * 4),
        Paragraph(" ".join(text for text in (own.identifiability, own.decision) if text)),
        Paragraph(f"Source: {own.cite}" if own.cite else ""),
    ]
    return Section("law", "Law", tuple(blocks))


def _pooling(fit: Fit, name: str) -> str:
    """Over what a parameter varies in this fit, where a factor of one level says nothing."""
    structure = fit.model.structure
    place = structure.names.index(name)
    factors = [f.name for f in structure.grouping if place in f.varied]
    return f"varies by {listed(factors)}" if factors else "one for all"


def _equation(own: Law) -> list[Block]:
    if own.formula is None:
        return [Paragraph(f"{own.response.column} = {own.formula_text}")]
    trees = equations(read_card(own.card))
    written = trees.pop("")
    return [Formula(own.response.column, written, tuple(trees.items()))]


def priors(fit: Fit, answers: Answers) -> Section:
    """What was believed before, beside what is believed after."""
    table = prior_summary(fit)
    shown = pd.DataFrame(
        {
            "prior": table["prior"],
            "of": table["on"],
            "prior 95%": _spans(table, "prior"),
            "posterior 95%": _spans(table, "posterior"),
            "why": table["why"],
        }
    )
    z = fit.prior_z
    verdict = "the two agree" if abs(z) < 3 else "prior and data conflict"
    text = (
        f"The observed mean log loss lies {abs(z):.1f} prior predictive standard deviations"
        f" {'above' if z > 0 else 'below'} what the priors alone expect: {verdict}."
    )
    return Section("priors", "Priors", (Paragraph(text), grid(shown, "parameter")))


def _spans(table: pd.DataFrame, when: str) -> list[str]:
    ends = zip(table[f"{when}_lower"], table[f"{when}_upper"], strict=True)
    return [span(pair, "", 3) for pair in ends]


def diagnostics(fit: Fit, answers: Answers) -> Section:
    """Whether the chains may be believed."""
    found = diagnose(fit)
    settings = fit.settings
    verdict = (
        "Nothing in the chains speaks against this fit."
        if found.ok
        else "The diagnostics refuse this fit: none of its numbers should be used as they are."
    )
    facts = [
        ("chains and draws", f"{settings.chains} of {settings.draws}"),
        ("largest R-hat", f"{found.max_rhat:.4f} (at most 1.01)"),
        ("smallest bulk ESS", f"{found.min_ess_bulk:.0f} (at least 400)"),
        ("smallest tail ESS", f"{found.min_ess_tail:.0f} (at least 400)"),
        ("divergent draws", str(found.divergences)),
        ("smallest E-BFMI", f"{found.min_bfmi:.2f} (at least 0.3)"),
    ]
    table = summary(fit, _PROB)
    own = [str(name).endswith("]") for name in table.index]
    blocks: list[Block] = [
        Paragraph(verdict, alarm=not found.ok),
        Points("Problems", tuple(found.problems), warning=True),
        Points("Warnings", tuple(found.warnings), warning=True),
        pairs(facts),
        grid(table[[not x for x in own]], "parameter", "Parameters of the population"),
    ]
    if any(own):
        blocks.append(grid(table[own], "parameter", "Parameters by group"))
    return Section("diagnostics", "Diagnostics", tuple(blocks))


def fit(fit: Fit, answers: Answers) -> Section:
    """The law through the data, what it leaves over, and the exponents."""
    targets = answers.predictions[0].table if answers.predictions else None
    response = fit.law.response.column
    if targets is not None:
        given = [c for c in targets.columns if c not in _answered(targets)]
        targets = targets[given]
    residuals = plot_residuals(fit)
    scatter = float(residuals.data["residual"].std())
    pictures = [
        Picture(
            "fit",
            plot_fit(fit, targets),
            "Runs, the law's value with its 95% credible band, and the interval of one more run"
            " at each target. Dashed: beyond the group's own data.",
        ),
        Picture(
            "residuals",
            residuals,
            f"What the law leaves over of log {response}; its standard deviation is {scatter:.2g}."
            " Where lines bend, the law misses something.",
        ),
        Picture(
            "exponents",
            plot_exponents(fit),
            "Exponents: posterior of the population and of each group beside the prior.",
        ),
    ]
    return Section("fit", "Fit", tuple(pictures))


def _answered(table: pd.DataFrame) -> set[str]:
    """The columns of a prediction's table that predicting added."""
    names = {"median", "mean_log", "sd_log", "decades_beyond"}
    return names | {str(c) for c in table.columns if str(c).startswith(("lower_", "upper_"))}


def provenance(fit: Fit, answers: Answers) -> Section:
    """Enough to make this report again, and to see whether something changed."""
    settings = fit.settings
    card = fit.law.text
    facts = [
        ("runs", f"{fit.runs.source}, {counted(len(fit.runs), 'row')}"),
        ("SHA-256 of the fitted table", table_digest(fit)),
        ("law", fit.law.name),
        ("SHA-256 of the card", hashlib.sha256(card.encode()).hexdigest() if card else "no card"),
        ("noise", fit.model.structure.noise_name),
        ("seed", str(settings.seed)),
        ("chains, warm-up, draws", f"{settings.chains}, {settings.warmup}, {settings.draws}"),
    ]
    if total := fit.seconds.get("total"):
        facts.append(("seconds", f"{total:.0f}"))
    facts += [(f"fitted with {name}", text) for name, text in made_with(fit).items()]
    facts.append(("Python of this report", platform.python_version()))
    return Section("provenance", "Provenance", (pairs(facts),))
