"""The commands that sample: `fit` and `backtest`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from bayescale.cli.command import Answer, Command, force_option, json_option
from bayescale.cli.inputs import (
    checked_destination,
    column_names,
    index_members,
    law_names,
    pooling,
    unit_names,
)
from bayescale.cli.output import FORCED, frame, marked, say, wrote
from bayescale.cli.session import show_progress, start

if TYPE_CHECKING:
    import pandas as pd

    from bayescale.diagnostics import Diagnosis
    from bayescale.fitting import Fit
    from bayescale.law import Law
    from bayescale.runs import Runs


def _of_a_fit(command: Callable[..., Answer]) -> Callable[..., Answer]:
    """Add the options that every command has that reads runs and samples."""
    for option in reversed(
        [
            click.argument("runs", type=click.Path(path_type=Path)),
            click.option(
                "--law",
                required=True,
                shell_complete=law_names,
                help="A law's name, or the path of a card.",
            ),
            click.option(
                "--index",
                multiple=True,
                metavar="INDEX=MEMBERS ...",
                help="Members of the law's index, where yours are others: domain=web,code.",
            ),
            click.option(
                "--columns",
                multiple=True,
                metavar="NAME=COLUMN ...",
                help="What the table calls the law's columns: N=params D=tokens.",
            ),
            click.option(
                "--units",
                multiple=True,
                metavar="COLUMN=UNIT ...",
                help="Units that aren't the law's, as in loss=bit/byte; nothing is converted.",
            ),
            click.option(
                "--format",
                help="What RUNS is, where it can't be told: csv, parquet, json, jsonl, wandb, "
                "mlflow, tensorboard, trainer, lightning.",
            ),
            click.option("--where", help="Rows to use, as in \"C<3e20 and family == 'dense'\"."),
            click.option(
                "--pool",
                multiple=True,
                metavar="PARAMETER=GROUPS ...",
                help="Pooling that replaces the card's: alpha=family E=family,corpus; "
                "or complete, or none.",
            ),
            click.option("--noise", help="Noise that replaces the card's: t, normal, frontier."),
            click.option(
                "--on-failed",
                type=click.Choice(["error", "drop"]),
                default="error",
                show_default=True,
                help="What to do with runs whose status is not ok.",
            ),
            click.option("--seed", type=int, default=0, show_default=True),
            click.option(
                "--discrepancy",
                type=click.Choice(["none", "bend"]),
                help="Let the law itself be wrong: bend. The card's own otherwise.",
            ),
            click.option("--draws", type=click.IntRange(1), default=1000, show_default=True),
            click.option("--warmup", type=click.IntRange(1), default=1000, show_default=True),
            click.option("--chains", type=click.IntRange(1), default=4, show_default=True),
            force_option,
            json_option,
        ]
    ):
        command = option(command)
    return command


def _read(
    runs: Path,
    law: str,
    index: tuple[str, ...],
    columns: tuple[str, ...],
    where: str | None,
    pool: tuple[str, ...],
    units: tuple[str, ...],
    format: str | None,
) -> tuple[Law, Runs, dict[str, list[str]] | str | None]:
    """Read everything that can be wrong before JAX is loaded."""
    names, pooled, members = column_names(columns), pooling(pool), index_members(index)

    from bayescale.catalog import load_law
    from bayescale.runs import read_runs

    card = load_law(law, **members)
    table = read_runs(
        runs, columns=names, where=where, law=card, units=unit_names(units), format=format
    )
    say(*table.notes)
    return card, table, pooled


def _unsaid(notes: Sequence[str], runs: Runs) -> list[str]:
    return [note for note in dict.fromkeys(notes) if note not in runs.notes]


@click.command(cls=Command)
@_of_a_fit
@click.option("--out", type=click.Path(path_type=Path), help="Where to save the fit (.nc).")
def fit(
    runs: Path,
    law: str,
    index: tuple[str, ...],
    columns: tuple[str, ...],
    where: str | None,
    pool: tuple[str, ...],
    units: tuple[str, ...],
    format: str | None,
    force: bool,
    as_json: bool,
    out: Path | None,
    **sampling: Any,
) -> Answer:
    """Fit a law to the runs of a table."""
    checked_destination(out)
    card, table, pooled = _read(runs, law, index, columns, where, pool, units, format)
    start()
    from bayescale import diagnostics, fitting, storage

    result = fitting.fit(
        card, table, pool=pooled, strict=not force, progress=show_progress(), **sampling
    )
    diagnosis, summary = diagnostics.diagnose(result), diagnostics.summary(result)
    if out is not None:
        storage.save(result, out)
        wrote(out)
    say(*_unsaid(result.notes, table), *diagnosis.warnings)
    document = marked(_fit_document(result, diagnosis, summary), not diagnosis.ok)
    return Answer(document, lambda console: _show_fit(console, result, diagnosis, summary, out))


def _fit_document(result: Fit, diagnosis: Diagnosis, summary: pd.DataFrame) -> dict[str, Any]:
    return {
        "law": result.law.name,
        "n_rows": len(result.runs),
        "groups": result.groups,
        "seconds": result.seconds["total"],
        "diagnostics": {
            "ok": diagnosis.ok,
            "divergences": diagnosis.divergences,
            "max_rhat": diagnosis.max_rhat,
            "min_ess_bulk": diagnosis.min_ess_bulk,
            "problems": list(diagnosis.problems),
        },
        "parameters": {
            str(name): {key: row[key] for key in ("mean", "sd", "lower", "upper")}
            for name, row in summary.to_dict(orient="index").items()
        },
        "ci_prob": summary.attrs.get("ci_prob"),
    }


def _show_fit(
    console: Console, result: Fit, diagnosis: Diagnosis, summary: pd.DataFrame, out: Path | None
) -> None:
    table = summary.rename_axis("parameter").reset_index()
    console.print(frame(table, f"{result.law.name}: {result.law.formula_text}"))
    console.print(
        f"{len(result.runs)} runs, {result.seconds['total']:.1f} s, R-hat at most "
        f"{diagnosis.max_rhat:.3f}, effective draws at least {diagnosis.min_ess_bulk:.0f}, "
        f"{diagnosis.divergences} divergences"
    )
    if not diagnosis.ok:
        console.print(f"{FORCED}: {'; '.join(diagnosis.problems)}")
    if out is not None:
        console.print(f"saved as {out}")


@click.command(cls=Command)
@_of_a_fit
@click.option("--cut", required=True, help='Runs to fit, as in "C<3e20"; the others are predicted.')
def backtest(
    runs: Path,
    law: str,
    index: tuple[str, ...],
    columns: tuple[str, ...],
    where: str | None,
    pool: tuple[str, ...],
    units: tuple[str, ...],
    format: str | None,
    force: bool,
    as_json: bool,
    cut: str,
    **sampling: Any,
) -> Answer:
    """Fit the runs of a cut and predict the others."""
    card, table, pooled = _read(runs, law, index, columns, where, pool, units, format)
    start()
    from bayescale import backtesting, diagnostics

    result = backtesting.backtest(
        card, table, cut, pool=pooled, strict=not force, progress=show_progress(), **sampling
    )
    say(*_unsaid(result.notes, table))
    diagnosis = diagnostics.diagnose(result.fit) if force else None
    forced = diagnosis is not None and not diagnosis.ok
    document = marked(dict(result.metrics), forced)
    return Answer(document, lambda console: _show_scores(console, result.metrics, forced))


def _show_scores(console: Console, metrics: dict[str, Any], forced: bool) -> None:
    import pandas as pd

    rows = [
        (f"{name} {key}" if key else name, item)
        for name, value in metrics.items()
        for key, item in (value.items() if isinstance(value, dict) else [("", value)])
    ]
    console.print(frame(pd.DataFrame(rows, columns=["score", "value"])))
    if forced:
        console.print(FORCED)
