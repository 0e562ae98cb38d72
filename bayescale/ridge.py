"""Straight coordinates for a floor that trades against terms.

Runs tell the loss near the reference far better than how it divides between the floor and the
terms: ``E + A' + B'`` is tight while each share is loose, a curved surface in their logs. With the
total in the floor's place the surface is a plane. Where the terms do not simply add up, each counts
by how fast the loss rises with it at the posterior's mode. Coordinates of other parameters stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescale.coordinates import to_natural
from bayescale.model import Model, Structure, has_share, reference_inputs
from bayescale.places import pick, replace, spread

Array = Any

DERIVATIVE_STEP = 1e-4


def applies(structure: Structure) -> bool:
    """Whether floor and terms all have a population value, or each group all of its own."""
    if structure.trade is None:
        return False
    trading, free = {structure.trade[0], *structure.trade[1]}, set(structure.free)
    if trading & free or len(structure.factors) != 1:
        return trading <= free
    return trading <= set(structure.factors[0].varied)


def by_group(structure: Structure) -> bool:
    """Whether groups have straight coordinates of their own: one factor, all that trades varies."""
    if len(structure.factors) != 1 or structure.trade is None or not applies(structure):
        return len(structure.factors) <= 1
    return {structure.trade[0], *structure.trade[1]} <= set(structure.factors[0].varied)


def log_scale(model: Model, center: np.ndarray) -> np.ndarray:
    """Log of what each coordinate's share counts for in the total, shape (P,).

    That is the reference loss that the share is of, times the derivative of the loss at the
    reference by the contribution, at the coordinates `center`: 1 where contributions add up, as
    that of a floor that stands apart.
    """
    structure, reference = model.structure, model.arrays.reference
    scale = np.array(
        [np.log(reference.loss(p.of)) if has_share(p) else 0.0 for p in structure.parameters]
    )
    if structure.trade is None:
        return scale
    floor, terms = structure.trade
    for term in terms if structure.floor_apart else (floor, *terms):
        step = DERIVATIVE_STEP * np.eye(structure.size)[term]
        above, below = (_loss_at_reference(model, at) for at in (center + step, center - step))
        with np.errstate(all="ignore"):
            weight = np.log((above - below) / (2.0 * DERIVATIVE_STEP)) - center[term] - scale[term]
        scale[term] += weight if np.isfinite(weight) else 0.0
    return scale


def _loss_at_reference(model: Model, eta: np.ndarray) -> float:
    law, reference = model.structure.law, model.arrays.reference
    values = to_natural(model.structure, eta, reference_inputs(reference), np)
    columns = {v.column: reference.columns[v.name] for v in law.variables.values()}
    with np.errstate(all="ignore"):
        return float(law.mean({p: values[p] for p in law.parameters}, columns, np))


def _places(
    structure: Structure, varied: tuple[int, ...] | None
) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Where among `varied` coordinates the floor stands, and masks of the terms and of both."""
    if structure.trade is None or not applies(structure):
        return None
    floor, terms = structure.trade
    index = tuple(range(structure.size)) if varied is None else varied
    if floor not in index:
        return None
    is_term = np.isin(index, terms)
    place = index.index(floor)
    return place, is_term, is_term | (np.arange(len(index)) == place)


def _scales(scale: Array, varied: tuple[int, ...] | None) -> Array:
    return scale if varied is None else pick(scale, varied)


def straighten(
    structure: Structure, eta: Array, scale: Array, xp: Any, varied: tuple[int, ...] | None = None
) -> Array:
    """Replace the floor's coordinate by the log loss at the reference; shape (..., coordinates)."""
    places = _places(structure, varied)
    if places is None:
        return eta
    floor, _, both = places
    parts = xp.exp(xp.where(both, eta + _scales(scale, varied), -np.inf))
    return replace(eta, floor, xp.log(xp.sum(parts, axis=-1)), xp)


def bend(
    structure: Structure,
    straight: Array,
    scale: Array,
    xp: Any,
    varied: tuple[int, ...] | None = None,
) -> tuple[Array, Array]:
    """Undo `straighten`; also log |d eta / d straight|, minus infinity where no floor is left."""
    places = _places(structure, varied)
    if places is None:
        return straight, xp.zeros(straight.shape[:-1])
    floor, is_term, _ = places
    scale = _scales(scale, varied)
    log_total = straight[..., floor]
    total = xp.exp(log_total)
    left = total - xp.sum(is_term * xp.exp(xp.where(is_term, straight + scale, 0.0)), axis=-1)
    possible = left > 1e-12 * total
    log_left = xp.log(xp.where(possible, left, 1e-12 * total))
    log_jacobian = xp.where(possible, log_total - log_left, -xp.inf)
    return replace(straight, floor, log_left - scale[..., floor], xp), log_jacobian


def inverse_derivative(
    structure: Structure, eta: Array, scale: Array, xp: Any, varied: tuple[int, ...] | None = None
) -> Array:
    """Derivative (..., n, n) of coordinates by straightened ones at `eta` (..., n)."""
    size = eta.shape[-1]
    identity = np.eye(size)
    places = _places(structure, varied)
    if places is None:
        return xp.broadcast_to(identity, (*eta.shape, size))
    floor, is_term, both = places
    parts = both * xp.exp(xp.where(both, eta + _scales(scale, varied), 0.0))
    left = parts[..., floor]
    row = -(is_term * parts) / left[..., None]
    row = replace(row, floor, xp.sum(parts, axis=-1) / left, xp)
    return xp.where((np.arange(size) == floor)[:, None], row[..., None, :], identity)


def off_floor(structure: Structure, difference: np.ndarray, varied: tuple[int, ...]) -> np.ndarray:
    """Differences of coordinates (..., P) between groups with the floor's own left out."""
    if _places(structure, varied) is None or structure.trade is None:
        return np.zeros_like(difference)
    return np.where(np.arange(structure.size) == structure.trade[0], 0.0, difference)


def on_floor(
    structure: Structure, eta: Array, other: Array, xp: Any, varied: tuple[int, ...]
) -> Array:
    """Coordinates `eta` with the floor's taken from `other`."""
    places = _places(structure, varied)
    return eta if places is None else replace(eta, places[0], other[..., places[0]], xp)


def _floor_varies(structure: Structure, f: int) -> bool:
    return (
        applies(structure)
        and structure.trade is not None
        and structure.trade[0] in structure.factors[f].varied
    )


def effect_tangent(structure: Structure, center: np.ndarray, scale: np.ndarray, f: int) -> Array:
    """Derivative of one of crossed factors' effects by straight ones, where they are zero."""
    varied = list(structure.factors[f].varied)
    if not _floor_varies(structure, f):
        return np.eye(len(varied))
    return inverse_derivative(structure, center, scale, np)[np.ix_(varied, varied)]


def straighten_effects(
    structure: Structure, effects: Array, center: Array, scale: Array, xp: Any, f: int
) -> Array:
    """Effects (..., levels, varied) in straight coordinates about `center` (..., P).

    A level's floor is replaced by what it does to the total, the other factor's effects left out.
    """
    if not _floor_varies(structure, f):
        return effects
    varied, center = structure.factors[f].varied, center[..., None, :]
    moved = straighten(structure, center + spread(effects, varied, structure.size), scale, xp)
    return pick(moved - straighten(structure, center, scale, xp), varied)


def bend_effects(
    structure: Structure, straight: Array, center: Array, scale: Array, xp: Any, f: int
) -> tuple[Array, Array]:
    """Undo `straighten_effects`; also the log Jacobian, summed over levels."""
    if not _floor_varies(structure, f):
        return straight, xp.zeros(straight.shape[:-2])
    varied, center = structure.factors[f].varied, center[..., None, :]
    moved = straighten(structure, center, scale, xp)
    moved = moved + spread(straight, varied, structure.size)
    bent, log_jacobian = bend(structure, moved, scale, xp)
    return pick(bent - center, varied), xp.sum(log_jacobian, axis=-1)
