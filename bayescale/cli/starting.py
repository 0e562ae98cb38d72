"""The commands before the first fit: `init` writes templates, `read` shows what a source holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bayescale.cli.command import Answer, Command, json_option
from bayescale.cli.inputs import checked_destination, column_names, unit_names
from bayescale.cli.output import frame, say, wrote
from bayescale.errors import BayescaleError

_SHOWN = 8
_FIRST = ("run", "family", "recipe", "corpus", "evaluation", "seed", "N", "D", "C", "U", "step")


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("."))
@click.option("--overwrite", is_flag=True, help="Replace files of these names.")
@json_option
def init(folder: Path, overwrite: bool, as_json: bool) -> Answer:
    """Write a table of runs and a card to start from, in FOLDER or here."""
    from bayescale.templates import write_templates

    table, card = write_templates(folder, overwrite)
    for path in (table, card):
        wrote(path)
    following = f"bayescale fit {table} --law {card} --out {folder / 'fit.nc'}"
    told = (
        f"wrote {table}: twelve made-up runs; put yours in their place (N parameters, D tokens, "
        f"loss in nats per token)\nwrote {card}: a law to change, every key explained\n"
        f"next: {following}"
    )
    document = {"written": [table, card], "next": following}
    return Answer(document, lambda console: console.print(told, soft_wrap=True))


@click.command(cls=Command)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--columns",
    multiple=True,
    metavar="NAME=COLUMN ...",
    help="What the source calls the columns: N=model.params 'D=step * 524288'.",
)
@click.option("--where", help="Rows to use, as in \"C<3e20 and family == 'dense'\".")
@click.option(
    "--units", multiple=True, metavar="COLUMN=UNIT ...", help="Units, as in loss=bit/byte."
)
@click.option("--format", help="What the source is, where it can't be told: wandb, mlflow, ...")
@click.option("--thin", type=click.IntRange(1), help="Keep so many checkpoints of a run.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the table (.csv).")
@json_option
def read(
    source: Path,
    columns: tuple[str, ...],
    where: str | None,
    units: tuple[str, ...],
    format: str | None,
    thin: int | None,
    out: Path | None,
    as_json: bool,
) -> Answer:
    """Show what is read from a table, an export or a tracker's folder.

    With --out, write it as a table that the other commands read without further words.
    """
    checked_destination(out)
    if out is not None and out.exists() and source.exists() and out.samefile(source):
        raise BayescaleError(f"--out {out}: is the source itself; name another file")
    from bayescale.cells import failed
    from bayescale.files import write_whole
    from bayescale.runs import read_runs

    runs = read_runs(
        source,
        columns=column_names(columns),
        where=where,
        units=unit_names(units),
        format=format,
        thin=thin,
    )
    table = runs.table.rename_axis("row")
    lost = failed(table)
    say(*runs.notes)
    if lost.any():
        states = ", ".join(sorted(set(table.loc[lost, "status"].astype(str))))
        say(
            f"not finished ({states}): {lost.sum()} of {len(table)} rows; "
            "fit leaves such runs out with --on-failed drop"
        )
    if out is not None:
        write_whole(out, table.to_csv(index=False).encode())
        wrote(out)
    document: dict[str, Any] = {
        "source": runs.source,
        "rows": len(table),
        "runs": int(table["run"].nunique()) if "run" in table else len(table),
        "columns": list(table),
        "units": dict(runs.units),
        "notes": list(runs.notes),
        "written": out,
    }

    def show(console: Console) -> None:
        first = [c for c in (*_FIRST, "loss") if c in table]
        console.print(frame(table[first].head(_SHOWN), str(runs.source)))
        others = [c for c in table if c not in first]
        beside = f", beside {', '.join(map(str, others))}" if others else ""
        console.print(f"{len(table)} rows of {document['runs']} runs{beside}", soft_wrap=True)
        if out is not None:
            again = "".join(f" --units {k}={v}" for k, v in runs.units.items())
            again += " --on-failed drop" if lost.any() else ""
            console.print(
                f"wrote {out}\nnext: bayescale fit {out} --law chinchilla{again} --out fit.nc",
                soft_wrap=True,
            )

    return Answer(document, show)
