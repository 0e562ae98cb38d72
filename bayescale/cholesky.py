"""Inverse Cholesky factors of small matrices, quick to differentiate."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Array = Any

UNROLLED = 10


def inverse_cholesky(matrix: Array, xp: Any) -> Array:
    """Lower triangular W with ``W matrix W' = 1``, for one matrix or a batch."""
    if xp is np:
        return np.linalg.inv(np.linalg.cholesky(matrix))
    return _traced_inverse_cholesky()(matrix)


def _by_columns(matrix: Array) -> Array:
    """Inverse Cholesky factor of small matrices (n, n, batch), column by column over the batch.

    On a CPU a library call a matrix costs more than the arithmetic.
    """
    import jax.numpy as jnp

    size = matrix.shape[0]
    columns: list[Array] = []
    for j in range(size):
        column = matrix[j:, j]
        for k in range(j):
            column = column - columns[k][j - k :] * columns[k][j - k][None]
        columns.append(column / jnp.sqrt(column[0])[None])
    rows: list[Array] = []
    for i in range(size):
        row = jnp.broadcast_to(jnp.eye(size)[i][:, None], (size, matrix.shape[-1]))
        for k in range(i):
            row = row - columns[k][i - k][None] * rows[k]
        rows.append(row / columns[i][0][None])
    return jnp.stack(rows)


@cache
def _traced_inverse_cholesky() -> Any:
    """The same under JAX, its derivative written in matrix products alone.

    From ``dL = L P(L^-1 dK L^-T)``, with P the lower triangle and half the diagonal, follows
    ``dW = -P(W dK W') W``.
    """
    import jax
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    def lower_half(m: Array) -> Array:
        return jnp.tril(m, -1) + 0.5 * m * jnp.eye(m.shape[-1])

    @jax.custom_vjp
    def value(matrix: Array) -> Array:
        size = matrix.shape[-1]
        if size <= UNROLLED:
            batch = matrix.reshape(-1, size, size)
            return jnp.moveaxis(_by_columns(jnp.moveaxis(batch, 0, -1)), -1, 0).reshape(
                matrix.shape
            )
        lower = jnp.linalg.cholesky(matrix)
        return solve_triangular(lower, jnp.broadcast_to(jnp.eye(size), matrix.shape), lower=True)

    def forward(matrix: Array) -> tuple[Array, Array]:
        w = value(matrix)
        return w, w

    def backward(w: Array, cotangent: Array) -> tuple[Array]:
        inner = lower_half(cotangent @ jnp.swapaxes(w, -1, -2))
        inner = 0.5 * (inner + jnp.swapaxes(inner, -1, -2))
        return (-(jnp.swapaxes(w, -1, -2) @ inner @ w),)

    value.defvjp(forward, backward)
    return value
