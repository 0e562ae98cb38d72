"""Covariates of groups: read from a card, exact in the posterior, used for new groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.covariates import read_terms
from bayescale.errors import DataError, FormulaError, LawError
from bayescale.model_from_runs import build_model

CARD = """
name = "widths"
title = "a power law whose exponent goes with the family's width"
formula = "A * (x / 1e8)**-alpha"
cite = "made up"
unverified = "made up"

[variables]
x = { column = "D" }

[parameters]
A = { prior = "LogNormal(1, 0.5)", varies = "1 + (1 | family)" }
alpha = { prior = "LogNormal(log(0.3), 0.3)", varies = "1 + log(width) + (1 | family)" }
"""
LAW = bs.Law.from_text(CARD)
SLOPE, SPREAD = 0.35, 0.03
WIDTHS = dict(zip("abcdefghij", np.geomspace(128, 8192, 10), strict=True))


def runs(widths=WIDTHS, seed=3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    middle = np.mean(np.log(list(widths.values())))
    rows = []
    for family, width in widths.items():
        moved = SLOPE * (np.log(width) - middle) + SPREAD * rng.standard_normal()
        alpha, height = 0.3 * np.exp(moved), 2.7 * np.exp(0.1 * rng.standard_normal())
        for D in np.geomspace(1e7, 1e9, 6):
            loss = height * (D / 1e8) ** -alpha * np.exp(0.01 * rng.standard_normal())
            rows.append({"family": family, "width": width, "D": D, "loss": loss})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def fit():
    options = {"progress": False, "noise": "normal", "discrepancy": "none"}
    return bs.fit(LAW, runs(), draws=500, warmup=500, **options)


def test_a_slope_is_recovered_and_explains_the_groups(fit):
    told = bs.summary(fit).loc["slope(alpha, log(width))"]
    assert abs(told["mean"] - SLOPE) < 4 * told["sd"]
    assert told["sd"] < 0.03
    assert bs.summary(fit).loc["sd(alpha|family)", "median"] < 0.1
    alone = LAW.parameters["alpha"].slopes[0].prior.quantile([0.025, 0.975])
    priors = bs.prior_summary(fit).loc["slope(alpha, log(width))"]
    np.testing.assert_allclose(
        priors[["prior_lower", "prior_upper"]].astype(float), alone, atol=0.01
    )
    assert "slope(alpha, log(width))" in bs.prior_summary(LAW).index
    middle = np.exp(np.mean(np.log(list(WIDTHS.values()))))
    assert any(f"alpha is of a group of width {middle:.4g}" in note for note in fit.notes)


def test_groups_parameters_hold_their_share(fit):
    """A family's alpha is the population's moved by its width and its own effect."""
    posterior = fit.data["posterior"].dataset
    own = posterior["alpha_by_family"].mean(("chain", "draw")).to_numpy()
    x = np.log(list(WIDTHS.values())) - np.mean(np.log(list(WIDTHS.values())))
    np.testing.assert_allclose(np.log(own / 0.3), SLOPE * x, atol=0.15)


def test_a_new_group_is_where_its_covariate_says(fit):
    places = {"D": 1e9, "family": "new", "width": [200.0, 8000.0]}
    told = bs.predict(
        fit, {**places, "D": [1e9, 1e9], "family": ["n1", "n2"]}, kind="mean", new_groups="sample"
    ).table
    middle = np.mean(np.log(list(WIDTHS.values())))
    for row in told.to_dict(orient="records"):
        alpha = 0.3 * np.exp(SLOPE * (np.log(row["width"]) - middle))
        assert row["lower_95"] < 2.7 * 10**-alpha < row["upper_95"]
    assert told["median"][0] > 1.5 * told["median"][1]
    with pytest.raises(DataError, match="needs the column 'width'"):
        bs.predict(fit, {"D": 1e9, "family": "new"}, new_groups="sample")
    with pytest.raises(DataError, match="width must be a positive number"):
        bs.predict(fit, {"D": 1e9, "family": "new", "width": 0}, new_groups="sample")


def test_a_known_group_has_its_own(fit):
    told = bs.predict(fit, {"D": 1e9, "family": "c"}).table
    again = bs.predict(fit, {"D": 1e9, "family": "c", "width": WIDTHS["c"]}).table
    assert told["median"][0] == again["median"][0]
    with pytest.raises(DataError, match="width is 3, and its group was fitted with another"):
        bs.predict(fit, {"D": 1e9, "family": "c", "width": 3.0})


def test_it_is_the_numpyro_model(fit):
    """The compiled density and NumPyro's own differ by a constant, slopes and all."""
    import jax
    from numpyro import handlers

    from bayescale.density import Position, log_likelihood
    from bayescale.numpyro_model import numpyro_model
    from bayescale.precision import x64

    model = fit.model
    position = Position(*(jax.tree.map(lambda a: a[:2], part) for part in fit.position))
    names = [model.structure.names[i] for i in model.structure.free]
    with x64():
        ours = log_likelihood(model.structure, position, model.arrays.inputs(), np)
        theirs = []
        for k in range(2):
            sites = {n: position.population[k, i] for i, n in enumerate(names)}
            values = {
                n: model.structure.parameters[i].prior.from_real(sites[n])
                for i, n in zip(model.structure.free, names, strict=True)
            }
            factor = model.structure.factors[0]
            for j, place in enumerate(factor.learned_index):
                name = model.structure.names[factor.varied[place]]
                values[f"sd({name}|family)"] = np.exp(position.log_sd[0][k, j])
            for j, (a, b) in enumerate(factor.pairs):
                pair = [model.structure.names[factor.varied[i]] for i in (a, b)]
                values[f"cor({pair[0]}, {pair[1]}|family)"] = (
                    np.tanh(position.corr[0][k, j]) + 1
                ) / 2
            values["effects(family)"] = position.effects[0][k]
            traced = handlers.trace(handlers.substitute(numpyro_model(model), values)).get_trace()
            theirs.append(float(traced["runs"]["fn"].log_factor))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_reading():
    groups, covariates = read_terms("1 + log(width) + year + (1 | family) + (1|corpus)")
    assert groups == ("family", "corpus")
    assert [c.text for c in covariates] == ["log(width)", "year"]
    for wrong, said in [
        ("1 + log(width)", "tells groups apart, and there is none"),
        ("1 + log(width) + log(width) + (1 | family)", "named twice"),
        ("log(width) + (1 | family)", "what varies is written"),
        ("1 + exp(width) + (1 | family)", "what varies is written"),
    ]:
        with pytest.raises(FormulaError, match=said):
            read_terms(wrong)


def test_priors_of_slopes():
    with pytest.raises((FormulaError, LawError), match="say how far alpha may move a unit of year"):
        bs.Law.from_text(CARD.replace("log(width)", "year"))
    stated = CARD.replace(
        '1 + log(width) + (1 | family)"',
        '1 + year + (1 | family)", slopes = { year = "Normal(0, 0.05)" }',
    )
    (slope,) = bs.Law.from_text(stated).parameters["alpha"].slopes
    assert slope.prior.text == "Normal(0, 0.05)"
    with pytest.raises((FormulaError, LawError), match="alpha has no covariate 'month'"):
        bs.Law.from_text(stated.replace("slopes = { year", "slopes = { month"))
    assert not bs.Law.from_text(stated).varying("complete").parameters["alpha"].slopes
    assert not LAW.varying({"alpha": ["family"]}).parameters["alpha"].slopes
    assert LAW.varying({"A": "1 + log(width) + (1 | family)"}).parameters["A"].slopes


def test_a_covariate_is_the_groups_not_the_runs():
    table = runs()
    table.loc[3, "width"] = 77.0
    with pytest.raises(DataError) as caught:
        build_model(LAW, table)
    assert "family 'a' has width 128, 77" in str(caught.value)
    assert "belongs into the formula" in str(caught.value)
    for left, why in [
        (build_model(LAW, runs({"a": 128.0})), "there are no groups to tell it"),
        (build_model(LAW, table.drop(columns="width")), "no column 'width'"),
    ]:
        assert not left.structure.slopes
        assert f"slope(alpha, log(width)) is left out: {why}" in left.notes


def test_a_fit_with_slopes_is_saved_whole(fit, tmp_path):
    again = bs.load(bs.save(fit, tmp_path / "fit.nc"))
    target = {"D": 1e9, "family": "c"}
    assert bs.predict(again, target).table.equals(bs.predict(fit, target).table)
