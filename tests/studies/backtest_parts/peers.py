"""Other packages on the suite's splits, as they come, each family from its own runs.

They are no dependency: `pip install chinchilla==0.2.0 simple-scaling-laws==0.2.0 mixle==0.8.2`
(Python 3.12) makes them known here. And BNSL, by a search of ours.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtest_parts.broken import forecast_broken
from backtest_parts.methods import Method, Said, by_family
from backtest_parts.suite import OrderedSplit
from bayescale.errors import BayescaleError

Floats = NDArray[np.float64]

PACKAGES = {
    "chinchilla 0.2.0": "chinchilla",
    "simple-scaling-laws 0.2.0": "simple-scaling-laws",
    "mixle 0.8.2": "mixle",
}
QUANTILES = 200  # of simple-scaling-laws' distributions, which it gives by quantiles
SIDES = 3  # starts of each parameter of the package chinchilla: 243 in all, as its tests have


class AbsentError(BayescaleError):
    """A peer is not installed."""


def required(name: str) -> None:
    """Refuse where the package is absent or of another version than the method's name says."""
    package = PACKAGES[name]
    wanted = name.rsplit(" ", 1)[1]
    try:
        found = version(package)
    except PackageNotFoundError:
        found = "absent"
    if found != wanted:
        raise AbsentError(f"{package} is {found}: pip install {package}=={wanted}")


def chinchilla_point(train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator) -> Floats:
    """The package's fit by its default asymmetric error: a point, no interval."""
    from chinchilla import Chinchilla

    least = float(train["loss"].min())
    grid = {
        "E": np.linspace(0.3, 0.9, SIDES) * least,
        "a": np.linspace(1.0, 10.0, SIDES),
        "b": np.linspace(1.0, 10.0, SIDES),
        "alpha": np.linspace(0.1, 0.7, SIDES),
        "beta": np.linspace(0.1, 0.7, SIDES),
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        fit = Chinchilla(folder, param_grid=grid, log_level=logging.ERROR)
        for row in train[["C", "N", "D", "loss"]].to_dict("records"):
            fit.database.append(**row)
        fit.fit()
        said = fit.L(test["N"].to_numpy(float), test["D"].to_numpy(float))
    return np.log(np.asarray(said, float))[None, :]


def simple_scaling_laws_new_run(
    train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator
) -> Floats:
    """The package's default law, one new run: its quantiles stand for draws."""
    import polars as pl
    import simple_scaling_laws as ssl

    names = {"N": "model_size__n_params", "D": "dataset_size__n_tokens", "loss": "test_loss__ce"}
    runs = train[list(names)].rename(columns=names).assign(training_run_id=train["run"])
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    model = ssl.fit(pl.DataFrame(runs.to_dict("list")), law="separable-power", seed=0)
    asked = pl.DataFrame(test[["N", "D"]].rename(columns=names).to_dict("list"))
    said = model.predict(asked, kind="new-run", quantiles=list(levels), seed=0)
    columns = [name for name in said.columns if name.startswith("test_loss__ce__q")]
    if len(columns) != QUANTILES:
        raise BayescaleError(f"{len(columns)} quantiles came back of {QUANTILES}")
    return np.log(said.select(columns).to_numpy().astype(float)).T


def mixle_posterior(train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator) -> Floats:
    """The package's posterior with the noise that it estimates, which its own draws leave out."""
    from mixle.ppl.scaling_laws import fit_scaling_law

    records = [tuple(map(float, row)) for row in train[["N", "D", "loss"]].to_numpy()]
    fit = fit_scaling_law(records, seed=0)
    points = test[["N", "D"]].to_numpy(float)
    draws = np.stack([fit.predict_samples(n, d) for n, d in points], axis=1)
    draws = draws + np.asarray(fit.samples("sigma"))[:, None] * rng.standard_normal(draws.shape)
    return np.log(np.maximum(draws, 1e-12))


def _peer(name: str, one, split: OrderedSplit, seed: int) -> Said:
    required(name)
    try:
        return by_family(split, seed, one), None
    except BayescaleError:
        raise
    except Exception as error:  # whatever a package raises is its answer
        raise BayescaleError(f"{type(error).__name__}: {error}") from error


def bnsl(split: OrderedSplit, seed: int) -> Said:
    """One break in log-log, of the cost, with its residuals resampled."""
    return by_family(split, seed, forecast_broken), None


PEERS: dict[str, Method] = {
    "bnsl": bnsl,
    "chinchilla 0.2.0": partial(_peer, "chinchilla 0.2.0", chinchilla_point),
    "simple-scaling-laws 0.2.0": partial(
        _peer, "simple-scaling-laws 0.2.0", simple_scaling_laws_new_run
    ),
    "mixle 0.8.2": partial(_peer, "mixle 0.8.2", mixle_posterior),
}
