"""Targets of a prediction: checked columns, known and new groups, distance beyond the runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.cells import labels, numbers
from bayescale.errors import DataError
from bayescale.fitting import Fit
from bayescale.schedule_columns import completed

NEW_GROUPS = ("error", "sample")


def targets_frame(fit: Fit | Average, targets: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
    """Check targets: the law's columns positive and finite, every fault in one error."""
    if isinstance(targets, Mapping):
        sized = {k: np.atleast_1d(np.asarray(v, dtype=object)) for k, v in targets.items()}
        length = max((len(v) for v in sized.values()), default=0)
        uneven = [k for k, v in sized.items() if len(v) not in (1, length)]
        if uneven:
            raise DataError(f"the target's columns differ in length: {', '.join(map(str, uneven))}")
        frame = pd.DataFrame({k: np.resize(v, length) for k, v in sized.items()}, dtype=object)
    else:
        frame = pd.DataFrame(targets).copy()
    if frame.empty:
        raise DataError("there is no target to predict")
    frame = completed(frame, fit.law)  # what the law sums along a schedule, where one is given
    faults: list[str] = []
    for variable in fit.law.variables.values():
        column = variable.column
        if column == "C" and "C" not in frame and {"N", "D"} <= set(frame.columns):
            frame["C"] = 6.0 * numbers(frame["N"])[0] * numbers(frame["D"])[0]
        if column not in frame.columns:
            given = ", ".join(map(str, frame.columns))
            faults.append(f"no column {column!r} ({variable.unit}); the target has {given}")
            continue
        values, _ = numbers(frame[column])
        least = variable.least
        fits = (values > 0) if least is None else (values >= least)
        for i in np.flatnonzero(~(np.isfinite(values.to_numpy(float)) & fits.to_numpy())):
            given = frame[column].iloc[i]
            given = given.item() if isinstance(given, np.generic) else given
            number = "positive number" if least is None else f"number from {least:g} on"
            faults.append(f"target {i + 1}: {column} is {given!r}; give a {number}")
        frame[column] = values.astype(float)
    if "C" in frame.columns:
        frame["C"], _ = numbers(frame["C"])
    if faults:
        raise DataError("the target can't be predicted:", tuple(faults))
    return frame.reset_index(drop=True)


def group_labels(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A grouping column as the labels that fits know."""
    return labels(frame[name]).astype(str).to_numpy()


def level_index(fit: Fit, frame: pd.DataFrame, new_groups: str) -> list[np.ndarray]:
    """Index of each target's level in each factor; -1 for a level never seen."""
    if new_groups not in NEW_GROUPS:
        raise DataError(f"new_groups is 'error' or 'sample', not {new_groups!r}")
    indices = []
    faults = _single_level_faults(fit, frame)
    for factor in fit.model.structure.factors:
        if not factor.name:
            indices.append(np.zeros(len(frame), int))
            continue
        if factor.name not in frame.columns:
            raise DataError(
                f"say which {factor.name} the target belongs to: {', '.join(factor.levels)}"
                f" (or a new one with new_groups='sample')"
            )
        named = group_labels(frame, factor.name)
        known = {level: i for i, level in enumerate(factor.levels)}
        index = np.array([known.get(label, -1) for label in named])
        unknown = list(dict.fromkeys(named[index < 0]))
        if unknown and new_groups == "error":
            faults.append(
                f"{factor.name} {', '.join(map(repr, unknown))} is not in the fit, which knows"
                f" {', '.join(factor.levels)}; new_groups='sample' draws it from the population"
            )
        indices.append(index)
    if faults:
        raise DataError("the target names an unknown group:", tuple(faults))
    return indices


def _single_level_faults(fit: Fit, frame: pd.DataFrame) -> list[str]:
    """Targets of another group than the only one fitted, about which the fit knows nothing."""
    fitted = fit.runs.table
    faults = []
    for name in fit.law.varies:
        if name in fit.groups or name not in fitted or name not in frame:
            continue
        known = dict.fromkeys(group_labels(fitted, name))
        strange = [
            label for label in dict.fromkeys(group_labels(frame, name)) if label not in known
        ]
        if len(known) == 1 and strange:
            faults.append(
                f"{name} {', '.join(map(repr, strange))} is not in the fit, whose runs are all of"
                f" {next(iter(known))}: nothing tells how others differ; fit runs of it too"
            )
    return faults


def compute_of(frame: pd.DataFrame) -> np.ndarray:
    """Training FLOPs of targets: their `C`, else 6ND."""
    if "C" in frame.columns and frame["C"].notna().all():
        return frame["C"].to_numpy(float)
    if {"N", "D"} <= set(frame.columns):
        return 6.0 * frame["N"].to_numpy(float) * frame["D"].to_numpy(float)
    return np.full(len(frame), np.nan)


def decades_beyond(fit: Fit | Average, frame: pd.DataFrame) -> np.ndarray:
    """Log10 of each target's compute over the largest fitted, both counted alike; 0 inside."""
    table = fit.runs.table
    own = "C" in frame.columns and frame["C"].notna().all()
    if not own and not {"N", "D"} <= set(table.columns):
        return np.zeros(len(frame))
    largest = np.nanmax(compute_of(table if own else table.drop(columns="C", errors="ignore")))
    return np.maximum(np.log10(compute_of(frame) / largest), 0.0)
