"""Save and load fits: one netCDF file, written whole or not at all, with no pickle in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale.averages import Average
from bayescale.bends import PRIOR
from bayescale.errors import BayescaleError
from bayescale.files import seal_holds, sealed, write_whole
from bayescale.fitting import Fit, correlates, noise_pool
from bayescale.law import Law
from bayescale.model import Structure
from bayescale.model_from_runs import build_model, floor_of
from bayescale.runs import Runs
from bayescale.sampling import Settings

FORMAT = 2
# How a law bends; files from before say the second, or nothing and mean the third.
BENDS = "above the floor, a scale for each direction"
ONE_SCALE = "above the floor, weights first"
WHOLE = "of the whole loss, weights first"
VERSIONED = ("bayescale", "jax", "numpyro", "arviz-base", "numpy", "xarray")


def versions() -> dict[str, str]:
    """Versions of what made a fit."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def made_with(fit: Fit) -> dict[str, str]:
    """Versions of what made this fit: those in its file, or ours where it was made just now."""
    kept = fit.data.attrs.get("made_with")
    return versions() if kept is None else json.loads(kept)


def table_digest(fit: Fit) -> str:
    """SHA-256 of the fitted rows, as their file keeps them."""
    return hashlib.sha256(_table_text(fit.runs.table).encode()).hexdigest()


def save(fit: Fit | Average, path: str | Path) -> Path:
    """Write a fit to one file, atomically: the old file stays until the new one is whole.

    Parameters
    ----------
    fit : Fit or Average
        Of laws that have cards; a law made of a Python function can't be saved.
    path : str or Path

    Returns
    -------
    Path

    Raises
    ------
    BayescaleError
        Where the law is a Python function, or the folder can't be written.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> import tempfile, pathlib
    >>> file = bs.save(fit, pathlib.Path(tempfile.mkdtemp()) / "fit.nc")
    >>> bs.load(file).law.name
    'chinchilla'
    """
    path = Path(path)
    if path.is_dir():
        raise BayescaleError(f"{path} is a folder; name a file in it, such as {path / 'fit.nc'}")
    tree = _packed_average(fit) if isinstance(fit, Average) else _packed(fit)
    if not path.parent.is_dir():
        raise BayescaleError(f"the folder {path.parent} does not exist")
    # HDF5 crashes where a disk is full, so it writes to memory, and Python to the disk.
    return write_whole(path, sealed(bytes(tree.to_netcdf(engine="h5netcdf"))))


def _packed(fit: Fit) -> xr.DataTree:
    """The fit's tree, with all else that makes a fit in its attributes."""
    if fit.law.function is not None:
        raise BayescaleError("a law that is a Python function can't be saved; write it as a card")
    bend = fit.model.structure.bend
    meta = {
        "format": FORMAT,
        "sealed": True,
        "law": fit.law.text,
        "table": _table_text(fit.runs.table),
        "table_sha256": "",
        "source": fit.runs.source,
        "run_notes": list(fit.runs.notes),
        "renamed": dict(fit.runs.renamed),
        "units": dict(fit.runs.units),
        "noise": fit.model.structure.noise_name,
        "noise_pool": noise_pool(fit.model.structure),
        "discrepancy": "none" if fit.model.structure.bend is None else "bend",
        "bends": _bends(fit),
        "bend_prior": PRIOR if bend is None else bend.prior,
        "checkpoints": "all" if fit.model.structure.serial else "final",
        "correlate": correlates(fit.model.structure),
        "settings": asdict(fit.settings),
        "notes": list(fit.notes),
        "prior_z": fit.prior_z,
        "mode_notes": list(fit.mode_notes),
        "seconds": dict(fit.seconds),
        "versions": made_with(fit),
    }
    meta["table_sha256"] = hashlib.sha256(meta["table"].encode()).hexdigest()
    tree = fit.data.copy()
    tree.attrs = {"bayescale": json.dumps(meta)}
    return tree


def _packed_average(mixed: Average) -> xr.DataTree:
    """Every fit's tree as a branch, by number, with names and weights at the root."""
    branches = {f"fit_{k}": _packed(fit) for k, fit in enumerate(mixed.fits.values())}
    tree = xr.DataTree(children=branches)
    about = {"format": FORMAT, "sealed": True, "weights": dict(mixed.weights)}
    tree.attrs = {"bayescale_average": json.dumps(about)}
    return tree


def _table_text(table: pd.DataFrame) -> str:
    """A table as JSON, whose floats come back bit for bit."""
    columns = {
        str(name): column.astype(object).where(column.notna(), None).tolist()
        for name, column in table.items()
    }
    kinds = {
        str(name): "number" if pd.api.types.is_numeric_dtype(column) else "text"
        for name, column in table.items()
    }
    return json.dumps({"index": table.index.tolist(), "columns": columns, "kinds": kinds})


def _table(text: str) -> pd.DataFrame:
    stored = json.loads(text)
    columns = {
        name: np.array([np.nan if v is None else v for v in values], dtype=float)
        if stored["kinds"][name] == "number"
        else np.array(values, dtype=object)
        for name, values in stored["columns"].items()
    }
    return pd.DataFrame(columns, index=stored["index"])


def load(path: str | Path) -> Fit | Average:
    """Read a fit, or an average of fits, that `save` wrote; it predicts as it did, bit for bit.

    Raises
    ------
    BayescaleError
        For a file that is missing, damaged, not a fit, or of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise BayescaleError(f"there is no file {path}")
    if path.is_dir():
        raise BayescaleError(f"{path} is a folder, not a saved fit")
    try:
        whole = seal_holds(path)
    except OSError as error:
        raise BayescaleError(f"{path} can't be read: {error.strerror}") from None
    if whole is False:  # told before HDF5, which trusts what it reads, has seen it
        raise BayescaleError(f"{path} is damaged: it does not match its checksum")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
        average = tree.attrs.get("bayescale_average")
        meta = json.loads(tree.attrs["bayescale"] if average is None else average)
        given, cut = meta.get("format"), bool(meta.get("sealed")) and whole is None
    except Exception as error:  # whatever a file from elsewhere makes HDF5 and xarray do
        raise _no_fit(path, error) from error
    if cut:
        raise BayescaleError(f"{path} is damaged: its end, with the checksum, is missing")
    if given != FORMAT:
        older = isinstance(given, int) and given < FORMAT
        remedy = "fit again and save" if older else "update bayescale"
        raise BayescaleError(
            f"{path} has format {given!r}, and this bayescale reads {FORMAT}: {remedy}"
        )
    try:
        return _fit(path, tree, meta) if average is None else _average(path, tree, meta)
    except BayescaleError:
        raise
    except Exception as error:
        raise _no_fit(path, error) from error


def _no_fit(path: Path, error: Exception) -> BayescaleError:
    kind = type(error).__name__
    return BayescaleError(f"{path} is not a fit that bayescale saved, or is damaged ({kind})")


def _average(path: Path, tree: xr.DataTree, about: Mapping[str, Any]) -> Average:
    """Put an average together again from the branches that `_packed_average` made."""
    weights = {str(name): float(w) for name, w in about["weights"].items()}
    fits = {}
    for k, name in enumerate(weights):
        branch = tree.children[f"fit_{k}"].copy()
        fits[name] = _fit(path, branch, json.loads(branch.attrs["bayescale"]))
    return Average(fits, weights)


def _fit(path: Path, tree: xr.DataTree, meta: Mapping[str, Any]) -> Fit:
    """Put a fit together again from its draws and from what is said of it."""
    if hashlib.sha256(meta["table"].encode()).hexdigest() != meta["table_sha256"]:
        raise BayescaleError(f"{path} is damaged: its table of runs does not match its checksum")
    law = Law.from_text(meta["law"])
    table = _table(meta["table"])
    model = build_model(
        law,
        table,
        noise=meta["noise"],
        noise_pool=meta["noise_pool"],
        discrepancy=meta.get("discrepancy"),
        checkpoints=meta.get("checkpoints", "final"),
        correlate=meta["correlate"],
        one_scale=meta.get("bends") != BENDS,
        bend_prior=meta.get("bend_prior", PRIOR),
    )
    if meta.get("bends", WHOLE) == WHOLE and model.structure.bend is not None:
        whole = replace(model.structure.bend, floor=None)
        model = replace(model, structure=replace(model.structure, bend=whole))
    if "bends" not in meta:
        tree = _weights_first(model.structure, tree)
    tree.attrs = {"made_with": json.dumps(meta["versions"])}
    fit = Fit(
        law=law,
        runs=Runs(
            table, meta["source"], tuple(meta["run_notes"]), meta["renamed"], meta.get("units", {})
        ),
        model=model,
        data=tree,
        settings=Settings(**meta["settings"]),
        notes=tuple(meta["notes"]),
        prior_z=float(np.float64(meta["prior_z"])),
        mode_notes=tuple(meta["mode_notes"]),
        seconds=meta["seconds"],
    )
    _check_draws(path, fit)
    return fit


def _bends(fit: Fit) -> str:
    """How the fit's law bends, for a reader to build the same model."""
    bend = fit.model.structure.bend
    if bend is None or not bend.one_scale:
        return BENDS
    return ONE_SCALE if bend.floor is not None or floor_of(fit.law) is None else WHOLE


def _weights_first(structure: Structure, tree: xr.DataTree) -> xr.DataTree:
    """Coordinates of a fit whose bends' weights stood behind the group effects."""
    if structure.bend is None:
        return tree
    stored = tree["coordinates"].to_dataset()
    for factor in structure.factors:
        for name, n in ((f"effects_{factor.name}", factor.weights), (f"log_sd_{factor.name}", 1)):
            if factor.weights and name in stored:
                moved = np.roll(stored[name].to_numpy(), n, axis=-1)
                stored[name] = (stored[name].dims, moved)
    tree = tree.copy()
    tree["coordinates"] = xr.DataTree(stored)
    return tree


def _check_draws(path: Path, fit: Fit) -> None:
    """Refuse draws that are not of this law, these groups and these rows."""
    structure, position = fit.model.structure, fit.position
    expected: list[tuple[int, ...]] = [(len(structure.free),)]
    for factor in structure.factors:
        expected += [
            (len(factor.levels), len(factor.varied)),
            (len(factor.learned_index),),
            (len(factor.pairs),),
        ]
    arrays = [position.population]
    for parts in zip(position.effects, position.log_sd, position.corr, strict=True):
        arrays += parts
    stats = fit.data["sample_stats"].dataset
    of_rows = fit.data["log_likelihood_rows"].dataset.sizes
    (rows,) = (size for name, size in of_rows.items() if name not in ("chain", "draw"))
    shape = (stats.sizes["chain"] * stats.sizes["draw"],)
    fits = all(
        values.size == 0 or values.shape == (*shape, *rest)
        for values, rest in zip(arrays, expected, strict=True)
    )
    wanted = {"diverging", "energy", "n_steps"}
    told = wanted <= set(stats) and all(stats[name].dtype.kind in "bif" for name in wanted)
    if not (fits and told and rows == len(fit.runs) and "posterior" in fit.data.children):
        raise BayescaleError(f"{path} is damaged: its draws are not of the law and rows it names")
    if not all(np.isfinite(values).all() for values in arrays):
        raise BayescaleError(f"{path} is damaged: some of its draws are not finite")
