"""Gradients beside a hand-written one, and draws beside those of an isotropic normal."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import record

from bayescale import nuts
from bayescale.adaptation import plan
from bayescale.diagnostics import convergence
from bayescale.fitting import TARGET_ACCEPT
from bayescale.kernels import Wrap, compile_small
from bayescale.precision import x64
from bayescale.quadratic import layout
from bayescale.sampling import FIRST_STEP, PIECE, chance, log_density
from bayescale.starts import find_starts
from speed_parts.benchmark import Benchmark, overtraining
from speed_parts.samplers import CHAINS, ours, settled

OUT = record.RESULTS / "speed_gradients.csv"
TURNS = 1000
REPEATS = 7


def by_hand(bench: Benchmark, at: Any) -> Any:
    """Gradient of the log posterior by mu, log tau and families, (12 + 6 G,), by hand."""
    import jax.numpy as jnp

    mu, log_tau, eta = at[:6], at[6:12], at[12:].reshape(bench.families, 6)
    e, a, alpha, b, beta, log_sigma = (eta[:, k, None] + bench.shift[k] for k in range(6))
    slope, other = jnp.exp(alpha), jnp.exp(beta)
    floor, size, data = jnp.exp(e), jnp.exp(a - slope * bench.n), jnp.exp(b - other * bench.d)
    mean = floor + size + data
    weight = bench.mask * jnp.exp(-2.0 * log_sigma)
    residual = bench.y - jnp.log(mean)
    pull = weight * residual / mean

    def over(x: Any) -> Any:
        return jnp.sum(x, axis=1)

    likelihood = jnp.stack(
        [
            over(pull * floor),
            over(pull * size),
            -over(pull * size * bench.n) * slope[:, 0],
            over(pull * data),
            -over(pull * data * bench.d) * other[:, 0],
            over(weight * residual**2) - np.sum(bench.mask, axis=1),
        ],
        axis=1,
    )
    precision = jnp.exp(-2.0 * log_tau)
    apart = (eta - mu) * precision
    by_mu = jnp.sum(apart, axis=0) - (mu - bench.loc) / bench.scale**2
    spread = jnp.sum((eta - mu) * apart, axis=0) - bench.families
    by_tau = spread + 1.0 - jnp.exp(2.0 * log_tau) / bench.tau**2
    return jnp.concatenate([by_mu, by_tau, (likelihood - apart).ravel()])


def microseconds(gradient: Callable[[Any], Any], at: np.ndarray) -> float:
    """Time of one call, as one kernel in a compiled loop."""
    import jax

    def build(wrap: Wrap) -> Callable:
        step = wrap(lambda z: z + 1e-12 * gradient(z))
        return lambda z: jax.lax.fori_loop(0, TURNS, lambda _, z: step(z), z)

    program = compile_small(build, at)
    best = np.inf
    for _ in range(REPEATS):
        began = perf_counter()
        jax.block_until_ready(program(at))
        best = min(best, perf_counter() - began)
    return 1e6 * best / TURNS


def isotropic(size: int, warmup: int, draws: int, seed: int) -> tuple[float, float]:
    """Smallest ESS and gradients of the same sampler on a standard normal of `size`."""
    import jax
    import jax.numpy as jnp

    def build(wrap: Wrap) -> Callable:
        def potential(z: Any) -> tuple[Any, Any, Any]:
            return 0.5 * jnp.sum(z**2, -1), z, jnp.zeros((len(z), 2))

        def advance(state: Any, chances: Any, schedule: Any) -> Any:
            def step(state: Any, chance: Any) -> Any:
                return nuts.turn(state, chance, wrap(potential), schedule, wrap)

            return jax.lax.scan(step, state, chances)

        return advance

    generators = [np.random.default_rng([seed, k]) for k in range(CHAINS)]
    state: Any = nuts.start(np.stack([g.standard_normal(size) for g in generators]), FIRST_STEP)
    schedule, kept = plan(warmup, TARGET_ACCEPT), [[] for _ in range(CHAINS)]
    program = compile_small(build, state, chance(generators, size), schedule)
    while min(map(len, kept)) < warmup + draws:
        state, turns = program(state, chance(generators, size), schedule)
        z, said = np.asarray(turns.z), nuts.Said(*np.moveaxis(np.asarray(turns.numbers), -1, 0))
        for t, k in zip(*np.nonzero(said.ended), strict=True):
            kept[k].append((z[t, k], said.steps[t, k]))
    wanted = slice(warmup, warmup + draws)
    flat = np.stack([[z for z, _ in chain[wanted]] for chain in kept])
    steps = sum(steps for chain in kept for _, steps in chain[wanted])
    return float(convergence(flat)["ess_bulk"].min()), float(steps)


def main(seed: int) -> None:
    """Write one row."""
    import jax
    import jax.numpy as jnp

    bench = overtraining()
    structure = bench.model.structure
    starts = find_starts(bench.model, seed)
    inputs = {**bench.model.arrays.inputs(), "quadratic": starts.geometry.inputs()}
    flat = starts.draw(structure, 0, seed, 0.5)
    at = np.concatenate([bench.loc, np.log(bench.tau), np.tile(bench.loc, bench.families)])
    with x64():
        whole = jax.grad(lambda z: sum(log_density(structure, z, inputs, jnp)))
        mine, hand = microseconds(whole, flat), microseconds(lambda z: by_hand(bench, z), at)
        size = layout(structure).size
        ess, steps = isotropic(size, 300, 1000, seed)
    run = ours(bench, 300, 1000, seed)
    per_gradient = convergence(run.draws)["ess_bulk"].min() / (
        run.gradients_per_draw * run.draws.shape[1] * CHAINS
    )
    row = {
        "benchmark": bench.name,
        "gradient_us": mine,
        "hand_written_us": hand,
        "gradient_over_hand_written": mine / hand,
        "ess_per_1000_gradients": 1000 * per_gradient,
        "isotropic_ess_per_1000_gradients": 1000 * ess / steps,
        "share_of_isotropic": per_gradient * steps / ess,
        "converged": settled(run.draws),
        "turns_a_piece": PIECE,
        **record.provenance(seed),
    }
    record.write(OUT, pd.DataFrame([row]))
    print({k: v for k, v in row.items() if k not in ("versions", "command")})
