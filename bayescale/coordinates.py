"""Between the sampler's unconstrained coordinates and parameters in the user's units.

Every function works on numpy and jax arrays alike (`xp`), with any leading shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayescale.law import Parameter
from bayescale.model import Structure, has_share

Array = Any


def share_line(
    parameter: Parameter, values: Mapping[str, Array], reference: Mapping, xp: Any
) -> tuple[Array, Array]:
    """Intercept and slope of log(contribution at the reference) in log(parameter)."""
    assert parameter.share is not None
    at = {**reference["columns"], **values}
    at_one = parameter.share({**at, parameter.name: 1.0}, xp)
    at_e = parameter.share({**at, parameter.name: np.e}, xp)
    intercept = xp.log(at_one)
    return intercept, xp.log(at_e) - intercept


def to_natural(structure: Structure, eta: Array, reference: Mapping, xp: Any) -> dict[str, Array]:
    """Parameters from coordinates.

    Parameters
    ----------
    eta : array, shape (..., P)
        Coordinates in the order of `structure.names`.
    reference : mapping
        From `model.reference_inputs`.

    Returns
    -------
    dict of arrays, shape (...)
        Every law and noise parameter, in the card's units.
    """
    values: dict[str, Array] = {}
    for i, p in enumerate(structure.parameters):
        if not has_share(p):
            values[p.name] = p.prior.from_real(eta[..., i], xp)
    for i, p in enumerate(structure.parameters):
        if has_share(p):
            log_share = log_ratio(p, eta[..., i], xp) + xp.log(reference[p.of])
            intercept, slope = share_line(p, values, reference, xp)
            values[p.name] = xp.exp((log_share - intercept) / slope)
    return {name: values[name] for name in structure.names}


def log_ratio(parameter: Parameter, coordinate: Array, xp: Any) -> Array:
    """Log of the contribution as a share of the reference loss."""
    if parameter.on == "share":
        return xp.log(parameter.prior.from_real(coordinate, xp))
    return coordinate


def from_natural(
    structure: Structure, values: Mapping[str, Array], reference: Mapping
) -> np.ndarray:
    """Inverse of `to_natural`, in numpy: coordinates of shape (..., P)."""
    columns = []
    for p in structure.parameters:
        value = np.asarray(values[p.name], float)
        if not has_share(p):
            columns.append(p.prior.to_real(value, np))
            continue
        assert p.share is not None
        share = p.share({**reference["columns"], **values}, np) / reference[p.of]
        columns.append(p.prior.to_real(share, np) if p.on == "share" else np.log(share))
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def log_prior_population(
    structure: Structure, eta: Array, values: Mapping[str, Array], reference: Mapping, xp: Any
) -> Array:
    """Log prior density of the population coordinates (with Jacobians), over free coordinates."""
    total = 0.0
    free = set(structure.free)
    for i, p in enumerate(structure.parameters):
        if i not in free:
            continue
        z = eta[..., i]
        if has_share(p) and p.on == "value":
            _, slope = share_line(p, values, reference, xp)
            total = total + p.prior.log_prob(values[p.name])
            total = total + xp.log(values[p.name]) - xp.log(xp.abs(slope))
        else:
            total = total + p.prior.log_prob(p.prior.from_real(z, xp)) + p.prior.log_jacobian(z, xp)
    return total
