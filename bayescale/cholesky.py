"""Inverse Cholesky factors of small matrices, quick to differentiate."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bayescale.places import diagonal

Array = Any

UNROLLED = 4


def inverse_cholesky(matrix: Array, xp: Any) -> Array:
    """Lower triangular W with ``W matrix W' = 1``, for one matrix or a batch.

    NaN for a matrix that rounding has left without one, so that its density is no number either.
    """
    if xp is np:
        return _inverse_in_numpy(matrix)
    return _traced_inverse_cholesky()(matrix)


def _inverse_in_numpy(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        if matrix.ndim == 2:
            return np.full_like(matrix, np.nan)
        parts = [_inverse_in_numpy(part) for part in matrix.reshape(-1, *matrix.shape[-2:])]
        return np.stack(parts).reshape(matrix.shape)


def _eliminate(matrix: Array) -> Array:
    """Inverse factor by elimination, a column at a time over the whole batch.

    On a CPU a library call a matrix costs more than the arithmetic, can't be part of a kernel, and
    where two threads run programs with such calls, XLA 0.10 may wait for ever. Matrices larger than
    `UNROLLED` are halved: with blocks A, B below it and C, W has W_A, W_S of C - B A^-1 B' and
    -W_S B A^-1 below.
    """
    import jax
    import jax.numpy as jnp

    size = matrix.shape[-1]
    if size > UNROLLED:
        half = size // 2
        first, below = matrix[..., :half, :half], matrix[..., half:, :half]
        upper = _eliminate(first)
        across = below @ jnp.swapaxes(upper, -1, -2)
        lower = _eliminate(matrix[..., half:, half:] - across @ jnp.swapaxes(across, -1, -2))
        corner = -(lower @ (across @ upper))
        above = jnp.zeros((*matrix.shape[:-2], half, size - half))
        return jnp.block([[upper, above], [corner, lower]])

    def remove(j: Any, at: tuple[Array, Array]) -> tuple[Array, Array]:
        left, inverse = at
        pivot = jax.lax.dynamic_slice_in_dim(left, j, 1, axis=-2)
        done = jax.lax.dynamic_slice_in_dim(inverse, j, 1, axis=-2)
        factor = jax.lax.dynamic_slice_in_dim(left, j, 1, axis=-1)
        factor = factor / jax.lax.dynamic_slice_in_dim(pivot, j, 1, axis=-1)
        factor = jnp.where(np.arange(size)[:, None] > j, factor, 0.0)
        return left - factor * pivot, inverse - factor * done

    at = matrix, jnp.broadcast_to(jnp.eye(size), matrix.shape)
    for j in range(size - 1):
        at = remove(j, at)
    left, inverse = at
    return inverse / jnp.sqrt(diagonal(left, jnp))[..., :, None]


@cache
def _traced_inverse_cholesky() -> Any:
    """The same under JAX, its derivative written in matrix products alone.

    From ``dL = L P(L^-1 dK L^-T)``, with P the lower triangle and half the diagonal, follows
    ``dW = -P(W dK W') W``.
    """
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def value(matrix: Array) -> Array:
        return _eliminate(matrix)

    def forward(matrix: Array) -> tuple[Array, Array]:
        w = value(matrix)
        return w, w

    def backward(w: Array, cotangent: Array) -> tuple[Array]:
        half = np.tril(np.ones(w.shape[-2:])) - 0.5 * np.eye(w.shape[-1])
        inner = half * (cotangent @ jnp.swapaxes(w, -1, -2))
        inner = 0.5 * (inner + jnp.swapaxes(inner, -1, -2))
        return (-(jnp.swapaxes(w, -1, -2) @ inner @ w),)

    value.defvjp(forward, backward)
    return value
