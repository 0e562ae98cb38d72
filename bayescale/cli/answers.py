"""The commands that ask a saved fit: `predict`, `allocate` and `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from rich.console import Console

from bayescale.cli.command import Answer, Command, force_option, json_option
from bayescale.cli.inputs import opened, point, points
from bayescale.cli.output import FORCED, frame, intervals, marked, say, with_spans
from bayescale.cli.session import start
from bayescale.display.writing import human
from bayescale.display.writing import span as human_span
from bayescale.errors import BayescaleError

if TYPE_CHECKING:
    from bayescale.allocation import Allocation
    from bayescale.fitting import Fit
    from bayescale.prediction import Prediction
    from bayescale.recipes import RecipeComparison

_DEFAULT_PROBS = (0.5, 0.8, 0.9, 0.95)

_fit_argument = click.argument("fit", metavar="FIT.nc", type=click.Path())
_kind = click.option(
    "--kind",
    type=click.Choice(["new-run", "mean"]),
    help="One more training run, or the law's own value.",
)


@click.command(cls=Command)
@_fit_argument
@click.option("--at", multiple=True, metavar="N=7e10,D=1.4e12 ...", help="A target; repeatable.")
@click.option("--targets", type=click.Path(), help="A CSV with a row for each target.")
@_kind
@click.option(
    "--prob",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Probability of an interval; repeatable.",
)
@click.option(
    "--new-groups",
    type=click.Choice(["error", "sample"]),
    default="error",
    show_default=True,
    help="What to do with a group the fit has not seen.",
)
@click.option(
    "--held-out",
    type=click.Choice(["same", "new"]),
    default="same",
    show_default=True,
    help="The held-out text: the runs' own, or another as long.",
)
@click.option(
    "--held-out-se",
    type=float,
    help="For a new text: standard error of a loss on one, as a share of the loss.",
)
@force_option
@json_option
def predict(
    fit: str,
    at: tuple[str, ...],
    targets: str | None,
    kind: str | None,
    prob: tuple[float, ...],
    new_groups: str,
    held_out: str,
    held_out_se: float | None,
    force: bool,
    as_json: bool,
) -> Answer:
    """Predict the loss of targets (--at or --targets)."""
    if bool(at) == bool(targets):
        raise BayescaleError("give the targets either by --at N=7e10,D=1.4e12 or by --targets")
    kind = kind or "new-run"
    start()
    from bayescale import prediction

    source, forced = opened(fit, force)
    if targets:
        wanted = read_targets(targets, source)
    else:
        wanted = pd.DataFrame(points(at, *columns_of(source)))
    result = prediction.predict(
        source,
        wanted,
        kind=kind,
        prob=prob or _DEFAULT_PROBS,
        new_groups=new_groups,
        held_out=held_out,
        held_out_se=held_out_se,
    )
    say(*result.warnings)
    rows = result.table.to_dict(orient="records")
    document = [
        marked(
            _prediction_document({name: row[name] for name in wanted}, kind, held_out, row), forced
        )
        for row in rows
    ]
    return Answer(document, lambda console: _show_prediction(console, result, forced))


def columns_of(fit: Fit) -> tuple[list[str], list[str]]:
    """Name the columns of a target that must be numbers, and those that must be text."""
    return [*fit.law.variables, "C"], list(fit.groups)


def read_targets(path: str, fit: Fit) -> pd.DataFrame:
    """Read a CSV with a row for each target; labels stay text."""
    try:
        table = pd.read_csv(Path(path), dtype=dict.fromkeys(fit.groups, str))
    except ValueError as error:  # pandas' own kinds: empty, ragged, not text
        raise BayescaleError(f"{path}: is not a CSV table: {error}") from error
    if table.empty:
        raise BayescaleError(f"{path}: has no rows; give one for each target")
    return table


def _prediction_document(
    at: dict[Any, Any], kind: str, held_out: str, row: dict[Any, Any]
) -> dict[str, Any]:
    return {
        "at": at,
        "kind": kind,
        **({"held_out": held_out} if held_out != "same" else {}),
        "median": row["median"],
        "mean_log": row["mean_log"],
        "sd_log": row["sd_log"],
        "intervals": intervals(row),
        "decades_beyond": row.get("decades_beyond"),
    }


def _show_prediction(console: Console, result: Prediction, forced: bool) -> None:
    for sentence in result.sentences:
        console.print(sentence)
    console.print(frame(with_spans(result.table.drop(columns=["mean_log", "sd_log"]))))
    if forced:
        console.print(FORCED)


@click.command(cls=Command)
@_fit_argument
@click.option("--compute", type=float, required=True, help="Training compute in FLOPs.")
@click.option("--inference-tokens", type=float, default=0.0, help="Tokens to be served later.")
@click.option("--tolerance", type=float, default=0.005, show_default=True)
@click.option("--at", metavar="family=x", help="The group to plan for.")
@force_option
@json_option
def allocate(
    fit: str,
    compute: float,
    inference_tokens: float,
    tolerance: float,
    at: str | None,
    force: bool,
    as_json: bool,
) -> Answer:
    """Split a compute budget between parameters and tokens."""
    start()
    from bayescale import allocation

    source, forced = opened(fit, force)
    result = allocation.allocate(
        source,
        C=compute,
        inference_tokens=inference_tokens,
        tolerance=tolerance,
        at=point(at, *columns_of(source)) if at else None,
        force=force,
    )
    say(*result.notes, *result.loss.warnings)
    document = marked(_allocation_document(compute, result), forced or result.unsettled is not None)
    return Answer(document, lambda console: _show_allocation(console, result, forced))


def _allocation_document(compute: float, result: Allocation) -> dict[str, Any]:
    row = result.loss.table.to_dict(orient="records")[0]
    return {
        "C": compute,
        "N": result.N,
        "D": result.D,
        "N_interval": result.N_interval,
        "D_interval": result.D_interval,
        "near_optimal": result.near_optimal,
        "expected_regret": result.expected_regret,
        "p_no_interior": result.p_no_interior,
        "loss": {"median": row["median"], "intervals": intervals(row)},
    }


def _show_allocation(console: Console, result: Allocation, forced: bool) -> None:
    console.print(
        f"N = {human(result.N)}   (the draws' own optima: {human_span(result.N_interval, 'N')})\n"
        f"D = {human(result.D)}   (the draws' own optima: {human_span(result.D_interval, 'D')})\n"
        f"N within {result.tolerance:g} of the best: {human_span(result.near_optimal, 'N')}\n"
        f"expected regret {result.expected_regret:.4g}; "
        f"draws without an interior optimum: {100 * result.p_no_interior:.3g}%"
    )
    for sentence in result.loss.sentences:
        console.print(sentence)
    if forced:
        console.print(FORCED)
    if result.unsettled is not None:
        console.print(f"FORCED: {result.unsettled}")


@click.command(cls=Command)
@_fit_argument
@click.option("--by", default="recipe", show_default=True, help="The column that names recipes.")
@click.option("--at", required=True, metavar="C=1e22", help="Compute, or N and D, to compare at.")
@click.option(
    "--tolerance", type=float, default=0.005, show_default=True, help="Loss not worth a refusal."
)
@_kind
@force_option
@json_option
def compare(
    fit: str, by: str, at: str, tolerance: float, kind: str | None, force: bool, as_json: bool
) -> Answer:
    """Compare recipes: which is best, and how surely."""
    kind = kind or "mean"
    start()
    from bayescale import recipes

    source, forced = opened(fit, force)
    where = point(at, *columns_of(source))
    result = recipes.compare_recipes(
        source, by=by, at=where, kind=kind, tolerance=tolerance, force=force
    )
    say(*result.notes)
    document = marked(
        _comparison_document(where, kind, by, result), forced or result.unsettled is not None
    )
    return Answer(document, lambda console: _show_comparison(console, result, forced))


def _comparison_document(
    at: dict[str, Any], kind: str, by: str, result: RecipeComparison
) -> dict[str, Any]:
    return {
        "at": at,
        "kind": kind,
        "recipes": [
            {
                "recipe": row["recipe"],
                "p_best": row["p_best"],
                "expected_regret": row["expected_regret"],
                "median": row["median"],
                "intervals": intervals(row),
            }
            for row in result.table.to_dict(orient="records")
        ],
        "crossovers": [
            {
                "pair": row["pair"],
                "median": row["median"],
                "interval": [row["lower"], row["upper"]],
                "p_none": row["p_none"],
            }
            for row in result.crossovers.to_dict(orient="records")
        ],
        "multipliers": result.multipliers,
    }


def _show_comparison(console: Console, result: RecipeComparison, forced: bool) -> None:
    console.print(frame(with_spans(result.table), "recipes"))
    for title in ("crossovers", "multipliers"):
        table = getattr(result, title)
        if isinstance(table, pd.DataFrame) and len(table):
            console.print(frame(table, title))
    if forced:
        console.print(FORCED)
    if result.unsettled is not None:
        console.print(f"FORCED: {result.unsettled}")
