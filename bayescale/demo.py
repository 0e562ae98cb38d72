"""The main job on the bundled measurements: intervals, a recipe, an allocation, plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from bayescale import datasets
from bayescale.allocation import allocate
from bayescale.catalog import load_law
from bayescale.costs import from_rows
from bayescale.diagnostics import diagnose, summary
from bayescale.errors import BayescaleError
from bayescale.fitting import Fit, fit
from bayescale.prediction import predict
from bayescale.prediction_words import short
from bayescale.recipes import compare_recipes
from bayescale.storage import save

DEFAULT_OUT = "bayescale-demo"
LAW = "bottleneck"  # the ladder's runs tell its gamma from 1, at which it would be chinchilla
BEYOND = 10.0


def target_cells(table: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """One target a family: the measured cells, else 10 times each family's largest compute.

    Parameters
    ----------
    table, measured : pandas.DataFrame
        Fitted rows; target rows (perhaps none yet).

    Returns
    -------
    pandas.DataFrame
        family, recipe, corpus, evaluation, N, D, C and, where measured, `observed` (mean loss over
        seeds).
    """
    labels = ["family", "recipe", "corpus", "evaluation"]
    if len(measured):
        cells = measured.groupby([*labels, "N", "D", "C"], sort=False, as_index=False)
        return cells.agg(observed=("loss", "mean"))
    rows = []
    for _, part in table.groupby(labels, sort=False):
        largest = part.loc[part["C"].idxmax()]
        growth = np.sqrt(BEYOND)
        rows.append(
            {label: largest[label] for label in labels}
            | {"N": growth * largest["N"], "D": growth * largest["D"], "C": BEYOND * largest["C"]}
        )
    return pd.DataFrame(rows)


def measured_targets() -> pd.DataFrame:
    """Final rows of the bundled ladder's target runs, none where none has been trained."""
    table = datasets.load("ladder", split="all", role="all").table
    return table[(table["role"] == "target") & (table["is_final"] == 1) & (table["status"] == "ok")]


def ladder_fit(seed: int = 0, progress: bool = True, **options: Any) -> Fit:
    """The default fit of the bundled ladder: what varies is pooled over the four families."""
    runs, law = datasets.load("ladder"), load_law(LAW)
    return fit(law, runs, on_failed="drop", seed=seed, progress=progress, **options)


def main(
    out: str | Path = DEFAULT_OUT,
    *,
    seed: int = 0,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Run the demo and write its plots and its fit to `out`.

    Parameters
    ----------
    out : str or Path
        Folder, made if need be.
    seed : int
    progress : bool
    say : callable
        Takes each line of the report.

    Returns
    -------
    Path
        The folder.
    """
    began = perf_counter()
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"{out} can't be made ({error.strerror}); give --out a folder"
        raise BayescaleError(why) from None
    say(f"writing to {out.resolve().name}/")
    runs = datasets.load("ladder")
    measured = measured_targets()
    fitted = ladder_fit(seed, progress)
    say(
        f"fitted {fitted.law.name} to {len(fitted.runs)} of {len(runs)} runs in"
        f" {len(fitted.groups.get('family', []))} families in {fitted.seconds['total']:.0f} s"
        f" (compiling {fitted.seconds['compile']:.0f} s)"
    )
    say(str(diagnose(fitted)))
    table = summary(fitted, 0.95)
    for name in ("alpha", "beta"):
        row = table.loc[name]
        say(f"{name}: {row['mean']:.3f}, 95% interval {row['lower']:.3f} to {row['upper']:.3f}")

    cells = target_cells(fitted.runs.table, measured)
    prediction = predict(fitted, cells, seed=seed)
    say("\nThe loss of models about ten times beyond the ladder:")
    for sentence, (_, cell) in zip(prediction.sentences, cells.iterrows(), strict=True):
        seen = f"; measured {cell['observed']:.4g}" if "observed" in cells else ""
        say(f"  {sentence}{seen}")

    say("\nWhich recipe, at the target's compute:")
    comparisons = {}
    for corpus, part in cells.groupby("corpus", sort=False):
        at = {"C": float(part["C"].mean()), "corpus": corpus}
        comparison = compare_recipes(fitted, by="recipe", at=at)
        comparisons[corpus] = comparison
        for _, row in comparison.table.iterrows():
            say(
                f"  {corpus}, C={short(at['C'])}: {row['recipe']} is best with probability"
                f" {row['p_best']:.2f} (expected regret {row['expected_regret']:.4f})"
            )

    best = cells.iloc[0]
    rows = fitted.runs.table
    counted = from_rows(rows[rows["family"] == best["family"]])
    at = {"family": best["family"]}
    allocation = allocate(fitted, C=float(best["C"]), at=at, cost=counted)
    say(
        f"\n{best['family']} with C={short(float(best['C']))}: N={short(allocation.N)},"
        f" D={short(allocation.D)} (95% interval of the optimal N"
        f" {short(allocation.N_interval[0])} to {short(allocation.N_interval[1])};"
        f" any N from {short(allocation.near_optimal[0])} to {short(allocation.near_optimal[1])}"
        f" costs at most 0.005 nats; expected regret {allocation.expected_regret:.4f})"
    )
    for path in _plots(fitted, cells, allocation, comparisons, out):
        say(f"wrote {out.name}/{path.name}")
    save(fitted, out / "fit.nc")
    say(f"wrote {out.name}/fit.nc\ndone in {perf_counter() - began:.0f} s")
    return out


def _plots(fitted: Fit, cells: pd.DataFrame, allocation, comparisons, out: Path) -> list[Path]:
    from bayescale import plots

    drawn = {
        "fit.png": plots.plot_fit(fitted, targets=cells),
        "residuals.png": plots.plot_residuals(fitted),
        "exponents.png": plots.plot_exponents(fitted),
        "allocation.png": plots.plot_allocation(allocation),
    }
    for corpus, comparison in comparisons.items():
        drawn[f"recipes-{corpus}.png"] = plots.plot_recipes(comparison)
    paths = []
    for name, plot in drawn.items():
        paths.append(plot.save(out / name))
    return paths
