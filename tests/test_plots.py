"""Figures: the data they return are the answers' own, and the axes show them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import bayescale as bs
from bayescale import plots
from bayescale.display.writing import exponential, human, quantity
from bayescale.errors import BayescaleError, DataError
from bayescale.plots.canvas import PALETTE, round_ticks, spread
from bayescale.plots.words import named
from bayescale.predictive_draws import loss_draws
from bayescale.recipes import RecipeComparison

TARGET = {"N": 3e8, "D": 3e9, "family": ["dense", "moe"]}


@pytest.fixture(scope="module")
def fitted(small_fit):
    measured = {**TARGET, "loss": [1.79, np.nan]}
    return plots.plot_fit(small_fit, measured, curves=4)


@pytest.fixture(scope="module")
def plan(small_fit):
    return bs.allocate(small_fit, C=1e19, at={"family": "dense"})


def test_curves_are_the_laws_value_at_their_own_size(small_fit, fitted):
    curve = fitted.data[(fitted.data["what"] == "curve") & (fitted.data["family"] == "moe")]
    some = curve.iloc[[3, 60, -1]]
    draws = loss_draws(small_fit, some[["N", "D", "family"]], kind="mean")
    expected = np.quantile(draws, [0.025, 0.5, 0.975], axis=0).T
    np.testing.assert_allclose(some[["lower", "loss", "upper"]], expected)
    np.testing.assert_allclose(some["C"], 6 * some["N"] * some["D"])
    assert sorted(set(curve["N"])) == pytest.approx([*np.geomspace(1e6, 1e8, 4), 3e8])


def test_curves_reach_the_target_and_tell_data_from_beyond(small_fit, fitted):
    curve = fitted.data[fitted.data["what"] == "curve"]
    ends = curve.groupby(["family", "N"])["C"].max()
    assert ends.to_numpy() == pytest.approx(6 * 3e8 * 3e9)
    inside = curve[(curve["N"] == 1e6) & (curve["C"] <= 6 * 1e6 * 1e9)]
    assert not inside["beyond"].any()
    assert curve[curve["C"] > small_fit.runs.table["C"].max() * 1.1]["beyond"].all()
    assert curve[curve["N"] == 3e8]["beyond"].all()


def test_runs_and_targets_are_drawn_as_they_are(small_fit, fitted):
    run = fitted.data[fitted.data["what"] == "run"]
    assert sorted(run["loss"]) == sorted(small_fit.runs.table["loss"])
    target = fitted.data[fitted.data["what"] == "target"].set_index("family")
    said = bs.predict(small_fit, TARGET).table.set_index("family")
    np.testing.assert_allclose(target["loss"], said["median"])
    np.testing.assert_allclose(
        target[["lower", "upper", "lower_50"]], said[["lower_95", "upper_95", "lower_50"]]
    )
    assert target.loc["dense", "observed"] == 1.79
    assert np.isnan(target.loc["moe", "observed"])


def test_a_panel_a_family_on_log_axes_with_units(fitted):
    assert [ax.get_title() for ax in fitted.axes] == ["dense", "moe"]
    for ax in fitted.axes:
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert ax.get_xlabel() == "training compute C (FLOP)"
        low, high = ax.get_xlim()
        assert low < 6 * 1e6 * 3e7 and 6 * 3e8 * 3e9 < high < 100 * 6 * 3e8 * 3e9
        assert "N 300M" in [text.get_text() for text in ax.texts]
    assert fitted.axes[0].get_ylabel() == "loss (nat/token)"
    fitted.figure.canvas.draw()
    ticks = [label.get_text() for label in fitted.axes[0].get_xticklabels()]
    assert "1e17" in ticks


def test_over_a_variable_of_the_law(small_fit):
    figure = plots.plot_fit(small_fit, x="D", curves=3)
    assert figure.axes[0].get_xlabel() == "tokens D"
    curve = figure.data[figure.data["what"] == "curve"]
    assert sorted(set(curve["N"])) == pytest.approx([1e6, 1e7, 1e8])
    assert (curve["D"].min(), curve["D"].max()) == (3e7, 1e9)
    with pytest.raises(BayescaleError, match="x='U' can't be drawn over; choose 'C' or 'N' or 'D'"):
        plots.plot_fit(small_fit, x="U")


def test_crossed_groups_share_panels_by_one_of_them(crossed_fit):
    figure = plots.plot_fit(crossed_fit, by="arch", curves=2)
    assert [ax.get_title() for ax in figure.axes] == ["attention", "recurrent"]
    curve = figure.data[figure.data["what"] == "curve"]
    assert curve.groupby("panel")["corpus"].nunique().tolist() == [3, 3]
    with pytest.raises(BayescaleError, match=r"by='seed' is no grouping column .*'corpus'"):
        plots.plot_fit(crossed_fit, by="seed")


def test_given_axes_are_drawn_into_and_counted(small_fit):
    mine = Figure().subplots(1, 2)
    figure = plots.plot_fit(small_fit, curves=1, ax=mine)
    assert figure.axes == tuple(mine) and mine[1].lines
    with pytest.raises(BayescaleError, match="has 2 panels and ax has 1 axes"):
        plots.plot_fit(small_fit, ax=Figure().subplots())


def test_an_unknown_family_in_a_target_is_named(small_fit):
    with pytest.raises(DataError, match="'rnn'"):
        plots.plot_fit(small_fit, {"N": 1e9, "D": 1e10, "family": "rnn"})


def test_residuals_are_logs_of_observed_over_fitted(small_fit):
    figure = plots.plot_residuals(small_fit)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "parameters N",
        "tokens D",
        "training compute C (FLOP)",
    ]
    table = small_fit.runs.table
    fitted = np.median(loss_draws(small_fit, table, kind="mean"), axis=0)
    np.testing.assert_allclose(figure.data["residual"], np.log(table["loss"] / fitted))
    assert figure.data["group"].tolist() == table["family"].tolist()
    assert figure.data.index.tolist() == table.index.tolist()
    # Simulated with a scatter of 0.004: the band of new runs holds about two of those.
    assert 0.004 < figure.data["upper"].median() < 0.02
    assert (figure.data["residual"].abs() < 0.02).all()


def test_a_bend_the_law_misses_shows_in_the_residuals(small_fit):
    table = small_fit.runs.table
    bent = table.assign(loss=table["loss"] * np.where(table["N"] > 5e7, 1.05, 1.0))
    figure = plots.plot_residuals(replace(small_fit, runs=replace(small_fit.runs, table=bent)))
    by_size = figure.data.groupby("N")["residual"].median()
    assert by_size[1e8] - by_size.drop(1e8).mean() == pytest.approx(np.log(1.05), abs=0.01)


def test_residuals_against_and_by_other_columns(small_fit):
    figure = plots.plot_residuals(small_fit, x=["C"], by="D")
    assert len(figure.axes) == 1 and figure.data["group"].nunique() == 4
    with pytest.raises(BayescaleError, match="'lr', which is no column"):
        plots.plot_residuals(small_fit, x=["lr"])
    with pytest.raises(BayescaleError, match="by='colour' is no column"):
        plots.plot_residuals(small_fit, by="colour")


def test_exponents_are_the_summarys(small_fit):
    figure = plots.plot_exponents(small_fit)
    data = figure.data.set_index(["parameter", "who"])
    table = bs.summary(small_fit, 0.95)
    assert set(data.index.get_level_values(0)) == {"alpha", "beta"}
    for who, name in (("population", "alpha"), ("moe", "alpha[moe]"), ("dense", "alpha[dense]")):
        np.testing.assert_allclose(
            data.loc[("alpha", who), ["lower", "median", "upper"]].to_numpy(float),
            table.loc[name, ["lower", "median", "upper"]].to_numpy(float),
        )
    prior = small_fit.law.parameters["beta"].prior.quantile([0.25, 0.75])
    np.testing.assert_allclose(
        data.loc[("beta", "prior"), ["lower_50", "upper_50"]].to_numpy(float), prior
    )
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == ["moe", "dense", "population", "prior"]


def test_exponents_by_name_and_by_crossed_groups(crossed_fit):
    data = plots.plot_exponents(crossed_fit, ["alpha", "E"], prob=0.8).data
    assert set(data["parameter"]) == {"alpha", "E"}
    assert "maths,recurrent" in set(data["who"])
    assert "prior" not in set(data.loc[data["parameter"] == "E", "who"])  # it is of a share
    with pytest.raises(BayescaleError, match="no parameter gamma; it has E, A"):
        plots.plot_exponents(crossed_fit, ["gamma"])


def test_an_allocation_is_shaded_where_it_says(plan):
    figure = plots.plot_allocation(plan)
    data = figure.data
    low, high = plan.near_optimal
    inside = data[data["near_optimal"]]
    assert low <= inside["N"].min() < plan.N < inside["N"].max() <= high
    assert not data["near_optimal"].all()
    assert data["loss"].idxmin() == (data["N"] - plan.N).abs().idxmin()
    ax = figure.axes[0]
    assert ax.get_title() == "A budget of 1e19 FLOP"
    figure.figure.canvas.draw()
    labels = dict(zip(ax.get_xticks(), (t.get_text() for t in ax.get_xticklabels()), strict=True))
    size, tokens = labels[1e8].split("\n")
    assert size == "100M" and tokens == human(1e19 / 6e8, 2)


def test_recipes_show_their_chance_beside_their_loss():
    table = pd.DataFrame(
        {
            "recipe": ["new", "old"],
            "p_best": [0.91, 0.09],
            "expected_regret": [0.001, 0.02],
            "median": [2.0, 2.02],
            "lower_50": [1.99, 2.01],
            "upper_50": [2.01, 2.03],
            "lower_95": [1.95, 1.97],
            "upper_95": [2.05, 2.07],
        }
    )
    comparison = RecipeComparison(table, pd.DataFrame(), pd.DataFrame())
    figure = plots.plot_recipes(comparison)
    pd.testing.assert_frame_equal(figure.data, table)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.texts] == [
        "best with probability 0.91",
        "best with probability 0.09",
    ]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["old", "new"]
    assert ax.texts[0].xy[1] > ax.texts[1].xy[1]
    with pytest.raises(BayescaleError, match="lacks lower_95"):
        plots.plot_recipes(replace(comparison, table=table.drop(columns="lower_95")))


def test_a_plot_is_an_image_and_a_file(plan, tmp_path):
    figure = plots.plot_allocation(plan)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert figure.save(tmp_path / "plan.svg").read_text(encoding="utf-8").count("<svg") == 1
    with pytest.raises(BayescaleError, match=r"plan\.xyz can't be written"):
        figure.save(tmp_path / "plan.xyz")


def test_plotting_needs_no_pyplot():
    code = "import bayescale.plots, sys; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("low", "high"), [(2.31, 2.58), (1.4, 9.0), (3e3, 4e5), (8e9, 3e14), (1e15, 1e26), (1.5, 3.2)]
)
def test_ticks_are_few_round_and_inside(low, high):
    ticks = round_ticks(low, high)
    assert 3 <= len(ticks) <= 10
    assert low <= ticks.min() and ticks.max() <= high
    assert all(len(f"{t:.10g}".split("e")[0].replace(".", "").strip("0")) <= 3 for t in ticks)


# Machado, Oliveira and Fernandes 2009, table 1, severity 1: what each eye sees, in linear RGB.
_EYES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("eye", [*_EYES, "usual"])
def test_the_colours_can_be_told_apart_by_every_eye(eye):
    sight = np.array(_EYES.get(eye, np.eye(3)))
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )

    def lab(colour):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        x, y, z = np.cbrt(to_xyz @ np.clip(sight @ linear, 0, 1) / [0.9505, 1.0, 1.089])
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    seen = [lab(colour) for colour in PALETTE]
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(gaps) > 15  # a difference of 2 is just seen side by side


def test_names_from_the_data_are_no_mathematics_and_leave_room():
    long = "$\\frac{1}{0" + "x" * 200
    table = pd.DataFrame({"recipe": [long, "b"], "p_best": [0.9, 0.1]}).assign(
        expected_regret=0.0, median=2.0, lower_50=1.9, upper_50=2.1, lower_95=1.8, upper_95=2.2
    )
    figure = plots.plot_recipes(RecipeComparison(table, pd.DataFrame(), pd.DataFrame()))
    figure.png(50)  # a formula that can't be read would raise here
    assert figure.data["recipe"][0] == long
    assert named(long).startswith("\\$") and len(named(long)) < 40


def test_labels_move_apart_and_keep_their_order():
    placed = spread([1.0, 1.01, 1.02, 3.0], 0.1)
    assert (np.diff(placed) >= 0.1 - 1e-12).all()
    assert placed[:3].mean() == pytest.approx(1.01)
    assert placed[3] == 3.0


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (70e9, "N", "70B"),
        (1.4e12, "D", "1.4T"),
        (3132, "N", "3.13k"),
        (5.76e23, "C", "5.76e23"),
        (7.7e10, "C", "7.7e10"),
        (5.76e23, "D", "5.76e23"),
        (1.93712, "loss", "1.94"),
        (12345.0, "loss", "12300"),
        (0.0, "loss", "0"),
        (2e-5, "lr", "2e-5"),
        (float("nan"), "N", "nan"),
    ],
)
def test_numbers_are_written_as_people_do(value, column, text):
    assert quantity(value, column) == text


def test_exponents_of_ten_lose_no_digit():
    assert exponential(1.05e30) == "1.05e30"
    assert exponential(1e100, 1) == "1e100"
