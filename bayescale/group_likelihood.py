"""Each group's log likelihood in its own coordinates, with gradient and Hessian, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayescale.density import cell_log_likelihood
from bayescale.interruptions import stop_if_interrupted
from bayescale.kernels import compile_small
from bayescale.model import Model
from bayescale.precision import x64

DIFFERENCE = 1e-4

Terms = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]

_TERMS: dict[tuple, Callable] = {}


def group_terms(model: Model) -> Terms:
    """Value, gradient and Hessian of each group's log likelihood in its own coordinates.

    The Hessian is of central differences of the gradient, all in one call: quicker to compile than
    a second derivative, and exact enough for a search and for the geometry.
    """
    import jax
    import jax.numpy as jnp

    structure, inputs = model.structure, model.arrays.inputs()

    def total(eta: np.ndarray, inputs: dict) -> tuple:
        cells = cell_log_likelihood(structure, eta, inputs, jnp)
        by_group = jnp.sum(jnp.where(jnp.sum(inputs["mask"], -1) > 0, cells, 0.0), axis=-1)
        return jnp.sum(by_group), by_group

    def compiled(moved: np.ndarray) -> Any:
        key = (structure.key, moved.shape, inputs["mask"].shape)
        if key not in _TERMS:
            both = jax.value_and_grad(total, has_aux=True)
            _TERMS[key] = compile_small(
                lambda wrap: wrap(both), moved, inputs, kernels=structure.kernels, brief=True
            )
        return _TERMS[key](moved, inputs)

    steps = DIFFERENCE * np.eye(structure.size)
    moves = np.concatenate([np.zeros((1, structure.size)), steps, -steps])

    def call(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        stop_if_interrupted()
        moved = eta + moves.reshape(len(moves), *[1] * (eta.ndim - 1), structure.size)
        with x64():
            (_, value), gradient = compiled(moved)
            value, gradient = np.asarray(value), np.asarray(gradient)
        above, below = np.split(gradient[1:], 2)
        hessian = np.moveaxis(above - below, 0, -1) / (2.0 * DIFFERENCE)
        return value[0], gradient[0], 0.5 * (hessian + np.swapaxes(hessian, -1, -2))

    return call


def positive(precision: np.ndarray) -> np.ndarray:
    """Nearest use of an indefinite matrix as a precision: eigenvalues made non-negative."""
    values, vectors = np.linalg.eigh(np.nan_to_num(precision))
    return np.einsum("...ij,...j,...kj->...ik", vectors, np.abs(values), vectors)
