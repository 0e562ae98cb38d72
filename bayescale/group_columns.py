"""Columns that have one value in every group: read, checked, and laid out for slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayescale import cells
from bayescale.columns import rows_text
from bayescale.covariates import Covariate, Slope
from bayescale.errors import DataError


@dataclass(frozen=True, eq=False)
class LevelValues:
    """A slope's covariate in every level of a factor, and the mean that it is counted from.

    Attributes
    ----------
    slope : Slope
    factor : int
        Place of the grouping column among the model's factors.
    values : array, shape (levels,)
    centre : float
    """

    slope: Slope
    factor: int
    values: np.ndarray
    centre: float

    @property
    def note(self) -> str:
        """What the population's value is of."""
        covariate = self.slope.covariate
        middle = np.exp(self.centre) if covariate.log else self.centre
        return f"{self.slope.of} is of a group of {covariate.column} {middle:.4g}"


def level_values(
    slope: Slope, table: pd.DataFrame, factors: Mapping[int, tuple[str, Sequence[str]]]
) -> LevelValues:
    """Read a slope's covariate from rows.

    Parameters
    ----------
    slope : Slope
    table : pandas.DataFrame
    factors : mapping
        Place -> (grouping column, levels) of the factors by which the parameter varies.

    Raises
    ------
    DataError
        For a column that is missing, no number, or not the same within any factor's groups.
    """
    covariate = slope.covariate
    numbers = read_covariate(covariate, table, slope.name)
    faults: list[str] = []
    for place, (name, levels) in factors.items():
        by_level = numbers.groupby(table[name].astype(str).to_numpy(), sort=False)
        counts = by_level.nunique()
        uneven = [str(label) for label, n in counts.items() if n > 1]
        if not uneven:
            values = covariate.of([by_level.first()[level] for level in levels])
            return LevelValues(slope, place, values, float(np.mean(values)))
        rows = numbers[table[name].astype(str).to_numpy() == uneven[0]]
        shown = ", ".join(f"{v:g}" for v in rows.unique()[:5])
        faults.append(f"{name} {uneven[0]!r} has {covariate.column} {shown}")
    raise DataError(
        f"{slope.name}: {covariate.column} must have one value in every group; what differs "
        "between a group's runs belongs into the formula",
        tuple(faults),
    )


def read_covariate(covariate: Covariate, table: pd.DataFrame, what: str) -> pd.Series:
    """The column of a covariate as numbers, every fault in one error."""
    if covariate.column not in table.columns:
        given = ", ".join(map(str, table.columns))
        raise DataError(f"{what} needs the column {covariate.column!r}; there is {given}")
    numbers, text = cells.numbers(table[covariate.column])
    faults = cells.text_faults(covariate.column, text)
    bad = numbers[~np.isfinite(numbers) | ((numbers <= 0) & covariate.log)].drop(
        text.index, errors="ignore"
    )
    if len(bad):
        must = "a positive number" if covariate.log else "a number"
        faults.append(f"{rows_text(bad.index.tolist())}: {covariate.column} must be {must}")
    if faults:
        raise DataError(f"{what} can't be had:", tuple(faults))
    return numbers


def centred(known: Sequence[LevelValues], levels: Sequence[np.ndarray]) -> np.ndarray:
    """Covariates of groups less their means, shape (groups, slopes)."""
    columns = [one.values[levels[one.factor]] - one.centre for one in known]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(levels[0]) if levels else 1, 0))


def target_values(
    known: Sequence[LevelValues], frame: pd.DataFrame, indices: Sequence[np.ndarray]
) -> np.ndarray:
    """Covariates of targets less the fitted groups' means, shape (target, slopes).

    A group that was fitted has its own; a new one (index -1) says it in its column.
    """
    columns, faults = [], []
    for one in known:
        index, covariate = indices[one.factor], one.slope.covariate
        values = one.values[np.maximum(index, 0)]
        fresh = index < 0
        if fresh.any():
            own = read_covariate(covariate, frame[fresh], one.slope.name)
            values = np.where(fresh, 0.0, values)
            values[fresh] = covariate.of(own)
        elif covariate.column in frame.columns:
            given = pd.to_numeric(frame[covariate.column], errors="coerce").to_numpy(float)
            with np.errstate(all="ignore"):
                apart = ~np.isclose(covariate.of(given), values) & np.isfinite(given)
            faults += [
                f"target {i + 1}: {covariate.column} is {given[i]:g}, and its group was fitted "
                "with another: name a new group (new_groups='sample')"
                for i in np.flatnonzero(apart)
            ]
        columns.append(values - one.centre)
    if faults:
        raise DataError("the target can't be predicted:", tuple(faults))
    return np.stack(columns, axis=-1) if columns else np.zeros((len(frame), 0))
