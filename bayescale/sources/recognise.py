"""What a source is, by what it can do, its name or its content; then its reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bayescale.columns import nearest
from bayescale.errors import BayescaleError, DataError
from bayescale.sources import frames, json_lines, lightning, mlflow, tensorboard, trainer, wandb
from bayescale.sources.found import Found
from bayescale.tables import read_file

FORMATS = (
    *("csv", "parquet", "json", "jsonl"),
    *("wandb", "mlflow", "tensorboard", "trainer", "lightning"),
)
_FOLDERS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Found]]] = {
    "trainer": (trainer.holds, trainer.read),
    "lightning": (lightning.holds, lightning.read),
    "tensorboard": (tensorboard.holds, tensorboard.read),
    "mlflow": (mlflow.holds, mlflow.read),
    "wandb": (wandb.holds, wandb.read),
}


def read_source(source: Any, format: str | None = None) -> Found:
    """Read what was given, as the format named, or as what it is recognised to be.

    Parameters
    ----------
    source
        A path of a file or folder, or a table in memory.
    format
        One of `FORMATS`.

    Raises
    ------
    BayescaleError
        There is no such format.
    DataError
        It is nothing that is known, several things at once, or damaged.
    """
    if format is not None and format not in FORMATS:
        near = nearest(str(format), FORMATS)
        hint = f"did you mean {near!r}? " if near else ""
        raise BayescaleError(f"no format {format!r}; {hint}Known: {', '.join(FORMATS)}")
    if not isinstance(source, (str, Path)):
        if not frames.is_frame(source):
            raise DataError(
                f"runs are a path, a DataFrame or a dict of columns, not {type(source).__name__}"
            )
        table = frames.read_frame(source)
        if format == "wandb":
            raise DataError("format='wandb' reads a path; save the table as CSV or JSON first")
        return mlflow.from_table(table, "table") if format == "mlflow" else Found(table, "table")
    path = Path(source)
    return _folder(path, format) if path.is_dir() else _file(path, format)


def _folder(path: Path, format: str | None) -> Found:
    if format is not None:
        if format not in _FOLDERS:
            raise DataError(f"{path} is a folder, and format {format!r} is of a file")
        holds, read = _FOLDERS[format]
        if not holds(path):
            raise DataError(f"{path} holds nothing of format {format!r}")
        return read(path)
    kinds = [name for name, (holds, _) in _FOLDERS.items() if holds(path)]
    if "lightning" in kinds and "tensorboard" in kinds:
        kinds.remove("tensorboard")  # two loggers of the same runs
    if len(kinds) > 1:
        raise DataError(
            f"{path} holds runs of {' and of '.join(kinds)}; say which by format={kinds[0]!r} "
            f"(--format {kinds[0]})"
        )
    if not kinds:
        read_file(path)  # says what a table's path would be
    return _FOLDERS[kinds[0]][1](path)


def _file(path: Path, format: str | None) -> Found:
    if not path.exists():
        read_file(path)  # says so, and what is near
    suffix = path.suffix.lower()
    if format == "tensorboard" or (format is None and tensorboard.is_file(path)):
        return tensorboard.read(path)
    if format == "trainer" or (format is None and path.name == trainer.FILE):
        return trainer.read(path)
    if format == "jsonl" or (format is None and suffix in (".jsonl", ".ndjson")):
        return json_lines.read_lines(path)
    if format == "wandb":
        return wandb.read(path)
    if format == "json" or (format is None and suffix == ".json"):
        return json_lines.read_json(path)
    if format == "lightning":
        return lightning.read(path)
    table = read_file(path)
    columns = [str(c) for c in table.columns]
    if format == "mlflow" or (format is None and mlflow.recognises(columns)):
        return mlflow.from_table(table, path.name)
    if format is None and wandb.recognises(columns) and not {"run", "N", "loss"} <= set(columns):
        return wandb.read(path)
    if format is None and lightning.recognises(path.name, columns):
        return lightning.read(path)
    return Found(table, path.name)
