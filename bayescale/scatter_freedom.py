"""Freedom that a fit takes from its scatter: where bends could follow every run, as in REML.

At a joint mode the scatter's scale is that of what is left when parameters have followed the runs;
with as many weights as runs nothing is left, and the mode is one of no scatter at all. Integrated
over the parameters the likelihood rises with log scale by one more for each parameter that the
runs determine (Patterson and Thompson 1971), and the mode is where the posterior is.
"""

from __future__ import annotations

import numpy as np

from bayescale.density import Position, group_precision
from bayescale.model import Model
from bayescale.quadratic import Quadratic, dense_design, layout
from bayescale.settling import SCATTER


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
    if structure.bend is None or SCATTER not in structure.names:
        return tilt
    shape = layout(structure)
    size, (n_levels, n_varied) = shape.dense + shape.n_block, shape.block_shape
    whole = np.zeros((size, size))
    whole[: shape.dense, : shape.dense] = quadratic.dd
    start = shape.n_population
    for f in shape.others:
        factor = structure.factors[f]
        own = group_precision(factor, position.log_sd[f], position.corr[f], np)
        for _ in factor.levels:
            whole[start : start + len(own), start : start + len(own)] += own
            start += len(own)
    b = structure.block
    assert b is not None
    own = group_precision(structure.factors[b], position.log_sd[b], position.corr[b], np)
    blocks = np.eye(structure.size)[:, list(structure.factors[b].varied)]
    design = np.concatenate(
        [dense_design(model), np.zeros((len(tilt), structure.size, shape.n_block))], axis=-1
    )
    for level in range(n_levels):
        mine = slice(shape.dense + level * n_varied, shape.dense + (level + 1) * n_varied)
        whole[mine, mine] = quadratic.uu[level] + own
        whole[mine, : shape.dense] = quadratic.ud[level]
        whole[: shape.dense, mine] = quadratic.ud[level].T
        design[model.arrays.levels[b] == level, :, mine] = blocks
    scale = structure.names.index(SCATTER)
    known = precision.copy()
    known[:, scale, :] = known[:, :, scale] = 0.0
    covariance = np.einsum("gpi,ij,gqj->gpq", design, np.linalg.pinv(whole), design)
    tilt[:, scale] = np.einsum("gpq,gpq->g", known, covariance)
    return tilt
