"""Settings and fixtures that every test may use."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # read when jax is imported; workers inherit it
    compiled = tempfile.mkdtemp(prefix="bayescale-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)

from bayescale import model_from_runs

# Deadlines measure how busy the machine is; derandomised, a failure can be run again.
settings.register_profile(
    "bayescale",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bayescale")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, a file stays with one worker, whose fits it shares; small ones come last."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


BENT_BY_DEFAULT = model_from_runs.MOST_BENT


@pytest.fixture(scope="session", autouse=True)
def laws_taken_as_true():
    """Most tests are of other things than bends, which would double what their fits cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_from_runs, "MOST_BENT", 0)
        yield


@pytest.fixture(scope="module")
def compiled_quickly():
    """For tests whose programs run but for a moment, and take longer to optimise than to run."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def bent_by_default(monkeypatch):
    """What users have."""
    monkeypatch.setattr(model_from_runs, "MOST_BENT", BENT_BY_DEFAULT)


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


@pytest.fixture(scope="session")
def small_fit():
    """Two simulated families, Student-t noise, one row a configuration."""
    import bayescale as bs
    from tests.simulate import TWO_FAMILIES, ladder

    runs = bs.read_runs(ladder(families=TWO_FAMILIES))
    return bs.fit(bs.load_law("chinchilla"), runs, discrepancy="none", progress=False)


@pytest.fixture(scope="session")
def crossed_fit():
    """Two architectures by three corpora, repeated cells, measured errors, normal noise."""
    import bayescale as bs
    from tests.simulate import crossed_ladder

    pool = {"E": ["corpus"], "A": ["arch"], "alpha": ["arch", "corpus"], "B": [], "beta": []}
    runs = bs.read_runs(crossed_ladder())
    options = {"noise": "normal", "discrepancy": "none", "progress": False}
    return bs.fit(bs.load_law("chinchilla"), runs, pool=pool, **options)


@pytest.fixture(scope="session")
def c_only_fit(small_fit):
    """The runs of `small_fit` by a law of compute alone, which can't tell N from D."""
    import bayescale as bs

    options = {"discrepancy": "none", "progress": False}
    return bs.fit(bs.load_law("power_law"), small_fit.runs, **options)
