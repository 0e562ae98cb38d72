"""The table of results: read it, and add to it so that a reader never sees half a run."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

COLUMNS = (
    "run family recipe corpus evaluation seed N N_total D C step lr batch loss loss_heldout_se "
    "loss_prose loss_prose_heldout_se loss_code loss_code_heldout_se role split is_final status "
    "seconds stage"
).split()
Row = Mapping[str, object]


@contextmanager
def locked(path: Path, wait: bool = True) -> Generator[bool]:
    """Hold a lock for as long as the process lives and the block lasts; tell whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def read(path: Path) -> list[dict[str, str]]:
    """Rows of the table, none where there is no table yet."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a whole table under another name, then rename it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text.getvalue())
    os.replace(draft, path)


def append(path: Path, lock: Path, rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> None:
    """Add the rows of one finished run."""
    with locked(lock):
        write(path, columns, [*read(path), *rows])
