"""The no-U-turn sampler as one flat loop over leapfrog steps, for many chains side by side.

Every turn of the loop takes one leapfrog step in each chain, and whatever follows from it: a leaf
joins its subtree, a subtree its tree, a tree becomes a draw, a draw teaches warm-up. Chains need
not keep pace, so none waits for another's longer tree, and a program holds the gradient once. The
tree is the iterative one of Phan, Pradhan and Jankowiak (2019), with multinomial sampling along it
(Betancourt 2017). Randomness comes in as data, from each chain's own generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bayescale.adaptation import Adaptation, Plan, begin, update

Array = Any

MOST_DOUBLINGS = 10
DIVERGENCE = 1000.0
WIDE = 32  # from here on a library's product is the faster

Potential = Callable[[Array], tuple[Array, Array, Array]]


class End(NamedTuple):
    """One end of a trajectory, one row a chain: position, momentum, gradient of the potential."""

    z: Array
    r: Array
    gradient: Array


class Draw(NamedTuple):
    """A candidate for the next draw: position, gradient, potential, energy, and two log terms."""

    z: Array
    gradient: Array
    potential: Array
    energy: Array
    terms: Array


class Chains(NamedTuple):
    """Where every chain stands inside its tree."""

    left: End
    right: End
    tree: Draw
    subtree: Draw
    tree_log_weight: Array
    tree_momentum: Array
    subtree_log_weight: Array
    subtree_momentum: Array
    kept_r: Array
    kept_momentum: Array
    kept_dots: Array
    energy: Array
    direction: Array
    depth: Array
    leaf: Array
    steps: Array
    accepted: Array
    transition: Array
    fresh: Array
    adaptation: Adaptation


class Chance(NamedTuple):
    """Random numbers of one turn: normals (chains, size), uniforms (chains, 3)."""

    normal: Array
    uniform: Array


class Turn(NamedTuple):
    """What one turn says: whether a transition ended, and if so with what."""

    ended: Array
    z: Array
    diverged: Array
    energy: Array
    steps: Array
    accept: Array
    step_size: Array
    terms: Array


def start(z: np.ndarray, step_size: float) -> Chains:
    """Chains at positions (chains, size) whose gradients are not known yet."""
    n, size = z.shape
    zeros, wide, whole = np.zeros(n), np.zeros((n, size)), np.zeros(n, np.int64)
    end = End(z, wide, wide)
    draw = Draw(z, wide, zeros, zeros, np.zeros((n, 2)))
    kept = np.zeros((n, MOST_DOUBLINGS, size))
    return Chains(
        left=end,
        right=end,
        tree=draw,
        subtree=draw,
        tree_log_weight=zeros,
        tree_momentum=wide,
        subtree_log_weight=np.full(n, -np.inf),
        subtree_momentum=wide,
        kept_r=kept,
        kept_momentum=kept,
        kept_dots=np.zeros((n, MOST_DOUBLINGS, 2)),
        energy=zeros,
        direction=np.ones(n),
        depth=whole,
        leaf=whole,
        steps=whole,
        accepted=zeros,
        transition=whole,
        fresh=np.ones(n, bool),
        adaptation=begin(n, size, step_size),
    )


def _choose(which: Array, yes: Any, no: Any) -> Any:
    """Elementwise choice between two trees of arrays with a leading axis of chains."""
    import jax
    import jax.numpy as jnp

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(which.reshape(which.shape + (1,) * (jnp.ndim(b) - 1)), a, b)

    return jax.tree.map(leaf, yes, no)


def _turning(variance: Array, first: Array, last: Array, total: Array) -> Array:
    """Whether a trajectory with these end momenta and summed momentum has begun to return."""
    import jax.numpy as jnp

    middle = variance * (total - 0.5 * (first + last))
    return (jnp.sum(first * middle, -1) <= 0) | (jnp.sum(last * middle, -1) <= 0)


def _turned_since(chains: Chains, variance: Array, r: Array, total: Array, own: Array) -> Array:
    """Whether the stretch from each kept leaf to this one has begun to return, (chains, slots).

    `_turning` written out in inner products, so that nothing of (chains, slots, size) is made.
    """
    with_total = _dots(chains.kept_r, variance * total)
    with_r = _dots(chains.kept_r, variance * r)
    earlier = _dots(chains.kept_momentum, variance * r)
    first = with_total - chains.kept_dots[..., 1] + 0.5 * (chains.kept_dots[..., 0] - with_r)
    last = own[:, 1:] - earlier + 0.5 * (with_r - own[:, :1])
    return (first <= 0) | (last <= 0)


def _dots(kept: Array, vector: Array) -> Array:
    """Inner products of (chains, slots, size) with (chains, size)."""
    import jax.numpy as jnp

    if kept.shape[-1] < WIDE:
        return jnp.sum(kept * vector[:, None], axis=-1)
    return jnp.einsum("cks,cs->ck", kept, vector)


def turn(chains: Chains, chance: Chance, potential: Potential, plan: Plan) -> tuple[Chains, Turn]:
    """Take one leapfrog step in every chain and draw its consequences."""
    import jax.numpy as jnp
    from jax.lax import population_count

    learnt = chains.adaptation
    variance = learnt.variance
    forward = chains.direction > 0
    at = _choose(forward, chains.right, chains.left)
    length = jnp.where(chains.fresh, 0.0, learnt.step_size * chains.direction)[:, None]
    r = at.r - 0.5 * length * at.gradient
    z = at.z + length * variance * r
    value, gradient, terms = potential(z)
    r = r - 0.5 * length * gradient
    energy = value + 0.5 * jnp.sum(variance * r**2, axis=-1)

    excess = energy - chains.energy
    excess = jnp.where(jnp.isnan(excess), jnp.inf, excess)
    diverged = (excess > DIVERGENCE) & ~chains.fresh
    accepted = chains.accepted + jnp.exp(-jnp.maximum(excess, 0.0))
    steps = chains.steps + 1

    # The leaf joins its subtree.
    log_weight = jnp.logaddexp(chains.subtree_log_weight, -excess)
    taken = chance.uniform[:, 0] < jnp.exp(-excess - log_weight)
    leaf = Draw(z, gradient, value, energy, terms)
    subtree = _choose(taken | chains.fresh, leaf, chains.subtree)
    momentum = chains.subtree_momentum + r
    even = chains.leaf % 2 == 0
    slot = population_count(chains.leaf >> 1)
    slots = np.arange(MOST_DOUBLINGS)
    write = (even[:, None] & (slots == slot[:, None]))[..., None]
    own = jnp.stack([jnp.sum(variance * r * r, -1), jnp.sum(variance * r * momentum, -1)], axis=-1)
    closed = population_count(chains.leaf ^ (chains.leaf + 1)) - 1  # subtrees that it completes
    inside = (slots <= slot[:, None]) & (slots > (slot - closed)[:, None]) & ~even[:, None]
    turned = jnp.any(inside & _turned_since(chains, variance, r, momentum, own), axis=-1)

    # The subtree joins its tree.
    here = End(z, r, gradient)
    left, right = _choose(forward, chains.left, here), _choose(forward, here, chains.right)
    failed = turned | diverged
    whole = (chains.leaf + 1 == 1 << chains.depth) & ~failed
    ratio = log_weight - chains.tree_log_weight
    taken = whole & (chance.uniform[:, 1] < jnp.exp(jnp.minimum(ratio, 0.0)))
    tree = _choose(taken | chains.fresh, subtree, chains.tree)
    tree_log_weight = jnp.logaddexp(chains.tree_log_weight, log_weight)
    tree_log_weight = jnp.where(whole, tree_log_weight, chains.tree_log_weight)
    tree_momentum = chains.tree_momentum + whole[:, None] * momentum
    depth = chains.depth + whole
    returned = whole & _turning(variance, left.r, right.r, tree_momentum)
    ended = failed | returned | (depth >= MOST_DOUBLINGS) | chains.fresh

    # The tree becomes a draw, and a new one begins.
    accept = accepted / steps
    drawn = ended & ~chains.fresh
    learning = drawn & (chains.transition < plan.warmup)
    better = update(learnt, plan, chains.transition, accept, tree.z, jnp)
    adaptation = _choose(learning, better, learnt)
    fresh_r = chance.normal / jnp.sqrt(adaptation.variance)
    begun = End(tree.z, fresh_r, tree.gradient)
    new_energy = tree.potential + 0.5 * jnp.sum(chance.normal**2, axis=-1)
    restart = ended | whole
    told = Turn(drawn, tree.z, diverged, tree.energy, steps, accept, learnt.step_size, tree.terms)
    following = Chains(
        left=_choose(ended, begun, left),
        right=_choose(ended, begun, right),
        tree=tree._replace(energy=jnp.where(ended, new_energy, tree.energy)),
        subtree=subtree,
        tree_log_weight=jnp.where(ended, 0.0, tree_log_weight),
        tree_momentum=_choose(ended, fresh_r, tree_momentum),
        subtree_log_weight=jnp.where(restart, -jnp.inf, log_weight),
        subtree_momentum=_choose(restart, jnp.zeros_like(momentum), momentum),
        kept_r=jnp.where(write, r[:, None], chains.kept_r),
        kept_momentum=jnp.where(write, momentum[:, None], chains.kept_momentum),
        kept_dots=jnp.where(write, own[:, None], chains.kept_dots),
        energy=jnp.where(ended, new_energy, chains.energy),
        direction=jnp.where(
            restart, jnp.where(chance.uniform[:, 2] < 0.5, -1.0, 1.0), chains.direction
        ),
        depth=jnp.where(ended, 0, depth),
        leaf=jnp.where(restart, 0, chains.leaf + 1),
        steps=jnp.where(ended, 0, steps),
        accepted=jnp.where(ended, 0.0, accepted),
        transition=chains.transition + drawn,
        fresh=jnp.zeros_like(chains.fresh),
        adaptation=adaptation,
    )
    return following, told
