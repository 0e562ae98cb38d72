"""Regressions over draws of what is wanted on what would be seen, cross-fitted, in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

Floats = NDArray[np.float64]

_KNOTS_ALONE = 10
_KNOTS_TOGETHER = 5
_PAIRS_UP_TO = 8  # results whose products are features too
_TINY = 1e-9
_SURE = 1.5  # standard errors by which a bend must gain
_STRENGTHS = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-5)


@dataclass(frozen=True, eq=False)
class Regression:
    """Expectations given results, each draw's from the other folds' draws.

    Attributes
    ----------
    expected : numpy.ndarray
        Shape ``(row, m)``; a row a result, the replicates of a draw after one another's.
    features : numpy.ndarray
        Shape ``(row, p)``.
    """

    expected: Floats
    features: Floats
    _scores: Floats  # (draw, p, m): what a draw pulls at the coefficients
    _inverse: Floats  # (p, p)

    def moved(self, rng: np.random.Generator, times: int) -> list[Floats]:
        """Changes of the expectations as likely as the regression's own error (wild bootstrap).

        Of the first replicate alone, ``(draw, m)`` each.
        """
        draws, p, m = self._scores.shape
        pulls = rng.standard_normal((times, draws)) @ self._scores.reshape(draws, p * m)
        first = self.features[:draws]
        return [first @ (self._inverse @ one.reshape(p, m)) for one in pulls]


def cross_fitted(observed: Floats, wanted: Floats, folds: int = 5, seed: int = 0) -> Regression:
    """Expectation of what is wanted given a result, each draw's from the other folds' draws.

    Results enter by their normal scores, so that a heavy tail has no leverage; one result by a
    cubic spline, several by a spline each and their products. All but the straight lines is
    penalised, and bends as far as that predicts the folds left out better, by one and a half of
    its standard errors: asking more loses what a decision gains in a heavy tail (at 2.5 a sixth of
    it), asking less bends to noise.

    Parameters
    ----------
    observed
        Shape ``(sample,)``, ``(sample, k)``, or with several imagined results a draw
        ``(replicate, sample, k)``.
    wanted
        Shape ``(sample, m)``.
    folds, seed
        How draws are divided.

    Returns
    -------
    Regression

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal(2000)
    >>> expected = cross_fitted(x, (x**2)[:, None]).expected[:, 0]
    >>> bool(np.mean((expected - x**2)**2) < 0.05)
    True
    """
    observed = np.asarray(observed, dtype=float)
    size = len(wanted)
    if observed.ndim < 3:
        observed = observed.reshape(1, size, -1)
    times = len(observed)
    straight, bent = features_of(normal_scores(observed.reshape(times * size, -1)))
    features = np.column_stack([straight, bent])
    wanted = np.tile(wanted, (times, 1))
    penalty = np.diag(np.r_[np.zeros(straight.shape[1]), np.ones(bent.shape[1])])
    penalty = len(features) * (penalty + _TINY * np.eye(len(penalty)))
    fold = np.tile(np.random.default_rng([seed, 29]).permutation(size) % folds, times)
    gram, moment = features.T @ features, features.T @ wanted
    parts = [(fold == one, features[fold == one]) for one in range(folds)]
    left = [(gram - own.T @ own, moment - own.T @ wanted[out]) for out, own in parts]
    varied = wanted.var(axis=0)
    scale = np.where(varied > 1e-12 * varied.max(), varied, np.inf)
    best, error, used = wanted, np.zeros(0), 0.0
    for strength in _STRENGTHS if bent.shape[1] else _STRENGTHS[:1]:  # the straightest first
        expected = np.empty(wanted.shape)
        for (out, own), (rest, aim) in zip(parts, left, strict=True):
            expected[out] = own @ np.linalg.solve(rest + strength * penalty, aim)
        missed = np.mean((wanted - expected) ** 2 / scale, axis=1).reshape(times, size).mean(axis=0)
        if not error.size or _better(error - missed):
            best, error, used = expected, missed, strength
    pull = features[:, :, None] * (wanted - best)[:, None, :]
    scores = pull.reshape(times, size, *pull.shape[1:]).sum(axis=0)
    return Regression(best, features, scores, np.linalg.inv(gram + used * penalty))


def _better(gain: Floats) -> bool:
    """Whether a bend gains more than chance would let it, most of the time."""
    return float(gain.mean()) > _SURE * float(gain.std()) / np.sqrt(len(gain))


def normal_scores(values: Floats) -> Floats:
    """Values as the normal quantiles of their ranks, column by column; a constant becomes 0.

    Examples
    --------
    >>> normal_scores(np.array([[5.0], [1.0], [900.0]])).round(2).ravel().tolist()
    [0.0, -0.97, 0.97]
    """
    return norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))


def features_of(scores: Floats) -> tuple[Floats, Floats]:
    """Columns that a smooth function of a few scores is made of: straight ones, and bent ones.

    The bent ones have mean 0 and sd 1.

    Examples
    --------
    >>> [part.shape for part in features_of(np.linspace(-2, 2, 50)[:, None])]
    [(50, 2), (50, 8)]
    """
    size, count = scores.shape
    knots = _KNOTS_ALONE if count == 1 else _KNOTS_TOGETHER
    bent = [column for one in scores.T for column in _natural_spline(one, knots)]
    if 1 < count <= _PAIRS_UP_TO:
        bent += [scores[:, i] * scores[:, j] for i in range(count) for j in range(i)]
    curves = np.column_stack(bent) if bent else np.zeros((size, 0))
    curves = curves - curves.mean(axis=0)
    return np.column_stack([np.ones(size), scores]), curves / np.maximum(curves.std(axis=0), 1e-12)


def _natural_spline(x: Floats, knots: int) -> list[Floats]:
    """Natural cubic spline, linear beyond its outer knots (Hastie et al., ESL, eq. 5.4)."""
    low, high = x.min(), x.max()
    if high - low < 1e-12:
        return []
    places = np.unique(np.quantile(x, np.linspace(0.005, 0.995, knots)))
    if len(places) < 3:
        return []
    last, before = places[-1], places[-2]

    def bend(knot: float) -> Floats:
        above = np.clip(x - knot, 0.0, None) ** 3 - np.clip(x - last, 0.0, None) ** 3
        return above / (last - knot)

    end = bend(before)
    return [bend(knot) - end for knot in places[:-2]]
