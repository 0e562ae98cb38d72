"""One case: fit the cheap rows at the package's defaults, score predictions of the dear ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import scoring
from bayescale.diagnostics import diagnose
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit
from bayescale.law import Law
from bayescale.many_fits import fit_many
from bayescale.predictive_draws import loss_draws
from bayescale.runs import Runs, read_runs
from real_fits_parts.cases import Case

Floats = NDArray[np.float64]
KEPT = ("coverage_50", "coverage_80", "coverage_90", "coverage_95", "width_95", "interval_score_95")


def rows(case: Case, seed: int = 0, **options: Any) -> list[dict[str, Any]]:
    """A row for every split of a case, also where its fit is refused or fails.

    Parameters
    ----------
    case
    seed
    **options
        For `fit_many`, with the case's own: how long to sample.
    """
    law, divided = case.load(), case.divide()
    outputs = case.outputs or (law.response.column,)
    base = {"dataset": case.dataset, "law": case.law, "groups": _groups(law, divided.train)}
    began, fits, why = time.process_time(), [], ""
    try:
        seen = [read_runs(_table(law, divided.train, output), law=law) for output in outputs]
        many = fit_many(law, seen, seed=seed, progress=False, **{**case.options, **options})
        fits = list(many)
    except (BayescaleError, np.linalg.LinAlgError) as error:
        why = f"not fitted: {type(error).__name__}: {' '.join(str(error).split())}"[:300]
    seconds = time.process_time() - began
    found = []
    for name, test in divided.tests.items():
        size = {"n_train": len(divided.train), "n_test": len(test)}
        row = {**base, "split": name, **{k: v * len(outputs) for k, v in size.items()}}
        if fits:
            row |= scores(law, fits, divided.train, test, outputs, seed)
            row |= _health(fits)
        else:
            row |= {"ok": False, "why": why}
        found.append({**row, "cpu_seconds": seconds})
    return found


def scores(
    law: Law,
    fits: Sequence[Fit],
    train: pd.DataFrame,
    test: pd.DataFrame,
    outputs: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Scores of new runs at the held-out rows; R2 of the law's median there and where fitted."""
    drawn, mean, true = [], [], []
    for fit, output in zip(fits, outputs, strict=True):
        hidden = _hidden(law, test, output)
        drawn.append(loss_draws(fit, hidden, kind="new-run", seed=seed))
        mean.append(np.median(loss_draws(fit, hidden, seed=seed), axis=0))
        true.append(test[output].to_numpy(float))
    fitted = [np.median(loss_draws(f, _without(f.runs, law), seed=seed), axis=0) for f in fits]
    known = [f.runs.table[law.response.column].to_numpy(float) for f in fits]
    few = min(len(d) for d in drawn)
    draws, observed = np.concatenate([d[:few] for d in drawn], axis=1), np.concatenate(true)
    scale = scoring.scale_of(draws, observed)
    told = scoring.flat(scoring.metrics(draws, observed, scale=scale))
    return {
        "rmsle": told["rmsle"],
        "r2": r_squared(observed, np.concatenate(mean)),
        "r2_train": r_squared(np.concatenate(known), np.concatenate(fitted)),
        **{k: told[k] for k in KEPT},
        "crps": told["crps"],
        "scale": scale,
    }


def r_squared(true: Floats, predicted: Floats) -> float:
    """Share of the variance about the mean that a prediction explains; may be far below 0.

    NaN where all that is to be explained has one value.
    """
    if np.ptp(true) <= 1e-9 * np.max(np.abs(true)):
        return np.nan
    return float(1.0 - np.sum((true - predicted) ** 2) / np.sum((true - true.mean()) ** 2))


def _table(law: Law, rows: pd.DataFrame, output: str) -> pd.DataFrame:
    """The rows with one output in the response's column."""
    column = law.response.column
    return rows.rename(columns={output: column}) if output != column else rows


def _hidden(law: Law, rows: pd.DataFrame, output: str) -> pd.DataFrame:
    """Targets without what is to be predicted."""
    return _table(law, rows, output).drop(columns=law.response.column)


def _without(runs: Runs, law: Law) -> pd.DataFrame:
    return runs.table.drop(columns=law.response.column)


def _groups(law: Law, table: pd.DataFrame) -> str:
    """The grouping columns and how many levels each has where fitted."""
    known = [name for name in law.varies if name in table and table[name].nunique() > 1]
    return ", ".join(f"{name} ({table[name].nunique()})" for name in known) or "none"


def _health(fits: Sequence[Fit]) -> Mapping[str, Any]:
    """What diagnostics say of the fits of a case, the worst of them."""
    seen = [diagnose(fit) for fit in fits]
    problems = list(dict.fromkeys(p for one in seen for p in one.problems))
    draws = max(f.data["posterior"].dataset.sizes["draw"] for f in fits)
    return {
        "ok": all(one.ok for one in seen),
        "why": "; ".join(problems)[:300],
        "max_rhat": max(one.max_rhat for one in seen),
        "min_ess": min(min(one.min_ess_bulk, one.min_ess_tail) for one in seen),
        "divergences": sum(one.divergences for one in seen),
        "draws": draws,
        "bends": fits[0].model.structure.bend is not None,
        "prior_z": max((f.prior_z for f in fits), key=abs),
    }
