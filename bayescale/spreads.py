"""Coordinates of group sds in which their posterior is nearly a standard normal.

A group sd that the data leave near zero has a long left tail in its log, which is what chains mix
worst in. Its coordinate ``z`` is such that ``sd = size * (u Phi(u) + phi(u))`` with
``u = middle + z``: a straight line where the sd stands clear of zero, and as flat towards zero as
a normal tail is thin. Middle and size come from the sd's own marginal at the mode: every group's
estimate scatters about the population by the sd and by its own error.

Where groups are few the log itself stays the coordinate: an sd is then often near zero, where the
groups' own coordinates are at their worst, and no tail is thin enough to keep chains from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erfc

from bayescale.density import Position, group_sds
from bayescale.model import Factor, Model, Structure
from bayescale.prior_table import PriorTable

Array = Any

FEW_GROUPS = 8
LOWEST = -30.0  # of u; the sd is then zero for all purposes
FLATTEST = -4.0  # of the middle
GRID = 240
LOG_JITTER = 0.15
_ROOT_2PI = np.sqrt(2.0 * np.pi)


def _mass_and_ramp(u: Array, xp: Any) -> tuple[Array, Array]:
    """Phi(u), and u Phi(u) + phi(u)."""
    if xp is not np:
        from jax.scipy.special import erfc as tail
    else:
        tail = erfc
    mass = 0.5 * tail(-u / np.sqrt(2.0))
    return mass, u * mass + xp.exp(-0.5 * u**2) / _ROOT_2PI


def _placed(factor: Factor) -> np.ndarray:
    """Which of the learned sds have a coordinate of their own; the others' is their log."""
    many = len(factor.levels) > FEW_GROUPS
    return np.array([many and len(factor.members(k)) == 1 for k in factor.learned_index], bool)


def log_sds(
    structure: Structure, hyper: tuple[Array, ...], quadratic: dict, xp: Any
) -> tuple[tuple[Array, ...], Array]:
    """Log sds of every factor at their coordinates, and the log Jacobian."""
    found, log_jacobian = list(hyper), 0.0
    for f, factor in enumerate(structure.factors if "spreads" in quadratic else ()):
        placed = _placed(factor)
        if placed.any():
            found[f], extra = log_sd_at(hyper[f], quadratic["spreads"][f], xp, placed)
            log_jacobian = log_jacobian + extra
    return tuple(found), log_jacobian


def coordinates(
    structure: Structure, log_sd: tuple[np.ndarray, ...], quadratic: dict
) -> tuple[np.ndarray, ...]:
    """Undo `log_sds`."""
    found = list(log_sd)
    for f, factor in enumerate(structure.factors if "spreads" in quadratic else ()):
        placed = _placed(factor)
        if placed.any():
            own = coordinate(log_sd[f], quadratic["spreads"][f])
            found[f] = np.where(placed, own, log_sd[f])
    return tuple(found)


def jitter(structure: Structure) -> np.ndarray:
    """How far a start's group sds are moved, for each factor's in order."""
    sizes = [np.where(_placed(f), 1.0, LOG_JITTER) for f in structure.factors]
    return np.concatenate([np.zeros(0), *sizes])


def log_sd_at(
    z: Array, spread: Array, xp: Any, placed: np.ndarray | None = None
) -> tuple[Array, Array]:
    """Log sds (..., learned) at their coordinates, and the log Jacobian (...).

    Parameters
    ----------
    spread : array, shape (2, learned)
        Middle, and log of the size.
    placed : array of bool, shape (learned,), optional
        The others' coordinates are the logs themselves.
    """
    mass, ramp = _mass_and_ramp(xp.maximum(z + spread[0], LOWEST), xp)
    log_ramp = xp.log(ramp)
    found, slope = log_ramp + spread[1], xp.log(mass) - log_ramp
    if placed is not None and not placed.all():
        found, slope = xp.where(placed, found, z), xp.where(placed, slope, 0.0)
    return found, xp.sum(slope, axis=-1)


def coordinate(log_sd: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Undo `log_sd_at`, by bisection."""
    wanted = np.exp(log_sd - spread[1])
    return _inverse_ramp(wanted) - spread[0]


def _inverse_ramp(wanted: np.ndarray) -> np.ndarray:
    low, high = np.full_like(wanted, LOWEST), np.maximum(wanted, 1.0)
    for _ in range(100):
        middle = 0.5 * (low + high)
        above = _mass_and_ramp(middle, np)[1] > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)


def unknown(model: Model) -> tuple[np.ndarray, ...]:
    """Spreads of the right shapes."""
    return tuple(np.zeros((2, len(f.learned_index))) for f in model.structure.factors)


def learn(
    model: Model, precision: np.ndarray, gradient: np.ndarray, position: Position
) -> tuple[np.ndarray, ...]:
    """Middle and log size of every learned group sd of each factor, (2, learned).

    `precision` (G, P, P) and `gradient` (G, P) are the log likelihood's at `position`.
    """
    found = []
    for f, factor in enumerate(model.structure.factors):
        placed = _placed(factor)
        if not placed.any():
            found.append(np.zeros((2, len(factor.learned_index))))
            continue
        n_levels, varied = len(factor.levels), list(factor.varied)
        known = np.zeros((n_levels, len(varied), len(varied)))
        linear = np.zeros((n_levels, len(varied)))
        np.add.at(known, model.arrays.levels[f], precision[:, varied][:, :, varied])
        np.add.at(linear, model.arrays.levels[f], gradient[:, varied])
        linear = linear + np.einsum("lvw,lw->lv", known, position.effects[f])
        sds = group_sds(factor, position.log_sd[f], np)
        columns = []
        for own, k in zip(placed, factor.learned_index, strict=True):
            if not own:
                columns.append((0.0, 0.0))
                continue
            prior = model.structure.parameters[factor.varied[k]].group_sd
            others = np.where(np.arange(len(varied)) == k, 0.0, sds**-2.0)
            columns.append(_marginal(known, linear, others, k, PriorTable.of([prior]), sds[k]))
        found.append(np.array(columns).reshape(-1, 2).T)
    return tuple(found)


def _marginal(
    known: np.ndarray,
    linear: np.ndarray,
    others: np.ndarray,
    k: int,
    prior: PriorTable,
    sd: float,
) -> tuple[float, float]:
    """Middle and log size of one sd, from every level's estimate apart from that sd."""
    size = 1e-9 * (np.trace(known, axis1=-2, axis2=-1).max() + 1.0)
    inverse = np.linalg.inv(known + np.diag(others) + size * np.eye(len(others)))
    error, estimate = inverse[:, k, k], np.einsum("lw,lw->l", inverse[:, k], linear)
    log_sd = np.log(sd) + np.linspace(-7.0, 4.0, GRID)
    variance = np.exp(2.0 * log_sd)[:, None] + np.maximum(error, 0.0)
    log_density = prior.log_density(log_sd[:, None], np)
    log_density = log_density - 0.5 * np.sum(np.log(variance) + estimate**2 / variance, axis=-1)
    weight = np.exp(log_density - np.max(log_density))
    share = np.cumsum(weight) / np.sum(weight)
    low, high = np.exp(np.interp([0.1587, 0.8413], share, log_sd))
    middles = np.linspace(FLATTEST, 30.0, 2000)
    ratio = _mass_and_ramp(middles - 1.0, np)[1] / _mass_and_ramp(middles + 1.0, np)[1]
    middle = float(np.interp(low / high, ratio, middles))
    return middle, float(np.log(high / _mass_and_ramp(np.array(middle + 1.0), np)[1]))
