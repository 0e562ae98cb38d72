"""Indexed sums, indexed, ordered, tied and fixed parameters, simplexes: what they write out."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayescale.catalog import library, load_law
from bayescale.errors import DataError, FormulaError, LawError
from bayescale.formula import Expression
from bayescale.indices import Index, Scope
from bayescale.law import Law
from bayescale.rows import select_rows
from bayescale.runs import read_runs

CARD = """
name = "mixture"
title = "everything that an index can do"
formula = "c + k * exp(sum(domain, t * r)) + product(epoch, 1 + q / epoch**2) + rest"
cite = "a test"
unverified = "a test"
pairs = [["t", "u"]]
[index]
domain = ["web", "code", "books"]
epoch = 4
x = 3
[where]
s = "r**g"
top = "d_3 - d_1 + sum(domain, u * r) / 100 + d_4 / 1000 + m_3"
rest = "sum(domain, w * s) + top"
[variables]
r = { over = "domain", simplex = true, column = "share of {domain}" }
[parameters]
c = { prior = "LogNormal(0, 1)" }
k = { prior = "LogNormal(0, 1)", share = "k * exp(sum(domain, t * r))" }
t = { over = "domain", prior = "Normal(0, 1)", last = 0, about = "effect" }
t_code = { prior = "Normal(1, 1)" }
u = { over = "domain", prior = "LogNormal(0, 1)", share = "u * r" }
g = { prior = "LogNormal(0, 1)" }
q = { equals = "0.5 * g" }
w = { over = "domain", simplex = true, prior = "Dirichlet(2, 1, 3)" }
d = { over = "epoch", ordered = "ratio", step = "1 + LogNormal(0, 1)", prior = "LogNormal(0, 1)" }
m = { over = "x", ordered = "difference", step = "HalfNormal(1)", prior = "Normal(0, 1)" }
[published.a]
source = "nowhere"
[published.a.values]
c = 1
k = 2
t = [1, "1 + 1"]
u = [1, 2, 3]
g = 3
w = [0.2, 0.3, 0.5]
d = [1, 2, 3, 6]
m = [-1, 0, 4]
"""
R = {"share of web": 0.2, "share of code": 0.3, "share of books": 0.5}


@pytest.fixture(scope="module")
def law() -> Law:
    return Law.from_text(CARD)


def test_value_is_that_of_the_sums_by_hand(law):
    r, w = np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.3, 0.5])
    by_hand = 1 + 2 * np.exp(1 * 0.2 + 2 * 0.3)
    by_hand += np.prod([1 + 0.5 * 3 / e**2 for e in (1, 2, 3, 4)]) + np.sum(w * r**3)
    by_hand += 3 - 1 + (0.2 + 0.6 + 1.5) / 100 + 6 / 1000 + 4
    assert float(law(law.published["a"], **R)) == pytest.approx(by_hand, rel=1e-13)


def test_what_is_written_out(law):
    assert [v.column for v in law.variables.values()] == list(R)
    assert law.simplexes == {"r": tuple(R)}
    assert list(law.parameters)[:4] == ["c", "k", "t_web", "t_code"]
    assert "t_books" not in law.parameters  # it is 0
    assert "q" not in law.parameters  # it follows from g
    assert law.parameters["t_code"].prior.text == "Normal(1, 1)"
    assert law.parameters["t_web"].about == "effect (web)"
    assert law.parameters["u_code"].share.text == "u_code * r_code"
    assert law.pairs == (("t_web", "u_web"), ("t_code", "u_code"))
    assert law.parameters["d_step_2"].prior.support[0] == 1.0


def test_the_reader_sees_sums_not_their_terms(law):
    assert law.formula_text.startswith("c + k * exp(sum(domain, t * r))")
    assert "q = 0.5 * g" in law.formula_text
    latex = law.latex()
    assert r"\sum_{\mathrm{domain}} t_{\mathrm{domain}} \, r_{\mathrm{domain}}" in latex
    assert r"\prod_{\mathrm{epoch}} \left(1 +" in latex


def test_card_round_trip(law):
    again = Law.from_text(law.text)
    assert again == law
    assert law.with_priors(t="Normal(0, 2)").parameters["t_web"].prior.text == "Normal(0, 2)"
    changed = law.with_priors(t_web="Normal(0, 3)", w="Dirichlet(1)")
    assert changed.parameters["t_web"].prior.text == "Normal(0, 3)"
    assert changed.parameters["w_part_web"].prior.text == "Beta(1, 2)"
    assert law.varying({"t": ["corpus"]}).parameters["t_code"].varies == ("corpus",)


def test_members_of_ones_own():
    law = load_law("data_mixing", domain=["web", "code"])
    assert list(law.parameters) == ["c", "k", "t_web"]
    assert not law.published
    p = {"c": 1.0, "k": 1.0, "t_web": -2.0}
    assert float(law(p, r_web=0.5, r_code=0.5)) == pytest.approx(1 + np.exp(-1))
    with pytest.raises(LawError, match=r"has no index 'domian'. Did you mean 'domain'"):
        load_law("data_mixing", domian=["a"])
    with pytest.raises(LawError, match="It has none"):
        load_law("chinchilla", domain=["a"])


def test_overrides_of_members_that_are_gone_are_left_out(law):
    with pytest.raises(FormulaError, match="Dirichlet takes 1 or 2 numbers"):
        law.with_index(domain=["a", "b"])
    other = law.with_priors(w="Dirichlet(1)").with_index(domain=["a", "b"])
    assert "t_a" in other.parameters
    assert "t_code" not in other.parameters


def test_fixed_and_tied():
    law = load_law("chinchilla")
    p = law.published["hoffmann"]
    tied = law.fixing(beta="alpha", A=p["A"])
    assert list(tied.parameters) == ["E", "alpha", "B"]
    free = {name: p[name] for name in tied.parameters}
    expected = law({**p, "beta": p["alpha"]}, N=1e9, D=1e11)
    assert float(tied(free, N=1e9, D=1e11)) == pytest.approx(float(expected), rel=1e-14)
    with pytest.raises(LawError, match="has no parameter 'alhpa'"):
        law.fixing(alhpa=1)
    mixed = load_law("data_mixing").fixing(t_1=-3)
    assert "t_1" not in mixed.parameters
    assert "-3 * r_1" in mixed.formula.text


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_simplex_parameters_add_up_to_one(raw):
    shares = [x / sum(raw) for x in raw]
    text = CARD.replace("w = [0.2, 0.3, 0.5]", f"w = {shares}")
    parts = Law.from_text(text).published["a"]
    first, second = parts["w_part_web"], parts["w_part_code"]
    values = [first, (1 - first) * second, (1 - first) * (1 - second)]
    np.testing.assert_allclose(values, shares, atol=1e-12)


def test_simplex_prior_is_the_dirichlet(law):
    rng = np.random.default_rng(0)
    first = law.parameters["w_part_web"].prior.sample(rng, 4000)
    second = law.parameters["w_part_code"].prior.sample(rng, 4000)
    shares = [first, (1 - first) * second, (1 - first) * (1 - second)]
    for share, weight in zip(shares, (2, 1, 3), strict=True):
        assert stats.kstest(share, stats.beta(weight, 6 - weight).cdf).pvalue > 1e-3
    assert np.corrcoef(shares[0], shares[2])[0, 1] == pytest.approx(
        -np.sqrt(2 * 3 / ((6 - 2) * (6 - 3))), abs=0.05
    )


def test_rows_of_a_simplex_add_up_to_one():
    law = load_law("data_mixing", domain=["web", "code"]).varying("complete")
    web = np.array([0.2, 0.4, 0.6, 0.8])
    table = pd.DataFrame({"r_web": web, "r_code": 1 - web, "loss": [3.0, 2.9, 2.8, 2.75]})
    assert len(select_rows(read_runs(table, law=law), law).table) == 4
    rounded = table.assign(r_code=[0.8, 0.6, 0.405, 0.2])
    assert len(select_rows(read_runs(rounded, law=law), law).table) == 4
    wrong = table.assign(r_code=[0.8, 0.3, 0.4, 0.2])
    with pytest.raises(DataError, match=r"row 2: r_web, r_code add up to 0\.7, not 1"):
        select_rows(read_runs(wrong, law=law), law)
    percent = table.assign(r_web=100 * web, r_code=100 * (1 - web))
    with pytest.raises(DataError, match="divide them by 100"):
        select_rows(read_runs(percent, law=law), law)


def test_many_linear_parameters_are_told_at_once():
    members = ", ".join(f'"d{i}"' for i in range(40))
    text = CARD.replace('"web", "code", "books"', members)
    text = text[: text.index("[published")].replace("t_code = {", "t_d1 = {")
    text = text.replace("Dirichlet(2, 1, 3)", "Dirichlet(1)")
    law = Law.from_text(text)
    assert {"c", "k", "u_d0", "u_d39"} <= set(law.linear)


def test_cards_in_the_librarys_readme_can_be_read():
    text = (library() / "README.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"```toml\n(.*?)```", text, re.S)
    assert len(first.splitlines()) <= 20
    assert Law.from_text(first).formula_text == load_law("imitation_data").formula_text
    head = 'name = "x"\ntitle = "x"\ncite = "x"\nunverified = "x"\n'
    indexed = Law.from_text(head + next(card for card in others if "[index]" in card))
    assert list(indexed.parameters) == ["c", "k", "t_web", "t_code"]


def test_columns_of_single_members():
    law = load_law("data_mixing", domain=["web", "code"]).with_columns(r_web="web share")
    assert law.simplexes == {"r": ("web share", "r_code")}
    assert [v.column for v in law.variables.values()] == ["web share", "r_code"]


def test_definitions_in_any_order_but_no_circle():
    law = load_law("chinchilla")
    assert law.fixing(beta="2 * alpha", alpha=0.3).formula.text == (
        "E + A / N**0.3 + B / D**(2 * 0.3)"
    )
    with pytest.raises(LawError, match="in a circle: alpha = beta = alpha"):
        law.fixing(beta="alpha", alpha="beta")


PIECES = ["sum", "product", "(", ")", ",", "domain", "epoch", "t", "r", "c", "+", "*", "**", "2"]


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_random_texts_raise_nothing_else(pieces):
    indices = {"domain": Index.read("domain", ["a", "b"]), "epoch": Index.read("epoch", 3)}
    scope = Scope(indices, {"t": "domain", "r": "domain"})
    try:
        written = scope.written(" ".join(pieces), ["t", "r", "c"])
    except FormulaError:
        return
    names = Expression.parse(written, ["t_a", "t_b", "r_a", "r_b", "c"]).names
    assert "domain" not in names


def test_written_out_equals_the_sum():
    scope = Scope({"i": Index.read("i", 50)}, {"x": "i"})
    text = scope.written("sum(i, x**2 / i) - product(i, 1 + x / 100)", ["x"])
    x = np.linspace(0.1, 2, 50)
    got = Expression.parse(text, limit=10_000)({f"x_{i}": v for i, v in enumerate(x, 1)})
    assert float(got) == pytest.approx(np.sum(x**2 / np.arange(1, 51)) - np.prod(1 + x / 100))
