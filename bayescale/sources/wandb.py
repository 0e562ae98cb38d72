"""Weights & Biases: exports of the runs table, of histories and of charts, and its own folders.

A runs table is what the table's download button or ``wandb.Api`` gives (one row a run; settings and
summaries as columns, or as cells that hold a dict). A history has ``_step``. A chart's download has
a column ``RUN - METRIC`` for each line.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.errors import DataError
from bayescale.sources import yaml_lines
from bayescale.sources.found import Found, below, by_step, flat, read_text, table_of
from bayescale.sources.json_lines import parse, read_lines
from bayescale.tables import read_file

_TABLE = {"State", "Created", "Runtime", "Sweep", "Tags", "Notes", "User", "ID"}
_DICTS = ("config", "summary", "summary_metrics")
_MOST_CELL = 1_000_000  # characters of one cell that holds a dict
_SUMMARY, _CONFIG, _OFFLINE = "wandb-summary.json", "config.yaml", ".wandb"
_SMALL = 10_000_000
_BETWEEN = " - "


def is_runs_table(columns: Sequence[str]) -> bool:
    """Whether a header is that of a runs table.

    Examples
    --------
    >>> is_runs_table(["Name", "State", "Created", "lr", "val/loss"])
    True
    """
    own = set(columns)
    if "Name" in own and len(own & _TABLE) >= 2:
        return True
    return "name" in {c.lower() for c in own} and len(own.intersection(_DICTS)) >= 1


def is_history(columns: Sequence[str]) -> bool:
    """Whether a header is that of one or more histories; a runs table may show `_step`, too."""
    return "_step" in columns and not is_runs_table(columns)


def is_chart(columns: Sequence[str]) -> bool:
    """Whether a header is that of a chart's lines."""
    return bool(columns) and columns[0] == "Step" and any(_BETWEEN in c for c in columns[1:])


def recognises(columns: Sequence[str]) -> bool:
    """Whether a table's header is of one of these kinds."""
    return is_runs_table(columns) or is_history(columns) or is_chart(columns)


def holds(folder: Path) -> bool:
    """Whether a folder is W&B's own, or holds exports."""
    if next(below(folder, lambda n: n == _SUMMARY or n.endswith(_OFFLINE)), None) is not None:
        return True
    return any(recognises(list(_table(p).columns)) for p in _exports(folder))


def read(path: Path) -> Found:
    """Read an export, a folder of exports (joined by run), or a folder of runs as W&B keeps it.

    Raises
    ------
    DataError
        Nothing there is of these kinds, or a file is damaged.
    """
    if path.is_file():
        return _one(_table(path), path)
    files = list(below(path, lambda n: n == _SUMMARY))
    if files:
        return Found(table_of([_local(file) for file in files], path.name), path.name, True)
    if next(below(path, lambda n: n.endswith(_OFFLINE)), None) is not None:
        raise DataError(
            f"{path} holds runs made offline, which only W&B itself reads: wandb sync them, then "
            "export the runs table as CSV"
        )
    return _joined(path)


def _one(table: pd.DataFrame, path: Path) -> Found:
    columns = list(table.columns)
    if is_chart(columns):
        return Found(_chart(table, path.name), path.name, True)
    if is_history(columns):
        return Found(_history(table, path.stem), path.name, True)
    if is_runs_table(columns):
        return Found(_runs(table, path.name), path.name, True)
    raise DataError(
        f"{path.name} is no W&B export: it has neither Name and State, nor _step, nor Step beside "
        f"columns RUN - METRIC; it has {', '.join(columns[:10])}"
    )


def _exports(folder: Path) -> list[Path]:
    kinds = (".csv", ".json", ".jsonl")
    return [p for p in sorted(folder.iterdir()) if p.is_file() and p.suffix.lower() in kinds]


def _table(path: Path) -> pd.DataFrame:
    if path.suffix.lower() == ".jsonl":
        return read_lines(path).table
    if path.suffix.lower() == ".json":
        document = parse(read_text(path, 100 * _SMALL), path.name)
        if not (isinstance(document, list) and all(isinstance(r, dict) for r in document)):
            return pd.DataFrame()
        return pd.DataFrame.from_records([flat(row) for row in document])
    return read_file(path)


def _joined(folder: Path) -> Found:
    """Settings from the runs table, losses from histories where there are any."""
    settings: list[pd.DataFrame] = []
    steps: list[pd.DataFrame] = []
    for path in _exports(folder):
        table = _table(path)
        columns = list(table.columns)
        if is_chart(columns):
            steps.append(_chart(table, path.name))
        elif is_history(columns):
            steps.append(_history(table, path.stem))
        elif is_runs_table(columns):
            settings.append(_runs(table, path.name))
    if not settings and not steps:
        raise DataError(f"{folder} holds no W&B export (csv, json or jsonl)")
    if not steps:
        return Found(pd.concat(settings, ignore_index=True), folder.name, True)
    history = pd.concat(steps, ignore_index=True)
    if not settings:
        return Found(history, folder.name, True)
    runs = pd.concat(settings, ignore_index=True)
    ids = _ids(runs, history)
    if ids is None:
        raise DataError(
            f"{folder.name}: no run of the histories ({_some(history['run'])}) is in the runs "
            f"table ({_some(runs['run'])}); give both the same names"
        )
    shared = [c for c in runs if c in history and c != "run"]
    known = runs.assign(run=ids).drop(columns=shared)
    alone = sorted(set(history["run"]) - set(known["run"]))
    table = history.merge(known, on="run", how="inner")
    notes = (f"runs without settings are left out: {', '.join(alone[:10])}",) if alone else ()
    return Found(table, folder.name, True, notes)


def _ids(runs: pd.DataFrame, history: pd.DataFrame) -> pd.Series | None:
    """The column of the runs table whose values the histories call their runs."""
    names = set(history["run"].astype(str))
    for column in ("run", "ID", "Name", "id", "name"):
        if column in runs and names & set(runs[column].astype(str)):
            return runs[column].astype(str)
    return None


def _some(names: pd.Series) -> str:
    return ", ".join(dict.fromkeys(names.astype(str).head(3)))


def _runs(table: pd.DataFrame, name: str) -> pd.DataFrame:
    spread = [
        {
            **{str(k): v for k, v in row.items() if k not in _DICTS},
            **{
                key: cell
                for held in _DICTS
                if held in row
                for key, cell in flat(_dict(row[held], f"{name}, row {i}: {held}")).items()
                if not key.startswith(("_wandb", "_runtime", "_timestamp"))
            },
        }
        for i, row in enumerate(table.to_dict(orient="records"), 1)
    ]
    runs = table_of(spread, name)
    for own in ("Name", "name", "ID", "id"):
        if own in runs and runs[own].notna().all() and runs[own].is_unique:
            runs = runs.assign(run=runs[own])
            break
    own = {"_step": "step"} if "step" not in runs else {}
    state = next((c for c in ("State", "state") if c in runs), None)
    return runs.rename(columns=own if state is None else {**own, state: "status"})


def _dict(cell: Any, place: str) -> Mapping[str, Any]:
    """A cell that holds a dict, as JSON or as Python prints it (read as a literal, never run)."""
    if isinstance(cell, Mapping):
        return cell
    text = str(cell or "").strip()
    if len(text) > _MOST_CELL:
        raise DataError(f"{place} has {len(text)} characters, more than {_MOST_CELL}")
    if not text or text == "nan":
        return {}
    try:
        value = parse(text, place)
    except DataError:
        try:
            value = ast.literal_eval(text.replace(": nan", ": None").replace(": inf", ": None"))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise DataError(f"{place} holds neither JSON nor a printed dict") from None
    if not isinstance(value, dict):
        raise DataError(f"{place} holds no dict of settings")
    return value


def _history(table: pd.DataFrame, stem: str) -> pd.DataFrame:
    run = next((c for c in ("run", "run_id", "run_name", "Name", "name") if c in table), None)
    named = table.assign(run=stem.removeprefix("history_") if run is None else table[run])
    named = named.rename(columns={"_step": "step"})
    rows: list[dict[str, Any]] = []
    for label, own in named.groupby("run", sort=False):
        blank = own.replace("", None)
        rows += [{"run": label, **row} for row in by_step(blank.to_dict(orient="records"))]
    return table_of(rows, stem)


def _chart(table: pd.DataFrame, name: str) -> pd.DataFrame:
    parts = []
    for column in table.columns[1:]:
        run, between, metric = column.rpartition(_BETWEEN)
        if between and not metric.endswith(("__MIN", "__MAX")) and metric != "_step":
            part = pd.DataFrame({"run": run, "step": table["Step"], metric: table[column]})
            parts.append(part[part[metric].astype(str).str.strip() != ""])
    if not parts:
        raise DataError(f"{name}: no column is RUN - METRIC, as in a chart's download")
    rows = pd.concat(parts, ignore_index=True)
    return rows.groupby(["run", "step"], sort=False, as_index=False).first()


def _local(summary: Path) -> dict[str, Any]:
    """One run's folder: its last values, its settings, its name."""
    document = parse(read_text(summary, _SMALL), str(summary))
    if not isinstance(document, dict):
        raise DataError(f"{summary} holds no object of last values")
    cells = {k: v for k, v in flat(document).items() if not k.startswith("_")}
    if "_step" in document:
        cells["step"] = document["_step"]
    file = summary.with_name(_CONFIG)
    told = yaml_lines.parse(read_text(file, _SMALL)) if file.is_file() else {}
    for key, value in told.items():
        own = key.replace(".value.", ".").removesuffix(".value")
        if own != key and not own.startswith("_wandb"):
            cells.setdefault(own, value)
    return {"run": summary.parent.parent.name, **cells}
