"""Files that are whole or the old ones, never half of one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from bayescale.errors import BayescaleError

_UNFINISHED: set[str] = set()  # files that this process is writing now


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file beside its place, then put it there in one step.

    Raises
    ------
    BayescaleError
        Where the folder can't be written; the old file is untouched.
    """
    try:
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
    except OSError as error:
        raise BayescaleError(f"{path} can't be written: {error.strerror}") from None
    _UNFINISHED.add(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise BayescaleError(f"{path} can't be written: {error.strerror}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
        _UNFINISHED.discard(temporary)
    return path


def discard_unfinished() -> None:
    """Remove what is half written, where the process must end in the middle of it."""
    for temporary in tuple(_UNFINISHED):
        Path(temporary).unlink(missing_ok=True)


_MARK = b"\nbayescale sha256 "
_SEAL = len(_MARK) + 64 + 1


def sealed(content: bytes) -> bytes:
    """Contents of a file with their SHA-256 at the end; HDF5 reads nothing behind its own end."""
    return content + _MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"


def seal_holds(path: Path) -> bool | None:
    """Whether a file is what it was when it was sealed; None where it has no seal."""
    told = hashlib.sha256()
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size - _SEAL
        while left > 0 and (piece := file.read(min(left, 2**20))):
            told.update(piece)
            left -= len(piece)
        end = file.read()
    if len(end) != _SEAL or not end.startswith(_MARK):
        return None
    return told.hexdigest().encode() == end[len(_MARK) : -1]
