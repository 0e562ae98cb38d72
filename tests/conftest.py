"""Settings and fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Deadlines measure how busy the machine is; derandomised, a failure can be run again.
settings.register_profile(
    "bayescale",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bayescale")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real measurements that BAYESCALE_DATA names, or a skip that says so."""
    folder = os.environ.get("BAYESCALE_DATA", "")
    if not folder:
        pytest.skip("BAYESCALE_DATA is not set")
    if not Path(folder).is_dir():
        pytest.skip(f"BAYESCALE_DATA is {folder}, which is no folder")
    return Path(folder)


# --- Fits shared by the whole session -----------------------------------------------------------
# (`small_fit`, `ladder_fit`: one real fit each, made at first use.)
