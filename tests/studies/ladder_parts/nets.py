"""Two byte-level networks, their sizes and the operations they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

VOCAB = 256
CONTEXT = 128
BATCH_ROWS = 16
BATCH_BYTES = BATCH_ROWS * CONTEXT
KERNEL = 8
SLOPES = (1.0, 0.125)
HEADS = len(SLOPES)
Params = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """Width, depth and hidden width of one network."""

    recipe: str
    width: int
    depth: int
    hidden: int


SHAPES: dict[tuple[str, str], Shape] = {
    ("transformer", "3e3"): Shape("transformer", 12, 2, 40),
    ("transformer", "5.6e3"): Shape("transformer", 18, 2, 40),
    ("transformer", "1e4"): Shape("transformer", 24, 2, 56),
    ("transformer", "1.8e4"): Shape("transformer", 32, 2, 76),
    ("transformer", "3e4"): Shape("transformer", 40, 2, 108),
    ("transformer", "5.6e4"): Shape("transformer", 56, 2, 136),
    ("transformer", "1e5"): Shape("transformer", 72, 2, 200),
    ("transformer", "1.8e5"): Shape("transformer", 98, 2, 262),
    ("transformer", "3e5"): Shape("transformer", 128, 2, 324),
    ("gatedconv", "3e3"): Shape("gatedconv", 12, 3, 20),
    ("gatedconv", "5.6e3"): Shape("gatedconv", 16, 3, 29),
    ("gatedconv", "1e4"): Shape("gatedconv", 22, 3, 40),
    ("gatedconv", "1.8e4"): Shape("gatedconv", 30, 3, 50),
    ("gatedconv", "3e4"): Shape("gatedconv", 38, 3, 72),
    ("gatedconv", "5.6e4"): Shape("gatedconv", 52, 3, 96),
    ("gatedconv", "1e5"): Shape("gatedconv", 70, 3, 130),
    ("gatedconv", "1.8e5"): Shape("gatedconv", 94, 3, 173),
    ("gatedconv", "3e5"): Shape("gatedconv", 120, 3, 224),
}


def init(key: jax.Array, shape: Shape) -> Params:
    """Draw initial weights: fan-in scaling, the writes to the residual scaled down by depth."""
    keys = iter(jax.random.split(key, 3 + 6 * shape.depth))
    d, f = shape.width, shape.hidden
    shrink = (2 * shape.depth) ** -0.5

    def dense(rows: int, cols: int, scale: float = 1.0) -> jax.Array:
        return jax.random.normal(next(keys), (rows, cols)) * (scale * rows**-0.5)

    params: Params = {
        "embed": jax.random.normal(next(keys), (VOCAB, d)),
        "head": dense(d, VOCAB, 0.5),
        "norm": jnp.ones(d),
    }
    layers = []
    for _ in range(shape.depth):
        layer = {"norm_mix": jnp.ones(d), "norm_mlp": jnp.ones(d)}
        if shape.recipe == "transformer":
            layer["qkv"] = dense(d, 3 * d)
        else:
            layer["gate"] = dense(d, 2 * d)
            layer["conv"] = dense(KERNEL, d)
        layer["out"] = dense(d, d, shrink)
        layer["up"] = dense(d, f)
        layer["down"] = dense(f, d, shrink)
        layers.append(layer)
    params["layers"] = layers
    return params


def rms_norm(x: jax.Array, gain: jax.Array) -> jax.Array:
    """Scale each vector to unit mean square, then by a learned gain."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * gain


def attention_bias(length: int) -> jax.Array:
    """Mask of the future and, for the past, a fall with distance at each head's own slope.

    Networks this small and runs this short stay at the statistics of pairs of bytes when they
    have to learn from position vectors which byte came just before, hence fixed slopes.
    """
    distance = jnp.arange(length)[:, None] - jnp.arange(length)
    fall = -jnp.array(SLOPES)[:, None, None] * distance
    return jnp.where(distance < 0, -1e9, fall)


def attention(x: jax.Array, layer: Params) -> jax.Array:
    """Mix positions by causal softmax attention with linear biases."""
    rows, length, d = x.shape
    size = d // HEADS
    q, k, v = (
        part.reshape(rows, length, HEADS, size).transpose(0, 2, 1, 3)
        for part in jnp.split(x @ layer["qkv"], 3, -1)
    )
    scores = jnp.einsum("bhtd,bhsd->bhts", q, k) * size**-0.5
    scores = scores + attention_bias(length)
    mixed = jnp.einsum("bhts,bhsd->bhtd", jax.nn.softmax(scores), v)
    return mixed.transpose(0, 2, 1, 3).reshape(rows, length, d) @ layer["out"]


def gated_convolution(x: jax.Array, layer: Params, dilation: int) -> jax.Array:
    """Mix positions by a gated causal depthwise convolution."""
    value, gate = jnp.split(x @ layer["gate"], 2, -1)
    padded = jnp.pad(value, ((0, 0), ((KERNEL - 1) * dilation, 0), (0, 0)))
    length = x.shape[1]
    mixed = sum(
        padded[:, j * dilation : j * dilation + length] * layer["conv"][j] for j in range(KERNEL)
    )
    return (mixed * jax.nn.silu(gate)) @ layer["out"]


def logits(params: Params, recipe: str, data: jax.Array) -> jax.Array:
    """Scores of every byte of ``data`` given those before it in its row.

    The row is shifted right by a zero byte, which no document holds, so each byte of a row is
    predicted exactly once.
    """
    shifted = jnp.pad(data[:, :-1], ((0, 0), (1, 0)))
    x = params["embed"][shifted]
    for index, layer in enumerate(params["layers"]):
        normed = rms_norm(x, layer["norm_mix"])
        if recipe == "transformer":
            x = x + attention(normed, layer)
        else:
            x = x + gated_convolution(normed, layer, 2**index)
        normed = rms_norm(x, layer["norm_mlp"])
        x = x + jnp.square(jax.nn.relu(normed @ layer["up"])) @ layer["down"]
    return rms_norm(x, params["norm"]) @ params["head"]


def byte_losses(params: Params, recipe: str, data: jax.Array) -> jax.Array:
    """Cross-entropy of every byte of ``data``, in nats."""
    scores = logits(params, recipe, data)
    chosen = jnp.take_along_axis(scores, data[..., None], -1)[..., 0]
    return jax.nn.logsumexp(scores, -1) - chosen


def parameter_counts(shape: Shape) -> tuple[int, int]:
    """Weights without and with embeddings and output head.

    ``N`` leaves out the byte embedding and the output head; it holds every other weight, the
    norms' gains among them.
    """
    d, f = shape.width, shape.hidden
    mixer = 3 * d * d if shape.recipe == "transformer" else 2 * d * d + KERNEL * d
    core = shape.depth * (mixer + d * d + 2 * d * f + 2 * d) + d
    return core, core + 2 * VOCAB * d


def forward_flops_per_byte(shape: Shape) -> int:
    """Operations of the products and convolutions of one forward pass, per byte.

    A multiply and an add are two. The attention computes its whole square of scores, masked or
    not, so the whole square is counted. The embedding is a look-up and costs nothing; norms,
    activations and softmaxes are left out.
    """
    d, f = shape.width, shape.hidden
    if shape.recipe == "transformer":
        mixer = 2 * 3 * d * d + 2 * 2 * CONTEXT * d
    else:
        mixer = 2 * 2 * d * d + 2 * KERNEL * d
    layer = mixer + 2 * d * d + 2 * 2 * d * f
    return shape.depth * layer + 2 * d * VOCAB


def training_flops(shape: Shape, seen: int) -> int:
    """Operations of training on ``seen`` bytes, the backward pass at twice the forward."""
    return 3 * forward_flops_per_byte(shape) * seen
