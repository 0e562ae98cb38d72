"""The same posterior as a NumPyro model, to be read, to be simulated from, and to test against.

The sampler does not call this: it uses `density.log_posterior`, the same density over arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayescale.coordinates import share_line, to_natural
from bayescale.density import Position, cell_log_likelihood, group_coordinates
from bayescale.factors import log_factors
from bayescale.model import Model, has_share
from bayescale.places import spread


def numpyro_model(model: Model) -> Callable[[], None]:
    """Return a NumPyro model of a law set against runs.

    Population sites bear the parameters' names (``share(A)`` where the prior is on the
    contribution at the reference), group sds ``sd(alpha|family)``, correlations
    ``cor(A, alpha|family)`` in [-1, 1], group effects ``effects(family)``.

    Examples
    --------
    >>> import bayescale as bs, numpyro
    >>> from bayescale.model_from_runs import build_model
    >>> law = bs.load_law("chinchilla")
    >>> runs = bs.read_runs({"N": [1e6, 2e6, 4e6], "D": [1e8, 3e8, 1e9], "loss": [4.0, 3.5, 3.2]})
    >>> program = numpyro_model(build_model(law, runs.table))
    >>> sites = numpyro.handlers.trace(numpyro.handlers.seed(program, 0)).get_trace()
    >>> "alpha" in sites, "share(A)" in sites
    (True, True)
    """
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    structure = model.structure
    inputs = model.arrays.inputs()
    reference = inputs["reference"]

    def population() -> Any:
        coordinates: dict[int, Any] = {}
        values: dict[str, Any] = {}
        for i in structure.free:
            p = structure.parameters[i]
            if not has_share(p):
                values[p.name] = numpyro.sample(p.name, p.prior.numpyro())
                coordinates[i] = p.prior.to_real(values[p.name], jnp)
        for i in structure.free:
            p = structure.parameters[i]
            if not has_share(p):
                continue
            if p.on == "share":
                share = numpyro.sample(f"share({p.name})", p.prior.numpyro())
                coordinates[i] = p.prior.to_real(share, jnp)
            else:
                value = numpyro.sample(p.name, p.prior.numpyro())
                intercept, slope = share_line(p, values, reference, jnp)
                coordinates[i] = intercept + slope * jnp.log(value) - jnp.log(reference[p.of])
        free = jnp.stack([coordinates[i] for i in structure.free])
        if structure.law.beliefs:
            eta = spread(free, structure.free, structure.size) + structure.base
            natural = to_natural(structure, eta, reference, jnp)
            numpyro.factor("beliefs", log_factors(structure.law, natural, jnp))
        return free

    def effects(f: int) -> tuple[Any, Any, Any]:
        factor = structure.factors[f]
        names = [structure.names[i] for i in factor.varied]
        log_sd = [
            jnp.log(
                numpyro.sample(
                    structure.sd_name(factor, k),
                    structure.parameters[factor.varied[k]].group_sd.numpyro(),
                )
            )
            for k in factor.learned_index
        ]
        unit = [
            numpyro.sample(f"cor({names[i]}, {names[j]}|{factor.name})", dist.Beta(2, 2))
            for i, j in factor.pairs
        ]
        rho = [2.0 * b - 1.0 for b in unit]
        sds = jnp.asarray(factor.fixed_sd)
        for k, value in zip(factor.learned_index, log_sd, strict=True):
            sds = sds.at[np.array(factor.members(k))].set(jnp.exp(value))
        correlation = jnp.eye(len(names))
        for (i, j), r in zip(factor.pairs, rho, strict=True):
            correlation = correlation.at[i, j].set(r).at[j, i].set(r)
        covariance = correlation * sds[:, None] * sds[None, :]
        with numpyro.plate(factor.name, len(factor.levels)):
            drawn = numpyro.sample(
                f"effects({factor.name})",
                dist.MultivariateNormal(jnp.zeros(len(names)), covariance_matrix=covariance),
            )
        return (
            drawn,
            jnp.stack(log_sd) if log_sd else jnp.zeros(0),
            jnp.arctanh(jnp.stack(rho)) if rho else jnp.zeros(0),
        )

    def program() -> None:
        center = population()
        drawn = [effects(f) for f in range(len(structure.factors))]
        position = Position(
            center,
            tuple(d[0] for d in drawn),
            tuple(d[1] for d in drawn),
            tuple(d[2] for d in drawn),
        )
        eta = group_coordinates(structure, position, inputs["levels"], jnp)
        cells = cell_log_likelihood(structure, eta, inputs, jnp)
        present = jnp.sum(inputs["mask"], axis=-1) > 0
        numpyro.factor("runs", jnp.sum(jnp.where(present, cells, 0.0)))

    return program
