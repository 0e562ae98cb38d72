"""Scores of predictive draws against what was measured, on log loss unless told otherwise.

Each function takes draws of the loss, shape ``(sample, target)``, and the observed losses, shape
``(target,)``, in the same positive unit. Scores on the log scale don't depend on that unit.
Responses that may be zero or negative are scored as they are (``scale="response"``), in their unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from bayescale.errors import DataError

LEVELS = (0.5, 0.8, 0.9, 0.95)
SCALES = ("log", "response")


def rmsle(median: ArrayLike, observed: ArrayLike) -> float:
    """Root mean square of log(median / observed).

    Parameters
    ----------
    median, observed
        Predicted and measured losses, shape ``(target,)``, positive.

    Returns
    -------
    float
        Without unit; 0.01 is about one per cent.

    Examples
    --------
    >>> round(rmsle([2.02, 1.98], [2.0, 2.0]), 4)
    0.01
    """
    return float(np.sqrt(np.mean((np.log(median) - np.log(observed)) ** 2)))


def are(median: ArrayLike, observed: ArrayLike) -> float:
    """Mean of abs(median - observed) / observed.

    Parameters
    ----------
    median, observed
        Predicted and measured losses, shape ``(target,)``, positive.

    Returns
    -------
    float
        A fraction, not per cent.

    Examples
    --------
    >>> round(are([2.1, 1.8], [2.0, 2.0]), 3)
    0.075
    """
    observed = np.asarray(observed, dtype=float)
    return float(np.mean(np.abs(np.asarray(median, dtype=float) - observed) / observed))


def crps_draws(draws: ArrayLike, observed: ArrayLike, scale: str = "log") -> NDArray[np.float64]:
    """Continuous ranked probability score of each target's draws, on log loss.

    The energy form E|x - y| - E|x - x'| / 2 of the draws' empirical distribution; the double
    mean comes from the sorted draws, so the cost is S log S. One draw gives the absolute error.

    Parameters
    ----------
    draws
        Losses, shape ``(sample, target)``, positive.
    observed
        Measured losses, shape ``(target,)``, positive.
    scale
        "log": on log loss, all of which are positive. "response": on the responses themselves.

    Returns
    -------
    numpy.ndarray
        Shape ``(target,)``, in log units or the response's; smaller is better.

    References
    ----------
    Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, eq. 21.

    Examples
    --------
    >>> crps_draws([[1.0], [np.e]], [1.0]).round(3)
    array([0.25])
    """
    draws, observed = _placed(*_checked(draws, observed, scale), scale)
    ordered = np.sort(draws, axis=0)
    size = len(ordered)
    distance = np.mean(np.abs(ordered - observed), axis=0)
    rank = 2.0 * np.arange(1, size + 1) - size - 1.0
    half_spread = (rank[:, None] * ordered).sum(axis=0) / size**2
    return distance - half_spread


def interval(draws: ArrayLike, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equal-tailed interval of the draws of each target.

    Parameters
    ----------
    draws
        Shape ``(sample, target)``.
    level
        Probability inside, between 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends, each of shape ``(target,)``, in the unit of the draws.

    Examples
    --------
    >>> low, high = interval(np.arange(101.0)[:, None], 0.9)
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (5.0, 95.0)
    """
    if not 0 < level < 1:
        raise DataError(f"a level of {level} is no probability: give one between 0 and 1")
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(draws, dtype=float), [tail, 1 - tail], axis=0)
    return low, high


def coverage(draws: ArrayLike, observed: ArrayLike, level: float, scale: str = "log") -> float:
    """Fraction of the targets that lie inside their equal-tailed interval.

    Parameters
    ----------
    draws, observed
        Losses, shapes ``(sample, target)`` and ``(target,)``.
    level
        Nominal probability, between 0 and 1.
    scale
        "response" allows losses that are not positive.

    Returns
    -------
    float

    Examples
    --------
    >>> coverage(np.tile(np.linspace(1, 2, 101)[:, None], 2), [1.5, 1.99], 0.9)
    0.5
    """
    draws, observed = _checked(draws, observed, scale)
    low, high = interval(draws, level)
    return float(np.mean((low <= observed) & (observed <= high)))


def width(draws: ArrayLike, level: float, scale: str = "log") -> float:
    """Mean of log(upper / lower), or of upper - lower, over the equal-tailed intervals.

    Parameters
    ----------
    draws
        Losses, shape ``(sample, target)``, positive.
    level
        Nominal probability, between 0 and 1.
    scale
        "log": on log loss, all of which are positive. "response": on the responses themselves.

    Returns
    -------
    float
        In log units: 0.02 is an interval 2% wide. Or in the response's.

    Examples
    --------
    >>> round(width(np.exp(np.linspace(0, 1, 101))[:, None], 0.5), 3)
    0.5
    """
    draws = np.asarray(draws, dtype=float)
    low, high = interval(np.log(draws) if scale == "log" else draws, level)
    return float(np.mean(high - low))


def interval_score(
    draws: ArrayLike, observed: ArrayLike, level: float, scale: str = "log"
) -> float:
    """Mean interval score on log loss: the width plus 2 / (1 - level) times each miss.

    Parameters
    ----------
    draws, observed
        Losses, shapes ``(sample, target)`` and ``(target,)``, positive.
    level
        Nominal probability, between 0 and 1.
    scale
        "log": on log loss, all of which are positive. "response": on the responses themselves.

    Returns
    -------
    float
        In log units or the response's; smaller is better.

    References
    ----------
    Gneiting and Raftery (2007), eq. 43.

    Examples
    --------
    >>> draws = np.exp(np.linspace(0, 1, 101))[:, None]
    >>> round(interval_score(draws, np.exp([0.85]), 0.5), 3)    # 0.5 wide, missed by 0.1
    0.9
    """
    draws, seen = _placed(*_checked(draws, observed, scale), scale)
    low, high = interval(draws, level)
    missed = np.maximum(low - seen, 0) + np.maximum(seen - high, 0)
    return float(np.mean(high - low + 2 / (1 - level) * missed))


def log_score(log_density: ArrayLike) -> float:
    """Mean over targets of the log of the predictive density averaged over the draws.

    Parameters
    ----------
    log_density
        Log density of each measured log loss under each draw, shape ``(sample, target)``.

    Returns
    -------
    float
        In nats a target; larger is better.

    Examples
    --------
    >>> round(log_score(np.log([[1.0], [3.0]])), 4)    # log of the mean density, 2
    0.6931
    """
    log_density = np.asarray(log_density, dtype=float)
    return float(np.mean(logsumexp(log_density, axis=0) - np.log(len(log_density))))


def pit(
    draws: ArrayLike, observed: ArrayLike, seed: int = 0, scale: str = "log"
) -> NDArray[np.float64]:
    """Randomised probability integral transform: where each target falls among its draws.

    Ties and the finite number of draws are spread evenly, so that targets exchangeable with
    their draws give uniform values whatever the number of draws.

    Parameters
    ----------
    draws, observed
        Losses, shapes ``(sample, target)`` and ``(target,)``.
    seed
        Of the randomisation.
    scale
        "response" allows losses that are not positive.

    Returns
    -------
    numpy.ndarray
        Shape ``(target,)``, between 0 and 1.

    References
    ----------
    Czado, Gneiting and Held (2009), Predictive model assessment for count data.

    Examples
    --------
    >>> bool(pit(np.arange(1.0, 1001.0)[:, None], [900.5])[0].round(2) == 0.90)
    True
    """
    draws, observed = _checked(draws, observed, scale)
    below = np.sum(draws < observed, axis=0)
    equal = np.sum(draws == observed, axis=0)
    place = np.random.default_rng(seed).uniform(size=len(observed))
    return (below + place * (equal + 1)) / (len(draws) + 1)


def metrics(
    draws: ArrayLike,
    observed: ArrayLike,
    log_density: ArrayLike | None = None,
    levels: Sequence[float] = LEVELS,
    scale: str = "log",
) -> dict[str, Any]:
    """Every score of a set of predictions, under the names of a backtest.

    Parameters
    ----------
    draws, observed
        Losses, shapes ``(sample, target)`` and ``(target,)``, positive. One draw is a point
        prediction: it has errors and a CRPS, but no interval (``nan``).
    log_density
        Log predictive density of log loss, shape ``(sample, target)``; without it the log score
        is ``nan``.
    levels
        Nominal probabilities of the intervals.
    scale
        "log": losses are positive, and scored on their logs. "response": they may be zero or
        negative, and are scored as they are; relative errors don't exist then.

    Returns
    -------
    dict
        ``n_test``, ``rmsle``, ``are``, ``crps``, ``coverage``, ``width``, ``interval_score``
        (each of these three keyed by the level as text) and ``log_score``. On the response's own
        scale ``rmsle`` and ``are`` are None, and ``scale`` says so.

    Raises
    ------
    DataError
        If the shapes disagree, nothing is to be scored, or a loss is not positive and finite.

    Examples
    --------
    >>> scores = metrics(np.exp(np.linspace(0, 1, 101))[:, None], np.exp([0.5]))
    >>> round(scores["width"]["0.5"], 3), scores["coverage"]["0.95"]
    (0.5, 1.0)
    """
    draws, observed = _checked(draws, observed, scale)
    relative = scale == "log"
    median = np.median(draws, axis=0)
    point = len(draws) == 1
    by_level: dict[str, dict[str, float]] = {"coverage": {}, "width": {}, "interval_score": {}}
    for level in levels:
        key = f"{level:g}"
        by_level["coverage"][key] = np.nan if point else coverage(draws, observed, level, scale)
        by_level["width"][key] = np.nan if point else width(draws, level, scale)
        by_level["interval_score"][key] = (
            np.nan if point else interval_score(draws, observed, level, scale)
        )
    return {
        "n_test": len(observed),
        "rmsle": rmsle(median, observed) if relative else None,
        "are": are(median, observed) if relative else None,
        "crps": float(np.mean(crps_draws(draws, observed, scale))),
        **by_level,
        "log_score": np.nan if log_density is None else log_score(log_density),
        **({} if relative else {"scale": scale}),
    }


def flat(scores: Mapping[str, Any]) -> dict[str, Any]:
    """One table row of a `metrics` dictionary: ``coverage`` at 0.95 becomes ``coverage_95``.

    Parameters
    ----------
    scores
        What `metrics` returns, with any further scalar keys.

    Returns
    -------
    dict
        Scalars only, in the same order.

    Examples
    --------
    >>> flat({"crps": 0.1, "width": {"0.5": 0.2, "0.95": 0.6}})
    {'crps': 0.1, 'width_50': 0.2, 'width_95': 0.6}
    """
    row: dict[str, Any] = {}
    for name, value in scores.items():
        if isinstance(value, Mapping):
            row.update({f"{name}_{percent(float(key))}": item for key, item in value.items()})
        else:
            row[name] = value
    return row


def percent(level: float) -> str:
    """Name of a level in a column: ``95`` for 0.95, ``99.5`` for 0.995.

    Examples
    --------
    >>> percent(0.95), percent(0.995)
    ('95', '99.5')
    """
    return f"{round(100 * level, 6):g}"


def scale_of(draws: ArrayLike, observed: ArrayLike) -> str:
    """Take logs where every draw and observation is positive, else the responses.

    Examples
    --------
    >>> scale_of([[0.1], [0.0]], [0.2])
    'response'
    """
    lowest = min(np.min(np.asarray(values, dtype=float)) for values in (draws, observed))
    return SCALES[0] if lowest > 0 else SCALES[1]


def _placed(
    draws: NDArray[np.float64], observed: NDArray[np.float64], scale: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws and observations on the scale on which they are scored."""
    return (np.log(draws), np.log(observed)) if scale == "log" else (draws, observed)


def _checked(
    draws: ArrayLike, observed: ArrayLike, scale: str = "log"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws and observations as arrays of agreeing shapes, all finite, and positive for logs."""
    if scale not in SCALES:
        raise DataError(f"scale is 'log' or 'response', not {scale!r}")
    draws = np.asarray(draws, dtype=float)
    observed = np.asarray(observed, dtype=float)
    if draws.ndim != 2 or observed.shape != draws.shape[1:] or draws.size == 0:
        raise DataError(
            f"draws of shape {draws.shape} can't be scored against observations of shape "
            f"{observed.shape}: give (sample, target) and (target,), neither empty"
        )
    for name, values in (("draws", draws), ("observed losses", observed)):
        bad = ~(np.isfinite(values) & ((values > 0) | (scale != "log")))
        if bad.any():
            targets = sorted({int(index[-1]) for index in np.argwhere(bad)})
            raise DataError(
                f"{int(bad.sum())} of the {name} are not positive and finite (targets at "
                f"positions {', '.join(map(str, targets[:8]))}); scores are of log loss"
            )
    return draws, observed
