"""Laws written as brms and Bambi write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayescale as bs

SURFACE = "loss ~ E + A / N**alpha + B / D**beta"


def test_the_same_law_as_the_card():
    card = bs.load_law("chinchilla")
    law = bs.law_from_formula(SURFACE, "E + A + alpha + B + beta ~ 1 + (1 | family)")
    constants = card.published["hoffmann"]
    assert law(constants, N=7e10, D=1.4e12) == card(constants, N=7e10, D=1.4e12)
    for name, parameter in card.parameters.items():
        made = law.parameters[name]
        assert made.prior.text == parameter.prior.text
        assert (made.of, made.on, made.varies) == (parameter.of, parameter.on, parameter.varies)
        assert (made.share and made.share.text) == (parameter.share and parameter.share.text)
        assert made.group_sd.text == parameter.group_sd.text
    assert law.pairs == card.pairs
    assert bs.Law.from_text(law.text).parameters == law.parameters


def test_as_brms_writes_it():
    law = bs.law_from_formula(
        "loss ~ E + A / N^alpha + B / D^beta",
        "E + A + alpha ~ 1 + (1 |f| family) + (1 | corpus)",
        "B, beta ~ 1",
        priors={"alpha": "Normal(0.33, 0.1)"},
    )
    assert law.parameters["A"].varies == ("family", "corpus")
    assert law.parameters["beta"].varies == ()
    assert law.parameters["alpha"].prior.text == "Normal(0.33, 0.1)"
    assert law.pairs == (("A", "alpha"),)


def test_as_bambi_writes_it():
    law = bs.law_from_formula(
        "y ~ a + b*exp(-k*x)",
        "a ~ 1 + (1 | treatment)",
        "b ~ 1",
        "k ~ 1",
        priors={"k": "LogNormal(0, 1)"},
    )
    assert list(law.variables) == ["x"]
    assert law.response.column == "y"
    assert law.parameters["b"].share is not None
    assert float(law({"a": 1.0, "b": 2.0, "k": 0.0}, x=3.0)) == 3.0


def test_logs_as_brms_users_need_them():
    priors = dict.fromkeys(("logE", "logA", "alpha"), "Normal(0, 1)")
    law = bs.law_from_formula(
        "loss ~ exp(logE) + exp(logA - alpha * log(N))", "logE + logA + alpha ~ 1", priors=priors
    )
    got = law({"logE": 0.5, "logA": 6.0, "alpha": 0.34}, N=1e9)
    assert float(got) == pytest.approx(np.exp(0.5) + np.exp(6.0 - 0.34 * np.log(1e9)))


def test_priors_columns_and_pooling():
    law = bs.law_from_formula(
        "loss ~ E + A / size**alpha",
        "E ~ 0 + family",
        "A + alpha ~ 1",
        priors={"A": "LogNormal(log(400), 1)", "E": "Normal(1.7, 0.3)"},
        columns={"size": "N"},
        unit="bit/byte",
        name="mine",
    )
    assert law.parameters["E"].pooling == "none"
    assert law.parameters["E"].varies == ("family",)
    assert law.parameters["E"].share is None  # its prior reaches below 0: a plain number
    assert (law.parameters["A"].on, law.parameters["A"].share.text) == ("value", "A / size**alpha")
    assert law.variables["size"].column == "N"
    assert law.variables["size"].unit == "parameters"
    assert (law.name, law.response.unit) == ("mine", "bit/byte")
    shared = bs.law_from_formula(
        "loss ~ E + A / N**alpha",
        "E + A + alpha ~ 1",
        priors={"A": {"prior": "LogNormal(log(0.2), 0.5)", "on": "share"}},
    )
    assert shared.parameters["A"].on == "share"


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        (["loss = E"], bs.FormulaError, "with one ~"),
        (["log(loss) ~ E"], bs.FormulaError, "can't stand on the left"),
        (["loss ~ E + A / N**", "E ~ 1"], bs.FormulaError, "formula: the text ends here"),
        (["loss ~ E + A / N**alpha"], bs.LawError, "no parameter is named"),
        (["loss ~ E + A / N**alpha", "E + A ~ 1"], bs.LawError, "alpha is an exponent"),
        (["loss ~ E + A / N", "E + A + k ~ 1"], bs.LawError, "no parameter 'k'"),
        (["loss ~ E + A / N", "E ~ 1", "E + A ~ 1"], bs.FormulaError, "E has two formulas"),
        (["loss ~ E + A / N", "E ~ 1 + family"], bs.FormulaError, "can't be a covariate"),
        (["loss ~ E + A / N", "E ~ 1 + log(C)"], bs.FormulaError, "it has no covariates"),
        (["loss ~ E + A / N", "E ~ (1 + C | family)"], bs.FormulaError, "it has no covariates"),
        (["loss ~ E + A / N", "E ~ 0"], bs.FormulaError, "it has no covariates"),
        (["loss ~ E + A", "E + A ~ 1"], bs.LawError, "no variable"),
        (["loss ~ E * exp(-k * N)", "E + k ~ 1"], bs.LawError, "no prior is given for k"),
        (["loss ~ __import__('os')", "E ~ 1"], bs.FormulaError, "names begin with a letter"),
    ],
)
def test_what_cannot_be_a_law_is_said(texts, kind, message):
    with pytest.raises(kind, match=message):
        bs.law_from_formula(*texts)


def test_unknown_columns_and_priors():
    with pytest.raises(bs.LawError, match="Did you mean 'alpha'"):
        bs.law_from_formula(SURFACE, "E + A ~ 1", priors={"aplha": "Normal(0, 1)"})
    with pytest.raises(bs.LawError, match="columns names 'M'"):
        bs.law_from_formula("loss ~ E + A / N", "E + A ~ 1", columns={"M": "N"})


@given(st.text(max_size=40))
def test_any_text_is_a_law_or_a_clear_error(text):
    try:
        bs.law_from_formula(text, "E ~ 1")
    except bs.BayescaleError:
        pass
    try:
        bs.law_from_formula("loss ~ E + A / N", "A ~ 1", text)
    except bs.BayescaleError:
        pass
