"""Tables of runs: damaged as text, as cells and as frames, and read again by `csv` and `float`."""

from __future__ import annotations

import csv
import io
import math
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuzz_parts.guard import Wrong
from fuzz_parts.mutate import HOSTILE, changed_bytes, changed_text

_CELLS = (
    *HOSTILE,
    "",
    " ",
    "0",
    "-1",
    "1e30",
    "1e-30",
    "1e308",
    "5e-324",
    "inf",
    "-inf",
    "diverged",
    "1e6",
    "1,000,000",
    "1e6 ",
    "true",
)
_LAWS = ("chinchilla", "power_law", "bottleneck")


def _good(rng: random.Random) -> pd.DataFrame:
    n = rng.choice((0, 1, 2, 5, 12, 12, 12, 30))
    rows = []
    for i in range(n):
        size, tokens = 10.0 ** (5 + i % 4), 10.0 ** (7 + (i // 4) % 3)
        loss = 1.7 + 12 * size**-0.34 + 40 * tokens**-0.3 + 0.001 * (i % 5)
        row = {"N": size, "D": tokens, "loss": loss, "family": ("dense", "moe")[i % 2]}
        rows.append({"run": f"r{i}", **row, "seed": i % 3})
    return pd.DataFrame(rows, columns=["run", "N", "D", "loss", "family", "seed"])


def _objects() -> list[Any]:
    return [
        None,
        np.nan,
        pd.NA,
        pd.NaT,
        1j,
        [1.0],
        {"a": 1},
        b"1e6",
        True,
        10**400,
        np.float32(1.5),
        np.int8(3),
        pd.Timestamp("2020-01-01"),
        "1e6",
        float("inf"),
        -0.0,
        (1, 2),
        Path("x"),
    ]


def _as_frame(rng: random.Random, table: pd.DataFrame) -> Any:
    """Damage that only a table in memory can have."""
    table = table.copy()
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(12)
        name = rng.choice(list(table.columns)) if len(table.columns) else None
        if name is None or not table.columns.is_unique:
            break
        if kind == 0 and len(table):
            table[name] = table[name].astype(object)
            table.iloc[rng.randrange(len(table)), list(table.columns).index(name)] = None
            column = table[name].tolist()
            column[rng.randrange(len(table))] = rng.choice(_objects())
            table[name] = pd.Series(column, dtype=object, index=table.index)
        elif kind == 1:
            table = table.drop(columns=name)
        elif kind == 2:
            table[name] = table[name].astype("category")
        elif kind == 3:
            table[name] = pd.Series([rng.choice(_objects())] * len(table), dtype=object)
        elif kind == 4:
            table = table.set_index(name)
        elif kind == 5:
            table.columns = pd.MultiIndex.from_tuples([(str(c), i) for i, c in enumerate(table)])
        elif kind == 6:
            table = table.rename(
                columns={name: rng.choice((0, 1.5, None, "N ", "n", "", "Ñ", "C"))}
            )
        elif kind == 7:
            table = pd.concat([table, table[[name]]], axis=1)
        elif kind == 8:
            table[name] = pd.array([1, None] * (len(table) // 2) + [1] * (len(table) % 2), "Int64")
        elif kind == 9:
            table = pd.concat([table, table.iloc[: rng.randrange(3)]])
        elif kind == 10:
            table[name] = pd.to_datetime(pd.Series(range(len(table))), unit="D")
        else:
            factor = rng.choice((0.0, -1.0, 1e300, 1e-300, np.nan))
            if table[name].dtype.kind == "f":
                table[name] = table[name] * factor
    return table if rng.random() < 0.8 else dict(table)


def table(rng: random.Random, folder: Path) -> str:
    from bayescale.framing import frame
    from bayescale.runs import read_runs

    good, source = _good(rng), None
    kind = rng.random()
    if kind < 0.4:
        source = _as_frame(rng, good)
    else:
        if len(good) and rng.random() < 0.7:
            good = good.astype(object)
            for _ in range(rng.choice((1, 1, 2, 4))):
                row, column = rng.randrange(len(good)), rng.randrange(len(good.columns))
                good.iloc[row, column] = rng.choice(_CELLS)
        if rng.random() < 0.3 and len(good):
            names = list(good.columns)
            names[rng.randrange(len(names))] = rng.choice(
                ("N", "params", "", "C", "loss", *HOSTILE)
            )
            good.columns = names
        text = good.to_csv(index=False)
        if rng.random() < 0.5:
            text = changed_text(rng, text)
        content = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.2:
            content = changed_bytes(rng, content)
        suffix = rng.choice((".csv",) * 8 + (".tsv", ".csv.gz", ".parquet", ".txt"))
        source = folder / f"runs{suffix}"
        source.write_bytes(content)
    law = _law(rng.choice(_LAWS))
    columns = None
    if rng.random() < 0.2:
        columns = {
            rng.choice(("N", "D", "x", "loss")): rng.choice(("params", "N", "loss", "", "D"))
        }
    where = rng.choice((None, None, None, "N > 1e5", "family == 'dense'", "C < 1e14"))
    runs = read_runs(source, columns=columns, where=where, law=law if rng.random() < 0.7 else None)
    _numbers_are_the_files(source, runs)
    runs.where("loss > 0")
    runs._repr_html_()
    pool = rng.choice(
        (None, None, "complete", "none", {"E": ["family"]}, {"E": ["seed", "family"]})
    )
    framed = frame(law, runs, pool=pool, on_failed=rng.choice(("error", "drop")))
    arrays = framed.model.arrays
    used = [arrays.observed, *(v for v in arrays.columns.values()), *arrays.rows.values()]
    if not all(np.all(np.isfinite(v)) for v in used):
        raise Wrong("numbers that are not finite reach the model")
    return "answered"


def _numbers_are_the_files(source: Any, runs: Any) -> None:
    """Every number of the table is `float` of the file's own cell, and usable."""
    for name in ("N", "D", "loss"):
        values = runs.table[name].to_numpy() if name in runs.table else np.ones(1)
        if values.dtype.kind != "f":
            raise Wrong(f"{name} is {values.dtype}")
    if not isinstance(source, Path) or source.suffix not in (".csv", ".txt"):
        return
    text = source.read_bytes().decode("utf-8-sig")
    lines = [
        cells
        for cells in csv.reader(io.StringIO(text, newline=""))
        if any(c.strip() for c in cells)
    ]
    header = [cell.strip() for cell in lines[0]]
    for name in ("N", "D", "loss"):
        own = runs.renamed.get(name, name)
        if name not in runs.table or own not in header:
            continue
        at = header.index(own)
        for row, value in runs.table[name].items():
            cell = lines[row][at].strip()
            if not math.isnan(value) and float(cell) != value:
                raise Wrong(f"row {row} of {name} is {cell!r} in the file, {value!r} in the table")


@cache
def _law(name: str) -> Any:
    from bayescale.catalog import load_law

    return load_law(name)
