"""The commands that need no runs: `laws`, `demo` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from rich.console import Console

from bayescale.cli.command import Answer, Command, Documented, json_option
from bayescale.cli.inputs import law_names
from bayescale.cli.output import frame, wrote

if TYPE_CHECKING:
    from bayescale.law import Law

_AT_A_GLANCE = ["name", "title", "formula", "unit", "n_parameters", "verified"]


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=law_names)
@json_option
def laws(name: str | None, as_json: bool) -> Answer:
    """List the laws, or show one in full.

    NAME is the name of a law that comes with bayescale, or the path of a card.
    """
    from bayescale import catalog

    if name is None:
        table = catalog.laws()
        glance = [column for column in _AT_A_GLANCE if column in table.columns]
        return Answer(table, lambda console: console.print(frame(table[glance])))
    law = catalog.load_law(name)
    return Answer([_details(law)], lambda console: _show(law, console))


def _details(law: Law) -> dict[str, Any]:
    return {
        "name": law.name,
        "title": law.title,
        "formula": law.formula_text,
        "response": law.response.column,
        "unit": law.response.unit,
        "link": law.response.link,
        "likelihood": law.response.likelihood,
        "cite": law.cite,
        "variables": _variables(law),
        "parameters": _parameters(law),
        "published": {name: dict(values) for name, values in law.published.items()},
    }


def _variables(law: Law) -> pd.DataFrame:
    rows = [(v.name, v.column, v.unit, v.about) for v in law.variables.values()]
    return pd.DataFrame(rows, columns=["variable", "column", "unit", "about"])


def _parameters(law: Law) -> pd.DataFrame:
    rows = [(p.name, p.prior.text, ",".join(p.varies), p.about) for p in law.parameters.values()]
    return pd.DataFrame(rows, columns=["parameter", "prior", "varies", "about"])


def _show(law: Law, console: Console) -> None:
    console.print(f"{law.name}: {law.title}")
    about = f"{law.response.unit}; {law.response.described}"
    console.print(f"{law.response.column} = {law.formula_text}   ({about})")
    console.print(law.cite)
    console.print(frame(_variables(law)), frame(_parameters(law)))
    for name, values in law.published.items():
        constants = ", ".join(f"{key} = {value:.6g}" for key, value in values.items())
        console.print(f"published, {name}: {constants}")


@click.command(cls=Documented)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bayescale-demo"),
    show_default=True,
    help="Folder for the plots and tables.",
)
def demo(out: Path) -> None:
    """Run the main job on the bundled measurements."""
    from bayescale.cli.session import show_progress, start
    from bayescale.demo import main

    start()

    def say(line: str) -> None:
        click.echo(line)
        if line.startswith("wrote "):
            wrote(line.removeprefix("wrote "))

    main(out=out, progress=show_progress(), say=say)


@click.command(cls=Command)
@json_option
def doctor(as_json: bool) -> Answer:
    """Say what bayescale finds on this machine, and what it would use."""
    from bayescale.cli.session import start
    from bayescale.machine import doctor as look

    start()
    found = look()
    told = {**found.facts, "plan": found.plan, "problems": found.problems}
    return Answer(told, lambda console: console.print(str(found), soft_wrap=True))
