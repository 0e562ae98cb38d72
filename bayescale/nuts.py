"""The no-U-turn sampler as one flat loop over leapfrog steps, for many chains side by side.

Every turn of the loop takes one leapfrog step in each chain, and whatever follows from it: a leaf
joins its subtree, a subtree its tree, a tree becomes a draw, a draw teaches warm-up. Chains need
not keep pace, so none waits for another's longer tree, and a program holds the gradient once. The
tree is the iterative one of Phan, Pradhan and Jankowiak (2019), with multinomial sampling along it
(Betancourt 2017). Randomness comes in as data, from each chain's own generator.

A turn is a few kernels, the potential's among them: starting one costs more than running it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bayescale.adaptation import Adaptation, Plan, begin, update
from bayescale.kernels import Wrap, as_it_is

Array = Any

MOST_DOUBLINGS = 10
DIVERGENCE = 1000.0

Potential = Callable[[Array], tuple[Array, Array, Array]]


class End(NamedTuple):
    """One end of a trajectory, (chains, size): position, momentum, gradient of the potential."""

    z: Array
    r: Array
    gradient: Array


class Draw(NamedTuple):
    """A candidate for the next draw: position and gradient (chains, size), and its numbers.

    The numbers (chains, 4) are potential, energy, log prior and log likelihood.
    """

    z: Array
    gradient: Array
    numbers: Array


class Numbers(NamedTuple):
    """What else a chain holds in single numbers, (chains,) each; `Chains` holds them stacked."""

    tree_log_weight: Array
    subtree_log_weight: Array
    energy: Array
    direction: Array
    depth: Array
    leaf: Array
    steps: Array
    accepted: Array
    transition: Array
    fresh: Array


class Chains(NamedTuple):
    """Where every chain stands inside its tree.

    Attributes
    ----------
    kept : array, shape (chains, MOST_DOUBLINGS, 2, size)
        Momentum, and the subtree's summed momentum, at the leaves that later ones compare with.
    kept_dots : array, shape (chains, MOST_DOUBLINGS, 2)
        Their inner products with the leaf's own momentum.
    numbers : array, shape (chains, len(Numbers._fields))
    """

    left: End
    right: End
    tree: Draw
    subtree: Draw
    tree_momentum: Array
    subtree_momentum: Array
    kept: Array
    kept_dots: Array
    numbers: Array
    adaptation: Adaptation


class Chance(NamedTuple):
    """Random numbers of one turn: normals (chains, size), uniforms (chains, 3)."""

    normal: Array
    uniform: Array


class Turn(NamedTuple):
    """What one turn says: whether a transition ended, and if so with what.

    Attributes
    ----------
    z : array, shape (chains, size)
    numbers : array, shape (chains, len(Said._fields))
    """

    z: Array
    numbers: Array


class Said(NamedTuple):
    """The numbers of a `Turn`, (chains,) each."""

    ended: Array
    diverged: Array
    potential: Array
    energy: Array
    log_prior: Array
    log_likelihood: Array
    steps: Array
    accept: Array
    step_size: Array


def _unstack(numbers: Array) -> list[Array]:
    return [numbers[..., i] for i in range(numbers.shape[-1])]


def start(z: np.ndarray, step_size: float) -> Chains:
    """Chains at positions (chains, size) whose gradients are not known yet."""
    n, size = z.shape
    zeros, wide = np.zeros(n), np.zeros((n, size))
    end, draw = End(z, wide, wide), Draw(z, wide, np.zeros((n, 4)))
    numbers = Numbers(*[zeros] * len(Numbers._fields))._replace(
        subtree_log_weight=zeros - np.inf, direction=zeros + 1.0, fresh=zeros + 1.0
    )
    return Chains(
        left=end,
        right=end,
        tree=draw,
        subtree=draw,
        tree_momentum=wide,
        subtree_momentum=wide,
        kept=np.zeros((n, MOST_DOUBLINGS, 2, size)),
        kept_dots=np.zeros((n, MOST_DOUBLINGS, 2)),
        numbers=np.stack(numbers, axis=-1),
        adaptation=begin(n, size, step_size),
    )


def turn(
    chains: Chains, chance: Chance, potential: Potential, plan: Plan, wrap: Wrap = as_it_is
) -> tuple[Chains, Turn]:
    """Take one leapfrog step in every chain and draw its consequences.

    Parameters
    ----------
    chains : Chains
    chance : Chance
    potential : callable
        Of positions (chains, size): the potential (chains,), its gradient, and log prior and log
        likelihood (chains, 2); of kernels already.
    plan : Plan
    wrap : callable
        Makes a kernel of a function, here of what comes before and after the potential.
    """
    z, half, length = wrap(_leap)(chains)
    value, gradient, terms = potential(z)
    return wrap(_follow)(chains, chance, plan, z, half, length, value, gradient, terms)


def _choose(which: Array, yes: Any, no: Any) -> Any:
    """Elementwise choice between two trees of arrays with a leading axis of chains."""
    import jax
    import jax.numpy as jnp

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(which.reshape(which.shape + (1,) * (jnp.ndim(b) - 1)), a, b)

    return jax.tree.map(leaf, yes, no)


def _leap(chains: Chains) -> tuple[Array, Array, Array]:
    """The next leaf's position, its momentum half a step earlier, and the step's length."""
    import jax.numpy as jnp

    n = Numbers(*_unstack(chains.numbers))
    learnt = chains.adaptation
    at = _choose(n.direction > 0, chains.right, chains.left)
    length = jnp.where(n.fresh > 0, 0.0, learnt.step_size * n.direction)[:, None]
    half = at.r - 0.5 * length * at.gradient
    return at.z + length * learnt.variance * half, half, length


def _dot(a: Array, b: Array) -> Array:
    import jax.numpy as jnp

    return jnp.sum(a * b, axis=-1)


def _follow(
    chains: Chains,
    chance: Chance,
    plan: Plan,
    z: Array,
    half: Array,
    length: Array,
    value: Array,
    gradient: Array,
    terms: Array,
) -> tuple[Chains, Turn]:
    """Everything that follows from a leaf once its gradient is known."""
    import jax.numpy as jnp
    from jax.lax import population_count

    n = Numbers(*_unstack(chains.numbers))
    learnt = chains.adaptation
    variance = learnt.variance
    fresh, forward = n.fresh > 0, n.direction > 0
    r = half - 0.5 * length * gradient
    scaled = variance * r
    kinetic = 0.5 * _dot(r, scaled)
    energy = value + kinetic

    excess = energy - n.energy
    excess = jnp.where(jnp.isnan(excess), jnp.inf, excess)
    diverged = (excess > DIVERGENCE) & ~fresh
    accepted = n.accepted + jnp.exp(-jnp.maximum(excess, 0.0))
    steps = n.steps + 1.0

    # The leaf joins its subtree.
    log_weight = jnp.logaddexp(n.subtree_log_weight, -excess)
    taken = chance.uniform[:, 0] < jnp.exp(-excess - log_weight)
    own = jnp.concatenate([value[:, None], energy[:, None], terms], axis=-1)
    subtree = _choose(taken | fresh, Draw(z, gradient, own), chains.subtree)
    momentum = chains.subtree_momentum + r

    # Has any stretch that ends at this leaf begun to return?
    scaled_momentum = variance * momentum
    own_dots = jnp.stack([2.0 * kinetic, _dot(r, scaled_momentum)], axis=-1)
    leaf = n.leaf.astype(int)
    even = leaf % 2 == 0
    slot = population_count(leaf >> 1)
    slots = np.arange(MOST_DOUBLINGS)
    closed = population_count(leaf ^ (leaf + 1)) - 1  # subtrees that the leaf completes
    inside = (slots <= slot[:, None]) & (slots > (slot - closed)[:, None]) & ~even[:, None]
    stretch = _turned_since(chains, scaled, scaled_momentum, own_dots)
    turned = jnp.any(inside & stretch, axis=-1)
    write = even[:, None] & (slots == slot[:, None])

    # The subtree joins its tree.
    here = End(z, r, gradient)
    left, right = _choose(forward, chains.left, here), _choose(forward, here, chains.right)
    failed = turned | diverged
    whole = (leaf + 1 == 1 << n.depth.astype(int)) & ~failed
    ratio = log_weight - n.tree_log_weight
    taken = whole & (chance.uniform[:, 1] < jnp.exp(jnp.minimum(ratio, 0.0)))
    tree = _choose(taken | fresh, subtree, chains.tree)
    tree_log_weight = jnp.logaddexp(n.tree_log_weight, log_weight)
    tree_log_weight = jnp.where(whole, tree_log_weight, n.tree_log_weight)
    tree_momentum = chains.tree_momentum + whole[:, None] * momentum
    depth = n.depth + whole
    returned = whole & _turning(variance, left.r, right.r, tree_momentum)
    ended = failed | returned | (depth >= MOST_DOUBLINGS) | fresh

    # The tree becomes a draw, and a new one begins.
    drawn = ended & ~fresh
    accept = accepted / steps
    learning = drawn & (n.transition < plan.warmup)
    better = update(learnt, plan, n.transition, accept, tree.z, jnp)
    adaptation = _choose(learning, better, learnt)
    fresh_r = chance.normal / jnp.sqrt(adaptation.variance)
    begun = End(tree.z, fresh_r, tree.gradient)
    new_energy = tree.numbers[:, 0] + 0.5 * _dot(chance.normal, chance.normal)
    restart = ended | whole
    said = Said(
        ended=drawn,
        diverged=diverged,
        potential=tree.numbers[:, 0],
        energy=tree.numbers[:, 1],
        log_prior=tree.numbers[:, 2],
        log_likelihood=tree.numbers[:, 3],
        steps=steps,
        accept=accept,
        step_size=learnt.step_size,
    )
    numbers = Numbers(
        tree_log_weight=jnp.where(ended, 0.0, tree_log_weight),
        subtree_log_weight=jnp.where(restart, -jnp.inf, log_weight),
        energy=jnp.where(ended, new_energy, n.energy),
        direction=jnp.where(restart, jnp.where(chance.uniform[:, 2] < 0.5, -1.0, 1.0), n.direction),
        depth=jnp.where(ended, 0.0, depth),
        leaf=jnp.where(restart, 0.0, n.leaf + 1.0),
        steps=jnp.where(ended, 0.0, steps),
        accepted=jnp.where(ended, 0.0, accepted),
        transition=n.transition + drawn,
        fresh=jnp.zeros_like(n.fresh),
    )
    kept = jnp.where(write[..., None, None], jnp.stack([r, momentum], axis=1)[:, None], chains.kept)
    following = Chains(
        left=_choose(ended, begun, left),
        right=_choose(ended, begun, right),
        tree=tree,
        subtree=subtree,
        tree_momentum=_choose(ended, fresh_r, tree_momentum),
        subtree_momentum=_choose(restart, jnp.zeros_like(momentum), momentum),
        kept=kept,
        kept_dots=jnp.where(write[..., None], own_dots[:, None], chains.kept_dots),
        numbers=jnp.stack(numbers, axis=-1),
        adaptation=adaptation,
    )
    return following, Turn(tree.z, jnp.stack([a.astype(z.dtype) for a in said], axis=-1))


def _turning(variance: Array, first: Array, last: Array, total: Array) -> Array:
    """Whether a trajectory with these end momenta and summed momentum has begun to return."""
    middle = variance * (total - 0.5 * (first + last))
    return (_dot(first, middle) <= 0) | (_dot(last, middle) <= 0)


def _turned_since(chains: Chains, scaled: Array, scaled_momentum: Array, own: Array) -> Array:
    """Whether the stretch from each kept leaf to this one has begun to return, (chains, slots).

    `_turning` written out in inner products, so that nothing of (chains, slots, size) is made;
    `scaled` and `scaled_momentum` are the leaf's momentum and its subtree's, times the variance.
    """
    with_momentum = _dot(chains.kept[:, :, 0], scaled_momentum[:, None])
    with_r = _dot(chains.kept[:, :, 0], scaled[:, None])
    earlier = _dot(chains.kept[:, :, 1], scaled[:, None])
    first = with_momentum - chains.kept_dots[..., 1] + 0.5 * (chains.kept_dots[..., 0] - with_r)
    last = own[:, 1:] - earlier + 0.5 * (with_r - own[:, :1])
    return (first <= 0) | (last <= 0)
