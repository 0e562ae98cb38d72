"""What a fit expects its own runs to have shown: replicated losses at the fitted rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.likelihoods import OnLine
from bayescale.noise import Noise
from bayescale.predictive_draws import line_draws

if TYPE_CHECKING:
    import xarray as xr


def replicate(fit: Fit, draws: int | None = None, seed: int = 0) -> np.ndarray:
    """Draw every fitted row's loss anew, as the model says that it came about.

    Rows that repeat a configuration share its deviation (and, with Student-t scatter, its luck),
    as they do in the fit; each row is measured with its own stated error.

    Parameters
    ----------
    fit : Fit
    draws : int, optional
        That many, evenly spaced among the posterior's; all where None.
    seed : int

    Returns
    -------
    array, shape (draw, row)
        Losses, in the order of ``fit.runs.table``.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> replicate(fit, draws=20).shape == (20, len(fit.runs))
    True
    """
    structure, unit = fit.model.structure, fit.model.arrays.reference.typical
    line, values = line_draws(fit, fit.runs.table, seed=seed)
    size = len(line)
    if draws is not None:
        if not 1 <= draws <= size:
            raise BayescaleError(f"draws is from 1 to {size}, not {draws}")
        few = np.linspace(0, size - 1, draws).round().astype(int)
        line, values = line[few], {name: v[few] for name, v in values.items()}
    at = fit.model.arrays.position
    rows = {name: v[tuple(at.T)] for name, v in fit.model.arrays.rows.items()}
    rng = np.random.default_rng([seed, 37])
    likelihood = structure.likelihood
    if not isinstance(likelihood, OnLine):
        return likelihood.draw(values, line, rows, unit, rng).value
    moved = line + _deviations(likelihood.noise, values, rows, at, line.shape, rng)
    return likelihood.link.value(moved, unit, np)


def _deviations(
    noise: Noise,
    values: dict[str, np.ndarray],
    rows: dict[str, np.ndarray],
    at: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Deviations (draw, row) on the link's line, with what rows share."""
    _, first, cell = np.unique(at[:, :2], axis=0, return_index=True, return_inverse=True)
    cell = cell.reshape(-1)

    def summed(shared: bool) -> np.ndarray:
        variances = [p.variance(values, rows, np) for p in noise.parts if p.shared == shared]
        if not variances:
            return np.zeros(shape)
        scale = np.sqrt(np.broadcast_to(sum(variances), shape))
        if shared:
            return scale * rng.standard_normal((shape[0], len(first)))[:, cell]
        return scale * rng.standard_normal(shape)

    by_cell = {name: v[:, first] for name, v in values.items()}
    mixing = noise.tail.mixing(by_cell, rng, (shape[0], len(first)))[:, cell]
    drawn = (summed(shared=False) + summed(shared=True)) * mixing
    drawn += noise.tail.height(by_cell, rng, (shape[0], len(first)))[:, cell]
    if noise.memory is None:
        return drawn
    kept = np.exp(-rows["gap"] / values["memory"])
    drawn = drawn * np.sqrt(1.0 - kept**2)
    for row in range(1, shape[1]):  # a run's first checkpoint keeps nothing
        drawn[:, row] += kept[:, row] * drawn[:, row - 1]
    return drawn


def posterior_predictive(fit: Fit, seed: int = 0) -> xr.DataTree:
    """A fit's tree with replicated losses as a group more, as ArviZ's predictive checks take it.

    Parameters
    ----------
    fit : Fit
    seed : int

    Returns
    -------
    xarray.DataTree
        ``fit.data`` (unchanged itself) and ``posterior_predictive``, dims (chain, draw, run), or
        row where runs have several.

    Examples
    --------
    >>> import bayescale as bs
    >>> tree = bs.posterior_predictive(fit)                             # doctest: +SKIP
    >>> arviz_plots.plot_ppc_dist(tree)                                 # doctest: +SKIP
    """
    import xarray as xr

    response = fit.law.response.column
    observed = fit.data["observed_data"].dataset[response]
    sizes = fit.data["posterior"].sizes
    shape = (sizes["chain"], sizes["draw"], observed.size)
    drawn = xr.Dataset(
        {response: (("chain", "draw", *observed.dims), replicate(fit, seed=seed).reshape(shape))},
        coords={**observed.coords, **{n: np.arange(sizes[n]) for n in ("chain", "draw")}},
    )
    tree = fit.data.copy()
    tree["posterior_predictive"] = xr.DataTree(drawn)
    return tree
