"""Files that are whole or the old ones, never half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bayescale.errors import BayescaleError


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
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise BayescaleError(f"{path} can't be written: {error.strerror}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
