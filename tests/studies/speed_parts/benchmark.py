"""One posterior, written out by hand: the over-training benchmark and its variants.

Families g with rows r: y = log L scatters with scale sigma_g about the log of

    e^E_g + e^(A_g - alpha_g n) + e^(B_g - beta_g d)

and all six (their logs) are Normal(mu, tau) over families; n and d are centred at the geometric
mean. Where configurations are repeated, the runs of one share a deviation, Normal(0, sd(cell)).
Priors are the package's own, so that every sampler has the same posterior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayescale import datasets
from bayescale.catalog import load_law
from bayescale.framing import frame
from bayescale.law import Law
from bayescale.model import Model, has_share

POOLED = ("E", "A", "alpha", "B", "beta", "sigma")
POOL = {name: ["family"] for name in POOLED}
TRUTH = np.array([np.log(1.8), np.log(0.25), np.log(0.34), np.log(0.6), np.log(0.37), np.log(0.01)])
CELL = 0.01
CELL_PRIOR = 0.02  # of sd(cell), a half normal
SPREAD = np.array([0.1, 0.15, 0.1, 0.15, 0.1, 0.3])


@dataclass(frozen=True)
class Benchmark:
    """A table, the model made of it, and the same model's pieces for samplers of other packages.

    Attributes
    ----------
    y, n, d, mask : array, shape (families, rows)
        Log losses and centred log columns, padded. Rows that repeat a configuration are neighbours.
    repeats : int
        Rows a configuration.
    loc, scale, tau : array, shape (6,)
        Priors: Normal of the population's logs, HalfNormal of the families' sds.
    shift : array, shape (6,)
        Added to the coordinates to give the logs of E, A, alpha, B, beta, sigma.
    """

    name: str
    law: Law
    table: Any
    model: Model
    noise: str
    y: np.ndarray
    n: np.ndarray
    d: np.ndarray
    mask: np.ndarray
    loc: np.ndarray
    scale: np.ndarray
    tau: np.ndarray
    shift: np.ndarray
    repeats: int = 1

    @property
    def families(self) -> int:
        return len(self.y)

    @property
    def places(self) -> list[int]:
        """Where the pooled parameters stand in the sampler's population."""
        order = [p.name for p in self.model.structure.parameters]
        return [order.index(name) for name in POOLED]

    @property
    def names(self) -> list[str]:
        """Of the canonical coordinates, in order."""
        families = [",".join(group) for group in self.model.groups]
        hyper = [f"log sd({name}|family)" for name in POOLED]
        return [*POOLED, *hyper, *(f"{p}[{f}]" for f in families for p in POOLED)]


def overtraining(noise: str = "normal") -> Benchmark:
    """832 rows of Gadre et al. in 24 families; needs BAYESCALE_DATA."""
    return build(f"overtraining, {noise}", datasets.load("gadre_evaluations"), noise)


def simulated(
    families: int, rows: int, noise: str = "normal", seed: int = 1, repeats: int = 1
) -> Benchmark:
    """Families of rows at random sizes and tokens, drawn from the model.

    With `repeats`, each configuration is run so often, and its runs share a deviation.
    """
    rng = np.random.default_rng([seed, families, rows])
    parts = []
    for g in range(families):
        e, a, alpha, b, beta, sigma = np.exp(TRUTH + SPREAD * rng.standard_normal(6))
        size, tokens = 10 ** rng.uniform(7.0, 9.5, rows), 10 ** rng.uniform(9.0, 11.5, rows)
        if repeats > 1:
            size, tokens = np.repeat(size, repeats), np.repeat(tokens, repeats)
            shared = np.repeat(CELL * rng.standard_normal(rows), repeats)
        else:
            shared = 0.0
        mean = e + a * (size / 10**8.25) ** -alpha + b * (tokens / 10**10.25) ** -beta
        loss = mean * np.exp(shared + sigma * rng.standard_normal(len(size)))
        parts.append(pd.DataFrame({"N": size, "D": tokens, "loss": loss, "family": f"f{g}"}))
    name = f"{families} families x {rows} rows, {noise}"
    if repeats > 1:
        name = f"{families} families x {rows} cells x {repeats} runs, {noise}, run effects"
    return build(name, pd.concat(parts, ignore_index=True), noise)


def build(name: str, runs: Any, noise: str) -> Benchmark:
    """The benchmark of a table."""
    law = load_law("chinchilla")
    model = frame(law, runs, pool=POOL, noise=noise, correlate=False, discrepancy="none").model
    structure, arrays = model.structure, model.arrays
    parameters = [next(p for p in structure.parameters if p.name == name) for name in POOLED]
    repeats = arrays.mask.shape[-1]
    rows = (len(model.groups), -1)
    reference = arrays.reference
    loc, scale = np.array([p.prior.args for p in parameters]).T
    shift = [np.log(reference.loss(p.of)) if has_share(p) else 0.0 for p in parameters]
    centre = {v: np.log(reference.columns[v]) for v in ("N", "D")}
    return Benchmark(
        name=name,
        law=law,
        table=runs,
        model=model,
        noise=noise,
        y=arrays.observed.reshape(rows),
        n=np.repeat(np.log(arrays.columns["N"]) - centre["N"], repeats, axis=-1),
        d=np.repeat(np.log(arrays.columns["D"]) - centre["D"], repeats, axis=-1),
        mask=arrays.mask.reshape(rows),
        loc=loc,
        scale=scale,
        tau=np.array([p.group_sd.args[0] for p in parameters]),
        shift=np.array(shift),
        repeats=repeats,
    )


def log_mean(coordinates: Any, shift: np.ndarray, n: Any, d: Any, xp: Any) -> Any:
    """Log of the law at coordinates (..., families, 6) and centred columns (families, rows)."""
    e, a, alpha, b, beta, _ = (coordinates[..., k, None] + shift[k] for k in range(6))
    return xp.log(xp.exp(e) + xp.exp(a - xp.exp(alpha) * n) + xp.exp(b - xp.exp(beta) * d))
