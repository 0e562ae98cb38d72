"""Settings of the whole process, made only when somebody asks for them."""

from __future__ import annotations

import os
from pathlib import Path

from bayescale.errors import BayescaleError


def configure(
    cache_dir: str | os.PathLike[str] | None = None,
    devices: int | None = None,
    x64: bool | None = None,
) -> None:
    """Set JAX's options for this whole process; what is left at None stays as it is.

    Nothing in bayescale needs this: it is for programs that own their process, such as the
    command line. Fits compute in float64 whatever `x64` says here.

    Parameters
    ----------
    cache_dir
        Folder where compiled programs are kept, so that the next process with an equal fit
        need not compile it again. Made if it is missing.
    devices
        Number of devices that JAX shows on this machine's processor, at least 1. JAX reads
        it once, when it first computes something, so ask for it before that.
    x64
        Whether JAX computes in float64 throughout, your own code included.

    Raises
    ------
    BayescaleError
        If `devices` is below 1, or comes after JAX has started.
    OSError
        If `cache_dir` can't be made or written.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.configure(devices=0)
    Traceback (most recent call last):
    ...
    bayescale.errors.BayescaleError: devices is 0: give a whole number of at least 1
    """
    if devices is not None and devices < 1:
        raise BayescaleError(f"devices is {devices}: give a whole number of at least 1")
    import jax

    if devices is not None:
        try:
            jax.config.update("jax_num_cpu_devices", devices)
        except RuntimeError as error:
            raise BayescaleError(
                "JAX has already started in this process, so the number of devices is settled: "
                "call bayescale.configure(devices=...) before anything else computes"
            ) from error
    if cache_dir is not None:
        jax.config.update("jax_compilation_cache_dir", str(_writable(Path(cache_dir))))
    if x64 is not None:
        jax.config.update("jax_enable_x64", x64)


def _writable(folder: Path) -> Path:
    folder = folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: compiled programs can't be kept in an unwritable folder")
    return folder
