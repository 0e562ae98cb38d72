"""Reading and writing fixed places of an array's last axis, for numpy and jax arrays alike.

By products with constant matrices and by masks: indexed writes are slow in compiled loops, and so
are the derivatives of indexed reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def spread(values: Array, index: tuple[int, ...], size: int) -> Array:
    """Put values (..., k) at fixed places of an axis of length `size`, zero elsewhere."""
    if index == tuple(range(size)):
        return values
    return values @ np.eye(size)[list(index)]


def pick(values: Array, index: tuple[int, ...]) -> Array:
    """Undo `spread`: the values at fixed places of the last axis."""
    if index == tuple(range(values.shape[-1])):
        return values
    return values @ np.eye(values.shape[-1])[:, list(index)]


def parts(values: Array, xp: Any) -> list[Array]:
    """The values (...) at every place of the last axis; their derivatives are put together once."""
    if xp is np:
        return list(np.moveaxis(values, -1, 0))
    from jax import lax

    ones = (1,) * values.shape[-1]
    return [part[..., 0] for part in lax.split(values, ones, axis=values.ndim - 1)]


def replace(values: Array, place: int, new: Array, xp: Any) -> Array:
    """Values (..., size) with `new` (...) at one place."""
    return xp.where(np.arange(values.shape[-1]) == place, new[..., None], values)


def diagonal(matrix: Array, xp: Any) -> Array:
    """The diagonals (..., size) of square matrices."""
    return xp.sum(matrix * np.eye(matrix.shape[-1]), axis=-1)
