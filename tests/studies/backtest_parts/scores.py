"""Scores of one split, and their summary over data sets (rulings 10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from backtest_parts.suite import OrderedSplit
from bayescale import scoring

Floats = NDArray[np.float64]
LEVELS = ("50", "80", "90", "95")
RATIOS = ("crps", "interval_score_95")
TAIL = 0.025


def score(
    split: OrderedSplit, draws: Floats, log_density: Floats | None = None, seed: int = 0
) -> dict[str, Any]:
    """One row: the split, its metrics, and what its randomised PIT says.

    ``z_mean`` and ``z_square`` are the mean and mean square of the targets' PITs as normal
    scores; `effective_targets` reads from them how far errors go together.
    """
    observed = split.observed
    row: dict[str, Any] = {
        "dataset": split.dataset,
        "ladder": split.ladder,
        "split": split.name,
        "kind": split.kind,
        "weight": split.weight,
        "distance": split.distance,
        "n_train": len(split.train),
        **scoring.flat(scoring.metrics(draws, observed, log_density)),
        "bias": float(np.mean(np.log(np.median(draws, axis=0) / observed))),
        "pit_mean": np.nan,
        "pit_ks": np.nan,
        "z_mean": np.nan,
        "z_square": np.nan,
    }
    row["log_score_y"] = row["log_score"] - float(np.mean(np.log(observed)))  # of y, not log y
    if len(draws) > 1:
        pit = scoring.pit(draws, observed, seed)
        z = stats.norm.ppf(np.clip(pit, 1e-4, 1 - 1e-4))
        row["pit_mean"] = float(pit.mean())
        row["pit_ks"] = float(stats.kstest(pit, "uniform").statistic)
        row["z_mean"], row["z_square"] = float(z.mean()), float(np.mean(z**2))
    return row


def effective_targets(rows: pd.DataFrame) -> tuple[float, float]:
    """Effective number of targets of one method's splits, and the correlation behind it.

    With scores of mean zero and correlation rho within a split, n z_mean^2 / z_square is near
    1 + (n - 1) rho. Rho is the ratio of sums over splits, each data set weighing the same, held
    between 0 and 1; a split then counts n / (1 + (n - 1) rho). Splits of one data set share
    runs too: this is an upper bound.
    """
    rows = rows[(rows["n_test"] > 1) & rows["z_square"].gt(0)]
    if not len(rows):
        return np.nan, np.nan
    n, w = rows["n_test"].to_numpy(float), rows["weight"].to_numpy(float)
    square = rows["z_square"].to_numpy(float)
    between = (n * rows["z_mean"].to_numpy(float) ** 2 - square) / (n - 1)
    rho = float(np.clip((w * between).sum() / (w * square).sum(), 0, 1))
    return float((n / (1 + (n - 1) * rho)).sum()), rho


def summarise(table: pd.DataFrame, bootstraps: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Macro coverage of each method and its scores against each other's.

    A data set weighs 1, its splits equally; intervals are of 95%, from resampled data sets.

    Parameters
    ----------
    table
        Rows of `score` with ``method``, one a split and method.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``quantity`` (coverage_95, width_95, crps_ratio, ...), ``against``, ``value``,
        ``lower``, ``upper``, ``worst_dataset`` and its ``worst_value``, ``n_datasets``,
        ``n_splits``, ``n_targets``, ``n_effective``, ``rho``. A ratio is the geometric mean over
        data sets of the geometric mean over their splits; below 1 the method is better. It takes
        the splits that both have.
    """
    rng = np.random.default_rng(seed)
    rows = [*_coverages(table, rng, bootstraps), *_ratios(table, rng, bootstraps)]
    return pd.DataFrame(rows)


def _coverages(
    table: pd.DataFrame, rng: np.random.Generator, bootstraps: int
) -> Iterator[dict[str, Any]]:
    for method, rows in table.groupby("method", sort=True):
        count, rho = effective_targets(rows)
        about = {
            "n_splits": len(rows),
            "n_targets": int(rows["n_test"].sum()),
            "n_effective": count,
            "rho": rho,
        }
        for name in (f"{kind}_{level}" for kind in ("coverage", "width") for level in LEVELS):
            by_dataset = rows.groupby("dataset")[name].mean().dropna()
            if not len(by_dataset):
                continue
            nominal = float(name.rsplit("_")[-1]) / 100
            off = (by_dataset - nominal).abs() if name.startswith("coverage") else by_dataset
            worst = off.idxmax()
            yield {
                "method": method,
                "quantity": name,
                "against": "",
                **_mean(by_dataset.to_numpy(), rng, bootstraps),
                "worst_dataset": worst,
                "worst_value": by_dataset[worst],
                "n_datasets": len(by_dataset),
                **about,
            }


def _ratios(
    table: pd.DataFrame, rng: np.random.Generator, bootstraps: int
) -> Iterator[dict[str, Any]]:
    for score_name in RATIOS:
        wide = table.pivot(index=["dataset", "split"], columns="method", values=score_name)
        logs = np.log(wide.where(wide > 0))
        for method in logs:
            for other in logs:
                both = (logs[method] - logs[other]).dropna()
                if method == other or not len(both):
                    continue
                by_dataset = both.groupby("dataset").mean()
                said = _mean(by_dataset.to_numpy(), rng, bootstraps)
                worst = by_dataset.idxmax()
                yield {
                    "method": method,
                    "quantity": f"{score_name}_ratio",
                    "against": other,
                    **{k: float(np.exp(v)) for k, v in said.items()},
                    "worst_dataset": worst,
                    "worst_value": float(np.exp(by_dataset[worst])),
                    "n_datasets": len(by_dataset),
                    "n_splits": len(both),
                }


def _mean(values: Floats, rng: np.random.Generator, bootstraps: int) -> dict[str, float]:
    drawn = rng.choice(values, size=(bootstraps, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return {"value": float(values.mean()), "lower": float(low), "upper": float(high)}
