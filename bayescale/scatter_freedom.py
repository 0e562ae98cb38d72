"""Freedom that a fit takes from its scatter, as in REML.

At a joint mode the scatter's scale is that of what is left when parameters have followed the runs;
where groups have hardly more runs than parameters, or bends as many weights, nothing is left, and
the mode is one of no scatter at all, far from where the posterior is. Integrated over the
parameters the likelihood rises with log scale by one more for each parameter that the runs
determine (Patterson and Thompson 1971); with anything else that tells of scatter (what a cell's
runs share, a trend) by half the fall of the log determinant of the parameters' precision.
"""

from __future__ import annotations

import numpy as np

from bayescale.density import Position, group_precision
from bayescale.group_likelihood import Terms, positive
from bayescale.model import Model
from bayescale.quadratic import assemble, dense_design, layout
from bayescale.responses import SCATTER

STEP = 0.02  # of a parameter of scatter, over which the precision's change is taken


def few_runs(model: Model) -> bool:
    """Whether groups have fewer than two runs for each of their own parameters."""
    levels, varied = layout(model.structure).block_shape
    return len(model.arrays.position) < 2 * varied * levels


def of_scatter(model: Model) -> list[int]:
    """Places of the free parameters that tell of scatter."""
    structure = model.structure
    return [i for i in structure.free if structure.names[i] in SCATTER]


def scatter_tilt(
    model: Model, terms: Terms, at: np.ndarray, position: Position, prior_sd: np.ndarray
) -> np.ndarray:
    """What integration adds to each group's gradient (groups, P), on parameters of scatter alone.

    Parameters
    ----------
    terms : callable
        Each group's log likelihood with gradient and Hessian.
    at : array, shape (groups, P)
        The groups' coordinates, those of `position`.
    prior_sd : array
        Of the population's free coordinates.
    """
    structure = model.structure
    tilt = np.zeros(at.shape)
    scatter, b = of_scatter(model), structure.block
    if b is None or not scatter:
        return tilt

    def known(moved: np.ndarray) -> np.ndarray:
        """The likelihood's precision of everything but scatter."""
        precision = positive(-terms(moved)[2])
        precision[:, scatter, :] = precision[:, :, scatter] = 0.0
        return precision

    covariance = _covariance(model, known(at), position, prior_sd)
    for i in scatter:
        step = STEP * np.eye(structure.size)[i]
        change = (known(at + step) - known(at - step)) / (2.0 * STEP)
        tilt[:, i] = -0.5 * np.einsum("gpq,gpq->g", change, covariance)
    return tilt


def _covariance(
    model: Model, precision: np.ndarray, position: Position, prior_sd: np.ndarray
) -> np.ndarray:
    """Covariance (groups, P, P) of each group's coordinates under a precision of the same shape."""
    structure = model.structure
    quadratic = assemble(
        model, precision, np.zeros(precision.shape[:2]), np.zeros(len(prior_sd)), prior_sd
    )
    b = structure.block
    assert b is not None
    dense = quadratic.dd.copy()
    start = layout(structure).n_population
    for f in layout(structure).others:
        factor = structure.factors[f]
        own = group_precision(factor, position.log_sd[f], position.corr[f], np)
        for _ in factor.levels:
            dense[start : start + len(own), start : start + len(own)] += own
            start += len(own)
    own = group_precision(structure.factors[b], position.log_sd[b], position.corr[b], np)
    blocks = np.linalg.pinv(quadratic.uu + own, hermitian=True)
    follow = blocks @ quadratic.ud  # how the blocks follow the dense coordinates
    dense = dense - np.einsum("lvi,lvj->ij", quadratic.ud, follow)
    level = model.arrays.levels[b]
    varied = list(structure.factors[b].varied)
    design = dense_design(model)
    design[:, varied] -= follow[level]
    covariance = np.einsum("gpi,ij,gqj->gpq", design, np.linalg.pinv(dense, hermitian=True), design)
    covariance[:, np.ix_(varied, varied)[0], np.ix_(varied, varied)[1]] += blocks[level]
    return covariance
