"""Tables of real runs: our own, bundled; public ones, from their sources at pinned commits.

`table()` lists them, `info(name)` tells one's licence and whom to cite, `load(name)` reads it. A
public one is downloaded once, checked against its SHA-256 and kept; with BAYESCALE_DATA set,
nothing is downloaded and files are read from the folder that it names (``raw/<repository>/...``,
or a tidied ``tidy/<table>.csv``).
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from bayescale.dataset_cards import KNOWN, Dataset
from bayescale.errors import BayescaleError, DataError
from bayescale.runs import Runs, read_runs
from bayescale.tables import read_file
from bayescale.upstream import fetch, kept_folder


def load(
    name: str,
    *,
    split: str | None = None,
    role: str | None = None,
    where: str | None = None,
    progress: bool | None = None,
) -> Runs:
    """Load a known table of training runs.

    Parameters
    ----------
    name
        One of `names()`.
    split
        Keep the rows of this `split`; "all" keeps every split. The default is "train" for the
        bundled tables (the ladder's targets are kept apart) and "all" elsewhere.
    role
        Keep the rows of this `role`; "all" keeps every role, "not sweep" all but learning-rate
        trials. The default for a bundled table's training split is "fit", else "not sweep". The
        ladder's "fit" is its stage A, which the demo and every committed prediction were made
        from; ``load("ladder", split="train", role="not sweep")`` adds stage B: "replicate" (more
        seeds of a third of the cells) and "extension" (a larger size).
    where
        Condition on the rows, as in `Runs.where`.
    progress
        Show a bar while downloading; where None, if somebody watches standard error.

    Returns
    -------
    Runs
        N in parameters (non-embedding where the table says both), D in tokens, C in FLOPs, loss
        in nats per token (the ladder: tokens are bytes).

    Raises
    ------
    BayescaleError
        The name is unknown (the nearest is named), BAYESCALE_DATA doesn't lead to the table, or
        it can't be downloaded.
    DataError
        The table has faults, or no row of that split and role.

    Examples
    --------
    >>> try:
    ...     load("lader")
    ... except BayescaleError as error:
    ...     print(str(error).split("?")[0])
    no data set 'lader'; did you mean 'ladder'
    """
    known = info(name)
    if known.bundled:
        runs = _bundled(known)
        split = split or ("train" if role is None else "all")
        role = role or ("fit" if split == "train" else "not sweep")
    else:
        runs = _external(known, progress)
    runs = _keep(_keep(runs, "split", split), "role", role)
    return runs.where(where) if where is not None else runs


def read(name: str, file: str | Path | pd.DataFrame, *, where: str | None = None) -> Runs:
    """Read a known table from a file that you have fetched or tidied yourself.

    Parameters
    ----------
    name
        One of `names()`: it says what the columns are called and what to bear in mind.
    file
        A file (CSV, Parquet), or its table, with the columns that the card maps
        (``info(name).columns``). For "isoflops" that is the upstream file as it stands.
    where
        Condition on the rows, as in `Runs.where`; rows left out aren't checked.

    Returns
    -------
    Runs
        With a note that the file was not compared with a pinned digest.

    Raises
    ------
    BayescaleError
        The name is unknown.
    DataError
        The file isn't there or has faults.

    Examples
    --------
    >>> row = {"experiment": "marin", "dataset": "comma", "params": 2e8, "tokens": 2e9, "loss": 3.9}
    >>> read("isoflops", pd.DataFrame([row | {"budget": 2.4e18}])).table["family"].tolist()
    ['marin']
    """
    known = info(name)
    table = read_file(Path(file)) if isinstance(file, str | Path) else file
    table = table if known.shape is None else known.shape(table)
    found = read_runs(table, columns=dict(known.columns), units=known.units, where=where)
    note = f"the file was not compared with a pinned one of {known.source}"
    return replace(found, source=known.name, notes=(*found.notes, note))


def names() -> list[str]:
    """List the tables that `load` knows, sorted.

    Examples
    --------
    >>> "ladder" in names()
    True
    """
    return sorted(KNOWN)


def table() -> pd.DataFrame:
    """List the tables that `load` knows, with whose they are.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: title, rows, licence, source (repository and commit), cite, bundled.

    Examples
    --------
    >>> table().loc["gadre_overtraining", "licence"]
    'MIT'
    """
    rows = [
        (k.name, k.title, k.rows or _count(k), k.licence, k.source, k.cite, k.bundled)
        for k in (KNOWN[name] for name in names())
    ]
    columns = ["name", "title", "rows", "licence", "source", "cite", "bundled"]
    return pd.DataFrame(rows, columns=columns).set_index("name")


def _count(known: Dataset) -> int:
    with (files("bayescale") / "data" / known.file).open("rb") as stream:
        return sum(1 for _ in stream) - 1


def info(name: str) -> Dataset:
    """Tell what a table holds, its licence and whom to cite.

    Examples
    --------
    >>> info("gadre_overtraining").licence
    'MIT'
    """
    if name in KNOWN:
        return KNOWN[name]
    near = difflib.get_close_matches(str(name), KNOWN, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise BayescaleError(f"no data set {name!r}; {hint}Known: {', '.join(names())}")


def _bundled(known: Dataset) -> Runs:
    """Read from the package, whatever BAYESCALE_DATA says (rulings 21)."""
    packaged = files("bayescale") / "data" / known.file
    if not packaged.is_file():
        raise BayescaleError(
            f"the bundled table {known.file} is missing from this installation; reinstall bayescale"
        )
    with as_file(packaged) as path:
        read = read_runs(path, columns=dict(known.columns), units=known.units)
    return replace(read, source=known.name)


def _external(known: Dataset, progress: bool | None) -> Runs:
    tidy = _tidy(known, progress)
    table = tidy if known.shape is None else known.shape(tidy)
    read = read_runs(table, columns=dict(known.columns), units=known.units)
    return replace(read, source=known.name)


def _tidy(known: Dataset, progress: bool | None) -> pd.DataFrame:
    """A tidied table on disk, else one made from the upstream files."""
    kept = kept_folder()
    if kept is not None and (path := kept / "tidy" / known.file).is_file():
        return read_file(path)
    if known.upstream is None or known.convert is None:
        where = f"BAYESCALE_DATA ({kept})" if kept else "the folder that BAYESCALE_DATA names"
        raise BayescaleError(
            f"{known.name} is not downloaded: its upstream files are not pinned here. Put the table"
            f" into {where} as tidy/{known.file}, or read a file of your own by bs.datasets.read("
            f"{known.name!r}, file); it comes from {known.cite}"
        )
    if kept is not None and not (kept / "raw" / known.upstream.folder).is_dir():
        raise BayescaleError(
            f"{known.name} isn't bundled, and BAYESCALE_DATA ({kept}) has neither "
            f"tidy/{known.file} nor raw/{known.upstream.folder}/; nothing is downloaded while it "
            "is set: unset it, or put one of them there"
        )
    return known.convert(fetch(known.upstream, kept, progress))


def _keep(runs: Runs, column: str, wanted: str | None) -> Runs:
    if wanted is None or wanted == "all":
        return runs
    if column not in runs.table:
        raise DataError(f"{runs.source} has no column {column}; leave {column}= out")
    values = runs.table[column]
    keep = values != "sweep" if wanted == "not sweep" else values == wanted
    if not keep.any():
        held = ", ".join(sorted({str(v) for v in values.dropna()}))
        raise DataError(f"{runs.source} has no rows of {column} {wanted!r}; it has {held}")
    note = f"{column} {wanted}: {int(keep.sum())} of {len(runs)} rows"
    return replace(runs, table=runs.table[keep], notes=(*runs.notes, note))
