"""Between the sampler's unconstrained coordinates and parameters in the user's units.

Every function works on numpy and jax arrays alike (`xp`), with any leading shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from bayescale.factors import log_factors
from bayescale.law import Parameter
from bayescale.model import Structure, has_share
from bayescale.places import parts, pick, spread
from bayescale.prior_table import PriorTable
from bayescale.priors import Prior

Array = Any


def share_line(
    parameter: Parameter, values: Mapping[str, Array], reference: Mapping, xp: Any
) -> tuple[Array, Array]:
    """Intercept and slope of log(contribution at the reference) in log(parameter)."""
    assert parameter.share is not None
    at = {**reference["columns"], **values}
    intercept = xp.log(parameter.share({**at, parameter.name: 1.0}, xp))
    slope = share_slope(parameter)
    if slope is None:
        slope = xp.log(parameter.share({**at, parameter.name: np.e}, xp)) - intercept
    return intercept, slope


@cache
def share_slope(parameter: Parameter) -> float | None:
    """The slope where it is the same whatever the other values, as in A / N**alpha; else None."""
    assert parameter.share is not None
    rng = np.random.default_rng(0)
    at = {name: rng.uniform(0.5, 3.0, 40) for name in parameter.share.names}
    with np.errstate(all="ignore"):
        steps = np.log(parameter.share({**at, parameter.name: np.e}))
        steps = np.ravel(steps - np.log(parameter.share({**at, parameter.name: 1.0})))
    slope = float(np.round(steps[0], 9))
    return slope if np.allclose(steps, slope, rtol=0, atol=1e-9) else None


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
    each = list(zip(structure.parameters, parts(eta, xp), strict=True))
    for p, coordinate in each:
        if not has_share(p):
            values[p.name] = p.prior.from_real(coordinate, xp)
    for p, coordinate in each:
        if has_share(p):
            log_share = log_ratio(p, coordinate, xp) + xp.log(reference[p.of])
            intercept, slope = share_line(p, values, reference, xp)
            values[p.name] = xp.exp((log_share - intercept) / slope)
    return {name: values[name] for name in structure.names}


def prior_argument(structure: Structure, eta: Array, values: Mapping, i: int, xp: Any) -> Array:
    """What the prior of the i-th parameter is of: its share of the loss, or its value."""
    parameter = structure.parameters[i]
    if has_share(parameter) and parameter.on == "share":
        return xp.exp(log_ratio(parameter, eta[..., i], xp))
    return values[parameter.name]


def log_ratio(parameter: Parameter, coordinate: Array, xp: Any) -> Array:
    """Log of the contribution as a share of the reference loss."""
    if parameter.on == "share" and parameter.prior.support != (0.0, np.inf):
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
    structure: Structure, population: Array, reference: Mapping, xp: Any
) -> Array:
    """Log prior density of the population's free coordinates, Jacobians included."""
    parameters = structure.parameters
    free = [parameters[i] for i in structure.free]
    by_value = [k for k, p in enumerate(free) if has_share(p) and p.on == "value"]
    own = tuple(k for k in range(len(free)) if k not in by_value)
    table = PriorTable.of([free[k].prior for k in own])
    total = table.log_density(pick(population, own), xp)
    if not by_value and not structure.law.beliefs:
        return total
    eta = spread(population, structure.free, structure.size) + structure.base
    values = to_natural(structure, eta, reference, xp)
    for k in by_value:
        p = free[k]
        assert isinstance(p, Parameter)
        _, slope = share_line(p, values, reference, xp)
        total = total + _value_log_density(p.prior, values[p.name], xp)
        total = total + xp.log(values[p.name]) - xp.log(xp.abs(slope))
    return total + log_factors(structure.law, values, xp)


def _value_log_density(prior: Prior, value: Array, xp: Any) -> Array:
    """Log density of a prior at a value that may lie outside its support."""
    low, high = prior.support
    inside = (value > low) & (value < high)
    z = prior.to_real(xp.where(inside, value, float(prior.quantile(0.5))), xp)
    density = PriorTable.of([prior]).log_density(z[..., None], xp) - prior.log_jacobian(z, xp)
    return xp.where(inside, density, -np.inf)
