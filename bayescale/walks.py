"""Walks along the directions of a law's variables: how a law is bent, and goes on bending.

A walk's curvature along a direction wanders without memory, from a flat start at the middle of the
runs: an integrated random walk. Among the runs it is a handful of weights; beyond them, and for
what the weights leave out, a path is drawn as a whole, one function of the columns for each
posterior draw, so that predictions and decisions meet the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from bayescale.links import Link

FEW, MANY = 4, 8  # weights of a direction among several, and of the only one
FEWER, CROWD = 3, 4  # of each, where there are more directions than that
SHARED = 10  # weights of directions that have one scale
MOST_PAIRED = 3  # variables whose sums and differences are directions, too
STEP = 0.125  # decades between a path's knots
LEAST_ABOVE = 0.05  # of the law's own loss above its floor
STEEPEST = 50.0  # deviations are held there, so that no start overflows
BELOW, ABOVE = 4.0, 8.0  # decades of knots beyond the runs; further out slopes stay


Array = Any


def directions(decades: np.ndarray) -> np.ndarray:
    """Places along every direction (..., directions) from places (..., variables)."""
    columns = list(np.moveaxis(decades, -1, 0))
    several = range(len(columns)) if len(columns) <= MOST_PAIRED else ()
    for i, j in combinations(several, 2):
        one, other = columns[i], columns[j]
        columns += [(one + other) / np.sqrt(2.0), (one - other) / np.sqrt(2.0)]
    return np.stack(columns, axis=-1)


def direction_names(columns: Sequence[str]) -> tuple[str, ...]:
    """What `directions` lie along.

    Examples
    --------
    >>> direction_names(["N", "D"])
    ('N', 'D', 'N*D', 'D per N')
    """
    names = list(columns)
    if len(columns) <= MOST_PAIRED:
        for one, other in combinations(columns, 2):
            names += [f"{one}*{other}", f"{other} per {one}"]
    return tuple(names)


def outward(variables: int) -> tuple[bool, ...]:
    """Whether a variable grows along each direction and none falls."""
    pairs = variables * (variables - 1) // 2 if variables <= MOST_PAIRED else 0
    return (True,) * variables + (True, False) * pairs


def weights_of(directions: int) -> tuple[int, ...]:
    """How many weights each direction has."""
    if directions == 1:
        return (MANY,)
    return (FEW if directions <= CROWD else FEWER,) * directions


def covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Covariance of walks of unit scale between places (n, directions) and (m, directions).

    Examples
    --------
    >>> one_decade = np.array([[1.0]])
    >>> round(float(covariance(one_decade, one_decade)[0, 0]), 4)    # 1/3: sd 0.58 at unit scale
    0.3333
    """
    a, b = np.abs(one)[:, None], np.abs(other)[None, :]
    near, far = np.minimum(a, b), np.maximum(a, b)
    same = one[:, None] * other[None, :] > 0
    return np.sum(np.where(same, near**2 * (3.0 * far - near) / 6.0, 0.0), axis=-1)


def bent_line(line: Array, away: Array, floor_share: Array | None, xp: Any) -> Array:
    """Places on the link's line of a law that is bent by `away`.

    Parameters
    ----------
    line : array
        The law's own places.
    away : array
        Deviations, of log loss above the floor where there is one, else of the line itself.
    floor_share : array, optional
        The floor as a share of the law's loss.

    Examples
    --------
    >>> loss, floor = 3.0, 2.0
    >>> float(np.exp(bent_line(np.log(loss), np.log(1.1), floor / loss, np)).round(6))
    3.1
    """
    if floor_share is None:
        return line + away
    held = xp.clip(away, -STEEPEST, STEEPEST)
    return line + xp.log1p((1.0 - floor_share) * xp.expm1(held))


def unbent(line: Array, target: Array, floor_share: Array | None, xp: Any) -> tuple[Array, Array]:
    """The deviation that bends a law to targets on the line, and how fast the line moves with it.

    Arguments as of `bent_line`. Targets near the floor and below it are taken as a little above.

    Examples
    --------
    >>> away, gain = unbent(np.log(3.0), np.log(3.1), 2.0 / 3.0, np)
    >>> round(float(np.exp(away)), 6), round(float(gain), 6)
    (1.1, 0.354839)
    """
    if floor_share is None:
        return target - line, xp.ones_like(target - line)
    ratio = xp.exp(xp.clip(target - line, -STEEPEST, STEEPEST))
    above = 1.0 - floor_share
    left = xp.maximum(ratio - floor_share, LEAST_ABOVE * above)
    return xp.log(left) - xp.log(above), left / ratio


@dataclass(frozen=True)
class Stretch:
    """Directions along which a walk has one scale, and its weights among the runs.

    Attributes
    ----------
    along : tuple of int
        The directions.
    at : array, shape (places, directions)
        Where the runs are along them.
    loading : array, shape (places, weights)
        From covariances with the runs to what each weight does.
    """

    along: tuple[int, ...]
    at: np.ndarray
    loading: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray, along: tuple[int, ...], weights: int) -> Stretch:
        """At the places (runs, all directions), with so many weights."""
        at = np.unique(places[:, along], axis=0)
        size, vectors = np.linalg.eigh(covariance(at, at))
        size, vectors = size[::-1][:weights], vectors[:, ::-1][:, :weights]
        kept = size > 1e-8 * max(float(size.max()), 1e-12)
        loading = np.zeros((len(at), weights))
        loading[:, : len(size)][:, kept] = vectors[:, kept] / np.sqrt(size[kept])
        return cls(along, at, loading)

    def features(self, places: np.ndarray) -> np.ndarray:
        """What each weight does at places (rows, all directions)."""
        return covariance(places[:, self.along], self.at) @ self.loading


@dataclass(frozen=True)
class Walk:
    """The walk of one group: where its runs are, and the weights' places among them.

    Attributes
    ----------
    middle : array, shape (variables,)
        Mean log10 of the runs' columns.
    stretches : tuple of Stretch
        Every direction is in one of them.
    """

    middle: np.ndarray
    stretches: tuple[Stretch, ...]

    @classmethod
    def of(cls, columns: np.ndarray, one_scale: bool = False) -> Walk:
        """The walk of a group whose runs have these columns, (runs, variables).

        Each direction has a scale of its own, or all have one.
        """
        decades = np.log10(columns)
        middle = decades.mean(axis=0)
        places = directions(decades - middle)
        several = range(places.shape[1])
        if one_scale:
            return cls(middle, (Stretch.of(places, tuple(several), SHARED),))
        counts = weights_of(len(several))
        return cls(middle, tuple(Stretch.of(places, (d,), counts[d]) for d in several))

    def places(self, columns: np.ndarray) -> np.ndarray:
        """Places (..., directions) of columns (..., variables)."""
        return directions(np.log10(columns) - self.middle)

    def features(self, columns: np.ndarray) -> np.ndarray:
        """What each weight does at rows, (rows, weights)."""
        places = self.places(columns)
        return np.concatenate([s.features(places) for s in self.stretches], axis=1)

    def paths(
        self,
        weights: np.ndarray | None,
        scale: np.ndarray,
        rng: np.random.Generator | None,
        drift: float = 0.0,
    ) -> Path:
        """A path for each draw: weights (sample, weights) and scale (sample, stretches).

        Without weights, the path of a group that was never seen. Without a generator, the path
        that is expected. Beyond the largest runs slopes gain `drift` scales a decade.
        """
        outwards = outward(len(self.middle))
        lows: dict[int, int] = {}
        slopes: dict[int, np.ndarray] = {}
        first = 0
        for k, stretch in enumerate(self.stretches):
            low = np.floor((stretch.at.min(axis=0, initial=0.0) - BELOW) / STEP).astype(int)
            high = np.ceil((stretch.at.max(axis=0, initial=0.0) + ABOVE) / STEP).astype(int)
            sizes, sample = high - low, len(scale)
            steps = [
                np.zeros((sample, n)) if rng is None else rng.standard_normal((sample, n))
                for n in sizes
            ]
            own, unit = stretch.loading, scale[:, k, None]
            if weights is not None:
                ends = zip(stretch.at.T, low, high, strict=True)
                basis = np.concatenate([_basis(*at, STEP) for at in ends], axis=1)
                mine = weights[:, first : first + own.shape[1]] / unit
                change = _told_steps(mine, np.concatenate(steps, axis=1), own, basis)
                parts = np.split(change, np.cumsum(sizes)[:-1], axis=1)
                steps = [s + c for s, c in zip(steps, parts, strict=True)]
            first += own.shape[1]
            for at, d, s, lowest in zip(stretch.at.T, stretch.along, steps, low, strict=True):
                if drift and outwards[d]:
                    beyond = int(np.ceil(at.max(initial=0.0) / STEP)) - lowest
                    s[:, beyond:] += drift * STEP**0.5
            for d, s, lowest in zip(stretch.along, steps, low, strict=True):
                lows[d], slopes[d] = int(lowest), unit * _slopes(s, lowest)
        every = range(len(lows))
        return Path(self.middle, tuple(lows[d] for d in every), tuple(slopes[d] for d in every))


def _told_steps(
    weights: np.ndarray, steps: np.ndarray, loading: np.ndarray, basis: np.ndarray
) -> np.ndarray:
    """What turns steps (sample, knots) into ones that have the weights (sample, weights)."""
    kept = np.any(loading != 0.0, axis=0)
    told = loading[:, kept].T @ basis
    missing = weights[:, kept] - steps @ told.T
    gram = told @ told.T  # the identity, but for turns too short for the knots
    gram += np.diag(np.maximum(1.0 - np.diag(gram), 1e-9))
    return missing @ np.linalg.solve(gram, told)


def _basis(at: np.ndarray, low: int, high: int, step: float) -> np.ndarray:
    """What each step of slope does at places (places,), one step between neighbouring knots."""
    nearer = np.where(np.arange(low, high) >= 0, np.arange(low, high), np.arange(low, high) + 1)
    side = np.where(np.arange(low, high) >= 0, 1.0, -1.0)
    beyond = np.maximum(side * at[:, None] - side * nearer * step, 0.0)
    return np.sqrt(step) * np.where(beyond < step, beyond**2 / (2.0 * step), beyond - 0.5 * step)


def _slopes(steps: np.ndarray, low: int) -> np.ndarray:
    """Slopes at the knots (sample, knots) from steps outward, zero at the middle."""
    grown = np.sqrt(STEP) * steps
    left, right = grown[:, :-low], grown[:, -low:]
    below = -np.cumsum(left[:, ::-1], axis=1)[:, ::-1]
    zero = np.zeros((len(steps), 1))
    return np.concatenate([below, zero, np.cumsum(right, axis=1)], axis=1)


@dataclass(frozen=True, eq=False)
class Path:
    """One function of a law's columns for each draw, in log loss, for one group.

    Attributes
    ----------
    middle : array, shape (variables,)
    low : tuple of int
        First knot of each direction, in steps from the middle.
    slopes : tuple of arrays, shape (sample, knots)
        Along each direction, in log loss a decade; straight between knots.
    """

    middle: np.ndarray
    low: tuple[int, ...]
    slopes: tuple[np.ndarray, ...]

    def take(self, index: Any) -> Path:
        """Some of the draws."""
        return replace(self, slopes=tuple(s[index] for s in self.slopes))

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Values (sample, k) at columns (k, variables), or (sample, k, variables)."""
        at = directions(np.log10(columns) - self.middle)
        total = 0.0
        for d, (low, slopes) in enumerate(zip(self.low, self.slopes, strict=True)):
            total = total + _along(at[..., d], low, slopes)
        return np.asarray(total)


def _along(at: np.ndarray, low: int, slopes: np.ndarray) -> np.ndarray:
    areas = 0.5 * STEP * (slopes[:, 1:] + slopes[:, :-1])
    heights = np.concatenate([np.zeros((len(slopes), 1)), np.cumsum(areas, axis=1)], axis=1)
    heights = heights - heights[:, [-low]]
    place = np.clip(np.floor(at / STEP).astype(int) - low, 0, slopes.shape[1] - 2)
    left = at - (place + low) * STEP
    inside = np.clip(left, 0.0, STEP)

    def pick(values: np.ndarray, index: np.ndarray) -> np.ndarray:
        if index.ndim == 1:
            return values[:, index]
        return np.take_along_axis(values, index, axis=1)

    first, second = pick(slopes, place), pick(slopes, place + 1)
    bent = pick(heights, place) + first * inside + (second - first) * inside**2 / (2.0 * STEP)
    return bent + np.where(left < 0.0, first, second) * (left - inside)


@dataclass(frozen=True, eq=False)
class Paths:
    """Paths of several targets' groups, indexed as arrays of shape (sample, target) are."""

    columns: tuple[str, ...]
    of_target: tuple[Path, ...]
    link: Link
    unit: float
    floor: str | None = None

    def __getitem__(self, index: Any) -> Paths:
        if isinstance(index, tuple):
            draws, targets = index
            chosen = np.arange(len(self.of_target))[targets]
            several = tuple(self.of_target[i] for i in np.atleast_1d(chosen))
            return replace(self, of_target=several)[draws]
        if isinstance(index, slice) and index == slice(None):
            return self
        return replace(self, of_target=tuple(p.take(index) for p in self.of_target))

    def along(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Deviation (sample, target) of each target's group at its own row of columns."""
        rows = np.stack([np.asarray(columns[c], float) for c in self.columns], axis=1)
        found = np.zeros((len(self.of_target[0].slopes[0]), len(rows)))
        for path in dict.fromkeys(self.of_target):
            mine = [k for k, own in enumerate(self.of_target) if own is path]
            found[:, mine] = path(rows[mine])
        return found

    def bent(
        self, loss: np.ndarray, columns: Mapping[str, Any], values: Mapping[str, Any]
    ) -> np.ndarray:
        """Responses (sample, k) of the only target's group, bent at (k,) or (sample, k) columns.

        `values` are the law's parameters (sample, 1).
        """
        (path,) = self.of_target
        given = np.broadcast_arrays(*(np.asarray(columns[c], float) for c in self.columns))
        away = path(np.stack([np.atleast_1d(g) for g in given], axis=-1))
        share = None if self.floor is None else values[self.floor] / loss
        line = bent_line(self.link.line(loss, self.unit, np), away, share, np)
        return self.link.value(line, self.unit, np)


def walks(groups: Sequence[np.ndarray], one_scale: bool = False) -> tuple[Walk, ...]:
    """The walk of every group, from its rows' columns (rows, variables)."""
    return tuple(Walk.of(columns, one_scale) for columns in groups)
