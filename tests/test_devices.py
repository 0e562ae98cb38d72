"""The same posterior, in float64, whatever number of devices JAX shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, jax, numpy as np, bayescale as bs
rng = np.random.default_rng(2)
sizes = np.geomspace(1e6, 1e9, 16)
loss = (1.7 + 12.0 * sizes**-0.3) * np.exp(0.004 * rng.standard_normal(16))
law = bs.load_law("power_law")
column = next(iter(law.variables.values())).column
runs = bs.read_runs({column: sizes, "loss": loss}, law=law)
options = {"discrepancy": "none", "progress": False}
fit = bs.fit(law, runs, draws=200, warmup=300, chains=4, strict=False, **options)
alpha = fit.data["posterior"]["alpha"].to_numpy()
tables = [{column: sizes, "loss": loss * f} for f in (1.0, 1.1, 1.2)]
tables = [bs.read_runs(t, law=law) for t in tables]
many = [f.data["posterior"]["alpha"].to_numpy() for f in bs.fit_many(law, tables, **options)]
means = [alpha.mean(axis=1).tolist(), [a.mean() for a in many]]
print(json.dumps([jax.device_count(), str(alpha.dtype), *means]))
"""


@pytest.fixture(scope="module")
def alone() -> list:
    """What one device gives."""
    return _on(1)


def _on(devices: int) -> list:
    flags = f"--xla_force_host_platform_device_count={devices}"
    quickly = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # programs that run but for a moment
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"} | quickly
    command = [sys.executable, "-c", PROGRAM]
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("devices", [2, 4])
def test_same_chains_on_any_number_of_devices(devices, alone):
    count, kind, means, of_many = _on(devices)
    assert count == devices
    assert kind == "float64"
    assert alone[0] == 1
    assert means == pytest.approx(alone[2], rel=1e-9)
    assert of_many == pytest.approx(alone[3], rel=1e-9)
    assert len({round(mean, 6) for mean in means}) == 4, "chains start and move apart"
