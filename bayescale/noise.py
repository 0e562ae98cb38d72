"""How a run's log loss scatters about the law: the stochastic parts, pluggable, one interface.

A run's log loss is ``log law + cell deviation + run deviation + measurement error``; under another
link than the log, its place on that link's line is such a sum. Each part is an object that states
its parameters (with priors) and its variance at given rows; the tail (`bayescale.tails`) turns the
summed covariance of one cell (runs that repeat the same configuration) into a density, and into
draws for runs nobody has made. Nothing is latent: the rows of a cell are integrated out in closed
form (a compound-symmetric elliptical density, Sherman-Morrison).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bayescale.tails import (
    CellSums,
    FrontierTail,
    NoiseParameter,
    NormalTail,
    StudentTail,
    Tail,
    noise_parameter,
)

Array = Any


class Scatter(Protocol):
    """One independent deviation of log loss: shared by the rows of a cell, or a row's own."""

    @property
    def label(self) -> str: ...

    @property
    def shared(self) -> bool: ...

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]: ...

    def variance(
        self, values: Mapping[str, Array], rows: Mapping[str, Array], xp: Any
    ) -> Array: ...


@dataclass(frozen=True)
class RunScatter:
    """A run's own deviation (seed, data order, and what the law misses where no cell repeats).

    With ``trend`` its scale may change with compute, by ``sigma_slope`` a decade, and is held at
    its edge value outside the fitted data.
    """

    trend: bool = False
    label: str = "run"
    shared: bool = False
    prior: str = "LogNormal(log(0.01), 1.0)"
    about: str = "scale of a run's deviation in log loss; replications and refits lie at 0.2% to 3%"

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        sigma = noise_parameter("sigma", self.prior, self.about)
        if not self.trend:
            return (sigma,)
        slope = noise_parameter(
            "sigma_slope", "Normal(0, 0.15)", "change of log(sigma) a decade of C"
        )
        return (sigma, slope)

    def variance(self, values: Mapping[str, Array], rows: Mapping[str, Array], xp: Any) -> Array:
        variance = values["sigma"] ** 2
        if self.trend:
            variance = variance * xp.exp(2.0 * values["sigma_slope"] * rows["z"])
        return variance


@dataclass(frozen=True)
class CellScatter:
    """What the law misses at a configuration, shared by its repeated runs."""

    label: str = "cell"
    shared: bool = True
    prior: str = "HalfNormal(0.02)"
    about: str = "scale of a configuration's lack of fit in log loss, shared by its seeds"

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return (noise_parameter("sd(cell)", self.prior, self.about),)

    def variance(self, values: Mapping[str, Array], rows: Mapping[str, Array], xp: Any) -> Array:
        return values["sd(cell)"] ** 2


@dataclass(frozen=True)
class MeasurementError:
    """The stated standard error of a row's loss, on the log scale."""

    label: str = "measurement"
    shared: bool = False

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        return ()

    def variance(self, values: Mapping[str, Array], rows: Mapping[str, Array], xp: Any) -> Array:
        return rows["se2"]


@dataclass(frozen=True)
class Memory:
    """Checkpoints of one run deviate together, the less the more training lies between them.

    An Ornstein-Uhlenbeck process in log tokens: the correlation of two checkpoints falls by e for
    every ``memory`` decades, and each is judged by what the one before it doesn't foretell.
    """

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        about = "decades of training after which a run has half forgotten its deviation (to 1/e)"
        return (noise_parameter("memory", "LogNormal(log(0.5), 1)", about),)

    def unforetold(
        self, values: Mapping[str, Array], residual: Array, rows: Mapping[str, Array], xp: Any
    ) -> tuple[Array, Array]:
        """What each residual adds to the one before it, and the part of the variance that is."""
        kept = xp.exp(-rows["gap"] / values["memory"])
        return residual - kept * xp.roll(residual, 1, axis=-2), 1.0 - kept**2


@dataclass(frozen=True)
class Noise:
    """The scatter of log loss: independent parts under one tail.

    Parameters
    ----------
    parts : tuple of Scatter
        Summed variances.
    tail : Tail
        The density of a cell given its covariance.
    memory : Memory, optional
        Where rows are checkpoints: those of a run follow one another along the cells.
    """

    parts: tuple[Scatter, ...]
    tail: Tail
    memory: Memory | None = None

    @property
    def parameters(self) -> tuple[NoiseParameter, ...]:
        own = (*(p for part in self.parts for p in part.parameters), *self.tail.parameters)
        return own if self.memory is None else (*own, *self.memory.parameters)

    def cell_log_density(
        self, values: Mapping[str, Array], residual: Array, mask: Array, rows: Mapping, xp: Any
    ) -> Array:
        """Log density of every cell; residual and mask are (..., cells, seeds)."""
        tail = {k: v[..., 0] if np.ndim(v) else v for k, v in values.items()}
        return self.tail.log_density(tail, self._sums(values, residual, mask, rows, xp), xp)

    def _sums(
        self, values: Mapping[str, Array], residual: Array, mask: Array, rows: Mapping, xp: Any
    ) -> CellSums:
        own = sum(p.variance(values, rows, xp) for p in self.parts if not p.shared)
        if self.memory is not None and "gap" in rows:
            residual, left = self.memory.unforetold(values, residual, rows, xp)
            own = own * left
        weight = mask * (1.0 / own)
        quadratic = xp.sum(weight * residual**2, axis=-1)
        logdet = xp.sum(mask * xp.log(own), axis=-1)
        pull, total = xp.sum(weight * residual, axis=-1), xp.sum(weight, axis=-1)
        if any(p.shared for p in self.parts):
            shared = sum(p.variance(values, rows, xp) for p in self.parts if p.shared)[..., 0]
            inflation = 1.0 + shared * total
            quadratic = quadratic - shared * pull**2 / inflation
            logdet = logdet + xp.log(inflation)
            pull, total = pull / inflation, total / inflation
        return CellSums(mask, logdet, quadratic, pull, total)

    def as_normal(
        self, values: Mapping[str, Array], residual: Array, mask: Array, rows: Mapping
    ) -> tuple[Array, Array]:
        """Weight of every cell, and how far it lies off, by a normal of a cell's moments."""
        sums = self._sums(values, residual, mask, rows, np)
        mean, variance = self.tail.height_moments({k: v[..., 0] for k, v in values.items()})
        off = sums.pull / np.where(sums.weight > 0, sums.weight, 1.0) - mean
        return sums.weight / (1.0 + variance * sums.weight), off

    def draw(
        self, values: Mapping[str, Array], rows: Mapping, rng: np.random.Generator, shape: tuple
    ) -> Array:
        """Deviations of log loss of new runs, each in a configuration of its own."""
        variance = sum(p.variance(values, rows, np) for p in self.parts)
        mixing = self.tail.mixing(values, rng, shape)
        drawn = np.sqrt(np.broadcast_to(variance, shape)) * mixing * rng.standard_normal(shape)
        return drawn + self.tail.height(values, rng, shape)

    def shares(self, values: Mapping[str, Array], rows: Mapping) -> dict[str, Array]:
        """Variance of log loss contributed by each part, before the tail's mixing."""
        return {p.label: p.variance(values, rows, np) for p in self.parts}


@dataclass(frozen=True)
class Scales:
    """Priors of the parts' scales on a link's line, and what the line is."""

    run: str
    cell: str
    what: str


# A rate's log odds are known no better than its test set allows: 5% for a thousand questions.
SCALES = {
    "identity": Scales("LogNormal(log(0.02), 1.2)", "HalfNormal(0.05)", "shares of the typical"),
    "logit": Scales("LogNormal(log(0.05), 1.0)", "HalfNormal(0.1)", "log odds"),
    "cloglog": Scales("LogNormal(log(0.05), 1.0)", "HalfNormal(0.1)", "cloglog"),
    "loglog": Scales("LogNormal(log(0.05), 1.0)", "HalfNormal(0.1)", "loglog"),
}


def build_noise(
    name: str, *, repeated: bool, measured: bool, serial: bool = False, link: str = "log"
) -> Noise:
    """Assemble the noise called `name` for what the data have.

    Repeated cells, measured errors, runs as series of checkpoints. `link` says on which line: the
    scales' priors depend on it.
    """
    run, cell = RunScatter(trend=name == "t+scale"), CellScatter()
    if link != "log":
        scales = SCALES[link]
        about = f"scale of a run's deviation in {scales.what}"
        run = RunScatter(name == "t+scale", prior=scales.run, about=about)
        about = f"scale of a configuration's lack of fit in {scales.what}, shared by its seeds"
        cell = CellScatter(prior=scales.cell, about=about)
    parts: list[Scatter] = [run]
    if repeated:
        parts.append(cell)
    if measured:
        parts.append(MeasurementError())
    tails: dict[str, Tail] = {"normal": NormalTail(), "frontier": FrontierTail()}
    tail = tails.get(name, StudentTail())
    return Noise(tuple(parts), tail, Memory() if serial else None)
