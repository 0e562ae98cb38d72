"""Point fits of E + A / N^alpha + B / D^beta as the literature does them: Huber and VPNLS.

They serve as baselines, in numpy and scipy only. Covariates are centred inside: the optimum is
the same and L-BFGS reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from bayescale.errors import DataError

Floats = NDArray[np.float64]

HUBER_DELTA = 1e-3
_EXPONENTS = (0.01, 3.0)
_STARTS = (0.15, 0.35, 0.7, 1.2)


@dataclass(frozen=True)
class Surface:
    """A fitted loss surface, E + A / N^alpha + B / D^beta.

    Attributes
    ----------
    E, A, B, alpha, beta : float
        In nats and base units. A or B may be 0 in a non-negative fit.
    objective : float
        What the fit minimised: the summed Huber loss of log loss, or the summed squares of loss.

    Examples
    --------
    >>> surface = Surface(1.69, 406.4, 410.7, 0.34, 0.28)
    >>> np.exp(surface.log_loss(np.array([70e9]), np.array([1.4e12]))).round(3)
    array([1.937])
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    objective: float = float("nan")

    def log_loss(self, N: Floats, D: Floats) -> Floats:
        """Log of the loss at N parameters and D tokens; shapes broadcast."""
        return np.log(self.E + self.A * N**-self.alpha + self.B * D**-self.beta)


@dataclass(frozen=True, eq=False)
class Points:
    """Runs of one family in the coordinates of the fits.

    Attributes
    ----------
    x, y : numpy.ndarray
        Centred log N and log D, shape ``(run,)``.
    log_loss : numpy.ndarray
        Shape ``(run,)``.
    centre : tuple of float
        Means of log N and log D.
    """

    x: Floats
    y: Floats
    log_loss: Floats
    centre: tuple[float, float]

    @classmethod
    def of(cls, N: Floats, D: Floats, loss: Floats) -> Points:
        """Centre the logarithms of runs in base units."""
        x, y = np.log(np.asarray(N, float)), np.log(np.asarray(D, float))
        log_loss = np.log(np.asarray(loss, float))
        if len(x) < 2 or not np.isfinite([x, y, log_loss]).all():
            raise DataError(
                f"a point fit needs at least 2 runs with positive N, D and loss; got {len(x)}"
            )
        centre = (float(x.mean()), float(y.mean()))
        return cls(x - centre[0], y - centre[1], log_loss, centre)

    def take(self, rows: NDArray[np.intp]) -> Points:
        """Keep some rows, repeated ones repeated, about the same centre."""
        return Points(self.x[rows], self.y[rows], self.log_loss[rows], self.centre)

    def surface(self, theta: Floats, objective: float) -> Surface:
        """Turn (log E, log of the terms at the centre, exponents) into base units."""
        e, a, b, alpha, beta = (float(t) for t in theta)
        A = np.exp(a + alpha * self.centre[0])
        B = np.exp(b + beta * self.centre[1])
        return Surface(float(np.exp(e)), float(A), float(B), alpha, beta, objective)


def huber_objective(theta: Floats, points: Points) -> tuple[float, Floats]:
    """Summed Huber loss of the log residuals over delta, and its gradient.

    Parameters
    ----------
    theta
        (e, a, b, alpha, beta): logs of the floor and of both terms at the centre, exponents.
    points
        Runs.

    Returns
    -------
    tuple
        Value and gradient of shape ``(5,)``. Divided by delta so that the sum, not the mean, of
        absolute residuals is seen: an averaged objective stops L-BFGS too early.

    Examples
    --------
    >>> points = Points.of(np.array([1e6, 1e7]), np.array([1e8, 1e9]), np.array([3.0, 2.0]))
    >>> value, gradient = huber_objective(np.array([0.5, -1, -1, 0.3, 0.3]), points)
    >>> value > 0, gradient.shape
    (True, (5,))
    """
    e, a, b, alpha, beta = theta
    terms = np.exp([np.full_like(points.x, e), a - alpha * points.x, b - beta * points.y])
    predicted = terms.sum(axis=0)
    clipped = np.clip(np.log(predicted) - points.log_loss, -HUBER_DELTA, HUBER_DELTA)
    value = _huber(np.log(predicted) - points.log_loss).sum() / HUBER_DELTA
    by_term = terms * clipped / (HUBER_DELTA * predicted)
    gradient = np.array(
        [
            *by_term.sum(axis=1),
            -(by_term[1] * points.x).sum(),
            -(by_term[2] * points.y).sum(),
        ]
    )
    return float(value), gradient


def huber_fit(points: Points) -> tuple[Floats, float]:
    """Hoffmann's robust fit: the least summed Huber loss (delta 1e-3) of log loss.

    A grid of exponents, each with its best non-negative E, A and B, is refined by `refit` all at
    once; L-BFGS finishes the best.

    Parameters
    ----------
    points
        Runs.

    Returns
    -------
    tuple
        (e, a, b, alpha, beta) and the summed Huber loss in its usual scale.

    References
    ----------
    Hoffmann et al. (2022), arXiv:2203.15556, appendix D.2; Besiroglu et al. (2024),
    arXiv:2404.10102.

    Examples
    --------
    >>> N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e9, 5), [1e8, 1e9, 1e10]))
    >>> loss = 1.7 + 400 * N**-0.34 + 400 * D**-0.28
    >>> theta, _ = huber_fit(Points.of(N, D, loss))
    >>> theta[3:].round(2)
    array([0.34, 0.28])
    """
    starts = _starts(points)
    refined = refit(points, starts, np.ones((len(starts), len(points.x))))
    values = [huber_objective(theta, points)[0] for theta in refined]
    low, high = _bounds(points)
    found = minimize(
        huber_objective,
        refined[int(np.argmin(values))],
        args=(points,),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options={"maxiter": 1000, "maxfun": 2000, "ftol": 1e-11, "gtol": 1e-7, "maxcor": 20},
    )
    return found.x, float(found.fun) * HUBER_DELTA


def refit(points: Points, starts: Floats, counts: Floats, iterations: int = 60) -> Floats:
    """Huber fits of many weightings of the same runs at once, each from its own start.

    Reweighted least squares with Levenberg's damping, in steps that never raise the objective;
    the batch makes 200 bootstraps cheaper than 200 calls of an optimiser.

    Parameters
    ----------
    points
        Runs.
    starts
        Shape ``(fit, 5)`` or ``(5,)``.
    counts
        How often each fit counts each run, shape ``(fit, run)``.
    iterations
        Steps.

    Returns
    -------
    numpy.ndarray
        (e, a, b, alpha, beta) of each fit, shape ``(fit, 5)``.

    Examples
    --------
    >>> N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e9, 5), [1e8, 1e9, 1e10]))
    >>> points = Points.of(N, D, 1.7 + 400 * N**-0.34 + 400 * D**-0.28)
    >>> theta, _ = huber_fit(points)
    >>> bool(np.allclose(refit(points, theta, np.ones((3, 15))), theta, atol=1e-3))
    True
    """
    low, high = _bounds(points)
    theta = np.clip(np.broadcast_to(starts, (len(counts), 5)), low, high)
    damping = np.full(len(counts), 1e-3)
    residual, jacobian = _linearised(theta, points)
    value = (counts * _huber(residual)).sum(axis=1)
    for _ in range(iterations):
        weights = counts * np.minimum(1.0, HUBER_DELTA / np.maximum(np.abs(residual), 1e-300))
        weighted = jacobian * weights[:, None, :]
        normal = weighted @ jacobian.transpose(0, 2, 1)
        slope = (weighted @ residual[:, :, None])[:, :, 0]
        scale = np.einsum("fii->fi", normal)
        ridge = damping[:, None] * scale + 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300
        step = np.linalg.solve(normal + ridge[:, :, None] * np.eye(5), slope[:, :, None])[:, :, 0]
        tried = np.clip(theta - step, low, high)
        new_residual, new_jacobian = _linearised(tried, points)
        new_value = (counts * _huber(new_residual)).sum(axis=1)
        better = new_value < value
        theta = np.where(better[:, None], tried, theta)
        residual = np.where(better[:, None], new_residual, residual)
        jacobian = np.where(better[:, None, None], new_jacobian, jacobian)
        value = np.where(better, new_value, value)
        damping = np.clip(np.where(better, damping / 4.0, damping * 6.0), 1e-9, 1e9)
    return theta


def vpnls_fit(points: Points, size: int = 24) -> Surface:
    """Least squares of the loss itself by variable projection: E, A, B >= 0 inside, exponents out.

    Parameters
    ----------
    points
        Runs.
    size
        Points of the grid in each exponent before Nelder-Mead.

    Returns
    -------
    Surface

    References
    ----------
    Open-Athena (2026), arXiv:2603.22339 (VPNLS).

    Examples
    --------
    >>> N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e6, 1e9, 5), [1e8, 1e9, 1e10]))
    >>> fitted = vpnls_fit(Points.of(N, D, 1.7 + 400 * N**-0.34 + 400 * D**-0.28))
    >>> round(fitted.E, 3), round(fitted.alpha, 3)
    (1.7, 0.34)
    """
    grid = np.log(np.geomspace(0.05, 2.0, size))
    losses = np.exp(points.log_loss)

    def misfit(log_exponents: Floats) -> float:
        inside = np.clip(log_exponents, np.log(_EXPONENTS[0]), np.log(_EXPONENTS[1]))
        outside = float(np.sum((log_exponents - inside) ** 2))
        return _project(points, losses, *np.exp(inside))[1] + outside

    values = [(misfit(np.array([p, q])), p, q) for p in grid for q in grid]
    _, p, q = min(values)
    found = minimize(misfit, [p, q], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-14})
    alpha, beta = np.exp(np.clip(found.x, *np.log(_EXPONENTS)))
    (E, a, b), objective = _project(points, losses, alpha, beta)
    A, B = a * np.exp(alpha * points.centre[0]), b * np.exp(beta * points.centre[1])
    return Surface(float(E), float(A), float(B), float(alpha), float(beta), float(objective))


def _project(points: Points, losses: Floats, alpha: float, beta: float) -> tuple[Floats, float]:
    """Best non-negative (E, a, b) at given exponents, and the sum of squares."""
    design = np.stack(
        [np.ones_like(points.x), np.exp(-alpha * points.x), np.exp(-beta * points.y)], axis=1
    )
    coefficients, norm = nnls(design, losses)
    return coefficients, float(norm**2)


def _huber(residual: Floats) -> Floats:
    clipped = np.clip(residual, -HUBER_DELTA, HUBER_DELTA)
    return clipped * (residual - 0.5 * clipped)


def _linearised(theta: Floats, points: Points) -> tuple[Floats, Floats]:
    """Log residuals, shape ``(fit, run)``, and their derivatives, ``(fit, 5, run)``."""
    e, a, b, alpha, beta = (column[:, None] for column in theta.T)
    terms = [
        np.exp(e) + np.zeros_like(points.x),
        np.exp(a - alpha * points.x),
        np.exp(b - beta * points.y),
    ]
    predicted = terms[0] + terms[1] + terms[2]
    shares = [term / predicted for term in terms]
    slopes = [*shares, -shares[1] * points.x, -shares[2] * points.y]
    return np.log(predicted) - points.log_loss, np.stack(slopes, axis=1)


def _bounds(points: Points) -> tuple[Floats, Floats]:
    """Ends of (e, a, b, alpha, beta): far beyond what runs can tell, and free of overflow."""
    middle = points.log_loss.mean()
    low = [middle - 12, middle - 12, middle - 12, _EXPONENTS[0], _EXPONENTS[0]]
    high = [points.log_loss.min(), middle + 6, middle + 6, _EXPONENTS[1], _EXPONENTS[1]]
    return np.array(low), np.array(high)


def _starts(points: Points) -> Floats:
    """Starts of the Huber fit: a grid of exponents, with E, A and B projected out."""
    losses = np.exp(points.log_loss)
    starts = []
    for alpha in _STARTS:
        for beta in _STARTS:
            coefficients, _ = _project(points, losses, alpha, beta)
            floor = 1e-3 * losses.min()
            starts.append([*np.log(np.maximum(coefficients, floor)), alpha, beta])
    return np.array(starts)
