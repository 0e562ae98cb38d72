"""What is said of a prediction: a sentence a target, and warnings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayescale.averages import Average
from bayescale.fitting import Fit
from bayescale.measured import Coverage, measured_coverage
from bayescale.model import FEW_LEVELS
from bayescale.predictive_draws import trials_of
from bayescale.symptoms import untold_floor
from bayescale.targets import group_labels


def percent(prob: float) -> str:
    """0.95 -> '95', 0.999 -> '99.9'."""
    return f"{100 * prob:.6g}"


def short(value: float) -> str:
    """A number as people write it: 7e10, 1.4e12, 3100."""
    if value == 0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _trial_warnings(fit: Fit, frame: pd.DataFrame, kind: str) -> list[str]:
    """Say how many trials a new run is taken to have, where it doesn't."""
    name = fit.model.structure.response.counts_of
    if not name or name in frame.columns or kind == "mean":
        return []
    return [f"a new run is taken to have {trials_of(fit, frame)[0]:g} {name}, the runs' median"]


def warnings_of(
    fit: Fit | Average,
    table: pd.DataFrame,
    draws: np.ndarray,
    kind: str,
    level: float,
) -> list[str]:
    """What a prediction's reader should know: of its table and draws (sample, target)."""
    beyond = table["decades_beyond"].to_numpy(float)
    each = fit.fits.values() if isinstance(fit, Average) else [fit]
    said = [_trial_warnings(one, table, kind) for one in each]
    if isinstance(fit, Average):
        said.append([fit.disagreement(draws)])
    said += [_group_warnings(one, table) for one in each]
    chains = fit.chains if isinstance(fit, Average) else fit.settings.chains
    said.append(_monte_carlo_warnings(chains, draws, level))
    said += [_narrow_warnings(one, beyond, level) for one in each]
    said.append(floor_warnings(fit, beyond))
    return list(dict.fromkeys(warning for some in said for warning in some))


def _group_warnings(fit: Fit, frame: pd.DataFrame) -> list[str]:
    out = [
        f"the target's {name} is not used: no parameter varies by it in this fit"
        for name in fit.law.varies
        if name in frame and name not in fit.groups and name not in fit.runs.table
    ]
    for factor in fit.model.structure.grouping:
        named = dict.fromkeys(group_labels(frame, factor.name))
        unseen = [label for label in named if label not in factor.levels]
        if unseen and len(factor.levels) < FEW_LEVELS:
            out.append(
                f"{factor.name} {', '.join(unseen)} is new, and {len(factor.levels)} levels"
                f" ({', '.join(factor.levels)}) define the population: its interval is mostly prior"
            )
    return out


def _monte_carlo_warnings(chains: int, draws: np.ndarray, level: float) -> list[str]:
    """Name interval ends whose Monte Carlo error is above 5% of the width."""
    from arviz_stats.base import array_stats

    shaped = draws.reshape(chains, -1, draws.shape[1])
    tail = (1.0 - level) / 2.0
    width = np.quantile(draws, 1.0 - tail, axis=0) - np.quantile(draws, tail, axis=0)
    worst = np.zeros(draws.shape[1])
    for q in (tail, 1.0 - tail):
        error = array_stats.mcse(shaped, chain_axis=0, draw_axis=1, method="quantile", prob=q)
        worst = np.maximum(worst, np.atleast_1d(error) / np.maximum(width, 1e-300))
    return [
        f"target {i + 1}: the ends of its {percent(level)}% interval have a Monte Carlo error of"
        f" {worst[i]:.0%} of the width; draw more"
        for i in np.flatnonzero(worst > 0.05)
    ]


def _measured(fit: Fit | Average, decades: float, level: float) -> Coverage | None:
    """What was measured of fits like this one; nothing was of averages or frontiers."""
    if isinstance(fit, Average) or fit.model.structure.response.frontier:
        return None
    structure = fit.model.structure
    if structure.bend is None or structure.likelihood.link.name != "log":
        return None
    return measured_coverage(decades, level, curve=len(fit.law.variables) == 1)


def _narrow_warnings(fit: Fit, decades: np.ndarray, level: float) -> list[str]:
    """Say where intervals of this kind were too narrow."""
    if fit.model.structure.bend is None and np.any(decades > 0):
        return [
            "without discrepancy the law is taken to be exactly true: beyond the runs such"
            " intervals are too narrow (README: coverage on real ladders)"
        ]
    failing = [_measured(fit, float(beyond), level) for beyond in decades]
    return list(
        dict.fromkeys(
            f"{percent(level)}% intervals as far beyond the runs held {told} only"
            for told in failing
            if told is not None and told.fails
        )
    )


def floor_warnings(fit: Fit | Average, decades: np.ndarray) -> list[str]:
    """Name the floors that the data don't tell, where targets lie beyond the runs."""
    each = fit.fits.values() if isinstance(fit, Average) else [fit]
    floors = [untold_floor(one) for one in each] if np.any(decades > 0) else []
    return list(dict.fromkeys(floor for floor in floors if floor is not None))


def sentences_of(
    fit: Fit | Average, table: pd.DataFrame, kind: str, level: float, new_text: bool = False
) -> list[str]:
    """One sentence for each row of a prediction's table."""
    name = percent(level)
    factors = list(fit.groups)
    each = fit.fits.values() if isinstance(fit, Average) else [fit]
    frontier = any(one.model.structure.response.frontier for one in each)
    law = "The law of well-tuned runs" if frontier else "The law's value"
    tuned = ", tuned as the data's were," if frontier else ""
    out = []
    for _, row in table.iterrows():
        what = "One more run" if kind == "new-run" else law
        group = " of " + ", ".join(str(row[f]) for f in factors) if factors else ""
        group += tuned if kind == "new-run" else ""
        at = ", ".join(
            f"{v.name}={short(float(row[v.column]))}" for v in fit.law.variables.values()
        )
        at += ", on another text as long" if new_text else ""
        beyond = float(row["decades_beyond"])
        where = (
            f"{beyond:.1f} decades of compute beyond the data" if beyond > 0 else "inside the data"
        )
        told = _measured(fit, beyond, level)
        where += f"; measured coverage of such intervals: {told}" if told else ""
        out.append(
            f"{what}{group} at {at}: {row['median']:.4g} {fit.unit}, {name}% interval"
            f" {row[f'lower_{name}']:.4g} to {row[f'upper_{name}']:.4g} ({where})"
        )
    return out
