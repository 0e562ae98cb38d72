"""Freedom that a fit takes from its scatter, as in REML.

At a joint mode the scatter's scale is that of what is left when parameters have followed the runs;
where groups have hardly more runs than parameters, or bends as many weights, nothing is left, and
the mode is one of no scatter at all, far from where the posterior is. Integrated over the
parameters the likelihood rises with log scale by one more for each parameter that the runs
determine (Patterson and Thompson 1971).
"""

from __future__ import annotations

import numpy as np

from bayescale.density import Position, group_precision
from bayescale.model import Model
from bayescale.quadratic import Quadratic, dense_design, layout
from bayescale.settling import SCATTER


def few_runs(model: Model) -> bool:
    """Whether groups have fewer than two runs for each of their own parameters."""
    levels, varied = layout(model.structure).block_shape
    return len(model.arrays.position) < 2 * varied * levels


def scatter_tilt(
    model: Model, precision: np.ndarray, quadratic: Quadratic, position: Position
) -> np.ndarray:
    """What integration adds to each group's gradient (groups, P), all of it on log sigma.

    Parameters
    ----------
    precision : array, shape (groups, P, P)
        The log likelihood's in each group's coordinates.
    quadratic : Quadratic
        Of the dense coordinates and the block's plain effects there.
    """
    structure = model.structure
    tilt = np.zeros(precision.shape[:2])
    b = structure.block
    if b is None or SCATTER not in structure.names:
        return tilt
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
    scale = structure.names.index(SCATTER)
    known = precision.copy()
    known[:, scale, :] = known[:, :, scale] = 0.0
    tilt[:, scale] = np.einsum("gpq,gpq->g", known, covariance)
    return tilt
