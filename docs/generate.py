"""Pages made from the package itself: the law gallery, the API, the command line, notebooks."""

from __future__ import annotations

import re
import shutil
from html import escape
from pathlib import Path
from types import FunctionType, ModuleType

import click
from docutils import nodes
from latex2mathml.converter import convert

import bayescale as bs
from bayescale.card import read_card
from bayescale.cli.program import program
from bayescale.law import Law
from bayescale.law_text import equations
from bayescale.reporting.mathml import mathml

HERE = Path(__file__).resolve().parent
MADE = HERE / "_made"
CHAPTERS = {  # in the order of the work; what is missing here comes last, as "More"
    "Runs and laws": (
        *("read_runs", "Runs", "laws", "load_law", "Law"),
        *("law_from_formula", "prior_predictive"),
    ),
    "Priors": ("belief", "Belief", "elicit", "StatedPriors", "presets", "preset"),
    "Fitting": (
        *("fit", "Fit", "fit_many", "ManyFits", "summary", "prior_summary", "diagnose"),
        *("psense", "power_sensitivity"),
    ),
    "Answers": (
        *("predict", "Prediction", "allocate", "Allocation", "compare_recipes"),
        *("RecipeComparison", "backtest", "Backtest", "baselines", "report"),
    ),
    "Laws side by side": (
        *("compare_laws", "average", "Average", "backtest_average"),
        *("loo", "kfold", "lfo", "LeftOut", "loo_compare"),
    ),
    "Looking into a fit": (
        *("hypothesis", "conditional_effects", "pp_check", "posterior_predictive"),
    ),
    "Files and machine": ("save", "load", "configure", "doctor", "Machine"),
    "Errors": ("BayescaleError", "DataError", "LawError", "FormulaError", "ConvergenceError"),
}


def setup(app) -> dict[str, bool]:
    """Make the pages before Sphinx looks for them."""
    app.connect("builder-inited", lambda _: make())
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True}


def inline_math(self, node) -> None:
    """Set a formula of a text as MathML: no script is fetched to show it."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block_math(self, node) -> None:
    """Set a formula of its own as MathML."""
    self.body.append(convert(node.astext(), display="block"))
    raise nodes.SkipNode


def make() -> None:
    """Write all made pages anew."""
    shutil.rmtree(MADE, ignore_errors=True)
    (MADE / "notebooks").mkdir(parents=True)
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(path, MADE / "notebooks" / path.name)
    (MADE / "laws.md").write_text(gallery(), encoding="utf-8")
    (MADE / "api.md").write_text(api(), encoding="utf-8")
    (MADE / "command_line.md").write_text(command_line(), encoding="utf-8")


def gallery() -> str:
    """Every card: formula, letters, priors, published constants, checks."""
    names = list(bs.laws()["name"])
    head = (
        "# Laws\n\n"
        f"{len(names)} laws come with the package, each a text file in `models/`."
        " `bs.load_law(name)` reads one; `bayescale laws NAME` prints it.\n"
    )
    return "\n".join([head, *(_law(bs.load_law(name)) for name in names)])


def _law(law: Law) -> str:
    trees = equations(read_card(law.card))
    written = trees.pop("")
    shown = mathml(law.response.column, written, tuple(trees.items()))
    letters = [(v.name, v.about, f"column {v.column}", v.unit) for v in law.variables.values()]
    letters += [(p.name, p.about, p.prior.text, _varies(p)) for p in law.parameters.values()]
    parts = [f"## {law.name}", f"{law.title}.", f"```{{raw}} html\n{shown}\n```"]
    parts.append(_table(("", "meaning", "prior or column", "unit or pooling"), letters))
    parts += [text for text in (law.identifiability, law.decision) if text]
    if law.published:
        rows = [
            (label, *(f"{values[p]:.6g}" for p in law.parameters), law.sources.get(label, ""))
            for label, values in law.published.items()
        ]
        parts.append(_table(("published", *law.parameters, "source"), rows))
    if law.checks:
        results = law.check()
        parts.append(
            f"{int(results['ok'].sum())} of {len(results)} checks against numbers printed by"
            " the paper or its code hold."
        )
    else:
        parts.append(f"Not verified: {law.unverified}.")
    parts.append(f"Source: {law.cite}")
    return "\n\n".join(parts) + "\n"


def _varies(parameter) -> str:
    return f"pooled over {', '.join(parameter.varies)}" if parameter.varies else "one for all"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def cells(tag: str, texts: tuple[str, ...]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(t)}</{tag}>" for t in texts) + "</tr>"

    body = "".join(cells("td", row) for row in rows)
    top = cells("th", head)
    table = (
        f'<table class="docutils align-default"><thead>{top}</thead><tbody>{body}</tbody></table>'
    )
    return f'```{{raw}} html\n<div class="table-wrapper docutils container">{table}</div>\n```'


def api() -> str:
    """Every public name, from its docstring."""
    known = [name for names in CHAPTERS.values() for name in names]
    modules = {n for n in bs.__all__ if isinstance(getattr(bs, n), ModuleType)}
    missing = sorted(set(bs.__all__) - set(known) - modules)
    parts = ["# Python", "`import bayescale as bs`; every name below is `bs.NAME`."]
    chapters = dict(CHAPTERS) | ({"More": tuple(missing)} if missing else {})
    for title, names in chapters.items():
        parts += [f"## {title}", *(_entry("bayescale", name) for name in names)]
    plots = [n for n in dir(bs.plots) if n.startswith("plot_")]
    parts += ["## Figures", "Each returns its axes and tidy data as a `Plot`."]
    parts += [_entry("bayescale.plots", name) for name in ("Plot", *plots)]
    parts += [
        "## Data sets",
        *(_entry("bayescale.datasets", n) for n in ("names", "table", "info", "load")),
    ]
    for module in sorted(modules - {"datasets", "plots"}):
        own = sorted(_public(getattr(bs, module)))
        parts += [f"## bs.{module}", *(_entry(f"bayescale.{module}", name) for name in own)]
    return "\n\n".join(parts) + "\n"


def _public(module: ModuleType) -> list[str]:
    """Classes and functions of the package that a module shows, and not those it only uses."""
    home = module.__name__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, type) or isinstance(value, FunctionType))
        and value.__module__.startswith(home)
    ]


def _entry(module: str, name: str) -> str:
    value = getattr(bs if module == "bayescale" else getattr(bs, module.split(".")[1]), name)
    kind = "autoclass" if isinstance(value, type) else "autofunction"
    members = "\n   :members:" if isinstance(value, type) else ""
    return f"```{{eval-rst}}\n.. {kind}:: {module}.{name}{members}\n```"


def command_line() -> str:
    """The help of every command, with its examples."""
    parts = ["# Command line"]
    with click.Context(program, info_name="bayescale") as group:
        parts.append(f"```text\n{_plain(program.get_help(group))}\n```")
        for name in program.list_commands(group):
            command = program.commands[name]
            with click.Context(command, info_name=name, parent=group) as context:
                parts += [f"## {name}", f"```text\n{_plain(command.get_help(context))}\n```"]
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
