"""Fit the ladder on a GPU and on the processor, and compare the posteriors.

    python tests/studies/gpu.py            # refuses where JAX sees no GPU
    python tests/studies/gpu.py --any      # the same comparison on whatever JAX sees

Writes ``results/gpu.csv``: a row for each device and parameter, with mean, sd, their Monte Carlo
errors, and the seconds of the fit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import record

RESULTS = record.RESULTS / "gpu.csv"
MCSE_APART = 4.0


def measure(seed: int) -> pd.DataFrame:
    """Fit on JAX's default device: a row for each parameter."""
    import arviz_stats as azs
    import jax

    import bayescale as bs
    from bayescale.demo import ladder_fit

    fit = ladder_fit(seed)
    table = azs.summary(fit.data, kind="all", round_to="none")
    table = table[["mean", "sd", "mcse_mean", "ess_bulk", "r_hat"]].rename_axis("parameter")
    device = jax.devices()[0]
    return table.reset_index().assign(
        device=f"{device.platform} {device.device_kind}",
        ok=bs.diagnose(fit).ok,
        compile_seconds=fit.seconds["compile"],
        sampling_seconds=fit.seconds["sampling"],
    )


def on_the_processor(seed: int) -> pd.DataFrame:
    """Fit in a process that sees the processor alone."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cpu.csv"
        words = [sys.executable, __file__, "--here", str(out), "--seed", str(seed)]
        subprocess.run(words, env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=True)
        return pd.read_csv(out)


def main() -> None:
    """Compare, or (with --here) fit on what this process sees."""
    parser = argparse.ArgumentParser(description="Compare a fit on a GPU with one on the CPU.")
    parser.add_argument("--any", action="store_true", help="Compare where there is no GPU too.")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.here:
        measure(given.seed).to_csv(given.here, index=False)
        return
    import jax

    if jax.default_backend() == "cpu" and not given.any:
        raise SystemExit("JAX sees no GPU here; nothing was measured")
    here, processor = measure(given.seed), on_the_processor(given.seed)
    both = here.merge(processor, on="parameter", suffixes=("", "_cpu"))
    error = (both["mcse_mean"] ** 2 + both["mcse_mean_cpu"] ** 2) ** 0.5
    apart = (both["mean"] - both["mean_cpu"]).abs() / error
    print(f"largest difference of means: {apart.max():.2f} Monte Carlo standard errors")
    if not given.any:
        table = pd.concat([here, processor], ignore_index=True)
        record.write(RESULTS, table.assign(**record.provenance(given.seed)))
    if apart.max() > MCSE_APART:
        raise SystemExit(f"the posteriors differ by more than {MCSE_APART} standard errors")


if __name__ == "__main__":
    main()
