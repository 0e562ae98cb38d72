"""How nouns show themselves in a notebook: plain HTML, escaped, self-contained.

Nothing here computes: each noun hands over what its `_repr_html_` should show, so this module
imports none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from bayescale.display import markup
from bayescale.display.writing import counted, exponential, human, listed, quantity, span

if TYPE_CHECKING:
    import pandas as pd

    from bayescale.allocation import Allocation
    from bayescale.diagnostics import Diagnosis
    from bayescale.fitting import Fit
    from bayescale.law import Law
    from bayescale.prediction import Prediction
    from bayescale.recipes import RecipeComparison
    from bayescale.runs import Runs


def runs_html(runs: Runs) -> str:
    """Show runs: how many, of what ranges, the notes, the first rows."""
    table = runs.table
    spans = [
        f"{name} {quantity(table[name].min(), name)} to {quantity(table[name].max(), name)}"
        for name in ("N", "D", "C", "U", "loss")
        if name in table.columns and table[name].notna().any()
    ]
    labels = [
        f"{name}: {listed(sorted(table[name].dropna().astype(str).unique()))}"
        for name in ("family", "recipe", "corpus")
        if name in table.columns
    ]
    first = ["family", "recipe", "corpus", "seed", "N", "D", "C", "loss", "loss_se"]
    order = [c for c in first if c in table.columns]
    order += [c for c in table.columns if c not in order and c != "run"]
    shown = table[order[: markup.ROWS]]
    return markup.page(
        f"{len(table)} runs from {runs.source}",
        markup.paragraph([*spans, *labels]),
        markup.table(shown, "row", limit=markup.ROWS),
        markup.notes("Notes", runs.notes),
    )


def law_html(law: Law) -> str:
    """Show a law's card: formula, variables, priors, published constants, source."""
    response = law.response
    variables = markup.grid(
        ["variable", "column", "unit", "meaning"],
        [[v.name, v.column, v.unit, v.about] for v in law.variables.values()],
    )
    parameters = markup.grid(
        ["parameter", "prior", "of", "varies by", "meaning", "why this prior"],
        [
            [p.name, p.prior.text, _prior_of(p), ", ".join(p.varies), p.about, p.why]
            for p in law.parameters.values()
        ],
    )
    published = ""
    if law.published:
        names = list(law.parameters)
        published = markup.fold(
            "Published constants",
            markup.grid(
                ["set", *names, "source"],
                [
                    [label, *(f"{values[n]:.6g}" for n in names), law.sources.get(label, "")]
                    for label, values in law.published.items()
                ],
            ),
        )
    return markup.page(
        f"{law.name}: {law.title}",
        f"<p><code>{escape(response.column)} = {escape(law.formula_text)}</code>"
        f" &nbsp; ({escape(response.unit)}; {escape(response.described)})</p>",
        variables,
        parameters,
        published,
        markup.paragraph([law.identifiability, law.decision, law.cite]),
    )


def fit_html(fit: Fit, diagnosis: Diagnosis, summary: pd.DataFrame) -> str:
    """Show a fit: what was fitted, whether it may be used, and its parameters."""
    groups = [f"{name}: {listed(levels)}" for name, levels in fit.groups.items()]
    settings = fit.settings
    draws = f"{settings.chains} chains of {settings.draws} draws, seed {settings.seed}"
    total = fit.seconds.get("total")
    if total is not None:
        draws += f", {total:.0f} s"
    verdict = "Diagnostics ok" if diagnosis.ok else "Diagnostics refuse this fit"
    measured = (
        f"largest R-hat {diagnosis.max_rhat:.3f}, smallest bulk ESS {diagnosis.min_ess_bulk:.0f},"
        f" {diagnosis.divergences} divergences"
    )
    own = [str(name).endswith("]") for name in summary.index]
    population = summary[[not x for x in own]]
    prob = summary.attrs.get("ci_prob")
    interval = "" if prob is None else f" (lower, upper: {100 * prob:.6g}% interval)"
    return markup.page(
        f"{fit.law.name} fitted to {len(fit.runs)} runs",
        markup.paragraph([*groups, draws]),
        f"<p><b>{verdict}</b>: {escape(measured)}</p>",
        markup.notes("Problems", diagnosis.problems, opened=True),
        markup.notes("Warnings", diagnosis.warnings, opened=True),
        f"<p>Parameters{escape(interval)}</p>",
        markup.table(population, "parameter", limit=40),
        markup.fold("By group", markup.table(summary[own], "parameter", limit=200))
        if any(own)
        else "",
        markup.notes("Notes", fit.notes),
    )


def prediction_html(prediction: Prediction) -> str:
    """Show a prediction: its sentences, warnings and table."""
    kind = "One more run" if prediction.kind == "new-run" else "The law's value"
    few = prediction.sentences[: markup.ROWS]
    return markup.page(
        f"{kind} at {counted(len(prediction.table), 'target')}",
        markup.paragraph(few),
        markup.notes("Warnings", prediction.warnings, opened=True),
        markup.table(_spanned(prediction.table), "target", limit=4 * markup.ROWS),
    )


def allocation_html(allocation: Allocation) -> str:
    """Show an allocation: the choice, how little it matters nearby, the loss there."""
    low, high = allocation.near_optimal
    rows = [
        ["parameters N", human(allocation.N), span(allocation.N_interval, "N")],
        ["tokens D", human(allocation.D), span(allocation.D_interval, "D")],
    ]
    lines = [
        f"Within {allocation.tolerance:g} of the least expected loss: N {span((low, high), 'N')}",
        f"Expected regret of the choice: {allocation.expected_regret:.2g}",
        f"Draws without an interior optimum: {100 * allocation.p_no_interior:.3g}%",
    ]
    return markup.page(
        f"Allocation of {exponential(allocation.C)} FLOPs",
        markup.grid(["", "choice", "95% of the draws' own optima"], rows),
        markup.paragraph([*lines, *allocation.loss.sentences]),
        markup.notes("Notes", [*allocation.notes, *allocation.loss.warnings], opened=True),
    )


def comparison_html(comparison: RecipeComparison) -> str:
    """Show recipes side by side: chances, regrets, crossovers, multipliers."""
    best = comparison.table.sort_values("p_best", ascending=False).iloc[0]
    return markup.page(
        "Comparison of " + listed([str(r) for r in comparison.table["recipe"]]),
        f"<p>{escape(str(best['recipe']))} is best with probability {best['p_best']:.3f}.</p>",
        markup.table(_spanned(comparison.table)),
        _titled("Compute at which they cross", comparison.crossovers),
        _titled("Compute for the same loss: factor that b needs over a", comparison.multipliers),
        markup.notes("Notes", comparison.notes, opened=True),
    )


def answer_html(
    title: str,
    lines: Sequence[str] = (),
    table: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Show any other answer: a title, lines of text, its table, notes."""
    rows = "" if table is None else markup.table(_spanned(table), limit=4 * markup.ROWS)
    return markup.page(
        title, markup.paragraph(lines), rows, markup.notes("Notes", list(notes), opened=True)
    )


def _titled(title: str, frame: pd.DataFrame) -> str:
    return f"<p>{escape(title)}</p>{markup.table(frame)}" if len(frame) else ""


def _spanned(table: pd.DataFrame) -> pd.DataFrame:
    """Join each `lower_95`, `upper_95` into one column `95%`; leave the logs out."""
    shown: dict[str, Any] = {}
    for name in map(str, table.columns):
        prob = name.removeprefix("lower_")
        if prob != name and f"upper_{prob}" in table.columns:
            ends = zip(table[name], table[f"upper_{prob}"], strict=True)
            shown[f"{prob}%"] = [span(pair, "loss", 4) for pair in ends]
        elif name not in ("mean_log", "sd_log") and not name.startswith("upper_"):
            shown[name] = table[name]
    return type(table)(shown, index=table.index)


def _prior_of(parameter: Any) -> str:
    if parameter.share is None or parameter.on == "value":
        return "the parameter"
    if parameter.of == "one":
        return f"{parameter.share.text} at the centre of the data"
    loss = "smallest" if parameter.of == "smallest" else "typical"
    return f"{parameter.share.text} over the {loss} loss"
