"""Tables of real runs: our own, bundled; public ones, read from the folder BAYESCALE_DATA."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from bayescale.errors import BayescaleError, DataError
from bayescale.runs import Runs, read_runs
from bayescale.tables import read_file

_OWN = {"N": "params", "D": "tokens", "C": "flops", "corpus": "dataset"}
_GADRE_SETS = (
    "c4_german",
    "c4_val",
    "openlm",
    "paloma_100_programming_languages",
    "paloma_c4_en",
    "paloma_ptb",
    "paloma_redpajama",
    "paloma_refinedweb",
)
_GADRE_CITE = (
    "Gadre et al. 2024, Language models scale reliably with over-training and on downstream "
    "tasks, arXiv:2403.08540; github.com/mlfoundations/scaling at a003c4913793"
)


@dataclass(frozen=True)
class Dataset:
    """One known table: what it holds, whose it is, and how its columns are read.

    Attributes
    ----------
    name, title
        Name for `load`, and one sentence.
    licence
        Terms of the upstream copy.
    cite
        Paper and repository.
    bundled
        Whether the table comes with the package.
    file
        Its file: in `bayescale/data` where bundled, else in the `tidy` folder of BAYESCALE_DATA.
    units
        Units that are not the laws' own.
    """

    name: str
    title: str
    licence: str
    cite: str
    bundled: bool
    file: str
    columns: Mapping[str, str] = field(default_factory=dict, repr=False)
    shape: Callable[[pd.DataFrame], pd.DataFrame] | None = field(default=None, repr=False)
    units: Mapping[str, str] = field(default_factory=dict)


def load(
    name: str, *, split: str | None = None, role: str | None = None, where: str | None = None
) -> Runs:
    """Load a known table of training runs.

    Parameters
    ----------
    name
        One of `names()`.
    split
        Keep the rows of this `split`; "all" keeps every split. The default is "train" for the
        bundled ladder (its targets are kept apart) and "all" elsewhere.
    role
        Keep the rows of this `role`; "all" keeps every role. The default for the ladder's
        training split is "fit", and otherwise every role but "sweep" (learning-rate trials).
    where
        Condition on the rows, as in `Runs.where`.

    Returns
    -------
    Runs
        N in parameters (non-embedding where the table says both), D in tokens, C in FLOPs, loss
        in nats per token (the ladder: tokens are bytes).

    Raises
    ------
    BayescaleError
        The name is unknown (the nearest is named), or BAYESCALE_DATA doesn't lead to the table.
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
        runs = _external(known)
    runs = _keep(_keep(runs, "split", split), "role", role)
    return runs.where(where) if where is not None else runs


def names() -> list[str]:
    """List the tables that `load` knows, sorted.

    Examples
    --------
    >>> "ladder" in names()
    True
    """
    return sorted(_KNOWN)


def info(name: str) -> Dataset:
    """Tell what a table holds, its licence and whom to cite.

    Examples
    --------
    >>> info("gadre_overtraining").licence
    'MIT'
    """
    if name in _KNOWN:
        return _KNOWN[name]
    near = difflib.get_close_matches(str(name), _KNOWN, n=1, cutoff=0.5)
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


def _external(known: Dataset) -> Runs:
    path = _folder(known) / "tidy" / known.file
    if not path.is_file():
        raise BayescaleError(
            f"{known.name} isn't bundled, and {path} doesn't exist; BAYESCALE_DATA must name the "
            f"folder that holds tidy/{known.file}"
        )
    if known.shape is None:
        return replace(read_runs(path, columns=dict(known.columns)), source=known.name)
    shaped = known.shape(read_file(path))
    return replace(read_runs(shaped), source=known.name)


def _folder(known: Dataset) -> Path:
    told = os.environ.get("BAYESCALE_DATA", "")
    if not told:
        raise BayescaleError(
            f"{known.name} isn't bundled (licence of its source: {known.licence}); set "
            f"BAYESCALE_DATA to a folder that holds tidy/{known.file}. Source: {known.cite}"
        )
    folder = Path(told)
    if not folder.is_dir():
        raise BayescaleError(f"BAYESCALE_DATA is {told}, which is no folder")
    return folder


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


def _gadre_evaluations(wide: pd.DataFrame) -> pd.DataFrame:
    """One row for each run and evaluation set; a family is a corpus seen through one set."""
    shared = {
        "run": wide["run"],
        "corpus": wide["dataset"],
        "seed": wide["seed"],
        "N": wide["params"],
        "N_total": wide["params_total"],
        "D": wide["tokens"],
        "C": wide["flops"],
        "role": wide["role"],
        "split": wide["split"],
    }
    parts = [
        pd.DataFrame(
            {
                **shared,
                "evaluation": name,
                "family": wide["dataset"] + "/" + name,
                "loss": wide[f"loss_{name}"],
                "loss_heldout_se": wide[f"loss_se_{name}"],
            }
        )
        for name in _GADRE_SETS
    ]
    return pd.concat(parts, ignore_index=True)


_KNOWN = {
    known.name: known
    for known in (
        Dataset(
            "ladder",
            "Byte-level language models, two architectures on two corpora, measured for bayescale",
            "as bayescale",
            "bayescale, tests/studies/ladder.py",
            bundled=True,
            file="ladder.csv",
            units={"loss": "nat/byte"},
        ),
        Dataset(
            "chinchilla_besiroglu",
            "245 runs of Hoffmann et al. 2022, read off their figure 4 by Besiroglu et al.",
            "none stated",
            "Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv:2404.10102; "
            "github.com/epoch-research/analyzing-chinchilla at 92258837425e",
            bundled=False,
            file="chinchilla_besiroglu.csv",
            columns=_OWN,
        ),
        Dataset(
            "gadre_overtraining",
            "104 over-trained OpenLM models, C4 validation loss",
            "MIT",
            _GADRE_CITE,
            bundled=False,
            file="gadre_overtraining.csv",
            columns={**_OWN, "N_total": "params_total"},
        ),
        Dataset(
            "gadre_evaluations",
            "The same 104 models on 8 evaluation sets, one row each: 24 families",
            "MIT",
            _GADRE_CITE,
            bundled=False,
            file="gadre_overtraining.csv",
            shape=_gadre_evaluations,
        ),
    )
}
