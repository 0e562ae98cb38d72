"""Train one network on a stream of bytes, and measure it on held-out documents."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ladder_parts import nets
from ladder_parts.corpus import HeldOut
from ladder_parts.feeds import Feed

CHUNK = 16
EVAL_ROWS = 64
BETAS = (0.9, 0.98)
EPSILON = 1e-8
DECAY = 0.1
CLIP = 1.0


@dataclass(frozen=True)
class Reading:
    """Held-out losses at one step of a run: corpus -> (nats per byte, standard error)."""

    step: int
    losses: dict[str, tuple[float, float]]
    diverged: bool
    seconds: float


def run_seed(run: str) -> int:
    """Seed drawn from a run's own name, so that no two runs share a start or an order."""
    return int.from_bytes(hashlib.sha256(run.encode()).digest()[:4], "little")


def adamw(carry: Any, grads: Any, rate: jax.Array) -> Any:
    """One step of AdamW with clipped gradients; only matrices decay."""
    params, first, second, count = carry
    count = count + 1
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads)))
    grads = jax.tree.map(lambda g: g * jnp.minimum(1.0, CLIP / (norm + 1e-12)), grads)
    first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, grads)
    second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, grads)
    fix1, fix2 = 1 - BETAS[0] ** count, 1 - BETAS[1] ** count

    def move(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        step = (m / fix1) / (jnp.sqrt(v / fix2) + EPSILON)
        return p - rate * (step + (DECAY * p if p.ndim == 2 else 0.0))

    return jax.tree.map(move, params, first, second), first, second, count


@cache
def compiled(shape: nets.Shape) -> tuple[Any, Any]:
    """Trainer of a chunk of steps and per-row evaluator, compiled once in a process."""

    def mean_loss(params: nets.Params, data: jax.Array) -> jax.Array:
        return jnp.mean(nets.byte_losses(params, shape.recipe, data))

    def step(carry: Any, given: Any) -> Any:
        data, rate = given
        loss, grads = jax.value_and_grad(mean_loss)(carry[0], data.astype(jnp.int32))
        return adamw(carry, grads, rate), loss

    def evaluate(params: nets.Params, data: jax.Array) -> jax.Array:
        def part(rows: jax.Array) -> jax.Array:
            return jnp.sum(nets.byte_losses(params, shape.recipe, rows.astype(jnp.int32)), -1)

        return jax.lax.map(part, data)

    def chunk(carry: Any, data: jax.Array, rates: jax.Array) -> Any:
        return jax.lax.scan(step, carry, (data, rates))

    return jax.jit(chunk, donate_argnums=0), jax.jit(evaluate)


def start(shape: nets.Shape, seed: int) -> Any:
    """Weights, both moments at zero, and the count of steps."""
    params = nets.init(jax.random.key(seed), shape)
    zeros = jax.tree.map(jnp.zeros_like, params)
    return params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.float32)


def warm(shape: nets.Shape, held: dict[str, HeldOut]) -> None:
    """Compile before the clock of a run starts."""
    train, evaluate = compiled(shape)
    data = np.ones((CHUNK, nets.BATCH_ROWS, nets.CONTEXT), np.uint8)
    carry, _ = train(start(shape, 0), data, np.zeros(CHUNK, np.float32))
    for one in held.values():
        jax.block_until_ready(evaluate(carry[0], one.batches(EVAL_ROWS)))


def clustered_mean(losses: np.ndarray, held: HeldOut) -> tuple[float, float]:
    """Mean loss per byte and its standard error, documents being the independent units."""
    documents = int(held.document.max()) + 1
    total = np.bincount(held.document, losses, documents)
    size = np.bincount(held.document, minlength=documents) * float(nets.CONTEXT)
    mean = total.sum() / size.sum()
    spread = np.sum((total - mean * size) ** 2) * documents / (documents - 1)
    return float(mean), float(np.sqrt(spread) / size.sum())


def measure(evaluate: Any, params: Any, held: dict[str, HeldOut]) -> dict[str, tuple[float, float]]:
    """Loss of the weights on each held-out corpus."""
    found = {}
    for name, one in held.items():
        rows = np.asarray(evaluate(params, one.batches(EVAL_ROWS)), np.float64).reshape(-1)
        found[name] = clustered_mean(rows[: len(one.document)], one)
    return found


def padded(values: np.ndarray) -> np.ndarray:
    """Fill up to whole chunks with repeats of the first step."""
    missing = -len(values) % CHUNK
    return np.concatenate([values, np.repeat(values[:1], missing, axis=0)])


def train_run(
    run: str,
    shape: nets.Shape,
    feed: Feed,
    held: dict[str, HeldOut],
    rates: np.ndarray,
    checkpoints: tuple[float, ...],
) -> Iterator[Reading]:
    """Train for as long as there are rates and yield a reading at each checkpoint and at the end.

    Parameters
    ----------
    run : str
        The run's name, from which its initial weights are drawn.
    shape : nets.Shape
        The network.
    feed : Feed
        Training bytes and their order.
    held : dict
        Held-out rows of each corpus.
    rates : numpy.ndarray
        Learning rate of each step.
    checkpoints : tuple of float
        Shares of the run at which to measure before its end, rounded to whole chunks.
    """
    steps = len(rates)
    if len(feed.order) != steps:
        raise ValueError(f"{run}: {steps} rates for {len(feed.order)} batches")
    warm(shape, held)
    began = time.process_time()
    train, evaluate = compiled(shape)
    carry = start(shape, run_seed(run))
    stops = {round(share * steps / CHUNK) * CHUNK for share in checkpoints} | {steps}
    # The last chunk is filled up with steps of rate zero, which leave the weights as they are.
    order, paces = padded(feed.order), np.zeros(len(feed.order) + -steps % CHUNK, np.float32)
    paces[:steps] = rates
    for low in range(0, steps, CHUNK):
        high = min(low + CHUNK, steps)
        part = slice(low, low + CHUNK)
        carry, losses = train(carry, feed.rows[order[part]], paces[part])
        diverged = not bool(np.isfinite(np.asarray(losses)).all())
        if diverged or high in stops:
            found = {} if diverged else measure(evaluate, carry[0], held)
            diverged = diverged or not all(np.isfinite(loss) for loss, _ in found.values())
            yield Reading(high, found, diverged, time.process_time() - began)
        if diverged:
            return
