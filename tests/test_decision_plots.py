"""Figures of decisions: what they draw is what the answers say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayescale as bs
from bayescale.errors import BayescaleError
from bayescale.predictive_draws import loss_draws, parameter_draws
from bayescale.recipes import RecipeComparison


def test_isoflop_curves_carry_their_optimum_and_its_interval(small_fit, tmp_path):
    swept = bs.sweep_budgets(small_fit, [1e16, 1e18, 1e20], at={"family": "dense"})
    runs = small_fit.runs.table[small_fit.runs.table["family"] == "dense"]
    plot = bs.plots.plot_isoflop(swept, runs)
    data = plot.data
    optima = data[data["what"] == "optimum"]
    assert optima["N_lower"].to_numpy() == pytest.approx(swept.table["N_lower"].to_numpy())
    curve = data[(data["what"] == "curve") & (data["C"] == optima["C"].iloc[1])]
    one = curve.iloc[[40]].assign(family="dense")
    one["D"] = one["C"] / 6 / one["N"]
    draws = loss_draws(small_fit, one[["N", "D", "family"]], kind="mean")[:, 0]
    assert curve["loss"].iloc[40] == pytest.approx(np.median(draws), rel=1e-9)
    assert curve["upper_95"].iloc[40] == pytest.approx(np.quantile(draws, 0.975), rel=1e-9)
    dots = data[data["what"] == "run"]
    near = runs[[any(0.5 <= C / b <= 2 for b in (1e16, 1e18)) for C in runs["C"]]]
    assert sorted(dots["loss"]) == sorted(near["loss"])
    assert plot.save(tmp_path / "isoflop.png").stat().st_size > 1000
    axis = Figure().subplots()
    assert bs.plots.plot_isoflop(swept, ax=axis).axes == (axis,)


def test_a_forest_shows_every_group(small_fit):
    plot = bs.plots.plot_forest(small_fit, ["alpha", "beta"])
    row = plot.data.set_index(["parameter", "group"]).loc[("beta", "moe")]
    draws = parameter_draws(small_fit, {"family": ["moe"]})["beta"]
    assert row["median"] == pytest.approx(np.median(draws))
    assert row["lower_95"] == pytest.approx(np.quantile(draws, 0.025))
    assert [label.get_text() for label in plot.axes[0].get_yticklabels()] == ["moe", "dense"]
    with pytest.raises(BayescaleError, match="has no parameter gamma: it has E, A"):
        bs.plots.plot_forest(small_fit, ["gamma"])


def test_recipes_over_scale_are_the_comparisons_curve(small_fit):
    choice = bs.compare_recipes(small_fit, by="family", at={"C": 1e18})
    plot = bs.plots.plot_over_scale(choice)
    assert plot.data is choice.curve
    assert len(plot.axes) == 2
    line = plot.axes[0].lines[0]
    own = choice.curve[choice.curve["recipe"] == choice.curve["recipe"].iloc[0]]
    assert line.get_ydata() == pytest.approx(own["p_best"].to_numpy())
    bare = RecipeComparison(choice.table, choice.crossovers, choice.multipliers)
    with pytest.raises(BayescaleError, match="no curve over scale"):
        bs.plots.plot_over_scale(bare)
