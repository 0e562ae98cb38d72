"""Positions as the unconstrained sites of `bayescale.numpyro_model`."""

from __future__ import annotations

import numpy as np

from bayescale.density import Position
from bayescale.model import Model, has_share


def sites(model: Model, position: Position) -> dict[str, np.ndarray]:
    """Sites (..., shape of the site) of positions (...); correlations live on a logit there."""
    structure = model.structure
    found = {}
    for k, i in enumerate(structure.free):
        p = structure.parameters[i]
        by_share = has_share(p) and p.on == "share"
        found[f"share({p.name})" if by_share else p.name] = position.population[..., k]
    for f, factor in enumerate(structure.factors):
        names = [structure.names[i] for i in factor.varied]
        for k, i in enumerate(factor.learned_index):
            found[structure.sd_name(factor, i)] = position.log_sd[f][..., k]
        for k, (i, j) in enumerate(factor.pairs):
            name = f"cor({names[i]}, {names[j]}|{factor.name})"
            found[name] = 2.0 * position.corr[f][..., k]
        found[f"effects({factor.name})"] = position.effects[f]
    return found


def log_jacobian(model: Model) -> float:
    """Of sites by coordinates: the atanh of a correlation is half the logit of its place."""
    return sum(len(factor.pairs) for factor in model.structure.factors) * float(np.log(2.0))
