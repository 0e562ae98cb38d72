"""A law set against a table of runs: which coordinates exist, what varies by group, padded arrays.

`Structure` is what a compiled program depends on; `Arrays` is what it is called with. Every fit of
the same structure and shapes shares one compilation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeGuard

import numpy as np

from bayescale.bends import Bend, Weight, is_weight
from bayescale.covariates import Slope
from bayescale.group_columns import LevelValues
from bayescale.law import Law, Parameter
from bayescale.likelihoods import Likelihood
from bayescale.noise import NoiseParameter
from bayescale.responses import Response
from bayescale.tails import restated
from bayescale.walks import Walk

FEW_LEVELS = 5
_PLACES = 12  # of each kind at which a law is asked how it rises with its floor
_FEW = 4
_FELT = 1e-6  # of the loss, below which a rise is lost among its digits
MOST_BENT = 2  # variables of a bent law whose program is made of kernels

Coordinate = Parameter | NoiseParameter | Slope | Weight


@dataclass(frozen=True)
class Reference:
    """Where priors on shares hold: geometric means of the runs, and their losses.

    Attributes
    ----------
    columns : dict
        Geometric mean of every law variable, in the law's units.
    typical, smallest : float
        Geometric mean and minimum of the fitted losses (`Response.scale`).
    """

    columns: Mapping[str, float]
    typical: float
    smallest: float

    def loss(self, of: str) -> float:
        return {"smallest": self.smallest, "typical": self.typical, "one": 1.0}[of]


def has_share(parameter: Coordinate) -> TypeGuard[Parameter]:
    """Whether a parameter multiplies a term of the law, whose size is then its coordinate."""
    return isinstance(parameter, Parameter) and parameter.share is not None


@dataclass(frozen=True)
class Factor:
    """A grouping column and the coordinates whose values differ by its levels.

    The first of them are the weights of a bend; as many as each of ``tied`` says share one sd,
    that of their first.
    Where runs have no groups, a factor without name and with one level holds such weights.
    """

    name: str
    levels: tuple[str, ...]
    varied: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    learned: tuple[bool, ...] = ()
    fixed_sd: tuple[float, ...] = ()
    tied: tuple[int, ...] = ()

    @property
    def learned_index(self) -> tuple[int, ...]:
        return tuple(i for i, learned in enumerate(self.learned) if learned)

    def members(self, k: int) -> list[int]:
        """Places among the varied whose sd is that of place `k`, a learned one."""
        for start, count in zip(self.leaders, self.tied, strict=True):
            if k == start:
                return list(range(start, start + count))
        return [k]

    @property
    def leaders(self) -> tuple[int, ...]:
        """Places of the first weight of every scale."""
        return tuple(sum(self.tied[:k]) for k in range(len(self.tied)))

    @property
    def weights(self) -> int:
        """How many of the varied are weights of a bend; they stand first."""
        return sum(self.tied)

    @property
    def without_weights(self) -> Factor:
        """The same factor without such weights."""
        n = self.weights
        return replace(
            self,
            varied=self.varied[n:],
            pairs=tuple((i - n, j - n) for i, j in self.pairs),
            learned=self.learned[n:],
            fixed_sd=self.fixed_sd[n:],
            tied=(),
        )


@dataclass(frozen=True)
class Structure:
    """The statistical model, apart from its data.

    Coordinates are unconstrained: the law's parameters in card order, then the noise's, the slopes'
    on groups' covariates, and the discrepancy's. A parameter with a `share` has the log of its
    contribution at the reference as its coordinate, so that a group effect on it is a relative
    change of that contribution, whatever the exponent.
    """

    law: Law
    response: Response
    likelihood: Likelihood
    factors: tuple[Factor, ...]
    pinned: tuple[tuple[int, float], ...] = ()
    bend: Bend | None = None
    slopes: tuple[Slope, ...] = ()

    @property
    def noise_name(self) -> str:
        """What `build_model` calls the likelihood."""
        return self.response.likelihood

    @cached_property
    def parameters(self) -> tuple[Coordinate, ...]:
        bends = () if self.bend is None else self.bend.parameters
        own = self.law.parameters.values()
        scatter = restated(self.likelihood.parameters, self.response.priors)
        return (*own, *scatter, *self.slopes, *bends)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @cached_property
    def sloped(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Places of the slopes, and of the coordinates that they move."""
        places = tuple(self.names.index(s.name) for s in self.slopes)
        return places, tuple(self.names.index(s.of) for s in self.slopes)

    @property
    def size(self) -> int:
        return len(self.parameters)

    @property
    def kernels(self) -> bool:
        """Whether XLA makes kernels of its programs.

        Of bends of three variables (27 weights) it takes minutes, and where two factors cross XLA
        0.10.2 ends the process.
        """
        return self.bend is None or len(self.bend.variables) <= MOST_BENT

    @cached_property
    def trade(self) -> tuple[int, tuple[int, ...]] | None:
        """Coordinates of a floor and of the terms that stand on it, if the law is so built."""
        return find_trade(self.law)

    @cached_property
    def floor_apart(self) -> bool:
        """Whether the floor of the trade is a summand, which no factor changes."""
        return stands_apart(self.law)

    @cached_property
    def free(self) -> tuple[int, ...]:
        """Coordinates with a population value; the others are separate for each group."""
        pinned = {i for i, _ in self.pinned}
        return tuple(i for i in range(self.size) if i not in pinned)

    @cached_property
    def base(self) -> np.ndarray:
        base = np.zeros(self.size)
        for i, value in self.pinned:
            base[i] = value
        return base

    @property
    def serial(self) -> bool:
        """Whether rows are checkpoints of runs, which deviate together."""
        return getattr(getattr(self.likelihood, "noise", None), "memory", None) is not None

    def sd_name(self, factor: Factor, k: int) -> str:
        """Name of the sd of a factor's k-th varied coordinate."""
        name = self.names[factor.varied[k]]
        if self.bend is not None and is_weight(name):
            return self.bend.scales[factor.leaders.index(k)]
        return f"sd({name}|{factor.name})"

    @cached_property
    def without_bend(self) -> Structure:
        """The same structure without its bend, whose weights come last."""
        size = self.size - (0 if self.bend is None else sum(self.bend.weights))
        factors = tuple(f.without_weights for f in self.factors)
        return replace(
            self,
            factors=tuple(f for f in factors if f.varied),
            pinned=tuple((i, value) for i, value in self.pinned if i < size),
            bend=None,
        )

    @cached_property
    def grouping(self) -> tuple[Factor, ...]:
        """The factors that are grouping columns."""
        return tuple(f for f in self.factors if f.name)

    @cached_property
    def crossed(self) -> bool:
        """Whether groups are combinations of levels; else they are one factor's levels in order."""
        return sum(len(f.levels) > 1 for f in self.factors) > 1

    @cached_property
    def block(self) -> int | None:
        """The factor whose effects are eliminated level by level: the one with most levels."""
        if not self.factors:
            return None
        return max(range(len(self.factors)), key=lambda f: len(self.factors[f].levels))

    @cached_property
    def key(self) -> tuple:
        """Equal keys share compiled programs."""
        law = self.law
        described = tuple(
            (p.name, p.prior.text, getattr(p, "on", ""), p.group_sd.text) for p in self.parameters
        )
        formula = law.text or id(law.function)
        factors = tuple(
            (len(f.levels), f.varied, f.pairs, f.learned, f.fixed_sd, f.tied) for f in self.factors
        )
        parts = (self.likelihood, factors, self.pinned, self.bend, self.slopes, law.beliefs)
        return (law.name, formula, described, *parts)


@dataclass(frozen=True)
class Arrays:
    """Rows laid out as (groups, cells, seeds), padded; a pytree's worth of numpy arrays.

    A group is a combination of factor levels that occurs; a cell is one configuration of the law's
    variables in a group; its seeds are the runs that repeat it. `observed` is what the likelihood
    is of: log losses, responses on another link's line, counts. `covariates` (groups, slopes) are
    the groups' own, less their means; `features` (groups, cells, weights) what each weight of a
    bend does.
    """

    columns: dict[str, np.ndarray]
    observed: np.ndarray
    mask: np.ndarray
    rows: dict[str, np.ndarray]
    levels: tuple[np.ndarray, ...]
    reference: Reference
    position: np.ndarray = field(repr=False, default_factory=lambda: np.zeros((0, 3), int))
    covariates: np.ndarray | None = None
    features: np.ndarray | None = None

    def inputs(self) -> dict:
        """Arguments of compiled functions."""
        optional = {"covariates": self.covariates, "features": self.features}
        more = {name: values for name, values in optional.items() if values is not None}
        return {
            **more,
            "columns": self.columns,
            "observed": self.observed,
            "mask": self.mask,
            "rows": self.rows,
            "levels": self.levels,
            "reference": reference_inputs(self.reference),
        }


def padded(arrays: Arrays, cells: int, seeds: int) -> Arrays:
    """The same rows in a larger layout, (groups, cells, seeds)."""
    shape = arrays.mask.shape
    more = [(0, 0), (0, cells - shape[1]), (0, seeds - shape[2])]

    def pad(values: np.ndarray) -> np.ndarray:
        return np.pad(values, more[: values.ndim], mode="edge")

    features = arrays.features
    if features is not None:
        features = np.pad(features, [*more[:2], (0, 0)], mode="edge")
    return replace(
        arrays,
        columns={name: pad(values) for name, values in arrays.columns.items()},
        observed=pad(arrays.observed),
        mask=np.pad(arrays.mask, more),
        rows={name: pad(values) for name, values in arrays.rows.items()},
        features=features,
    )


def reference_inputs(reference: Reference) -> dict:
    """The reference as arguments of `coordinates.to_natural`."""
    return {
        "columns": {k: np.float64(v) for k, v in reference.columns.items()},
        "typical": np.float64(reference.typical),
        "smallest": np.float64(reference.smallest),
        "one": np.float64(1.0),
    }


@dataclass(frozen=True)
class Model:
    """A structure with its data, the labels of its groups, and what was noticed on the way."""

    structure: Structure
    arrays: Arrays
    groups: tuple[tuple[str, ...], ...]
    edges: tuple[float, float] | None
    centre: float
    mean_se2: float
    notes: tuple[str, ...] = ()
    walks: tuple[Walk, ...] = ()
    covariates: tuple[LevelValues, ...] = ()

    def trend(self, compute: np.ndarray) -> np.ndarray:
        """Decades of compute from the data's middle, held at the data's edges."""
        if self.edges is None:
            return np.zeros_like(np.asarray(compute, float))
        low, high = self.edges
        return np.clip(np.log10(compute), low, high) - self.centre


def find_trade(law: Law) -> tuple[int, tuple[int, ...]] | None:
    """Index of the parameter that is its own share, a floor, and of the terms that stand on it.

    The loss rises in proportion to the floor, as fast as anything but the floor may say.
    """
    names, shares, floor = _trading(law)
    if floor is None:
        return None
    gains = _floor_gains(law, floor)
    if len(gains[0]) < _FEW or not (np.all(gains[0] > 0) and np.allclose(*gains, rtol=1e-9)):
        return None
    return names.index(floor), tuple(names.index(n) for n in shares if n != floor)


def stands_apart(law: Law) -> bool:
    """Whether a law's floor is what its other terms are added to, and no factor changes it."""
    trade = find_trade(law)
    if trade is None:
        return False
    floor = list(law.parameters)[trade[0]]
    return bool(np.allclose(_floor_gains(law, floor)[0], 1.0, rtol=1e-9))


def _trading(law: Law) -> tuple[list[str], dict[str, Parameter], str | None]:
    """Names of the parameters, those that are shares of the loss, and the floor among these."""
    names = list(law.parameters)
    shares = {n: p for n, p in law.parameters.items() if p.share is not None and p.of != "one"}
    logged = all(p.on == "value" or p.prior.support == (0.0, np.inf) for p in shares.values())
    floors = [n for n, p in shares.items() if p.share is not None and p.share.names == (n,)]
    if len(floors) > 1:  # terms anchored at a fixed scale are their own shares, too
        floors = [n for n in floors if shares[n].of == "smallest"]
    alone = len(floors) != 1 or len(shares) < 2 or not logged
    return names, shares, None if alone else floors[0]


def _floor_gains(law: Law, floor: str) -> np.ndarray:
    """How much the loss rises with the floor from two heights of it; places where it is finite."""
    rng = np.random.default_rng(0)
    near = rng.uniform(0.2, 0.8, (len(law.parameters), _PLACES))
    values = dict(zip(law.parameters, near, strict=True))
    columns = {v.column: 10 ** rng.uniform(0.0, 1.0, _PLACES) for v in law.variables.values()}
    far = {v.column: 10 ** rng.uniform(8.0, 11.0, _PLACES) for v in law.variables.values()}
    with np.errstate(all="ignore"):
        loss = np.array(
            [
                np.concatenate(
                    [
                        law.mean({**values, floor: values[floor] + up}, at, np)
                        for at in (columns, far)
                    ]
                )
                for up in (0.0, 1.0, 2.0)
            ]
        )
        gains = np.diff(loss, axis=0)
        felt = np.isfinite(loss).all(axis=0) & (np.abs(gains) > _FELT * np.abs(loss[:2])).all(
            axis=0
        )
    return gains[:, felt]
