"""Saved fits and finished problems: flipped and cut bytes, and false contents behind true seals."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_parts.guard import Wrong
from fuzz_parts.mutate import HOSTILE, changed_bytes, changed_text

_SEAL = 83  # bytes of the seal
SAVED = Path(__file__).resolve().parents[2] / "saved"


@cache
def originals() -> tuple[Path, ...]:
    return tuple(p for p in sorted(SAVED.glob("*.nc")) if "unsealed" not in p.name)


def prepared() -> None:
    """Make what cases share before any is watched; matplotlib looks for fonts once."""
    from matplotlib import font_manager

    font_manager.findfont("DejaVu Sans")
    _problem()
    for path in originals():
        _loaded(path)


@cache
def _loaded(path: Path) -> Any:
    from bayescale.storage import load

    return load(path)


def damaged(rng: random.Random, folder: Path) -> str:
    """Bytes changed under the seal: refused, or the very same fit."""
    from bayescale.storage import load

    source = rng.choice(originals())
    content = source.read_bytes()
    changed = changed_bytes(rng, content, rng.choice((1, 1, 1, 3)))
    path = folder / "fit.nc"
    path.write_bytes(changed)
    again = load(path)  # a BayescaleError, nearly always
    if not again.data.identical(_loaded(source).data):
        raise Wrong(f"{source.name} opens with other contents")
    return "answered"


_VALUES = (None, 0, -1, 1.5, "", "x", [], {}, True, [[1]], {"a": None}, 10**30, *HOSTILE)


def forged(rng: random.Random, folder: Path) -> str:
    """Contents changed and sealed anew, as somebody would who means harm."""
    import h5py

    from bayescale.diagnostics import diagnose
    from bayescale.files import sealed
    from bayescale.prediction import predict
    from bayescale.storage import load

    source = rng.choice(originals())
    path = folder / "fit.nc"
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice((1, 1, 2))):
            (_change_meta if rng.random() < 0.6 else _change_arrays)(rng, file)
    path.write_bytes(sealed(path.read_bytes()[:-_SEAL]))
    fit = load(path)
    diagnose(fit)
    at = {name: 1e9 for name in ("N", "D", "C")}
    at |= {name: levels[0] for name, levels in fit.groups.items()}
    row = predict(fit, at).table.iloc[0]
    if not row["lower_95"] <= row["median"] <= row["upper_95"]:
        raise Wrong(f"answers {row['lower_95']}, {row['median']}, {row['upper_95']}")
    return "answered"


def _change_meta(rng: random.Random, file: Any) -> None:
    text = file.attrs["bayescale"]
    if rng.random() < 0.3:
        file.attrs["bayescale"] = changed_text(rng, text).replace("\x00", "")
        return
    try:
        meta = json.loads(text)
    except ValueError:  # changed once before
        return
    key = rng.choice(list(meta))
    if key == "table" and rng.random() < 0.8:
        import hashlib

        table = json.loads(meta["table"])
        part = rng.choice(list(table))
        inner = table[part]
        if rng.random() < 0.5 and inner:
            at = rng.choice(list(inner)) if isinstance(inner, dict) else rng.randrange(len(inner))
            inner[at] = rng.choice(_VALUES)
        else:
            table[part] = rng.choice(_VALUES)
        meta["table"] = json.dumps(table)
        meta["table_sha256"] = hashlib.sha256(meta["table"].encode()).hexdigest()
    elif key == "law" and rng.random() < 0.8:
        meta["law"] = changed_text(rng, meta["law"])
    elif rng.random() < 0.2:
        del meta[key]
    elif isinstance(meta[key], dict) and meta[key] and rng.random() < 0.7:
        meta[key][rng.choice(list(meta[key]))] = rng.choice(_VALUES)
    else:
        meta[key] = rng.choice(_VALUES)
    file.attrs["bayescale"] = json.dumps(meta)


def _change_arrays(rng: random.Random, file: Any) -> None:
    import h5py

    names: list[str] = []
    file.visit(names.append)
    name = rng.choice(names)
    item = file[name]
    if rng.random() < 0.3 or isinstance(item, h5py.Group):
        del file[name]
        return
    values = item[()]
    if isinstance(values, np.ndarray) and values.dtype.kind == "f" and values.size:
        flat = values.reshape(-1)
        flat[rng.randrange(flat.size)] = rng.choice((np.nan, np.inf, -1e308, 0.0))
        item[...] = values
        return
    attributes = dict(item.attrs)
    del file[name]
    shape = rng.choice(((3,), (2, 2), (0,)))
    file[name] = rng.choice((np.zeros(shape), np.ones(shape, int), np.full(shape, b"x")))
    for key, value in attributes.items():
        if rng.random() < 0.7 and key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS"):
            file[name].attrs[key] = value


@cache
def _problem() -> bytes:
    """A finished problem as `fit_many` stores it."""
    import tempfile

    from bayescale.shelf import Shelf

    with tempfile.TemporaryDirectory() as name:
        Shelf(Path(name)).put("problem", _drawn())
        return (Path(name) / "problem.npz").read_bytes()


@cache
def _drawn() -> Any:
    from bayescale.density import Position
    from bayescale.quick_convergence import Convergence
    from bayescale.sampling import Sampled, Settings
    from bayescale.shelf import Drawn

    rng = np.random.default_rng(0)
    stats = {k: rng.standard_normal((2, 5)) for k in ("log_prior", "log_likelihood", "energy")}
    stats |= {"diverging": np.zeros((2, 5), bool), "n_steps": np.full((2, 5), 7)}
    return Drawn(
        Position(
            rng.standard_normal((10, 4)),
            (rng.standard_normal((10, 2, 3)),),
            (np.zeros((10, 1)),),
            (np.zeros((10, 0)),),
        ),
        Sampled(
            np.zeros((2, 5, 0)),
            step_size=np.ones(2),
            compile_seconds=0.0,
            sampling_seconds=1.0,
            sampling_cpu_seconds=1.0,
            **stats,
        ),
        Convergence(*[1.0] * len(Convergence._fields)),
        Settings(5, 5, 2),
    )


def stored(rng: random.Random, folder: Path) -> str:
    """A damaged file of the store is as good as none, or holds what was put there."""
    from bayescale.shelf import Shelf

    path = folder / "problem.npz"
    path.write_bytes(changed_bytes(rng, _problem(), rng.choice((1, 1, 3))))
    found = Shelf(folder).find("problem")
    if found is None:
        return "refused"
    expected = _drawn()
    same = np.array_equal(found.position.population, expected.position.population)
    same &= np.array_equal(found.position.effects[0], expected.position.effects[0])
    same &= np.array_equal(found.sampled.energy, expected.sampled.energy)
    if not same or found.settings != expected.settings:
        raise Wrong("a damaged problem is taken for a good one")
    return "answered"
