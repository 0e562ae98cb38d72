"""What knowing more is worth to a decision: perfect, partial and sampled information.

Everything is computed from joint draws: ``losses[s, a]`` is the loss of action a if draw s is the
truth, and ``observed[s]`` what an experiment would show then. Nothing is refitted. An expectation
given data is a regression over draws (Strong, Oakley & Brennan 2014 for parameters, 2015 for
samples); here it is cross-fitted: the draws that say which action a result calls for are never
those on which that action is paid. So noise doesn't pass for information: the value of a worthless
experiment is zero up to its error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayescale.regressions import cross_fitted

Floats = NDArray[np.float64]


_FEW_ACTIONS = 6
_LEFT_OUT = 1e-9  # of the largest sum of squares


@dataclass(frozen=True)
class Worth:
    """An expected gain, in the unit of the losses, with its Monte Carlo standard error."""

    value: float
    error: float


def evpi(losses: Floats) -> Worth:
    """Expected value of perfect information: the regret of the best action chosen now.

    Parameters
    ----------
    losses
        Shape ``(sample, action)``.

    Examples
    --------
    >>> evpi(np.array([[1.0, 2.0], [3.0, 2.0], [1.0, 2.0]])).value.__round__(4)
    0.3333
    """
    now = int(np.argmin(losses.mean(axis=0)))
    return _mean(losses[:, now] - losses.min(axis=1))


def evppi(losses: Floats, parameters: Floats, folds: int = 5, seed: int = 0) -> Worth:
    """Expected value of learning some parameters exactly, and nothing else.

    Parameters
    ----------
    losses
        Shape ``(sample, action)``.
    parameters
        Shape ``(sample,)`` or ``(sample, k)`` with k small.
    folds, seed
        Of the cross-fitting.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> known, other = rng.standard_normal((2, 4000))
    >>> losses = np.column_stack([known + other, np.zeros(4000)])
    >>> worth = evppi(losses, known)       # E max(0, -known) - 0 = 0.399
    >>> bool(abs(worth.value - 0.399) < 3 * worth.error)
    True
    """
    return evsi(losses, np.asarray(parameters, dtype=float), folds=folds, seed=seed)


def evsi(losses: Floats, observed: Floats, folds: int = 5, seed: int = 0) -> Worth:
    """Expected value of sample information: of seeing an experiment's result before choosing.

    Parameters
    ----------
    losses
        Shape ``(sample, action)``.
    observed
        A result a draw, shape ``(sample,)``; or several results, ``(sample, k)``.
    folds, seed
        Of the cross-fitting.

    Returns
    -------
    Worth
        Between zero and `evpi`; Monte Carlo error that leads outside is cut off.

    References
    ----------
    Strong, Oakley, Brennan & Breeze (2015), Medical Decision Making 35, 570-583.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth, noise, nothing = rng.standard_normal((3, 4000))
    >>> losses = np.column_stack([truth, np.zeros(4000)])
    >>> sharp, blind = evsi(losses, truth + 0.1 * noise), evsi(losses, nothing)
    >>> bool(sharp.value > 0.37), bool(blind.value < 0.02)
    (True, True)
    """
    now = int(np.argmin(losses.mean(axis=0)))
    gains = losses[:, [now]] - losses  # of each action over the one chosen now
    scores, back = _summarised(gains)
    expected = cross_fitted(observed, scores, folds, seed) @ back
    draw, chosen = np.arange(len(gains)), np.argmax(expected, axis=1)
    promised, paid = expected[draw, chosen], gains[draw, chosen]
    # A noisy expectation promises too much and, since it chooses wrongly, pays too little: by as
    # much, where the gain is smooth. Their mean is free of that, and less noisy than what is paid.
    worth = _mean(0.5 * (promised + paid))
    return Worth(float(np.clip(worth.value, 0.0, evpi(losses).value)), worth.error)


def variance_reduction(targets: Floats, observed: Floats, folds: int = 5, seed: int = 0) -> Worth:
    """Expected fall of the variance of targets, averaged over them, once a result is seen.

    The value of sample information for a decision under squared error.

    Parameters
    ----------
    targets
        Shape ``(sample, target)``.
    observed
        Shape ``(sample,)`` or ``(sample, k)``.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> truth, noise = rng.standard_normal((2, 4000))
    >>> worth = variance_reduction(truth[:, None], truth + noise)      # 1 - 1/2
    >>> bool(abs(worth.value - 0.5) < 3 * worth.error)
    True
    """
    centred = targets - targets.mean(axis=0)
    expected = cross_fitted(observed, centred, folds, seed)
    worth = _mean((centred * expected).mean(axis=1))
    most = float((centred**2).mean())
    return Worth(float(np.clip(worth.value, 0.0, most)), worth.error)


def _summarised(gains: Floats) -> tuple[Floats, Floats]:
    """Gains as a few scores a draw times what they are of each action.

    Expectations are linear in what is wanted, so this loses nothing but what is left out.
    """
    if gains.shape[1] <= _FEW_ACTIONS:
        return gains, np.eye(gains.shape[1])
    values, vectors = np.linalg.eigh(gains.T @ gains)
    kept = vectors[:, values > _LEFT_OUT * values[-1]]
    return gains @ kept, kept.T


def _mean(values: Floats) -> Worth:
    return Worth(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))
