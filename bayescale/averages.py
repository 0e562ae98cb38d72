"""An average of laws: a mixture of their posteriors, asked as one fit is asked.

Each draw of the average is a draw of one of the laws, so that what it predicts is a mixture of
their predictions and not a prediction between them. Which law a draw belongs to is one parameter
more of the law of the average: decisions see draws of one law and need not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit
from bayescale.law import Law, Response, Variable
from bayescale.runs import Runs

WHICH = "which law"
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


@dataclass(frozen=True)
class MixedLaw:
    """Several laws of one response; a draw's law is named by the parameter ``which law``."""

    laws: Mapping[str, Law]

    @property
    def name(self) -> str:
        return "average of " + ", ".join(self.laws)

    @property
    def formula(self) -> None:
        """Not one."""

    @property
    def response(self) -> Response:
        return next(iter(self.laws.values())).response

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """Variables of all the laws, by column."""
        found: dict[str, Variable] = {}
        for law in self.laws.values():
            for variable in law.variables.values():
                found.setdefault(variable.column, replace(variable, name=variable.column))
        return found

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of what `mean` takes: every law's own, and which law a draw is of."""
        return (WHICH, *(own_name(p, n) for n, law in self.laws.items() for p in law.parameters))

    @property
    def simplexes(self) -> dict[str, tuple[str, ...]]:
        return {
            name: columns for law in self.laws.values() for name, columns in law.simplexes.items()
        }

    @property
    def varies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(g for law in self.laws.values() for g in law.varies))

    def scattering(self, noise: str | None) -> MixedLaw:
        """The same laws, their runs scattering otherwise."""
        return MixedLaw({name: law.scattering(noise) for name, law in self.laws.items()})

    def varying(self, pool: Any) -> MixedLaw:
        """The same laws, each pooled otherwise."""
        return MixedLaw({name: law.varying(pool) for name, law in self.laws.items()})

    def mean(self, params: Mapping[str, Any], columns: Mapping[str, Any], xp: Any = np) -> Any:
        """Loss of each draw (sample, ...) by its own law; columns broadcast with (sample, k)."""
        which = np.asarray(params[WHICH], dtype=float)
        of_draw = which.reshape(len(which), -1)[:, 0]
        shapes = (np.shape(v) for v in columns.values())
        out = np.empty(np.broadcast_shapes(which.shape, *shapes))
        for k, (name, law) in enumerate(self.laws.items()):
            mine = of_draw == k
            if mine.any():
                own = {p: np.asarray(params[own_name(p, name)])[mine] for p in law.parameters}
                there = {c: _of_draws(v, mine, out.ndim) for c, v in columns.items()}
                out[mine] = law.mean(own, there, np)
        return out


def own_name(parameter: str, law: str) -> str:
    """Name of a law's parameter among those of an average."""
    return f"{parameter} [{law}]"


def _of_draws(values: Any, mine: np.ndarray, dimensions: int) -> Any:
    """The part of a column that belongs to some draws, where it has a value for each draw."""
    values = np.asarray(values)
    each = values.ndim == dimensions and values.shape[0] == len(mine) > 1
    return values[mine] if each else values


@dataclass(frozen=True, eq=False, repr=False)
class Average:
    """A mixture of fits of several laws to the same runs; `bayescale.average` makes it.

    `predict`, `allocate`, `compare_recipes` and `save` take it as they take a fit.

    Attributes
    ----------
    fits : dict of str to Fit
    weights : dict of str to float
        They sum to 1.
    """

    fits: Mapping[str, Fit]
    weights: Mapping[str, float]

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {weight:.0%}" for name, weight in self.weights.items())
        return f"<Average of {len(self.fits)} laws: {shares}>"

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        table = pd.DataFrame({"law": list(self.weights), "weight": list(self.weights.values())})
        return answer_html(f"Average of {len(self.fits)} laws", table=table)

    @cached_property
    def law(self) -> Any:
        """What stands for a fit's law (`MixedLaw`)."""
        return MixedLaw({name: fit.law for name, fit in self.fits.items()})

    @property
    def runs(self) -> Runs:
        return next(iter(self.fits.values())).runs

    @property
    def unit(self) -> str:
        return next(iter(self.fits.values())).unit

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for fit in self.fits.values() for note in fit.notes))

    @property
    def groups(self) -> dict[str, list[str]]:
        """Grouping columns of all the fits and their levels."""
        found: dict[str, list[str]] = {}
        for fit in self.fits.values():
            found |= fit.groups
        return found

    @property
    def chains(self) -> int:
        """Chains that the draws of the average are laid out in."""
        return min(fit.settings.chains for fit in self.fits.values())

    @cached_property
    def slots(self) -> dict[str, np.ndarray]:
        """Of each fit, which of its draws stands at each place of the average, (sample,)."""
        per = min(fit.settings.draws for fit in self.fits.values())
        chain, draw = np.divmod(np.arange(self.chains * per), per)
        return {
            name: chain * fit.settings.draws + draw * fit.settings.draws // per
            for name, fit in self.fits.items()
        }

    @cached_property
    def which(self) -> np.ndarray:
        """Number of the law that each draw is of, (sample,); spread evenly through the chains."""
        size = len(next(iter(self.slots.values())))
        place = (0.5 + _GOLDEN * np.arange(size)) % 1.0
        ends = np.cumsum(list(self.weights.values()))
        return np.searchsorted(ends[:-1], place, side="right")

    def mix(self, draws: Sequence[np.ndarray]) -> np.ndarray:
        """Draws (sample, ...) of the average, of every fit's own."""
        parts = zip(draws, self.slots.values(), strict=True)
        placed = np.stack([values[slot] for values, slot in parts])
        return placed[self.which, np.arange(placed.shape[1])]

    def mix_parameters(self, draws: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Parameters of `law` (sample, target), of every fit's own."""
        first = next(iter(draws[0].values()))
        out = {WHICH: np.repeat(self.which[:, None] * 1.0, first.shape[1], axis=1)}
        for (name, fit), values in zip(self.fits.items(), draws, strict=True):
            out |= {own_name(p, name): values[p][self.slots[name]] for p in fit.law.parameters}
        return out

    def mix_densities(self, log_densities: Sequence[np.ndarray]) -> np.ndarray:
        """Log densities (draw, ...) whose mean over draws is the weighted mean of the fits'."""
        weights = np.array(list(self.weights.values()))
        sizes = np.array([len(values) for values in log_densities])
        more = np.full(len(weights), -np.inf)
        used = weights > 0
        more[used] = np.log(weights[used] / sizes[used] * sizes[used].sum())
        kept = [v + m for v, m, u in zip(log_densities, more, used, strict=True) if u]
        return np.concatenate(kept)

    @cached_property
    def straight(self) -> Average:
        """The average of the laws fitted without bends, which decisions are taken by.

        Raises
        ------
        ConvergenceError
            If the diagnostics of one of them refuse.
        """
        if all(fit.model.structure.bend is None for fit in self.fits.values()):
            return self
        return replace(self, fits={name: fit.straight for name, fit in self.fits.items()})

    def disagreement(self, draws: np.ndarray) -> str:
        """Say how far the laws' own medians of draws (sample, target) lie apart."""
        medians = {
            name: np.median(draws[self.which == k], axis=0)
            for k, name in enumerate(self.fits)
            if (self.which == k).any()
        }
        shares = ", ".join(f"{name} {weight:.0%}" for name, weight in self.weights.items())
        apart = np.ptp(np.log(np.array(list(medians.values()))), axis=0)
        target = int(np.argmax(apart))
        told = ", ".join(f"{name} {values[target]:.4g}" for name, values in medians.items())
        where = f" (target {target + 1}, where they differ most)" if draws.shape[1] > 1 else ""
        return f"an average of laws ({shares}); their own medians: {told}{where}"

    def _refuse(self, what: str) -> NoReturn:
        names = ", ".join(f"fits[{name!r}]" for name in self.fits)
        raise BayescaleError(
            f"an average of laws has no {what} of its own, which this needs: ask its {names}"
        )

    @property
    def model(self) -> Any:
        """Not there: each fit has its own."""
        self._refuse("model")

    @property
    def data(self) -> Any:
        """Not there: each fit has its own."""
        self._refuse("posterior")

    @property
    def position(self) -> Any:
        """Not there: each fit has its own."""
        self._refuse("posterior")

    @property
    def settings(self) -> Any:
        """Not there: each fit has its own."""
        self._refuse("chains")


def average(
    fits: Mapping[str, Fit],
    weights: Mapping[str, float] | pd.DataFrame | pd.Series | Sequence[float] | None = None,
) -> Average:
    """Average the predictions of several laws of the same runs, as a mixture.

    Parameters
    ----------
    fits : dict of str to Fit
        Of the same runs.
    weights : dict, DataFrame, Series or sequence, optional
        By name, or in the order of the fits; a table has a column ``weight``, as that of
        `compare_laws` has. Divided by their sum. Equal where None.

    Returns
    -------
    Average

    Raises
    ------
    DataError
        For fits of different data, or weights that aren't numbers of 0 or more, one a fit.

    References
    ----------
    Hoeting et al. (1999), Bayesian model averaging: a tutorial. The weights here are predictive
    (`compare_laws`), not posterior probabilities: none of the laws is taken to be the truth.

    Examples
    --------
    >>> import bayescale as bs
    >>> mixed = bs.average({"a": fit_a, "b": fit_b}, [0.7, 0.3])        # doctest: +SKIP
    >>> bs.predict(mixed, {"N": 1e9, "D": 2e10})                        # doctest: +SKIP
    """
    refuse_different_data(fits)
    return Average(dict(fits), _checked_weights(weights, list(fits)))


def _checked_weights(weights: Any, names: list[str]) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(names, 1.0 / len(names))
    if isinstance(weights, pd.DataFrame):
        if "weight" not in weights:
            raise DataError(f"weights has no column 'weight': {', '.join(map(str, weights))}")
        weights = weights["weight"]
    if isinstance(weights, pd.Series | Mapping):
        given = {str(name): value for name, value in weights.items()}
        if set(given) != set(names):
            raise DataError(f"weights are of {', '.join(given)}, and fits of {', '.join(names)}")
        values = [given[name] for name in names]
    else:
        values = list(weights)
    try:
        numbers = np.array(values, dtype=float)
    except (TypeError, ValueError):
        numbers = np.full(len(values), np.nan)
    bad = not np.all(np.isfinite(numbers) & (numbers >= 0)) or not numbers.sum() > 0
    if len(numbers) != len(names) or bad:
        raise DataError(
            f"weights are {len(names)} numbers of 0 or more, one a fit and not all 0, not"
            f" {values!r}"
        )
    return dict(zip(names, (numbers / numbers.sum()).tolist(), strict=True))


def refuse_different_data(fits: Mapping[str, Fit]) -> None:
    """Raise a DataError unless all are fits, of the same rows, losses, columns and unit."""
    if not isinstance(fits, Mapping) or len(fits) < 2:
        raise DataError("give two fits or more by name: {'chinchilla': fit_a, 'kaplan': fit_b}")
    for name, fit in fits.items():
        if not isinstance(fit, Fit):
            raise DataError(f"{name!r} is no fit but a {type(fit).__name__}")
    (first_name, first), *others = fits.items()
    response = first.law.response.column
    for name, fit in others:
        between = f"{first_name!r} and {name!r} are fits of different data"
        if fit.law.response.column != response or fit.unit != first.unit:
            told = " and ".join(f"{f.law.response.column} ({f.unit})" for f in (first, fit))
            raise DataError(f"{between}: of {told}")
        if len(fit.runs) != len(first.runs):
            raise DataError(f"{between}: {len(first.runs)} and {len(fit.runs)} rows")
        columns = {v.column for f in (first, fit) for v in f.law.variables.values()}
        shared = {response, *columns} & set(first.runs.table) & set(fit.runs.table)
        for column in sorted(shared):
            a, b = (f.runs.table[column].to_numpy(float) for f in (first, fit))
            differ = np.flatnonzero(~np.isclose(a, b, rtol=1e-12, atol=0.0))
            if len(differ):
                row = first.runs.table.index[differ[0]]
                raise DataError(
                    f"{between}: row {row} has {column} {a[differ[0]]:.6g} and {b[differ[0]]:.6g}"
                )
