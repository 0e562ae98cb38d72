"""One posterior, written out by hand: the over-training benchmark and its variants.

Families g with rows r: y = log L scatters with scale sigma_g about the log of

    e^E_g + e^(A_g - alpha_g n) + e^(B_g - beta_g d)

and all six (their logs) are Normal(mu, tau) over families; n and d are centred at the geometric
mean. Priors are the package's own, so that every sampler has the same posterior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayescale import datasets
from bayescale.catalog import load_law
from bayescale.fitting import frame
from bayescale.law import Law
from bayescale.model import Model, has_share

POOLED = ("E", "A", "alpha", "B", "beta", "sigma")
POOL = {name: ["family"] for name in POOLED}
TRUTH = np.array([np.log(1.8), np.log(0.25), np.log(0.34), np.log(0.6), np.log(0.37), np.log(0.01)])
SPREAD = np.array([0.1, 0.15, 0.1, 0.15, 0.1, 0.3])


@dataclass(frozen=True)
class Benchmark:
    """A table, the model made of it, and the same model's pieces for samplers of other packages.

    Attributes
    ----------
    y, n, d, mask : array, shape (families, rows)
        Log losses and centred log columns, padded.
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

    @property
    def families(self) -> int:
        return len(self.y)

    @property
    def names(self) -> list[str]:
        """Of the canonical coordinates, in order."""
        families = [",".join(group) for group in self.model.groups]
        hyper = [f"log sd({name}|family)" for name in POOLED]
        return [*POOLED, *hyper, *(f"{p}[{f}]" for f in families for p in POOLED)]


def overtraining(noise: str = "normal") -> Benchmark:
    """832 rows of Gadre et al. in 24 families; needs BAYESCALE_DATA."""
    return build(f"overtraining, {noise}", datasets.load("gadre_evaluations"), noise)


def simulated(families: int, rows: int, noise: str = "normal", seed: int = 1) -> Benchmark:
    """Families of rows on a grid of sizes and tokens, drawn from the model."""
    rng = np.random.default_rng([seed, families, rows])
    parts = []
    for g in range(families):
        e, a, alpha, b, beta, sigma = np.exp(TRUTH + SPREAD * rng.standard_normal(6))
        size, tokens = 10 ** rng.uniform(7.0, 9.5, rows), 10 ** rng.uniform(9.0, 11.5, rows)
        mean = e + a * (size / 10**8.25) ** -alpha + b * (tokens / 10**10.25) ** -beta
        loss = mean * np.exp(sigma * rng.standard_normal(rows))
        parts.append(pd.DataFrame({"N": size, "D": tokens, "loss": loss, "family": f"f{g}"}))
    name = f"{families} families x {rows} rows, {noise}"
    return build(name, pd.concat(parts, ignore_index=True), noise)


def build(name: str, runs: Any, noise: str) -> Benchmark:
    """The benchmark of a table."""
    law = load_law("chinchilla")
    model = frame(law, runs, pool=POOL, noise=noise, correlate=False).model
    structure, arrays = model.structure, model.arrays
    parameters = [p for p in structure.parameters if p.name in POOLED]
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
        y=arrays.log_loss[..., 0],
        n=np.log(arrays.columns["N"]) - centre["N"],
        d=np.log(arrays.columns["D"]) - centre["D"],
        mask=arrays.mask[..., 0],
        loc=loc,
        scale=scale,
        tau=np.array([p.group_sd.args[0] for p in parameters]),
        shift=np.array(shift),
    )


def log_mean(coordinates: Any, shift: np.ndarray, n: Any, d: Any, xp: Any) -> Any:
    """Log of the law at coordinates (..., families, 6) and centred columns (families, rows)."""
    e, a, alpha, b, beta, _ = (coordinates[..., k, None] + shift[k] for k in range(6))
    return xp.log(xp.exp(e) + xp.exp(a - xp.exp(alpha) * n) + xp.exp(b - xp.exp(beta) * d))
