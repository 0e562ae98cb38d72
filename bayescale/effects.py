"""What one variable does while the others are held: the law in slices, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.errors import BayescaleError, DataError
from bayescale.fitting import Fit
from bayescale.grammar import nearest
from bayescale.predictive_draws import loss_draws
from bayescale.targets import decades_beyond, targets_frame

LEVELS = (0.1, 0.5, 0.9)  # quantiles of the fitted rows at which a second variable is held


def conditional_effects(
    fit: Fit | Average,
    effects: str | Sequence[str] | None = None,
    conditions: Mapping[str, Any] | None = None,
    kind: str = "mean",
    prob: float = 0.95,
    points: int = 50,
    new_groups: str = "error",
) -> pd.DataFrame:
    """Slices of a fitted law: loss along one variable, the others held.

    Parameters
    ----------
    fit : Fit or Average
    effects : str or sequence of str, optional
        Columns of the law, or grouping columns; ``"N:D"`` is N at three levels of D. All the law's
        variables where None.
    conditions : dict, optional
        Where the others are held: values of the law's columns (the geometric mean of the fitted
        rows where not named), labels of groups (every group there is where not named).
    kind : {"mean", "new-run"}
    prob : float
        Of the equal-tailed interval.
    points : int
        Along each variable, from the least to the most of the fitted rows.
    new_groups : {"error", "sample"}
        As in `predict`.

    Returns
    -------
    pandas.DataFrame
        ``effect`` (as asked for), the law's columns and groups, ``median``, ``lower``, ``upper``,
        ``decades_beyond``. ``attrs`` has ``prob`` and ``kind``. `plots.plot_effects` draws it.

    Raises
    ------
    BayescaleError, DataError
        For an effect or condition that is no column of the law or of its groups.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> table = bs.conditional_effects(fit, "N", {"D": 1e7}, points=5)
    >>> bool(table["median"].is_monotonic_decreasing)
    True
    """
    if not (0.0 < prob < 1.0 and points >= 2):
        raise BayescaleError(f"prob lies between 0 and 1 and points is 2 or more: {prob}, {points}")
    numbers = [v.column for v in fit.law.variables.values()]
    known = [*numbers, *fit.groups]
    wanted = numbers if effects is None else [effects] if isinstance(effects, str) else effects
    conditions = dict(conditions or {})
    for name in conditions:
        if name not in known:
            raise DataError(f"conditions names {name!r}.{nearest(name, known)} {_choices(known)}")
    held = {c: conditions.get(c, _middle(fit.runs.table, c)) for c in numbers}
    groups = _groups(fit, {g: conditions[g] for g in fit.groups if g in conditions})
    parts = []
    for effect in wanted:
        names = effect.split(":")
        strange = [n for n in names if n not in known]
        if strange or len(names) > 2 or len(set(names)) < len(names):
            raise BayescaleError(
                f"effects names {effect!r}: one column, or two such as {':'.join(known[:2])!r}."
                f"{nearest(strange[0], known) if strange else ''} {_choices(known)}"
            )
        along = [n for n in names if n in numbers]
        grid = _grid(fit.runs.table, along, points)
        frame = pd.concat(
            [pd.DataFrame({**held, **label, **grid}) for label in groups], ignore_index=True
        )
        parts.append(_asked(fit, frame, kind, prob, new_groups).assign(effect=effect))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "effect", table.pop("effect"))
    table.attrs |= {"prob": prob, "kind": kind}
    return table


def _choices(known: Sequence[str]) -> str:
    return f"The fit knows {', '.join(known)}"


def _middle(table: pd.DataFrame, column: str) -> float:
    values = table[column].to_numpy(float)
    return float(np.exp(np.log(values).mean()) if values.min() > 0 else values.mean())


def _groups(fit: Fit | Average, named: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups to show: those fitted that agree with the labels named, or just those named."""
    if not fit.groups:
        return [{}]
    if set(named) == set(fit.groups):
        lists = [np.atleast_1d(np.asarray(v, dtype=object)) for v in named.values()]
        return [dict(zip(named, labels, strict=True)) for labels in product(*lists)]
    fitted = fit.runs.table[list(fit.groups)].astype(str).drop_duplicates()
    for name, label in named.items():
        fitted = fitted[fitted[name].isin(np.atleast_1d(np.asarray(label, dtype=str)))]
    if fitted.empty:
        told = ", ".join(f"{name} {label!r}" for name, label in named.items())
        raise DataError(f"no fitted group has {told}")
    return [dict(row) for _, row in fitted.iterrows()]


def _grid(table: pd.DataFrame, along: Sequence[str], points: int) -> dict[str, np.ndarray]:
    """Values along the first column at each level of the second; a single row where none."""
    if not along:
        return {"_": np.zeros(1)}
    values = table[along[0]].to_numpy(float)
    space = np.geomspace if values.min() > 0 else np.linspace
    line = space(values.min(), values.max(), points)
    if len(along) == 1:
        return {along[0]: line}
    levels = np.quantile(table[along[1]].to_numpy(float), LEVELS, method="nearest")
    return {along[0]: np.tile(line, len(levels)), along[1]: np.repeat(levels, points)}


def _asked(
    fit: Fit | Average, frame: pd.DataFrame, kind: str, prob: float, new_groups: str
) -> pd.DataFrame:
    frame = targets_frame(fit, frame.drop(columns="_", errors="ignore"))
    draws = loss_draws(fit, frame, kind=kind, new_groups=new_groups)
    tail = (1.0 - prob) / 2.0
    low, middle, high = np.quantile(draws, [tail, 0.5, 1.0 - tail], axis=0)
    beyond = decades_beyond(fit, frame)
    return frame.assign(median=middle, lower=low, upper=high, decades_beyond=beyond)
