"""How much an answer moves when the prior or the data count for a little less or more.

Power scaling (Kallioinen et al. 2023): draws are reweighted by prior or likelihood to a power near
1, the weights Pareto-smoothed; nothing is refitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayescale.coordinates import prior_argument, to_natural
from bayescale.density import population_coordinates
from bayescale.factors import log_factors
from bayescale.fitting import Fit
from bayescale.model import reference_inputs
from bayescale.precision import x64
from bayescale.predictive_draws import log_loss_draws
from bayescale.targets import targets_frame

POWERS = (0.8, 1.25)
MAX_KHAT = 0.7


def log_prior_draws(fit: Fit) -> np.ndarray:
    """Log density of the stated priors and beliefs at every draw, shape (sample,).

    What differs from a population belongs to the model and is not scaled; the priors of groups
    that share none are, each group's. Neither are Jacobians.
    """
    structure, position = fit.model.structure, fit.position
    pinned = {i for i, _ in structure.pinned}
    eta = population_coordinates(structure, position.population, np)
    values = to_natural(structure, eta, reference_inputs(fit.model.arrays.reference), np)
    total = np.zeros(len(eta))
    with x64():
        for i in structure.free:
            at = prior_argument(structure, eta, values, i, np)
            total += np.asarray(structure.parameters[i].prior.log_prob(at))
        for f, factor in enumerate(structure.factors):
            for k, i in enumerate(factor.varied):
                if i in pinned and not factor.learned[k]:
                    z = position.effects[f][:, :, k] / factor.fixed_sd[k]
                    total += np.sum(-0.5 * z**2, axis=-1)
            for k, i in enumerate(factor.learned_index):
                prior = structure.parameters[factor.varied[i]].group_sd
                total += np.asarray(prior.log_prob(np.exp(position.log_sd[f][:, k])))
    return total + log_factors(structure.law, values, np)


def smoothed_weights(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Pareto-smoothed weights that sum to 1, and their Pareto shape.

    Examples
    --------
    >>> weights, khat = smoothed_weights(np.linspace(-1, 0, 1000))
    >>> bool(weights[-1] > weights[0]), bool(khat < MAX_KHAT)
    (True, True)
    """
    from arviz_stats.base import array_stats

    # psislw takes log likelihoods, whose weights are their inverses
    try:
        smoothed, khat = array_stats.psislw(log_weights.max() - log_weights)
    except ValueError:  # the largest are equal, as those of a bounded prior: nothing to smooth
        smoothed, khat = log_weights, 0.0
    weights = np.exp(smoothed - np.max(smoothed))
    return weights / weights.sum(), float(khat)


def _weighted_quantiles(draws: np.ndarray, weights: np.ndarray, q: np.ndarray) -> np.ndarray:
    order = np.argsort(draws, kind="stable")
    cumulative = np.cumsum(weights[order]) - 0.5 * weights[order]
    return np.interp(q, cumulative, draws[order])


def power_sensitivity(
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any],
    kind: str = "new-run",
    prob: float = 0.95,
    new_groups: str = "error",
) -> pd.DataFrame:
    """Move of each prediction when the prior or the likelihood is raised to 0.8 and to 1.25.

    Parameters
    ----------
    fit : Fit
    targets : DataFrame or dict of columns
    kind : {"new-run", "mean"}
    prob : float
        Probability of the equal-tailed interval.
    new_groups : {"error", "sample"}

    Returns
    -------
    pandas.DataFrame
        One row a target and component: target, component ("prior" or "likelihood"),
        median_shift (largest of the two powers, in widths of the unscaled interval), width_ratio
        (farthest from 1), khat (above 0.7 the reweighting can't be trusted).

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> power_sensitivity(fit, {"N": 1e6, "D": 2e7}).component.tolist()
    ['prior', 'likelihood']
    """
    frame = targets_frame(fit, targets)
    draws = log_loss_draws(fit, frame, kind, new_groups)
    tail = (1.0 - prob) / 2.0
    q = np.array([tail, 0.5, 1.0 - tail])
    stats = fit.data["sample_stats"].dataset
    parts = {
        "prior": log_prior_draws(fit),
        "likelihood": stats["log_likelihood"].transpose("chain", "draw").to_numpy().ravel(),
    }
    uniform = np.full(len(draws), 1.0 / len(draws))
    rows = []
    for component, log_density in parts.items():
        scaled = [smoothed_weights((power - 1.0) * log_density) for power in POWERS]
        for t in range(draws.shape[1]):
            low, middle, high = _weighted_quantiles(draws[:, t], uniform, q)
            shift, ratio = 0.0, 1.0
            for weights, _ in scaled:
                a, m, b = _weighted_quantiles(draws[:, t], weights, q)
                if abs(m - middle) > abs(shift):
                    shift = m - middle
                if abs(np.log((b - a) / (high - low))) > abs(np.log(ratio)):
                    ratio = (b - a) / (high - low)
            khat = max(k for _, k in scaled)
            rows.append((t, component, shift / (high - low), ratio, khat))
    columns = ["target", "component", "median_shift", "width_ratio", "khat"]
    return pd.DataFrame(rows, columns=columns)


def psense(
    fit: Fit,
    targets: pd.DataFrame | Mapping[str, Any] | None = None,
    kind: str = "mean",
    new_groups: str = "error",
    threshold: float = 0.05,
) -> pd.DataFrame:
    """Power-scaling sensitivity of every parameter, and of predictions, to prior and likelihood.

    The table of `arviz_stats.psense_summary` (Kallioinen et al. 2024): how much a posterior moves
    for a small relative change of the prior's or the likelihood's power.

    Parameters
    ----------
    fit : Fit
    targets : DataFrame or dict of columns, optional
        Predictions to be judged, too: rows ``target 1``, ...
    kind : {"mean", "new-run"}
    new_groups : {"error", "sample"}
    threshold : float
        Sensitivity from which on something is said.

    Returns
    -------
    pandas.DataFrame
        Indexed by parameter: prior, likelihood, diagnosis. "potential prior-data conflict": both
        are above the threshold. "potential strong prior / weak likelihood": the prior's alone.
        For how far a prediction's interval would move, see `power_sensitivity`.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> bs.psense(fit, {"N": 1e6, "D": 2e7}).loc["target 1", "diagnosis"]
    '...'
    """
    import logging

    from arviz_base import from_dict
    from arviz_stats.psense import psense_summary

    from bayescale.diagnostics import flat_draws

    names, draws = flat_draws(fit.data["posterior"].dataset)
    variables = {name: draws[..., k] for k, name in enumerate(names)}
    chains, length = draws.shape[:2]
    if targets is not None:
        predicted = log_loss_draws(fit, targets_frame(fit, targets), kind, new_groups)
        variables |= {
            f"target {k + 1}": predicted[:, k].reshape(chains, length)
            for k in range(predicted.shape[1])
        }
    likelihood = fit.data["sample_stats"]["log_likelihood"].transpose("chain", "draw").to_numpy()
    tree = from_dict(
        {
            "posterior": variables,
            "log_prior": {"prior": log_prior_draws(fit).reshape(chains, length)},
            "log_likelihood": {"runs": likelihood},
        }
    )
    logger = logging.getLogger("arviz_stats.psense")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the table says it
    try:
        table = psense_summary(tree, threshold=threshold, round_to=6)
    finally:
        logger.setLevel(level)
    return table.loc[list(variables)].rename_axis("parameter").replace({"diagnosis": {"✓": "ok"}})
