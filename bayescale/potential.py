"""The potential that chains move in and its gradient, in kernels for each step there and back.

One kernel of all would be one function to the compiler, whose passes take longer than in proportion
to a function's length; kernels are compiled side by side. Starting a few more costs little beside
what they work through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayescale.density import Position, log_likelihood, log_prior
from bayescale.geometry import unwhitening
from bayescale.kernels import Wrap
from bayescale.model import Structure
from bayescale.nuts import Potential

Array = Any


def potential(structure: Structure, data: dict, shared: bool, wrap: Wrap) -> Potential:
    """Of positions (chains, size): the potential, its gradient, and log prior and log likelihood.

    Parameters
    ----------
    data : dict
        The density's arguments; with a leading axis of chains unless they are `shared`.
    wrap : callable
        Makes a kernel of a function.
    """
    import jax
    import jax.numpy as jnp

    lanes = None if shared else 0
    steps = unwhitening(structure, data["quadratic"], jnp)

    def at_position(placed: tuple[Position, Array], data: dict) -> tuple[Array, Array]:
        position, log_jacobian = placed
        prior = log_prior(structure, position, data, jnp)
        likelihood = log_likelihood(structure, position, data, jnp)
        return -(prior + likelihood + log_jacobian), jnp.stack([prior, likelihood])

    def there(step: Callable) -> Callable:
        def along(at: Any) -> tuple[Any, Callable]:
            return jax.vjp(lambda at: jax.vmap(step, (0, lanes))(at, data["quadratic"]), at)

        return along

    def turning(placed: Any) -> Any:
        return jax.vmap(jax.value_and_grad(at_position, has_aux=True), (0, lanes))(placed, data)

    def back(pull: Callable, gradient: Any) -> Any:
        return pull(gradient)[0]

    def call(z: Array) -> tuple[Array, Array, Array]:
        at, pulls = z, []
        for step in steps:
            at, pull = wrap(there(step))(at)
            pulls.append(pull)
        (value, terms), gradient = wrap(turning)(at)
        for pull in reversed(pulls):
            gradient = wrap(back)(pull, gradient)
        return value, gradient, terms

    return call
