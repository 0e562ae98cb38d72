"""The commands that write for others: `report`, and `completion` for the shell."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from bayescale.cli.answers import columns_of, read_targets
from bayescale.cli.command import Answer, Command, Documented, force_option, json_option
from bayescale.cli.inputs import checked_destination, opened, points
from bayescale.cli.output import FORCED, marked, wrote
from bayescale.cli.session import start
from bayescale.errors import BayescaleError

COMPLETE = "_BAYESCALE_COMPLETE"  # by which a shell asks click for completions


@click.command(cls=Command)
@click.argument("fit", metavar="FIT.nc", type=click.Path())
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="An .html page that needs nothing else, or .md.",
)
@click.option("--at", multiple=True, metavar="N=7e10,D=1.4e12 ...", help="A target; repeatable.")
@click.option("--targets", type=click.Path(), help="A CSV with a row for each target.")
@click.option("--compute", type=float, help="A budget in FLOPs, to split and to compare at.")
@click.option("--title", default="", help="Of the page.")
@force_option
@json_option
def report(
    fit: str,
    out: Path,
    at: tuple[str, ...],
    targets: str | None,
    compute: float | None,
    title: str,
    force: bool,
    as_json: bool,
) -> Answer:
    """Write one page about a fit: data, law, checks, answers.

    Without targets, every group is predicted ten times beyond its largest run.
    """
    checked_destination(out)
    if at and targets:
        raise BayescaleError("give the targets either by --at or by --targets")
    start()
    from bayescale import reporting

    source, forced = opened(fit, force)
    wanted = None
    if targets:
        wanted = read_targets(targets, source)
    elif at:
        wanted = pd.DataFrame(points(at, *columns_of(source)))
    path = reporting.report(source, to=out, targets=wanted, C=compute, title=title)
    wrote(path)
    document = marked({"report": path, "bytes": path.stat().st_size}, forced)
    said = f"wrote {path}" + (f"\n{FORCED}" if forced else "")
    return Answer(document, lambda console: console.print(said, soft_wrap=True))


@click.command(cls=Documented)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete bayescale's words."""
    from click.shell_completion import get_completion_class

    source = get_completion_class(shell)
    assert source is not None
    try:
        click.echo(source(ctx.find_root().command, {}, "bayescale", COMPLETE).source())
    except RuntimeError as error:  # a bash that is too old
        raise BayescaleError(f"{shell}: {error}") from None
