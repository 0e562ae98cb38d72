"""Neighbouring cells taken together, where a group has many, for the settling of a bend's weights.

What a bend must make up for changes slowly along the law's variables, so that a few dozen cells
tell the weights as much as hundreds do, at a fraction of the cost of every gradient. The map from
the sampler's coordinates stays exact, whatever is taken together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayescale.density import straight_line
from bayescale.model import Structure
from bayescale.walks import bent_line, unbent

MOST = 64  # cells that a group keeps


def gathered(structure: Structure, told: Mapping[str, Any], eta: np.ndarray) -> dict[str, Any]:
    """What `settling.settle` is told, with at most `MOST` cells a group.

    Parameters
    ----------
    told : mapping
        ``columns``, ``features``, ``weight`` and ``target`` by cell.
    eta : array, shape (groups, P)
        The groups' coordinates at the mode.

    Returns
    -------
    dict
        Also ``precision`` and ``linear``, what the weights' precision and linear term lack by it
        at the mode: nothing where no cells are taken together.
    """
    weight = told["weight"]
    if weight.shape[1] <= MOST:
        groups, n = len(weight), told["features"].shape[-1]
        return {**told, "precision": np.zeros((groups, n, n)), "linear": np.zeros((groups, n))}
    _, line, share = straight_line(structure, eta, told, np)
    away, gain = unbent(line, told["target"], share, np)
    heavy = np.where(weight > 0, weight * gain**2, 0.0)
    parts = [_shares(*one) for one in zip(told["features"], heavy, strict=True)]
    shares, taken = (np.stack(several) for several in zip(*parts, strict=True))

    def mean(values: np.ndarray) -> np.ndarray:
        return np.einsum("gkc,gc...->gk...", shares, values)

    columns = {
        name: np.exp(mean(np.log(values))) if np.all(values > 0) else mean(values)
        for name, values in told["columns"].items()
    }
    _, line, share = straight_line(structure, eta, {**told, "columns": columns}, np)
    away = np.where(heavy > 0, away, 0.0)
    target = bent_line(line, mean(away), share, np)
    there, gain = unbent(line, target, share, np)
    features = mean(told["features"])
    precision, linear = _sums(told["features"], heavy, away)
    kept_precision, kept_linear = _sums(features, taken, there)
    return {
        **told,
        "columns": columns,
        "features": features,
        "weight": taken / gain**2,
        "target": target,
        "precision": precision - kept_precision,
        "linear": linear - kept_linear,
    }


def _sums(
    features: np.ndarray, heavy: np.ndarray, away: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (groups, weights, weights) and linear term that cells tell the weights."""
    heavier = features * heavy[..., None]
    linear = np.einsum("gcv,gc->gv", heavier, away)
    return np.swapaxes(heavier, -1, -2) @ features, linear


def _shares(features: np.ndarray, heavy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each cell counts for in each of `MOST`, rows that sum to one, and their own weights.

    Where there are fewer, rows of no weight stand at one of the cells.
    """
    found, taken = np.zeros((MOST, len(heavy))), np.zeros(MOST)
    cells = np.flatnonzero(heavy > 0)
    parts = _parts(features[cells], heavy[cells]) if len(cells) else []
    for k, part in enumerate(parts):
        own = cells[part]
        taken[k] = np.sum(heavy[own])
        found[k, own] = heavy[own] / taken[k]
    found[len(parts) :, cells[0] if len(cells) else 0] = 1.0
    return found, taken


def _parts(places: np.ndarray, heavy: np.ndarray) -> list[np.ndarray]:
    """Indices of at most `MOST` clusters: the most spread out one is halved, time and again."""
    parts = [np.arange(len(places))]
    spreads = [_spread(places, heavy, parts[0])]
    while len(parts) < MOST and max(size for size, _ in spreads) > 0.0:
        worst = int(np.argmax([size for size, _ in spreads]))
        part, (_, along) = parts.pop(worst), spreads.pop(worst)
        order = part[np.argsort(places[part, along], kind="stable")]
        sorted_places = places[order, along]
        half = np.searchsorted(np.cumsum(heavy[order]), 0.5 * np.sum(heavy[order]))
        steps = np.flatnonzero(np.diff(sorted_places) > 0) + 1  # never between equals
        cut = steps[np.argmin(np.abs(steps - half))]
        for piece in (order[:cut], order[cut:]):
            parts.append(piece)
            spreads.append(_spread(places, heavy, piece))
    return parts


def _spread(places: np.ndarray, heavy: np.ndarray, part: np.ndarray) -> tuple[float, int]:
    """Weighted squared spread of a cluster, and the coordinate that it is widest along."""
    own, weight = places[part], heavy[part, None]
    middle = np.sum(weight * own, axis=0) / np.sum(weight)
    squared = np.sum(weight * (own - middle) ** 2, axis=0)
    along = int(np.argmax(np.where(np.ptp(own, axis=0) > 0, squared, 0.0)))
    wide = np.ptp(own[:, along]) > 0
    return (float(squared[along]) if wide else 0.0), along
