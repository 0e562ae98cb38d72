"""The command that says which run to buy next: `next`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from rich.console import Console

from bayescale.cli.command import Answer, Command, force_option, json_option
from bayescale.cli.inputs import opened, point
from bayescale.cli.output import FORCED, frame, marked
from bayescale.cli.session import start
from bayescale.errors import BayescaleError

if TYPE_CHECKING:
    from bayescale.fitting import Fit

_KEYS = ("candidate", "value", "cost", "net", "rank")
_GOALS = ("precision", "allocate", "compare", "v-optimal", "d-optimal", "information")
_SHOWN = 20


@click.command("next", cls=Command)
@click.argument("fit", metavar="FIT.nc")
@click.option("--candidates", required=True, metavar="POOL.csv", help="A row for each run.")
@click.option("--budget", type=float, help="What may be spent on these runs.")
@click.option(
    "--goal",
    type=click.Choice(_GOALS),
    help="What the runs are for. [default: precision, allocate where --at has only C]",
)
@click.option("--at", metavar="C=1e24,family=x", help="Where the goal lies.")
@click.option("--by", default="recipe", show_default=True, help="For compare: what names recipes.")
@click.option("--cost", default="C", show_default=True, help="The column of a run's cost.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--worth", type=float, help="Cost that one unit of value is worth.")
@click.option(
    "--stray", type=float, default=0.0, help="How fast the law may bend away from the goal: 0.05."
)
@force_option
@json_option
def next_command(
    fit: str,
    candidates: str,
    budget: float | None,
    goal: str | None,
    at: str | None,
    by: str,
    cost: str,
    batch: int,
    worth: float | None,
    stray: float,
    force: bool,
    as_json: bool,
) -> Answer:
    """Rank candidate runs by what they are worth, less what they cost."""
    start()
    from bayescale import choosing_runs

    source, forced = opened(fit, force)
    columns = [*source.law.variables, "C"]
    where = point(at, columns, list(source.groups)) if at else {}
    pool = _read_pool(candidates, source)
    table = choosing_runs.next_runs(
        source,
        pool,
        cost=cost,
        goal=_goal(goal, where, by),
        budget=budget,
        batch=batch,
        worth=worth,
        stray=stray,
    )
    document = marked(_document(table), forced)
    return Answer(document, lambda console: _show(console, table, forced))


def _goal(name: str | None, where: dict[str, Any], by: str) -> Any:
    """Put the words of the command line together as a goal."""
    from bayescale import goals

    if name is None:
        name = "allocate" if "C" in where and not {"N", "D"} & set(where) else "precision"
    if name == "allocate":
        if "C" not in where:
            raise BayescaleError("--goal allocate needs the budget to be split: --at C=1e24")
        labels = {key: value for key, value in where.items() if key != "C"}
        return goals.Allocate(float(where["C"]), labels or None)
    if name == "compare":
        if not where:
            raise BayescaleError("--goal compare needs a scale to compare at: --at C=1e22")
        return goals.Choose(by, where)
    if name == "precision":
        return goals.Precision(where or None)
    if name == "v-optimal":
        return goals.VOptimal(where or None)
    return goals.Knowledge(name)


def _read_pool(path: str, fit: Fit) -> pd.DataFrame:
    try:
        table = pd.read_csv(Path(path), dtype=dict.fromkeys(fit.groups, str))
    except ValueError as error:  # pandas' own kinds: empty, ragged, not text
        raise BayescaleError(f"{path}: is not a CSV table: {error}") from error
    if table.empty:
        raise BayescaleError(f"{path}: has no rows; give one for each candidate")
    return table


def _document(table: pd.DataFrame) -> dict[str, Any]:
    said = table.attrs
    return {
        "rows": table[list(_KEYS)].to_dict(orient="records"),
        "stop": said["stop"],
        "reason": said["reason"],
        "goal": said["goal"],
        "unit": said["unit"],
        "worth": said["worth"],
        "perfect": said["perfect"],
        "chosen": said["chosen"],
    }


def _show(console: Console, table: pd.DataFrame, forced: bool) -> None:
    said = table.attrs
    console.print(f"Runs {said['goal']}; value in {said['unit']}")
    console.print(frame(table.head(_SHOWN)))
    if len(table) > _SHOWN:
        console.print(f"and {len(table) - _SHOWN} more; --json has all")
    console.print(f"{'Stop' if said['stop'] else 'Go on'}: {said['reason']}")
    if forced:
        console.print(FORCED)
