"""Lightning's CSV logs: `metrics.csv` of each version, beside its `hparams.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayescale.errors import DataError
from bayescale.sources import yaml_lines
from bayescale.sources.found import Found, below, by_step, read_text, table_of
from bayescale.tables import read_file

FILE, SETTINGS = "metrics.csv", "hparams.yaml"
_SMALL = 1_000_000  # bytes of settings


def recognises(name: str, columns: Sequence[str]) -> bool:
    """Whether a file is such a log, by its name and header."""
    return name == FILE and "step" in columns


def holds(folder: Path) -> bool:
    """Whether a log lies below a folder."""
    return next(below(folder, lambda n: n == FILE), None) is not None


def read(path: Path) -> Found:
    """Read a log, or every one below a folder.

    Raises
    ------
    DataError
        A log has no column step, or there is none.
    """
    files = [path] if path.is_file() else list(below(path, lambda n: n == FILE))
    rows: list[dict[str, Any]] = []
    for file in files:
        table = read_file(file)
        if "step" not in table:
            raise DataError(f"{file} has no column step, which Lightning's {FILE} has")
        fixed = {"run": _run(file, path), **settings(file.parent)}
        logged = table.replace(r"^\s*$", None, regex=True).to_dict(orient="records")
        rows += [{**fixed, **row} for row in by_step([_texts(row) for row in logged])]
    return Found(table_of(rows, path.name), path.name, True)


def settings(folder: Path) -> dict[str, Any]:
    """Hyper-parameters beside a log, if there are any."""
    file = folder / SETTINGS
    return yaml_lines.parse(read_text(file, _SMALL)) if file.is_file() else {}


def _run(file: Path, top: Path) -> str:
    folder = file.absolute().parent
    inside = folder.relative_to(top.absolute()) if top.is_dir() else Path(folder.name)
    return inside.as_posix() if inside.parts else folder.name


def _texts(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in row.items()}
