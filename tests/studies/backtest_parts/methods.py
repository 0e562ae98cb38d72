"""Forecasts of a split: the usual baselines, and bayescale at given options.

A method takes a split and a seed and gives draws of a new run's loss, shape ``(sample, target)``,
and the log density of the observed log losses or None. One draw is a point without an interval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtest_parts.curve_forms import FORMS, forecast_curve
from backtest_parts.ladders import CURVE
from backtest_parts.suite import OrderedSplit
from bayescale import Fit, pointfits
from bayescale.baseline_forecasts import forecast
from bayescale.bends import is_scale

Floats = NDArray[np.float64]
Said = tuple[Floats, Floats | None]
Method = Callable[[OrderedSplit, int], Said]
BOOTSTRAPS = 200


def usual(name: str, split: OrderedSplit, seed: int) -> Said:
    """A baseline of `bayescale.baselines`, each family from its own runs."""
    said = forecast(name, split.train.table, split.test, ["family"], seed, BOOTSTRAPS)
    return said.draws, said.log_density


def huber_parameters(split: OrderedSplit, seed: int) -> Said:
    """The Huber fit on resampled runs, without residuals: what is usually printed."""

    def one(train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator) -> Floats:
        points, size = _points(train), len(train)
        best, _ = pointfits.huber_fit(points)
        counts = rng.multinomial(size, np.full(size, 1 / size), BOOTSTRAPS).astype(float)
        at = (test["N"].to_numpy(float), test["D"].to_numpy(float))
        fitted = pointfits.refit(points, best, counts)
        return np.array([points.surface(theta, np.nan).log_loss(*at) for theta in fitted])

    return by_family(split, seed, one), None


def vpnls_residuals(split: OrderedSplit, seed: int) -> Said:
    """The least-squares surface with its own residuals resampled about it.

    The interval is ours: the method has none. It holds the scatter, not the doubt of the fit.
    """

    def one(train: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator) -> Floats:
        points = _points(train)
        surface = pointfits.vpnls_fit(points)
        left = points.log_loss - surface.log_loss(*(train[c].to_numpy(float) for c in ("N", "D")))
        left = left * np.sqrt(len(left) / max(len(left) - 5, 1))
        mean = surface.log_loss(*(test[c].to_numpy(float) for c in ("N", "D")))
        return mean + rng.choice(left, size=(1000, len(test)))

    return by_family(split, seed, one), None


def curve_form(form: str, split: OrderedSplit, seed: int) -> Said:
    """M1 to M4 of each family's curve, with intervals of our making: see `curve_forms`."""
    return by_family(split, seed, partial(forecast_curve, form)), None


CURVE_FORMS: dict[str, Method] = {form: partial(curve_form, form) for form in FORMS}
BASELINES: dict[str, Method] = {
    "best_so_far": partial(usual, "best_so_far"),
    "log_linear": partial(usual, "log_linear"),
    "huber_bootstrap": partial(usual, "huber_bootstrap"),
    "huber_parameters": huber_parameters,
    "vpnls": partial(usual, "vpnls"),
    "vpnls_residuals": vpnls_residuals,
}


def fits_of(
    splits: Sequence[OrderedSplit],
    seed: int = 0,
    law: str | None = None,
    store: str | Path | None = None,
    **options: Any,
) -> Iterator[tuple[OrderedSplit, Fit, dict[str, Any]]]:
    """Fits of many splits, those of one law through one `fit_many`.

    Parameters
    ----------
    law
        A card for every split that lists it; the others have their default. Where all of N or of D
        are one value, the law is a power law of the cost.
    store
        `fit_many`'s folder of finished fits.
    **options
        For `fit_many`: pool, noise, prior, ... With ``checkpoints="all"`` the rows of a family are
        readings of one run, else each is a run.

    Yields
    ------
    tuple
        Split, fit, and the fit's law and diagnostics (ok, max_rhat, ...).
    """
    import bayescale as bs

    chosen = [(card_of(split, law), split) for split in splits]
    for name in dict.fromkeys(name for name, _ in chosen):
        members = [split for own, split in chosen if own == name]
        tables = [split.train for split in members]
        if options.get("checkpoints") == "all":
            tables = [replace(t, table=t.table.assign(run=t.table["family"])) for t in tables]
        many = bs.fit_many(bs.load_law(name), tables, seed=seed, store=store, **options)
        for place, split in enumerate(members):
            kept = ["ok", "max_rhat", "min_ess_bulk", "divergences"]
            yield split, many[place], {"law": name, **many.table.loc[place, kept].to_dict()}


def foretell(fit: Fit, split: OrderedSplit, seed: int) -> tuple[Floats, Floats]:
    """Draws of new runs' losses at the targets, and log densities of the observed log losses."""
    from bayescale.predictive_draws import log_predictive, loss_draws

    draws = loss_draws(fit, split.hidden, kind="new-run", seed=seed)
    return draws, log_predictive(fit, split.test)


def drifting(fit: Fit, drift: float) -> Fit:
    """The same fit, whose bends drift otherwise beyond the runs."""
    structure = fit.model.structure
    bend = None if structure.bend is None else replace(structure.bend, drift=drift)
    return replace(fit, model=replace(fit.model, structure=replace(structure, bend=bend)))


def mixed(
    splits: Sequence[OrderedSplit], laws: Sequence[str], seed: int = 0, **options: Any
) -> Iterator[tuple[OrderedSplit, Floats, Floats, dict[str, Any]]]:
    """Forecasts by several laws with equal weights, the same number of draws of each.

    As `bayescale` gives them. The weights are not learnt: readings of one curve have no blocks to
    learn them from, and equal ones stand in the table beside any others.
    """
    found: dict[str, list[tuple[Floats, Floats, dict[str, Any]]]] = {s.name: [] for s in splits}
    for law in laws:
        for split, draws, density, about in bayescale(splits, seed, law=law, **options):
            found[split.name].append((draws, density, about))
    for split in splits:
        each = found[split.name]
        size = min(len(draws) for draws, _, _ in each)
        kept = [np.linspace(0, len(draws) - 1, size).astype(int) for draws, _, _ in each]
        draws = np.concatenate([one[0][k] for one, k in zip(each, kept, strict=True)])
        density = np.concatenate([one[1][k] for one, k in zip(each, kept, strict=True)])
        ok = all(about["ok"] for _, _, about in each)
        yield split, draws, density, {"law": " + ".join(a["law"] for _, _, a in each), "ok": ok}


def together(
    splits: Sequence[OrderedSplit],
    everyone: Sequence[OrderedSplit],
    seed: int = 0,
    **options: Any,
) -> Iterator[tuple[OrderedSplit, Floats, Floats, dict[str, Any]]]:
    """Forecasts of curves that are fitted with all others of their pool, each a family of its own.

    As `bayescale` gives them. Of every curve only the part is fitted that it is divided to show.
    """
    pools = dict.fromkeys(split.options["pool"] for split in splits)
    for name in pools:
        members = [s for s in everyone if s.options["pool"] == name]
        tables = [s.train.table.assign(family=s.name) for s in members]
        tables = [t.assign(run=t["family"] + " " + t.index.astype(str)) for t in tables]
        train = replace(members[0].train, table=pd.concat(tables, ignore_index=True))
        (found,) = fits_of([replace(members[0], train=train)], seed, **options)
        for split in splits:
            if split.options["pool"] != name:
                continue
            told = replace(split, test=split.test.assign(family=split.name))
            yield split, *foretell(found[1], told, seed), found[2]


def bayescale(
    splits: Sequence[OrderedSplit], seed: int = 0, **options: Any
) -> Iterator[tuple[OrderedSplit, Floats, Floats, dict[str, Any]]]:
    """Forecasts of many splits: split, draws, log density, and what is known of its fit.

    Options are those of `fits_of`.
    """
    for split, fit, about in fits_of(splits, seed, **options):
        posterior = fit.data["posterior"].dataset
        scales = {str(n): np.log(posterior[n].to_numpy()) for n in posterior if is_scale(str(n))}
        if scales:
            ends = {
                n: [round(float(f(v)), 5) for f in (np.mean, np.std)] for n, v in scales.items()
            }
            about |= {"log_scales": json.dumps(ends)}
        yield split, *foretell(fit, split, seed), about


def card_of(split: OrderedSplit, law: str | None) -> str:
    """Name of the card for a split."""
    own = law if law is not None and law in split.laws else split.law
    constant = split.train.table[["N", "D"]].nunique().min() < 2
    return own if own in CURVE or not constant else "power_law"


def _points(rows: pd.DataFrame) -> pointfits.Points:
    return pointfits.Points.of(*(rows[c].to_numpy(float) for c in ("N", "D", "loss")))


def by_family(
    split: OrderedSplit,
    seed: int,
    one: Callable[[pd.DataFrame, pd.DataFrame, np.random.Generator], Floats],
) -> Floats:
    """Losses of each family's targets, from log losses that `one` draws of its runs."""
    rng = np.random.default_rng(seed)
    columns: dict[int, Floats] = {}
    families = split.test["family"].to_numpy()
    for family in dict.fromkeys(families):
        places = np.flatnonzero(families == family)
        train = split.train.table[split.train.table["family"] == family]
        said = one(train, split.hidden.iloc[places], rng)
        columns.update(zip(places.tolist(), said.T, strict=True))
    return np.exp(np.stack([columns[i] for i in range(len(families))], axis=1))
