"""MLflow: the folder of its file store, and what `search_runs` gives, saved as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.errors import DataError
from bayescale.sources import yaml_lines
from bayescale.sources.found import Found, below, by_step, read_text, table_of

_SMALL, _MOST = 1_000_000, 500_000_000  # bytes of a setting and of a metric's log
_STATES = {1: "running", 2: "scheduled", 3: "finished", 4: "failed", 5: "killed"}
_PREFIXES = ("metrics.", "params.")


def recognises(columns: Sequence[str]) -> bool:
    """Whether a header is that of `search_runs`.

    Examples
    --------
    >>> recognises(["run_id", "status", "metrics.val_loss", "params.lr"])
    True
    """
    return "run_id" in columns and any(c.startswith("metrics.") for c in columns)


def holds(folder: Path) -> bool:
    """Whether a folder is a file store, an experiment or a run of one."""
    return next(_run_folders(folder), None) is not None


def from_table(table: pd.DataFrame, name: str) -> Found:
    """Read what `search_runs` gave."""
    if not recognises(list(table.columns)):
        raise DataError(f"{name} is no search_runs of MLflow: it lacks run_id or metrics.*")
    named = table.rename(columns={"run_id": "run"})
    tags = [c for c in named if c.startswith("tags.") and c != "tags.mlflow.runName"]
    named = named.drop(columns=tags)
    short = [c.split(".", 1)[1] if c.startswith(_PREFIXES) else c for c in named]
    if len(set(short)) == len(short):
        named = named.set_axis(pd.Index(short), axis=1)
    return Found(named, name, True)


def read(folder: Path) -> Found:
    """Read every run below a folder that wasn't deleted: its settings, and metrics by step.

    Raises
    ------
    DataError
        There is no run, or a metric's file is damaged.
    """
    rows: list[dict[str, Any]] = []
    deleted = 0
    for run in _run_folders(folder):
        told = yaml_lines.parse(read_text(run / "meta.yaml", _SMALL))
        if told.get("lifecycle_stage") == "deleted":
            deleted += 1
            continue
        rows += _rows(run, told)
    notes = (f"{deleted} deleted runs are left out",) if deleted else ()
    return Found(table_of(rows, folder.name), folder.name, True, notes)


def _run_folders(folder: Path):
    for meta in below(folder, lambda n: n == "meta.yaml", depth=4):
        if (meta.parent / "metrics").is_dir():
            yield meta.parent


def _rows(run: Path, told: dict[str, Any]) -> list[dict[str, Any]]:
    state = told.get("status")
    fixed: dict[str, Any] = {"run": str(told.get("run_id") or run.name)}
    if isinstance(state, float):
        fixed["status"] = _STATES.get(int(state), f"status {state:g}")
    elif state:
        fixed["status"] = str(state).lower()
    for file in below(run / "params", lambda n: True):
        fixed[_key(file, run / "params")] = read_text(file, _SMALL).strip()
    logged = [
        {"step": step, _key(file, run / "metrics"): value}
        for file in below(run / "metrics", lambda n: True)
        for step, value in _metric(file)
    ]
    return [{**fixed, **row} for row in by_step(logged)]


def _key(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _metric(file: Path) -> list[tuple[float, float]]:
    """Lines of ``milliseconds value step`` (the step is 0 where an old file has none)."""
    values = []
    for number, line in enumerate(read_text(file, _MOST).splitlines(), 1):
        if not (words := line.split()):
            continue
        try:
            _, value, step = map(float, [*words, "0"][:3])
        except ValueError:
            raise DataError(
                f"{file}, line {number}: {line[:60]!r} is not a time, a value and a step"
            ) from None
        values.append((step, value))
    return values
