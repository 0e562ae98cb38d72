"""M1 to M4 of the learning-curve literature, with intervals by residual bootstrap.

M1 is A x^-a, M2 adds a floor, M3 also shifts x, M4 solves (y - E) / (top - y)^g = A x^-a. The
forms are those of Alabdulmohsin et al. 2022, arXiv:2209.06640; the fit (least squares of log loss
from several starts) and the intervals are ours.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]

FORMS = ("m1", "m2", "m3", "m4")
REFITS = 20
STEPS = 60  # of M4's bisection
_EXPONENTS = (0.1, 0.3, 0.8)


def predict(form: str, theta: Floats, x: Floats, scale: float) -> Floats:
    """Log loss at x over its centre; theta is (log A, log a, log E share, log shift, log g)."""
    height, exponent = np.exp(theta[0]), np.exp(theta[1])
    if form == "m1":
        return theta[0] - exponent * np.log(x)
    floor = scale / (1 + np.exp(-theta[2]))
    if form == "m2":
        return np.log(floor + height * x**-exponent)
    if form == "m3":
        return np.log(floor + height * (x + np.exp(theta[3])) ** -exponent)
    top = floor + height * np.exp(theta[3])
    low, high = np.full_like(x, floor), np.full_like(x, top)
    wanted = height * x**-exponent
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        said = (middle - floor) / np.maximum(1 - (middle - floor) / (top - floor), 1e-12) ** np.exp(
            theta[4]
        )
        low, high = np.where(said < wanted, middle, low), np.where(said < wanted, high, middle)
    return np.log(0.5 * (low + high))


def forecast_curve(
    form: str, train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator
) -> Floats:
    """Log losses of new readings, shape ``(sample, target)``, from one curve's readings."""
    centre = float(np.exp(np.log(train["C"]).mean()))
    x, at = train["C"].to_numpy(float) / centre, test["C"].to_numpy(float) / centre
    y = np.log(train["loss"].to_numpy(float))
    scale = float(np.exp(y.min()))
    size = FORMS.index(form) + 2
    starts = [
        np.array([y.mean() - 1.0 * (form != "m1"), np.log(a), 0.0, s, 0.0])[:size]
        for a in _EXPONENTS
        for s in ((-3.0, 0.0, 2.0) if form in ("m3", "m4") else (0.0,))
    ]
    low = np.array([-12.0, -5.0, -8.0, -8.0, -3.0])[:size]
    high = np.array([12.0, 1.5, 8.0, 6.0, 2.0])[:size]

    def fit(seen: Floats, begin: Floats, most: int = 200):
        return least_squares(
            lambda theta: predict(form, theta, x, scale) - seen,
            np.clip(begin, low + 1e-6, high - 1e-6),
            bounds=(low, high),
            max_nfev=most,
        )

    best = min((fit(y, start) for start in starts), key=lambda found: found.cost)
    fitted = predict(form, best.x, x, scale)
    left = (y - fitted) * np.sqrt(len(y) / max(len(y) - size, 1))
    draws = []
    for _ in range(REFITS):
        again = fit(fitted + rng.choice(left, size=len(y)), best.x, 20)
        mean = predict(form, again.x, at, scale)
        draws.append(mean + rng.choice(left, size=(20, len(at))))
    return np.concatenate(draws)
