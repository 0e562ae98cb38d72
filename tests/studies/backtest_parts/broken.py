"""The broken neural scaling law with one break, as a baseline: Caballero et al., arXiv:2210.14891.

y = a + b x^-c0 (1 + (x / d)^(1/f))^(-c1 f), fitted to log loss by least squares from a grid of
starts (theirs is a brute-force grid as well). It has no interval of its own: residuals of the fit
are resampled about it, so the interval holds the scatter and not the doubt of the fit.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]
PARAMETERS = 6
DRAWS = 1000
_LOW = np.array([-12.0, -8.0, -3.0, -3.0, -6.0, -3.0])
_HIGH = np.array([12.0, 8.0, 3.0, 3.0, 6.0, 2.0])


def log_loss(theta: Floats, log_x: Floats, least: float) -> Floats:
    """Log loss; theta is (log b, logit of the floor over the least loss, c0, c1, log d, log f)."""
    log_b, floor, c0, c1, log_d, log_f = theta
    f = np.exp(log_f)
    bent = log_b - c0 * log_x - c1 * f * np.logaddexp(0.0, (log_x - log_d) / f)
    return np.logaddexp(np.log(least) - np.logaddexp(0.0, -floor), bent)


def forecast_broken(train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator) -> Floats:
    """Log losses of new readings, shape ``(sample, target)``, from one family's runs."""
    log_x, at = (np.log(t["C"].to_numpy(float)) for t in (train, test))
    centre = log_x.mean()
    log_x, at = log_x - centre, at - centre
    y = np.log(train["loss"].to_numpy(float))
    least = float(np.exp(y.min()))

    def off(theta: Floats) -> Floats:
        return log_loss(theta, log_x, least) - y

    best = None
    places = np.quantile(log_x, [0.25, 0.75])
    for floor, c0, c1, log_d in product((-4.0, 1.0), (0.1, 0.4), (-0.2, 0.0, 0.2), places):
        start = np.array([y.mean(), floor, c0, c1, log_d, -0.5])
        found = least_squares(off, np.clip(start, _LOW, _HIGH), bounds=(_LOW, _HIGH), max_nfev=200)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    left = -off(best.x) * np.sqrt(len(y) / max(len(y) - PARAMETERS, 1))
    return log_loss(best.x, at, least) + rng.choice(left, size=(DRAWS, len(at)))
