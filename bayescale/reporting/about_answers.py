"""The sections that answer: in short, beyond the data, budget, recipes, and the sliders."""

from __future__ import annotations

from math import isfinite

import pandas as pd

from bayescale.allocation import Allocation
from bayescale.backtesting import Backtest
from bayescale.diagnostics import diagnose
from bayescale.display.writing import exponential, human, span
from bayescale.fitting import Fit
from bayescale.plots import plot_allocation, plot_recipes
from bayescale.prediction import Prediction
from bayescale.recipes import RecipeComparison
from bayescale.reporting.about_next import sentence
from bayescale.reporting.answers import Answers
from bayescale.reporting.blocks import (
    Block,
    Grid,
    Paragraph,
    Picture,
    Points,
    Section,
    Sliders,
    grid,
)
from bayescale.reporting.payload import payload_of
from bayescale.sensitivity import MAX_KHAT, power_sensitivity

_FIGURES = 4  # of allocations
UNMEASURED = (
    "How often such intervals hold on larger runs was not measured here; a backtest of these data"
    " (bayescale backtest, or a Backtest given to the report) measures it."
)


def in_short(fit: Fit, answers: Answers) -> Section:
    """What a reader in a hurry must know."""
    found = diagnose(fit)
    blocks: list[Block] = []
    if not found.ok:
        text = "The diagnostics refuse this fit; what follows is not to be relied on. "
        blocks.append(Paragraph(text + " ".join(found.problems), alarm=True))
    lines = [s for p in answers.predictions for s in p.sentences]
    lines += [_plan_sentence(group, plan) for group, plan in answers.allocations]
    lines += [_choice_sentence(label, c) for label, c in answers.comparisons]
    lines += [sentence(table) for table in answers.next_runs]
    blocks.append(Points("", tuple(lines), warning=True))
    return Section("in-short", "In short", tuple(blocks))


def _plan_sentence(group: str, plan: Allocation) -> str:
    whose = f" of {group}" if group else ""
    near = (
        f"; any N from {span(plan.near_optimal, 'N')} costs at most {plan.tolerance:g} more"
        if isfinite(plan.near_optimal[0])
        else f"; no N is known to be within {plan.tolerance:g} of the best"
    )
    return (
        f"A budget of {exponential(plan.C)} FLOP for one run{whose}: N = {human(plan.N)},"
        f" D = {human(plan.D)}{near}."
    )


def _choice_sentence(label: str, comparison: RecipeComparison) -> str:
    best = comparison.table.sort_values("p_best", ascending=False).iloc[0]
    where = f" on {label}" if label else ""
    at = f" at {exponential(best['C'])} FLOP" if "C" in comparison.table.columns else ""
    return f"Recipe{where}{at}: {best['recipe']} is best with {_chance(best['p_best'])}."


def _chance(probability: float) -> str:
    return "probability above 0.99" if probability > 0.99 else f"probability {probability:.2f}"


def extrapolation(fit: Fit, answers: Answers) -> Section:
    """Losses of runs that nobody has made, with everything that weakens the answer."""
    blocks: list[Block] = []
    for prediction in answers.predictions:
        blocks += _one_prediction(fit, prediction)
    if why := answers.missing.get("predictions"):
        blocks.append(Paragraph(f"Nothing was predicted: {why}."))
    blocks += [block for backtest in answers.backtests for block in _coverage(backtest)]
    if answers.predictions and not answers.backtests:
        blocks.append(Paragraph(UNMEASURED))
    return Section("extrapolation", "Beyond the data", tuple(blocks))


def _one_prediction(fit: Fit, prediction: Prediction) -> list[Block]:
    shown = spanned(prediction.table)
    moved = power_sensitivity(fit, prediction.table, kind=prediction.kind, new_groups="sample")
    return [
        Points("", tuple(prediction.sentences), warning=True),
        Points("Warnings", tuple(prediction.warnings), warning=True),
        grid(shown),
        Paragraph(_sensitivity_sentence(moved)),
        grid(moved.assign(target=moved["target"] + 1), fold="If prior or data counted for more"),
    ]


def _sensitivity_sentence(moved: pd.DataFrame) -> str:
    prior = moved[moved["component"] == "prior"]
    shift, ratio = prior["median_shift"].abs().max(), prior["width_ratio"]
    change = float((ratio - 1.0).abs().max())
    text = (
        f"Raising the prior to the power 0.8 or 1.25 moves a median by at most {100 * shift:.2g}%"
        f" of its interval's width, and changes that width by at most {100 * change:.2g}%."
    )
    if moved["khat"].max() > MAX_KHAT:
        text += " (Reweighting these draws is not reliable: a khat is above 0.7.)"
    return text


def _coverage(backtest: Backtest) -> list[Block]:
    metrics = backtest.metrics
    held = ", ".join(
        f"{100 * float(level):g}%: {100 * share:.0f}%"
        for level, share in metrics["coverage"].items()
    )
    text = (
        f"Measured on these data: fitted to {metrics['n_train']} runs, the intervals of the"
        f" {metrics['n_test']} others held as follows. {held}."
    )
    return [Paragraph(text), Points("Notes", tuple(backtest.notes))]


def allocation(fit: Fit, answers: Answers) -> Section:
    """How to split a budget, and how little it matters nearby."""
    if not answers.allocations:
        why = answers.missing.get("allocations", "none was asked for")
        return Section("allocation", "Splitting a budget", (Paragraph(f"Not answered: {why}."),))
    head = ("group", "C", "N", "N, 95% of the draws", "D", "D, 95% of the draws")
    head += ("near-optimal N", "expected regret", "loss there, 95%")
    rows = []
    for group, plan in answers.allocations:
        loss = plan.loss.table.iloc[0]
        rows.append(
            (
                group,
                exponential(plan.C),
                human(plan.N),
                span(plan.N_interval, "N"),
                human(plan.D),
                span(plan.D_interval, "D"),
                span(plan.near_optimal, "N"),
                f"{plan.expected_regret:.2g}",
                span((loss["lower_95"], loss["upper_95"]), "loss", 4),
            )
        )
    notes = [n for _, plan in answers.allocations for n in (*plan.notes, *plan.loss.warnings)]
    pictures = [
        Picture(
            f"allocation-{i}",
            plot_allocation(plan),
            f"{group or 'All runs'}: expected loss along the budget, and the sizes near the best.",
        )
        for i, (group, plan) in enumerate(answers.allocations[:_FIGURES])
    ]
    table = Grid(head, tuple(rows), (False, *(True for _ in head[1:])))
    blocks = (table, Points("Notes", tuple(dict.fromkeys(notes)), warning=True), *pictures)
    return Section("allocation", "Splitting a budget", blocks)


def recipes(fit: Fit, answers: Answers) -> Section:
    """Which recipe, and how surely."""
    blocks: list[Block] = []
    if why := answers.missing.get("comparisons"):
        blocks.append(Paragraph(f"Not answered: {why}."))
    for i, (label, comparison) in enumerate(answers.comparisons):
        caption = "Loss of each recipe. Errors are largely common, so intervals may overlap."
        blocks += [
            Paragraph(_choice_sentence(label, comparison)),
            grid(spanned(comparison.table)),
            Picture(f"recipes-{i}", plot_recipes(comparison), caption),
        ]
        if len(comparison.crossovers):
            blocks.append(grid(comparison.crossovers, fold="Compute at which they cross"))
        if len(comparison.multipliers):
            title = "Compute multipliers: the factor that b needs over a for the same loss"
            blocks.append(grid(comparison.multipliers, fold=title))
        blocks.append(Points("Notes", tuple(comparison.notes), warning=True))
    return Section("recipes", "Choosing a recipe", tuple(blocks))


def ask(fit: Fit, answers: Answers) -> Section | None:
    """Sliders over target and budget; None for a law that is no formula."""
    payload = payload_of(fit)
    if payload is None:
        return None
    text = (
        "Move the sliders: this page computes the answers itself, from"
        f" {payload['shown']} of the fit's {payload['draws']} posterior draws, so the ends of an"
        " interval differ a little from the tables above."
    )
    return Section("ask", "Other targets and budgets", (Paragraph(text), Sliders(payload)))


def spanned(table: pd.DataFrame) -> pd.DataFrame:
    """Join each `lower_95`, `upper_95` into one column `95%`."""
    shown = {}
    for name in map(str, table.columns):
        prob = name.removeprefix("lower_")
        if prob != name:
            ends = zip(table[name], table[f"upper_{prob}"], strict=True)
            shown[f"{prob}%"] = [span(pair, "loss", 4) for pair in ends]
        elif not name.startswith("upper_") and name not in ("mean_log", "sd_log"):
            shown[name] = table[name]
    return pd.DataFrame(shown, index=table.index)
