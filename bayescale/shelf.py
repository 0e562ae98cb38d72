"""Finished problems of `fit_many` on disk: a file each, written whole, nothing pickled."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bayescale.density import Position
from bayescale.errors import BayescaleError
from bayescale.files import write_whole
from bayescale.quick_convergence import Convergence
from bayescale.sampling import Sampled, Settings

FORMAT = 1
_STATS = ("log_prior", "log_likelihood", "diverging", "energy", "n_steps", "step_size")
_PARTS = ("effects", "log_sd", "corr")


@dataclass(frozen=True)
class Drawn:
    """What the chains of one problem drew, and how."""

    position: Position
    sampled: Sampled
    convergence: Convergence
    settings: Settings
    mode_notes: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


class Shelf:
    """Files of finished problems in a folder, or nothing where there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BayescaleError(
                f"{folder} can't hold finished problems ({error.strerror}); name a folder that can"
                f" be written"
            ) from None

    def put(self, name: str, drawn: Drawn) -> None:
        """Write one problem, whole or not at all."""
        if self._folder is None:
            return
        arrays = {"population": drawn.position.population}
        for part in _PARTS:
            for k, values in enumerate(getattr(drawn.position, part)):
                arrays[f"{part}{k}"] = values
        arrays |= {stat: getattr(drawn.sampled, stat) for stat in _STATS}
        about = {
            "format": FORMAT,
            "factors": len(drawn.position.effects),
            "seconds": drawn.sampled.sampling_seconds,
            "convergence": list(drawn.convergence),
            "settings": asdict(drawn.settings),
            "mode_notes": list(drawn.mode_notes),
            "again": list(drawn.again),
        }
        content = io.BytesIO()
        np.savez(content, about=np.array(json.dumps(about)), **arrays)
        write_whole(self._folder / f"{name}.npz", content.getvalue())

    def find(self, name: str) -> Drawn | None:
        """A problem finished earlier; None where it is not here or its file is damaged."""
        if self._folder is None:
            return None
        try:
            with (
                open(self._folder / f"{name}.npz", "rb") as stream,  # closed though it be damaged
                np.load(stream, allow_pickle=False) as file,
            ):
                arrays = {key: file[key] for key in file.files}
            return _drawn(arrays)
        except Exception:  # a damaged file makes zipfile and numpy raise errors of many kinds
            return None


def _drawn(arrays: Mapping[str, np.ndarray]) -> Drawn | None:
    about = json.loads(str(arrays["about"]))
    if about.get("format") != FORMAT:
        return None
    parts = (tuple(arrays[f"{part}{k}"] for k in range(about["factors"])) for part in _PARTS)
    return Drawn(
        position=Position(arrays["population"], *parts),
        sampled=Sampled(
            flat=np.zeros((*arrays["energy"].shape, 0)),
            **{stat: arrays[stat] for stat in _STATS},
            compile_seconds=0.0,
            sampling_seconds=about["seconds"],
            sampling_cpu_seconds=np.nan,
        ),
        convergence=Convergence(*about["convergence"]),
        settings=Settings(**about["settings"]),
        mode_notes=tuple(about["mode_notes"]),
        again=tuple(about["again"]),
    )
