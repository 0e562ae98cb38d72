"""Take runs that are not in their table yet, one by one, and append each when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ladder_parts import corpus, table
from ladder_parts.trial import Rows, Trial, execute


@dataclass(frozen=True)
class Task:
    """A run, the table it belongs in, and the rule for its rate: none while it can't be known."""

    trial: Trial
    path: Path
    columns: Sequence[str]
    rate: Callable[[Rows], float | None]


def work(tasks: Sequence[Task]) -> None:
    """Take pending runs one by one, in order, until none is left."""
    folder = corpus.cache_folder()
    texts = corpus.load(folder)
    while True:
        tables = {path: table.read(path) for path in {task.path for task in tasks}}
        done = {path: {row["run"] for row in rows} for path, rows in tables.items()}
        pending = [task for task in tasks if task.trial.run not in done[task.path]]
        if not pending:
            return
        if not any(claim(task, tables[task.path], texts, folder) for task in pending):
            time.sleep(3)


def claim(task: Task, rows: Rows, texts: Mapping[str, corpus.Corpus], folder: Path) -> bool:
    """Run one task, unless its rate is not known yet or another worker holds it."""
    lr, run = task.rate(rows), task.trial.run
    if lr is None:
        return False
    with table.locked(folder / "locks" / f"{run}.lock", wait=False) as held:
        # The table may have grown since it was read: another worker may just have ended this run.
        if not held or run in {row["run"] for row in table.read(task.path)}:
            return held
        made = execute(task.trial, lr, texts)
        lock = folder / "locks" / f"{task.path.stem}.lock"
        table.append(task.path, lock, made, task.columns)
        last = made[-1]
        print(f"{run} lr {lr:.2e} loss {last['loss']} in {last['seconds']} s", flush=True)
        return True
