"""Double precision around our own computations, and around nothing else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def x64() -> Generator[None]:
    """Compute in float64 inside this block, leaving the user's JAX settings as they were.

    JAX holds this switch for each thread apart, so a worker thread has to enter the block
    itself: one that merely starts from inside a block computes in float32, in silence.
    The result also decorates a function, which then enters the block at each call, in
    whatever thread that is.

    Notes
    -----
    Let numpy arrays, not JAX arrays, leave the block: a float64 JAX array that meets a
    user's float32 code changes what that code computes.

    Examples
    --------
    >>> from bayescale.precision import x64
    >>> import jax.numpy as jnp
    >>> with x64():
    ...     print(jnp.ones(2).dtype)
    float64
    >>> @x64()
    ... def total(values):
    ...     return float(jnp.sum(jnp.asarray(values)))
    >>> total([1.0, 1e-12]) > 1.0
    True
    """
    import jax  # here, so that importing bayescale does not load JAX

    with jax.enable_x64(True):
        yield
