"""The log prior as NumPyro's own distributions and transforms give it.

It shares with `density.log_prior` the card's priors as they were read, and where the coordinates
stand; densities, Jacobians, group effects and correlations are NumPyro's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from bayescale.density import Position
from bayescale.model import Model
from bayescale.numpyro_model import numpyro_model
from bayescale.precision import x64
from tests.numpyro_sites import log_jacobian, sites

EXACT = 1e-6


def log_prior(model: Model, position: Position) -> np.ndarray:
    """Log prior density (draw,) of the coordinates at positions (draw,)."""
    import jax
    from numpyro.infer.util import potential_energy

    without_runs = replace(model, arrays=replace(model.arrays, mask=0.0 * model.arrays.mask))
    with x64():
        potential = partial(potential_energy, numpyro_model(without_runs), (), {})
        found = np.asarray(jax.jit(jax.vmap(potential))(sites(model, position)))
    return log_jacobian(model) - found
