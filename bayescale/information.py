"""What knowing more is worth to a decision: perfect, partial and sampled information.

Everything is computed from joint draws: ``losses[s, a]`` is the loss of action a if draw s is the
truth, and ``observed[s]`` what an experiment would show then. Nothing is refitted. An expectation
given data is a regression over draws (Strong, Oakley & Brennan 2014 for parameters, 2015 for
samples); here it is cross-fitted, and the bias of the best of noisy expectations is taken off. So
noise doesn't pass for information: the value of a worthless experiment is zero up to its error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayescale.regressions import cross_fitted

Floats = NDArray[np.float64]


_FEW_ACTIONS = 6
_LEFT_OUT = 1e-9  # of the largest sum of squares
_TIMES = 20  # repeats of the bootstrap


@dataclass(frozen=True)
class Worth:
    """An expected gain, in the unit of the losses, with its Monte Carlo standard error."""

    value: float
    error: float


def evpi(losses: Floats, line: bool = False) -> Worth:
    """Expected value of perfect information: the regret of the best action chosen now.

    Parameters
    ----------
    losses
        Shape ``(sample, action)``.
    line
        Actions are equally spaced values of one quantity, and those between them are open too.

    Examples
    --------
    >>> evpi(np.array([[1.0, 2.0], [3.0, 2.0], [1.0, 2.0]])).value.__round__(4)
    0.3333
    """
    gains = _gains(losses)
    return _mean(_most(gains, line) - _most(gains.mean(axis=0), line))


def evppi(
    losses: Floats, parameters: Floats, line: bool = False, folds: int = 5, seed: int = 0
) -> Worth:
    """Expected value of learning some parameters exactly, and nothing else.

    Parameters
    ----------
    losses, line
        As in `evpi`.
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
    return evsi(losses, np.asarray(parameters, dtype=float), line, folds, seed)


def evsi(
    losses: Floats, observed: Floats, line: bool = False, folds: int = 5, seed: int = 0
) -> Worth:
    """Expected value of sample information: of seeing an experiment's result before choosing.

    Parameters
    ----------
    losses, line
        As in `evpi`.
    observed
        A result a draw, shape ``(sample,)``; several, ``(sample, k)``; or imagined more than once,
        ``(replicate, sample, k)``.
    folds, seed
        Of the cross-fitting.

    Returns
    -------
    Worth
        Between zero and `evpi`; Monte Carlo error that leads outside is cut off.

    Notes
    -----
    The best of noisy expectations promises too much. By how much, a bootstrap of the regression
    tells, and that is taken off.

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
    gains = _gains(losses)
    scores, back = _summarised(gains)
    regression = cross_fitted(observed, scores, folds, seed)
    promised = _most(regression.expected @ back, line)
    rng = np.random.default_rng([seed, 47])
    first = regression.expected[: len(gains)]
    again = np.array(
        [
            float(_most((first + change) @ back, line).mean())
            for change in regression.moved(rng, _TIMES)
        ]
    )
    now = float(_most(gains.mean(axis=0), line))
    too_much = float(again.mean() - promised[: len(gains)].mean())
    value = float(promised.mean()) - too_much - now
    by_draw = promised.reshape(-1, len(gains)).mean(axis=0)
    error = float(np.hypot(again.std(), by_draw.std() / np.sqrt(len(gains))))
    return Worth(float(np.clip(value, 0.0, evpi(losses, line).value)), error)


def variance_reduction(targets: Floats, observed: Floats, folds: int = 5, seed: int = 0) -> Worth:
    """Expected fall of the variance of targets, averaged over them, once a result is seen.

    The value of sample information for a decision under squared error.

    Parameters
    ----------
    targets
        Shape ``(sample, target)``.
    observed
        As in `evsi`.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> truth, noise = rng.standard_normal((2, 4000))
    >>> worth = variance_reduction(truth[:, None], truth + noise)      # 1 - 1/2
    >>> bool(abs(worth.value - 0.5) < 3 * worth.error)
    True
    """
    centred = targets - targets.mean(axis=0)
    expected = cross_fitted(observed, centred, folds, seed).expected
    expected = expected.reshape(-1, *centred.shape).mean(axis=0)
    worth = _mean((centred * expected).mean(axis=1))
    most = float((centred**2).mean())
    return Worth(float(np.clip(worth.value, 0.0, most)), worth.error)


def _gains(losses: Floats) -> Floats:
    """What each action gains over the one of least expected loss."""
    return losses[:, [int(np.argmin(losses.mean(axis=0)))]] - losses


def _most(gains: Floats, line: bool) -> Floats:
    """Largest gain over the last axis; on a line, of the parabola through its neighbours."""
    if not line or gains.shape[-1] < 3:
        return gains.max(axis=-1)
    at = np.clip(gains.argmax(axis=-1), 1, gains.shape[-1] - 2)[..., None]
    left, middle, right = (
        np.take_along_axis(gains, at + step, axis=-1)[..., 0] for step in (-1, 0, 1)
    )
    bend = left + right - 2.0 * middle
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = -((right - left) ** 2) / (8.0 * bend)
        inside = (bend < 0) & (np.abs(right - left) <= -2.0 * bend)
    return np.where(inside, middle + np.where(inside, rise, 0.0), gains.max(axis=-1))


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
