"""Inverse Cholesky factors of small matrices, quick to differentiate."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Array = Any

ELIMINATED = 10


def inverse_cholesky(matrix: Array, xp: Any) -> Array:
    """Lower triangular W with ``W matrix W' = 1``, for one matrix or a batch."""
    if xp is np:
        return np.linalg.inv(np.linalg.cholesky(matrix))
    return _traced_inverse_cholesky()(matrix)


def _eliminate(matrix: Array) -> Array:
    """Inverse factor of small matrices by elimination, a row at a time over the whole batch.

    On a CPU a library call a matrix costs more than the arithmetic.
    """
    import jax.numpy as jnp

    size = matrix.shape[-1]
    left, inverse = matrix, jnp.broadcast_to(jnp.eye(size), matrix.shape)
    for j in range(size - 1):
        below = (np.arange(size) > j)[:, None]
        factor = jnp.where(below, left[..., :, j : j + 1] / left[..., j : j + 1, j : j + 1], 0.0)
        left = left - factor * left[..., j : j + 1, :]
        inverse = inverse - factor * inverse[..., j : j + 1, :]
    return inverse / jnp.sqrt(jnp.diagonal(left, axis1=-2, axis2=-1))[..., :, None]


@cache
def _traced_inverse_cholesky() -> Any:
    """The same under JAX, its derivative written in matrix products alone.

    From ``dL = L P(L^-1 dK L^-T)``, with P the lower triangle and half the diagonal, follows
    ``dW = -P(W dK W') W``.
    """
    import jax
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    @jax.custom_vjp
    def value(matrix: Array) -> Array:
        if matrix.shape[-1] <= ELIMINATED:
            return _eliminate(matrix)
        lower = jnp.linalg.cholesky(matrix)
        identity = jnp.broadcast_to(jnp.eye(matrix.shape[-1]), matrix.shape)
        return solve_triangular(lower, identity, lower=True)

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
