"""A law with its final priors and pooling, set against the rows that it is fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bayescale.beliefs import StatedPriors
from bayescale.catalog import require_law
from bayescale.errors import DataError
from bayescale.interruptions import stop_if_interrupted
from bayescale.law import Law
from bayescale.model import Model
from bayescale.model_from_runs import build_model, default_discrepancy, varying_columns
from bayescale.responses import SCATTER
from bayescale.rows import select_rows
from bayescale.runs import Runs, as_runs


@dataclass(frozen=True)
class Framed:
    """A law, with its final priors and pooling, set against the rows to be fitted."""

    law: Law
    runs: Runs
    model: Model
    notes: tuple[str, ...]


def frame(
    law: Law,
    runs: Runs | pd.DataFrame,
    pool: Mapping[str, Sequence[str]] | str | None = None,
    prior: Mapping[str, Any] | StatedPriors | None = None,
    noise: str | None = None,
    checkpoints: str = "final",
    on_failed: str = "error",
    correlate: bool | None = None,
    discrepancy: str | None = None,
) -> Framed:
    """Everything of `fit` that comes before starts and chains; arguments as there."""
    stop_if_interrupted()
    law, noise_pool = adapted(require_law(law), pool, prior)
    asked = law.scattering(noise)
    runs = as_runs(runs, asked)
    groups = _group_columns(law, noise_pool, pool, runs)
    selection = select_rows(runs, asked, groups, checkpoints=checkpoints, on_failed=on_failed)
    model = build_model(
        law,
        selection.table,
        noise=noise,
        noise_pool=noise_pool,
        discrepancy=discrepancy or default_discrepancy(law, checkpoints),
        checkpoints=checkpoints,
        correlate=correlate,
    )
    fitted = replace(runs, table=selection.table)
    believed = [f"the prior was told: {f.about or f.of}" for f in law.beliefs]
    return Framed(law, fitted, model, (*runs.notes, *selection.notes, *model.notes, *believed))


def _group_columns(
    law: Law, noise_pool: Mapping[str, Sequence[str]], pool: Any, runs: Runs
) -> list[str]:
    """Grouping columns that the runs have; one that the user named must be there."""
    named = (
        [c for v in pool.values() for c in ([v] if isinstance(v, str) else v)]
        if isinstance(pool, Mapping)
        else []
    )
    for column in named:
        if column.isidentifier() and column not in runs.table.columns:
            raise DataError(
                f"pool names the column {column!r}, which {runs.source} has not:"
                f" {', '.join(map(str, runs.table.columns))}"
            )
    return [c for c in varying_columns(law, noise_pool) if c in runs.table.columns]


def adapted(
    law: Law,
    pool: Mapping[str, Sequence[str]] | str | None,
    prior: Mapping[str, Any] | StatedPriors | None,
) -> tuple[Law, dict[str, list[str]]]:
    """Apply pooling and priors; noise parameters' pooling is returned apart."""
    noise_pool: dict[str, list[str]] = {}
    if isinstance(pool, Mapping):

        def columns(value: Any) -> list[str]:
            return [value] if isinstance(value, str) else list(value)

        def written(value: Any) -> Any:
            return value if isinstance(value, str) else list(value)

        noise_pool = {k: columns(v) for k, v in pool.items() if k in SCATTER}
        pool = {k: written(v) for k, v in pool.items() if k not in SCATTER}
    if pool is not None and pool != {}:
        law = law.varying(pool)
    if isinstance(prior, StatedPriors):
        law = prior.applied(law)
    elif prior:
        changes = {
            name: {"prior": value, "on": "value"}
            if isinstance(value, str)
            and law.parameters.get(name) is not None
            and law.parameters[name].share is not None
            else value
            for name, value in prior.items()
        }
        law = law.with_priors(**changes)
    return law, noise_pool
