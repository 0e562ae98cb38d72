"""Hugging Face Trainer: the `trainer_state.json` of an output folder or of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bayescale.errors import DataError
from bayescale.sources.found import Found, below, by_step, flat, read_text, table_of
from bayescale.sources.json_lines import parse

FILE = "trainer_state.json"
_MOST = 500_000_000  # bytes
_KEPT = ("train_batch_size", "max_steps", "num_train_epochs")


def holds(folder: Path) -> bool:
    """Whether a state lies below a folder."""
    return next(below(folder, lambda n: n == FILE), None) is not None


def read(path: Path) -> Found:
    """Read a state, or the latest one of every run below a folder.

    A row is a step of the log; tokens and FLOPs that the Trainer counted belong to the last.

    Raises
    ------
    DataError
        A file is no state of a Trainer, or there is none.
    """
    files = [path] if path.is_file() else list(below(path, lambda n: n == FILE))
    latest: dict[str, dict[str, Any]] = {}
    for file in files:
        run, state = _run(file, path), _state(file)
        if run not in latest or state["global_step"] >= latest[run]["global_step"]:
            latest[run] = state
    rows = [row for run, state in latest.items() for row in _rows(run, state)]
    return Found(table_of(rows, path.name), path.name, True, hints=_hints(latest))


def _run(file: Path, top: Path) -> str:
    """The output folder's name; its checkpoints are one run."""
    folder = file.absolute().parent
    if folder.name.startswith("checkpoint-"):
        folder = folder.parent
    inside = folder.relative_to(top.absolute()) if top.is_dir() else Path(folder.name)
    return inside.as_posix() if inside.parts else folder.name


def _state(file: Path) -> dict[str, Any]:
    state = parse(read_text(file, _MOST), str(file))
    log = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(log, list) or not all(isinstance(row, dict) for row in log):
        raise DataError(f"{file} is no state of a Trainer: it has no list log_history")
    step = state.get("global_step", 0.0)
    if not isinstance(step, float):
        raise DataError(f"{file}: global_step is {step!r}, not a number")
    return {**state, "global_step": step}


def _rows(run: str, state: dict[str, Any]) -> list[dict[str, Any]]:
    fixed = {k: state[k] for k in _KEPT if k in state}
    end: dict[str, Any] = {"step": state["global_step"]}
    for counted in ("num_input_tokens_seen", "total_flos"):
        if isinstance(state.get(counted), float) and state[counted] > 0:
            end[counted] = state[counted]
    log = [
        {k: v for k, v in flat(row).items() if k != "total_flos"} for row in state["log_history"]
    ]
    return [{"run": run, **fixed, **row} for row in by_step([*log, end])]


def _hints(latest: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What to say of N: the state has none, and two of its counts may tell it."""
    text = (
        "a Trainer's state doesn't say how many parameters there are; say it for all runs with "
        "columns={'N': '1.24e8'} (--columns N=1.24e8), or join it to the table"
    )
    told = []
    for run, state in latest.items():
        flops, tokens = state.get("total_flos"), state.get("num_input_tokens_seen")
        if isinstance(flops, float) and isinstance(tokens, float) and flops > 0 and tokens > 0:
            told.append(f"{run} {flops / (6 * tokens):.4g}")
    if told:
        text += (
            "; total_flos / (6 num_input_tokens_seen), which is N without embeddings where the "
            f"Trainer counted FLOPs itself, is {', '.join(told[:5])}"
        )
    tokens = (
        "tokens are counted where the Trainer is told include_num_input_tokens_seen; else say "
        "columns={'D': 'step * 524288'} with the tokens of one step"
    )
    return {"N": text, "D": tokens}
