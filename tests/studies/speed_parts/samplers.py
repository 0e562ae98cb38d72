"""Samplers of a `Benchmark`: ours, NumPyro's NUTS as one would write it, PyMC's model by nutpie.

Each gives draws of the same canonical coordinates and what they cost. The others are treated
kindly: reference scales, one compiled chain called from a thread a core, and they run on until
their chains agree or the cap is reached.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from bayescale.density import group_coordinates
from bayescale.diagnostics import MAX_RHAT, MIN_ESS
from bayescale.fitting import TARGET_ACCEPT, fit
from bayescale.precision import x64
from bayescale.quick_convergence import quick_convergence
from speed_parts.benchmark import CELL_PRIOR, POOL, Benchmark, log_mean

CHAINS = 4
PIECE = 100
CHECK_EVERY = 500
EXPONENTS = np.array([False, False, True, False, True, False])


@dataclass(frozen=True)
class Run:
    """What one sampler gave: canonical draws (chain, draw, parameter), and what they cost."""

    draws: np.ndarray
    divergences: int
    gradients_per_draw: float
    setup_seconds: float
    setup_cpu: float
    sampling_seconds: float
    sampling_cpu: float


def canonical(mu: np.ndarray, log_tau: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Population (chain, draw, 6), log sds (chain, draw, 6) and families (chain, draw, G, 6)."""
    return np.concatenate([mu, log_tau, eta.reshape(*mu.shape[:2], -1)], axis=-1)


def settled(draws: np.ndarray) -> bool:
    """Whether chains agree and have enough draws to be compared with."""
    seen = quick_convergence(draws)
    return seen.r_hat < MAX_RHAT and seen.ess_bulk >= MIN_ESS


def ours(bench: Benchmark, warmup: int, draws: int, seed: int) -> Run:
    """By the package's sampler."""
    began = process_time()
    fitted = fit(
        bench.law,
        bench.table,
        pool=POOL,
        noise=bench.noise,
        discrepancy="none",
        correlate=False,
        seed=seed,
        draws=draws,
        warmup=warmup,
        chains=CHAINS,
        progress=False,
        strict=False,
        target_accept=TARGET_ACCEPT,  # the default, without a second attempt
    )
    stats, seconds = fitted.data["sample_stats"].dataset, fitted.seconds
    position, levels = fitted.position, fitted.model.arrays.levels
    eta = np.asarray(group_coordinates(fitted.model.structure, position, levels, np))
    shape = (CHAINS, draws)
    return Run(
        draws=canonical(
            position.population[:, bench.places].reshape(*shape, 6),
            position.log_sd[0].reshape(*shape, 6),
            eta[..., bench.places].reshape(*shape, bench.families, 6),
        ),
        divergences=int(stats["diverging"].sum()),
        gradients_per_draw=float(stats["n_steps"].mean()),
        setup_seconds=seconds["total"] - seconds["sampling"],
        setup_cpu=process_time() - began - seconds["sampling_cpu"],
        sampling_seconds=seconds["sampling"],
        sampling_cpu=seconds["sampling_cpu"],
    )


def numpyro_model(bench: Benchmark, apart: np.ndarray) -> Callable[[], None]:
    """The model in NumPyro; where `apart`, families are written as mu + tau times a unit normal."""
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    def program() -> None:
        mu = numpyro.sample("mu", dist.Normal(bench.loc, bench.scale).to_event(1))
        tau = numpyro.sample("tau", dist.HalfNormal(bench.tau).to_event(1))
        place, spread = jnp.where(apart, 0.0, mu), jnp.where(apart, 1.0, tau)
        shape = (bench.families, 6)
        base = dist.Normal(jnp.broadcast_to(place, shape), jnp.broadcast_to(spread, shape))
        drawn = numpyro.sample("families", base.to_event(2))
        eta = numpyro.deterministic("eta", jnp.where(apart, mu + tau * drawn, drawn))
        mean = log_mean(eta, bench.shift, bench.n, bench.d, jnp)
        if bench.repeats > 1:
            width = numpyro.sample("sd_cell", dist.HalfNormal(CELL_PRIOR))
            cells = (bench.families, bench.y.shape[1] // bench.repeats)
            unit = dist.Normal(jnp.zeros(cells), 1.0).to_event(2)
            shared = width * numpyro.sample("cells", unit)
            mean = mean + jnp.repeat(shared, bench.repeats, axis=1)
        sigma = jnp.exp(eta[:, 5:])
        if bench.noise == "t":
            nu = 2.0 + numpyro.sample("nu", dist.Gamma(2.0, 0.1))
            log_density = dist.StudentT(nu, mean, sigma).log_prob(bench.y)
        else:
            log_density = dist.Normal(mean, sigma).log_prob(bench.y)
        numpyro.factor("runs", jnp.sum(bench.mask * log_density))

    return program


def by_numpyro(bench: Benchmark, apart: np.ndarray, warmup: int, seed: int, cap: float) -> Run:
    """By NumPyro's NUTS from the prior median."""
    import jax
    from numpyro.infer import NUTS, init_to_median

    began, cpu = perf_counter(), process_time()
    with x64():
        kernel = NUTS(numpyro_model(bench, apart), init_strategy=init_to_median)
        keys = jax.random.split(jax.random.PRNGKey(seed), CHAINS)
        states = [kernel.init(key, warmup, None, (), {}) for key in keys]

        def step(state: Any, _: None) -> Any:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging, state.num_steps)

        advance = (
            jax.jit(lambda state: jax.lax.scan(step, state, None, length=PIECE))
            .lower(states[0])
            .compile()
        )
        constrain = jax.jit(jax.vmap(kernel.postprocess_fn((), {})))
    compiling = perf_counter() - began, process_time() - cpu

    def advanced(state: Any) -> Any:
        with x64():
            state, out = advance(state)
            return state, jax.device_get(out)

    def draws() -> np.ndarray:
        with x64():
            sites = [jax.device_get(constrain(_joined([z for z, _, _ in chain]))) for chain in kept]
        mu, tau, eta = (np.stack([s[name] for s in sites]) for name in ("mu", "tau", "eta"))
        return canonical(mu, np.log(tau), eta)

    kept: list[list[Any]] = [[] for _ in range(CHAINS)]
    began, sampling, done = perf_counter(), np.zeros(2), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while True:
            clock = np.array([perf_counter(), process_time()])
            results = list(pool.map(advanced, states))
            sampling += np.array([perf_counter(), process_time()]) - clock
            states = [state for state, _ in results]
            done += PIECE
            if done > warmup:
                for chain, (_, out) in zip(kept, results, strict=True):
                    chain.append(out)
            over = perf_counter() - began > cap
            look = done > warmup and (done - warmup) % CHECK_EVERY == 0
            if kept[0] and (over or (look and settled(draws()))):
                break
            if over:
                raise SystemExit(f"NumPyro was still warming up after {cap:.0f} s: no draws")
    flat = [out for chain in kept for out in chain]
    return Run(
        draws=draws(),
        divergences=int(sum(np.sum(diverging) for _, diverging, _ in flat)),
        gradients_per_draw=float(np.mean([np.mean(steps) for _, _, steps in flat])),
        setup_seconds=compiling[0],
        setup_cpu=compiling[1],
        sampling_seconds=float(sampling[0]),
        sampling_cpu=float(sampling[1]),
    )


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def by_nutpie(bench: Benchmark, warmup: int, seed: int, cap: float) -> Run:
    """PyMC's model, families centred, by nutpie's NUTS."""
    try:
        import nutpie
        import pymc as pm
        import pytensor.tensor as pt
    except ImportError:
        raise SystemExit("this baseline needs PyMC and nutpie: pip install pymc nutpie") from None
    rows = bench.mask > 0
    group = np.nonzero(rows)[0]
    y, n, d = bench.y[rows], bench.n[rows], bench.d[rows]
    began, cpu = perf_counter(), process_time()
    with pm.Model() as model:
        mu = pm.Normal("mu", bench.loc, bench.scale, shape=6)
        tau = pm.HalfNormal("tau", bench.tau, shape=6)
        eta = pm.Normal("eta", mu, tau, shape=(bench.families, 6))
        e, a, alpha, b, beta, log_sigma = ((eta[:, k] + bench.shift[k])[group] for k in range(6))
        mean = pt.log(pt.exp(e) + pt.exp(a - pt.exp(alpha) * n) + pt.exp(b - pt.exp(beta) * d))
        if bench.repeats > 1:
            width = pm.HalfNormal("sd_cell", CELL_PRIOR)
            _, cell = np.unique(np.stack([group, n, d]), axis=1, return_inverse=True)
            mean = mean + width * pm.Normal("cells", 0.0, 1.0, shape=cell.max() + 1)[cell.ravel()]
        if bench.noise == "t":
            nu = 2.0 + pm.Gamma("nu", 2.0, 0.1)
            pm.StudentT("y", nu=nu, mu=mean, sigma=pt.exp(log_sigma), observed=y)
        else:
            pm.Normal("y", mean, pt.exp(log_sigma), observed=y)
    compiled = nutpie.compile_pymc_model(model)
    compiling = perf_counter() - began, process_time() - cpu
    length = 1000
    while True:
        clock = np.array([perf_counter(), process_time()])
        trace = nutpie.sample(
            compiled,
            draws=length,
            tune=warmup,
            chains=CHAINS,
            cores=os.cpu_count(),
            seed=seed + 1,
            progress_bar=False,
            save_warmup=False,
        )
        spent = np.array([perf_counter(), process_time()]) - clock
        posterior = trace.posterior
        draws = canonical(
            posterior["mu"].to_numpy(),
            np.log(posterior["tau"].to_numpy()),
            posterior["eta"].to_numpy(),
        )
        if settled(draws) or 2.5 * spent[0] > cap:
            break
        length *= 2
    stats = trace.sample_stats
    return Run(
        draws=draws,
        divergences=int(stats["diverging"].sum()),
        gradients_per_draw=float(stats["n_steps"].mean()),
        setup_seconds=compiling[0],
        setup_cpu=compiling[1],
        sampling_seconds=float(spent[0]),
        sampling_cpu=float(spent[1]),
    )
