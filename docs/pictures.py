"""The pictures of the statistics page, from real fits: `python docs/pictures.py` (two minutes)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayescale as bs
from bayescale.costs import from_rows
from bayescale.plots.canvas import INK, MARKERS, PALETTE, clean, log_axis
from bayescale.predictive_draws import loss_draws

FOLDER = Path(__file__).resolve().parent / "pictures"
FAMILY = "transformer-prose"
LAW = "bottleneck"
FEW = 6  # runs left of one family, to show what the others lend it


def main() -> None:
    """Fit the bundled ladder in five ways and draw what differs."""
    ladder = bs.datasets.load("ladder")
    law = bs.load_law(LAW)
    pooled = bs.fit(law, ladder, on_failed="drop", progress=False)
    exact = bs.fit(law, ladder, discrepancy="none", on_failed="drop", progress=False)
    beyond(pooled)
    mean_and_run(pooled)
    bend({"the law taken as true": exact, "a law that bends": pooled})
    budget(pooled)
    joint(pooled)
    pooling(law, ladder)


def beyond(fit: bs.Fit) -> None:
    """One family, its law at each size, and one more run ten times beyond."""
    table = fit.runs.table
    last = table[table["family"] == FAMILY].nlargest(1, "C").iloc[0]
    target = {"N": last["N"] * 10**0.5, "D": last["D"] * 10**0.5, "C": last["C"] * 10}
    figure = Figure(figsize=(13, 8), layout="constrained")
    plot = bs.plots.plot_fit(
        fit, {**target, "family": FAMILY}, ax=figure.subplots(2, 2).ravel(), curves=5
    )
    drawn = [a for a in plot.axes if a.get_title() == FAMILY]
    for axes in plot.axes:
        if axes not in drawn:
            axes.remove()
    drawn[0].set_position((0.07, 0.12, 0.9, 0.8))
    figure.set_layout_engine("none")
    figure.set_size_inches(7.5, 4.2)
    save(figure, "beyond")


def mean_and_run(fit: bs.Fit) -> None:
    """How both kinds of interval widen with compute."""
    frame, factors = outward(fit)
    widths(
        [
            ("one more run", loss_draws(fit, frame, kind="new-run")),
            ("the law's value", loss_draws(fit, frame, kind="mean")),
        ],
        factors,
        "mean_and_run",
    )


def bend(fits: dict[str, bs.Fit]) -> None:
    """How the interval of the law's value widens where the law may be wrong, and where not."""
    frame, factors = outward(next(iter(fits.values())))
    said = [(words, loss_draws(fit, frame, kind="mean")) for words, fit in fits.items()]
    widths(said[::-1], factors, "bend")


def outward(fit: bs.Fit) -> tuple[pd.DataFrame, np.ndarray]:
    """Targets of one family along compute, from the middle of its runs to far beyond them."""
    table = fit.runs.table[fit.runs.table["family"] == FAMILY]
    last = table.nlargest(1, "C").iloc[0]
    factors = np.geomspace(0.01, 1e3, 60)
    frame = pd.DataFrame(
        {"N": last["N"] * factors**0.5, "D": last["D"] * factors**0.5, "family": FAMILY}
    )
    return frame, factors


def widths(said: list[tuple[str, np.ndarray]], factors: np.ndarray, name: str) -> None:
    """Widths of 95% intervals along compute."""
    figure, axes = blank()
    for colour, (words, draws) in zip((PALETTE[1], PALETTE[0]), said, strict=True):
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        axes.plot(factors, np.log(high / low), color=colour, label=words, lw=2)
    axes.axvspan(factors[0], 1, color="#eeeeee", zorder=0, label="inside the data")
    log_axis(axes.xaxis, "factor")
    axes.set_xlabel("compute, in units of the largest fitted run")
    axes.set_ylabel("width of the 95% interval\n(log of the ratio of its ends)")
    axes.set_ylim(0, None)
    axes.legend(frameon=False)
    save(figure, name)


def budget(fit: bs.Fit) -> None:
    """Expected loss along a budget."""
    rows = fit.runs.table[fit.runs.table["family"] == FAMILY]
    plan = bs.allocate(fit, 10 * rows["C"].max(), cost=from_rows(rows), at={"family": FAMILY})
    bs.plots.plot_allocation(plan).save(FOLDER / "budget.png", dpi=110)


def joint(fit: bs.Fit) -> None:
    """Two recipes whose intervals overlap, and the differences of the same draws."""
    names = ["transformer-code", "gatedconv-code"]
    rows = fit.runs.table[fit.runs.table["family"] == names[0]]
    frame = pd.DataFrame({"N": rows["N"].max(), "D": rows["D"].max(), "family": names})
    draws = loss_draws(fit, frame, kind="mean")
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        clean(axes)
    left.scatter(*draws[::8].T, s=6, color=PALETTE[0], alpha=0.4, lw=0)
    ends = [draws.min(), draws.max()]
    left.plot(ends, ends, color=INK, lw=1)
    left.annotate("equal", (ends[0], ends[0]), fontsize=9, color=INK)
    left.set_xlabel(f"loss of {names[0]}")
    left.set_ylabel(f"loss of {names[1]}")
    gain = draws[:, 0] - draws[:, 1]
    right.hist(gain, bins=50, color=PALETTE[2], alpha=0.8)
    right.axvline(0, color=INK, lw=1)
    right.set_xlabel("gain of gatedconv, draw by draw")
    right.set_title(f"positive in {np.mean(gain > 0):.1%} of the draws", fontsize=10)
    right.set_yticks([])
    save(figure, "joint")


def pooling(law: bs.Law, ladder: bs.Runs) -> None:
    """One family of few runs: alone, with the others, and taken for the same as they."""
    table = ladder.table[ladder.table["is_final"] == 1]
    own = table[(table["family"] == FAMILY) & (table["status"] == "ok")]
    kept = own.nsmallest(3 * FEW, "C").sample(FEW, random_state=1)
    others = table[table["family"] != FAMILY]
    fewer = bs.read_runs(pd.concat([kept, others]), units=dict(ladder.units))
    alone = bs.read_runs(kept, units=dict(ladder.units))
    left_out = own.drop(kept.index)
    fits = {
        "alone": bs.fit(law, alone, strict=False, progress=False),
        "partially pooled": bs.fit(law, fewer, on_failed="drop", strict=False, progress=False),
        "all the same": bs.fit(
            law, fewer, pool="complete", on_failed="drop", strict=False, progress=False
        ),
    }
    largest = left_out.nlargest(1, "C")
    frame = largest[["N", "D", "C", "family"]]
    figure, axes = blank((7.5, 2.9))
    for i, fit in enumerate(fits.values()):
        low, low50, middle, high50, high = np.quantile(
            loss_draws(fit, frame, kind="new-run"), [0.025, 0.25, 0.5, 0.75, 0.975]
        )
        axes.hlines(-i, low, high, color=PALETTE[i], lw=1.6)
        axes.hlines(-i, low50, high50, color=PALETTE[i], lw=5)
        axes.plot(middle, -i, MARKERS[i], color=PALETTE[i], markerfacecolor="white")
    seen = float(largest["loss"].iloc[0])
    axes.axvline(seen, color=INK, lw=1, ls="--", label=f"measured: {seen:.3f}")
    axes.set_yticks([0, -1, -2], list(fits))
    axes.set_ylim(-2.6, 0.6)
    factor = largest["C"].iloc[0] / kept["C"].max()
    axes.set_xlabel(
        f"loss (nat/byte) of a run with {factor:.0f} times the compute of the {FEW} fitted"
    )
    axes.legend(frameon=False)
    save(figure, "pooling")


def blank(size: tuple[float, float] = (7.5, 3.6)):
    """A figure of one clean panel."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    clean(axes)
    return figure, axes


def save(figure: Figure, name: str) -> None:
    """Write a picture."""
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
