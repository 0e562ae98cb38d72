"""Hypotheses in words, and slices of a law."""

from __future__ import annotations

import numpy as np
import pytest

import bayescale as bs
from bayescale.diagnostics import flat_draws
from bayescale.hypotheses import read_hypothesis


@pytest.fixture(scope="module")
def draws(small_fit):
    names, values = flat_draws(small_fit.data["posterior"].dataset)
    return dict(zip(names, np.moveaxis(values, -1, 0), strict=True))


def test_a_hypothesis_is_what_the_draws_say(small_fit, draws):
    table = bs.hypothesis(small_fit, ["alpha[moe] < alpha[dense]", "A[moe] / A[dense] = 1"])
    difference = (draws["alpha[moe]"] - draws["alpha[dense]"]).ravel()
    one = table.loc[0]
    p = np.mean(difference < 0)
    assert one["estimate"] == pytest.approx(difference.mean())
    assert one["error"] == pytest.approx(difference.std(ddof=1))
    assert one["probability"] == pytest.approx(p)
    assert one["evidence_ratio"] == pytest.approx(p / (1 - p))
    assert one["lower"] == pytest.approx(np.quantile(difference, 0.05))
    assert 0 < one["mcse"] < 0.05
    ratio = (draws["A[moe]"] / draws["A[dense]"]).ravel() - 1
    other = table.loc[1]
    assert [other["lower"], other["upper"]] == pytest.approx(np.quantile(ratio, [0.025, 0.975]))
    assert np.isnan(other["probability"])


def test_stars_are_for_what_is_sure(small_fit):
    sure = bs.hypothesis(small_fit, ["alpha > 0", "alpha < 0", "beta = 0", "alpha < 1e6 * beta"])
    assert sure["star"].tolist() == ["*", "", "*", "*"]
    assert sure["evidence_ratio"].tolist()[:2] == [np.inf, 0.0]


def test_names_with_anything_in_their_labels():
    known = {
        "alpha[a b-c]": np.array([[0.3, 0.5]]),
        "sd(E|family)": np.array([[0.1, 0.2]]),
        "cor(A, alpha|family)": np.array([[0.5, 0.9]]),
        "E[x,y]": np.array([[1.0, 2.0]]),
        "E": np.array([[1.0, 1.0]]),
    }
    side, difference = read_hypothesis("alpha[a b-c] + sd( E | family ) > E[x, y] ** 2 - E", known)
    assert side == 1
    np.testing.assert_allclose(difference, [[0.4, 0.7 - 3.0]])
    assert read_hypothesis("cor(A,alpha|family) = 0.5", known)[1].tolist() == [[0.0, 0.4]]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("alpha[mo] < 1", r"no parameter 'alpha\[mo\]'. Did you mean 'alpha\[moe\]'", 0),
        ("alpha < 1 < beta", "one comparison at a time", 10),
        ("alpha + beta", "write <, > or = between", 12),
        ("alpha[moe] > aplha", "unknown name 'aplha'. Did you mean 'alpha'", 13),
        ("alpha[moe] > ", "nothing stands on this side of >", 12),
        ("alpha > (1", "never closed", 8),
        ("alpha[moe] > 2 ^ 2", "powers are written", 15),
        ("alpha > __import__('os')", "names begin with a letter", 8),
        ("log(-alpha) > 0", "no finite value", None),
    ],
)
def test_what_cannot_be_read_is_pointed_at(small_fit, text, message, column):
    with pytest.raises(bs.FormulaError, match=message) as caught:
        bs.hypothesis(small_fit, text)
    assert caught.value.position == column
    assert caught.value.text == text


def test_alpha_and_kinds_are_checked(small_fit):
    with pytest.raises(bs.BayescaleError, match="alpha lies between"):
        bs.hypothesis(small_fit, "alpha > 0", alpha=0.7)
    with pytest.raises(bs.FormulaError, match="a hypothesis is a text"):
        bs.hypothesis(small_fit, [1])


# --- conditional effects -----------------------------------------------------------------------


def test_slices_hold_the_others_where_they_are_told_to(small_fit):
    table = bs.conditional_effects(small_fit, "N", {"D": 3e8, "family": "moe"}, points=3)
    assert table["effect"].tolist() == ["N"] * 3
    assert table["D"].tolist() == [3e8] * 3
    assert table["N"].tolist() == pytest.approx([1e6, 1e7, 1e8])
    expected = bs.predict(small_fit, table[["N", "D", "family"]], kind="mean", prob=[0.95]).table
    for ours, theirs in (("median", "median"), ("lower", "lower_95"), ("upper", "upper_95")):
        np.testing.assert_allclose(table[ours].astype(float), expected[theirs])


def test_every_effect_and_group_where_none_is_named(small_fit):
    table = bs.conditional_effects(small_fit, points=4, kind="new-run", prob=0.5)
    assert table.groupby(["effect", "family"]).size().tolist() == [4] * 4
    middle = np.exp(np.log(small_fit.runs.table["D"]).mean())
    assert table.loc[table["effect"] == "N", "D"].tolist() == pytest.approx([middle] * 8)
    assert table.attrs == {"prob": 0.5, "kind": "new-run"}


def test_levels_of_a_second_variable_and_groups_as_effects(small_fit):
    table = bs.conditional_effects(small_fit, ["D:N", "family"], {"family": ["dense"]}, points=2)
    first = table[table["effect"] == "D:N"]
    assert sorted(set(first["N"])) == pytest.approx([1e6, 1e7, 1e8])
    assert (table["effect"] == "family").sum() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effects": "M"}, "effects names 'M'"),
        ({"effects": "N:D:family"}, "one column, or two"),
        ({"conditions": {"familly": "moe"}}, "Did you mean 'family'"),
        ({"conditions": {"family": "none"}}, "family 'none' is not in the fit"),
        ({"points": 1}, "points is 2 or more"),
    ],
)
def test_slices_of_what_is_not_there(small_fit, options, message):
    with pytest.raises(bs.BayescaleError, match=message):
        bs.conditional_effects(small_fit, **options)


def test_figures_of_slices_have_the_table(small_fit):
    figure = bs.plots.plot_effects(small_fit, ["N", "N:D", "family"])
    assert len(figure.axes) == 3
    assert len(figure.axes[0].lines) == 2
    assert len(figure.axes[1].lines) == 6
    assert figure.data["effect"].unique().tolist() == ["N", "N:D", "family"]
    assert figure.png().startswith(b"\x89PNG")
