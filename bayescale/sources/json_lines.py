"""JSON and JSON lines: one object a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.errors import DataError
from bayescale.sources.found import Found, flat, read_text, table_of

MOST = 1_000_000_000  # bytes of one file


def parse(text: str, place: str) -> Any:
    """Read JSON; whole numbers become floats, since counts overflow int64 when multiplied.

    Raises
    ------
    DataError
        It is no JSON, or nested too deeply.

    Examples
    --------
    >>> parse('{"N": 7000000000}', "runs.json")
    {'N': 7000000000.0}
    """
    try:
        return json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place} is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise DataError(f"{place}: its JSON is nested too deeply") from None


def read_lines(path: Path) -> Found:
    """Read a file of one JSON object a line, blank lines left out."""
    rows = []
    for number, line in enumerate(read_text(path, MOST).splitlines(), 1):
        if not line.strip():
            continue
        record = parse(line, f"{path.name}, line {number}")
        if not isinstance(record, dict):
            raise DataError(
                f"{path.name}, line {number}: one JSON object a run is needed, such as "
                '{"N": 1e9, "D": 2e10, "loss": 2.6}'
            )
        rows.append(flat(record))
    return Found(table_of(rows, path.name), path.name)


def read_json(path: Path) -> Found:
    """Read a list of objects, or one object of columns."""
    document = parse(read_text(path, MOST), path.name)
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        return Found(table_of([flat(row) for row in document], path.name), path.name)
    if isinstance(document, dict) and document and _columns(document):
        return Found(pd.DataFrame(document), path.name)
    raise DataError(
        f"{path.name} is neither a list of objects, one a run, nor an object of columns of equal "
        "length; save it so, or as CSV"
    )


def _columns(document: Mapping[str, Any]) -> bool:
    sizes = {len(v) if isinstance(v, list) else -1 for v in document.values()}
    return len(sizes) == 1 and -1 not in sizes
