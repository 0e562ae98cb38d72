"""Laws: evaluation, changed laws, oracles, function laws, cards with faults, the catalogue."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayescale import catalog
from bayescale.card import read_card, write_card
from bayescale.catalog import laws, load_law
from bayescale.compute import PF_DAY, flops_6nd
from bayescale.elements import read_varies
from bayescale.errors import BayescaleError, FormulaError, LawError
from bayescale.law import Law
from bayescale.oracles import optimal_N
from bayescale.precision import x64

BAD_CARDS = sorted(Path(__file__).with_name("bad_cards").glob("*.toml"))
HOFFMANN = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


@pytest.fixture(scope="module")
def chinchilla() -> Law:
    return load_law("chinchilla")


# --- evaluation


def test_value_and_shape(chinchilla):
    got = chinchilla(HOFFMANN, N=[7e10, 1e9], D=[[1.4e12], [2e10]])
    assert got.shape == (2, 2)
    assert got.dtype == np.float64
    by_hand = 1.69 + 406.4 / 7e10**0.34 + 410.7 / 1.4e12**0.28
    assert got[0, 0] == pytest.approx(by_hand, rel=1e-14)
    assert got[1, 1] == pytest.approx(1.69 + 406.4 / 1e9**0.34 + 410.7 / 2e10**0.28, rel=1e-14)


def test_integers_do_not_overflow(chinchilla):
    assert chinchilla(HOFFMANN, N=70_000_000_000, D=1_400_000_000_000) < 2


def test_columns_by_the_variables_own_name():
    law = load_law("power_law")
    params = {"E": 1.0, "A": 8.0, "alpha": 0.5}
    assert float(law(params, C=16.0)) == float(law(params, x=16.0)) == 3.0
    in_tokens = law.with_columns(x="D")
    assert float(in_tokens(params, D=4.0)) == 5.0
    assert in_tokens.variables["x"].unit == "tokens"
    assert in_tokens.published == {}
    assert not in_tokens.verified
    with pytest.raises(LawError, match="no variable 'y'"):
        law.with_columns(y="D")


@pytest.mark.parametrize(
    ("params", "columns", "message"),
    [
        ({"E": 1}, {"N": 1, "D": 1}, "needs the parameter A, alpha, B, beta"),
        ({**HOFFMANN, "gama": 1}, {"N": 1, "D": 1}, "no parameter 'gama'"),
        (HOFFMANN, {"N": 1}, "needs the column D"),
        (HOFFMANN, {"N": 1, "D": 1, "n": 2}, "no column 'n'. Did you mean 'N'?"),
    ],
)
def test_missing_and_unknown_names(chinchilla, params, columns, message):
    with pytest.raises(LawError) as caught:
        chinchilla(params, **columns)
    assert message in str(caught.value)


def test_mean_is_traceable_and_equal(chinchilla):
    import jax
    import jax.numpy as jnp

    columns = {"N": np.array([1e8, 1e9]), "D": np.array([1e10, 2e10]), "other": np.zeros(2)}
    with x64():
        got = jax.jit(lambda p: chinchilla.mean(p, columns, jnp))(HOFFMANN)
        got = np.asarray(got)
    expected = chinchilla(HOFFMANN, N=columns["N"], D=columns["D"])
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_share_of_a_parameter(chinchilla):
    got = chinchilla.share(chinchilla.parameters["A"], HOFFMANN, {"N": 1e9, "D": 1e10})
    assert float(got) == pytest.approx(406.4 / 1e9**0.34)


def test_linear_parameters():
    expected = {
        "chinchilla": ("E", "A", "B"),
        "overtraining": ("E", "a", "b"),
        "power_law": ("E", "A"),
        "kaplan": (),
    }
    assert {name: load_law(name).linear for name in expected} == expected


# --- changed laws


def test_with_priors_is_a_new_law(chinchilla):
    changed = chinchilla.with_priors(
        alpha="LogNormal(log(0.4), 0.1)", E={"prior": "LogNormal(log(1.7), 0.2)", "on": "value"}
    )
    assert changed.parameters["alpha"].prior.text == "LogNormal(log(0.4), 0.1)"
    assert changed.parameters["E"].on == "value"
    assert changed.parameters["A"] == chinchilla.parameters["A"]
    assert chinchilla.parameters["alpha"].prior.text == "LogNormal(log(0.35), 0.4)"
    assert Law.from_text(changed.text) == changed
    with pytest.raises(LawError, match=r"no parameter 'aplha'\. Did you mean 'alpha'"):
        chinchilla.with_priors(aplha="Normal(0, 1)")
    with pytest.raises(FormulaError, match=r"parameters\.alpha\.prior: unknown function"):
        chinchilla.with_priors(alpha="Nomal(0, 1)")
    with pytest.raises(LawError, match="unknown key 'scale'"):
        chinchilla.with_priors(alpha={"scale": "1"})


def test_priors_beside_the_law_s_travel_with_it(chinchilla):
    told = {"sigma": "HalfNormal(0.004)", "sd(bend)": "LogNormal(log(0.02), 0.5)"}
    changed = chinchilla.with_priors(alpha="LogNormal(log(0.4), 0.1)", **told)
    assert dict(changed.response.priors) == told
    assert changed.parameters["alpha"].prior.text == "LogNormal(log(0.4), 0.1)"
    assert Law.from_text(changed.text) == changed
    assert changed.scattering("normal").response.priors == changed.response.priors
    again = changed.with_priors(sigma="HalfNormal(0.1)")
    assert dict(again.response.priors) == told | {"sigma": "HalfNormal(0.1)"}
    with pytest.raises(LawError, match=r"no parameter 'sigm'\. Did you mean 'sigma'"):
        chinchilla.with_priors(sigm="HalfNormal(1)")
    with pytest.raises(FormulaError, match=r"response\.priors\.nu: unknown function"):
        chinchilla.with_priors(nu="2 + Gama(2, 0.1)")
    card = changed.text.replace("HalfNormal(0.004)", "1").replace("sigma", "sigm")
    with pytest.raises(LawError, match=r"response\.priors: 'sigm' is none of sigma"):
        Law.from_text(card)


def test_varying(chinchilla):
    changed = chinchilla.varying({"alpha": ["family", "corpus"], "E": "1", "B": "corpus"})
    assert changed.parameters["alpha"].varies == ("family", "corpus")
    assert changed.parameters["E"].varies == ()
    assert changed.parameters["B"].varies == ("corpus",)
    assert changed.parameters["beta"].varies == ("family",)
    assert changed.varies == ("family", "corpus")
    assert chinchilla.varying("complete").varies == ()
    apart = chinchilla.varying("none")
    assert {p.pooling for p in apart.parameters.values()} == {"none"}
    assert apart.varies == ("family",)
    assert {p.pooling for p in chinchilla.parameters.values()} == {"partial"}
    for wrong in ("partial", {"alfa": ["family"]}):
        with pytest.raises(LawError):
            chinchilla.varying(wrong)


def test_group_sds_of_the_rulings(chinchilla):
    sds = {name: p.group_sd.text for name, p in chinchilla.parameters.items()}
    assert sds == {
        "E": "HalfNormal(0.3)",
        "A": "HalfNormal(0.3)",
        "alpha": "HalfNormal(0.15)",
        "B": "HalfNormal(0.3)",
        "beta": "HalfNormal(0.15)",
    }


def test_varies_texts():
    assert read_varies("1") == ()
    assert read_varies(" 1+(1|family) + ( 1 | corpus )") == ("family", "corpus")
    for wrong in ("", "0 + (1 | family)", "1 + family", "(1 | family)", "1 + (x | family)"):
        with pytest.raises(FormulaError):
            read_varies(wrong)


# --- oracles


def test_check_fails_for_a_wrong_constant(chinchilla):
    good = chinchilla.check()
    assert list(good.columns) == ["check", "expected", "got", "tolerance", "ok", "source"]
    assert good["ok"].all()
    assert chinchilla.verified
    wrong = Law.from_text(chinchilla.text.replace("alpha = 0.33917084", "alpha = 0.35"))
    table = wrong.check()
    assert not table["ok"].all()
    assert not wrong.verified
    assert set(table.loc[~table["ok"], "check"].str.extract(r"\[(.*)\]")[0]) == {"hoffmann_tex"}


@pytest.mark.parametrize("name", ["hoffmann", "besiroglu", "muennighoff"])
@pytest.mark.parametrize("C", [1e19, 5.76e23])
def test_optimum_agrees_with_the_closed_form(chinchilla, name, C):
    p = chinchilla.published[name]
    total = p["alpha"] + p["beta"]
    G = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / total)
    expected = G * (C / 6) ** (p["beta"] / total)
    got = optimal_N(lambda N, D: chinchilla(p, N=N, D=D), C)
    assert math.log(got / expected) == pytest.approx(0, abs=1e-6)


def test_optimum_that_does_not_exist():
    with pytest.raises(LawError, match="no best model size"):
        optimal_N(lambda N, D: 1 / N, 1e20)


# --- laws that are Python functions


def test_function_law():
    def saturating(params, columns, xp):
        return params["E"] + xp.exp(-params["k"] * xp.log(columns["x"]))

    law = Law.from_function(
        saturating,
        variables={"x": {"column": "D", "unit": "tokens"}},
        parameters={
            "E": {"prior": "HalfNormal(2)", "share": "E"},
            "k": {"prior": "LogNormal(log(0.3), 0.5)", "varies": "1 + (1 | family)"},
        },
        name="saturating",
    )
    assert float(law({"E": 1.0, "k": 0.5}, D=4.0)) == pytest.approx(1.5)
    assert law.formula is None
    assert law.linear == ()
    assert law.text == ""
    assert law.formula_text == "saturating(params, columns, xp)"
    assert law.parameters["k"].varies == ("family",)
    assert law.check().empty
    assert not law.verified
    changed = law.with_priors(E="HalfNormal(3)").varying("complete").with_columns(x="C")
    assert changed.function is saturating
    assert changed.parameters["E"].prior.text == "HalfNormal(3)"
    assert float(changed({"E": 1.0, "k": 0.5}, C=4.0)) == pytest.approx(1.5)
    with pytest.raises(LawError, match="the card lacks parameters"):
        Law.from_function(saturating, variables={"x": {}}, parameters={})


# --- cards


@pytest.mark.parametrize("path", BAD_CARDS, ids=lambda path: path.stem)
def test_bad_cards(path):
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    with pytest.raises(BayescaleError) as caught:
        Law.from_toml(path)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(path.name)


def test_there_are_bad_cards():
    assert len(BAD_CARDS) >= 40


def test_card_round_trip(chinchilla):
    card = read_card(chinchilla.text)
    assert read_card(write_card(card)) == card
    odd = {"name": 'a "b"\n\\ \x7f é', "published": {"x y": {"source": "s"}}}
    assert read_card(write_card(odd)) == odd


def test_file_name_is_the_laws_name(tmp_path, chinchilla):
    path = tmp_path / "other.toml"
    path.write_text(chinchilla.text)
    with pytest.raises(LawError, match="name the file after it"):
        load_law(path)
    path = tmp_path / "chinchilla.toml"
    path.write_text(chinchilla.text)
    assert load_law(str(path)) == chinchilla


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_card_that_cannot_be_read(tmp_path, kind):
    path = tmp_path / "law.toml"
    if kind == "folder":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LawError, match=r"the card .*law\.toml can't be read"):
        load_law(path)


# --- the catalogue


def test_laws_table():
    table = laws().set_index("name")
    assert {"chinchilla", "kaplan", "overtraining", "power_law"} <= set(table.index)
    assert list(laws().columns) == [
        *("name", "title", "formula", "response", "unit", "cite", "varies"),
        *("n_parameters", "verified"),
    ]
    assert table.loc["chinchilla", "n_parameters"] == 5
    assert table.loc["chinchilla", "varies"] == "family"
    assert table.loc["overtraining", "formula"].endswith(", where M = D / N, C = 6 * N * D")
    assert table["verified"].loc[["chinchilla", "kaplan", "overtraining", "power_law"]].all()
    assert not table.loc["bottleneck", "verified"]


def test_unknown_law():
    with pytest.raises(LawError, match=r"there is no law 'chinchila'\. Did you mean 'chinchilla'"):
        load_law("chinchila")
    with pytest.raises(LawError, match="there is no law"):
        load_law("../models/chinchilla")


def test_cards_inside_an_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "bayescale"
    (package / "models").mkdir(parents=True)
    text = load_law("chinchilla").text.replace('name    = "chinchilla"', 'name = "installed"')
    (package / "models" / "installed.toml").write_text(text)
    monkeypatch.setattr(catalog, "files", lambda _: package)
    assert list(laws()["name"]) == ["installed"]
    assert load_law("installed").name == "installed"


def test_laws_load_neither_jax_nor_matplotlib():
    code = (
        "import sys, bayescale.catalog as c; c.laws(); "
        "c.load_law('chinchilla').parameters['A'].prior.quantile(0.5); "
        "print([m for m in ('jax', 'numpyro', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- compute


def test_flops():
    got = flops_6nd([70_000_000_000, 10], 1_400_000_000_000)
    np.testing.assert_allclose(got, [5.88e23, 8.4e13])
    assert PF_DAY == 1e15 * 24 * 3600


def test_sub_expressions_may_build_on_each_other():
    card = """
    name = "nested"
    title = "two sub-expressions"
    formula = "E + k / C"
    cite = "tests"
    unverified = "a test"
    [where]
    M = "D / N"
    C = "M * N**2"
    [variables]
    N = {}
    D = {}
    [parameters]
    E = { prior = "HalfNormal(1)" }
    k = { prior = "HalfNormal(1)", share = "k / C" }
    """
    law = Law.from_text(card)
    assert law.formula.text == "E + k / (D / N * N**2)"
    assert float(law({"E": 1.0, "k": 6.0}, N=2.0, D=3.0)) == 2.0
    assert float(law.share(law.parameters["k"], {"k": 6.0}, {"N": 2.0, "D": 3.0})) == 1.0
    assert law.formula_text == "E + k / C, where M = D / N, C = M * N**2"


# --- oracles over tables and along columns

LINE = """
name = "parabola"
title = "a parabola in log x"
formula = "E + k * (log(x) - m)**2"
cite = "tests"
[variables]
x = { column = "x" }
[parameters]
E = { prior = "HalfNormal(1)" }
k = { prior = "Normal(0, 1)" }
m = { prior = "Normal(0, 1)" }
[published.up]
source = "tests"
values = { E = 2, k = 1, m = 1 }
[published.flat]
source = "tests"
values = { E = 3, k = 0, m = 0 }
[published.down]
source = "tests"
values = { E = 2, k = -1, m = 2 }
[[checks]]
set = "up"
source = "tests"
"""


@pytest.mark.parametrize(
    ("entry", "got"),
    [
        ('what = "argmin"\nalong = "x"\nwithin = [1, 100]', math.e),
        ('set = "down"\nwhat = "argmax"\nalong = "x"\nwithin = [1, 100]', math.e**2),
        ('what = "lowest"\nalong = "x"\nwithin = [1, 100]', 2.0),
        ('what = "lowest"\nalong = "K"\nwithin = [1, 100]\ntied = { x = "K**2" }', 2.0),
        ('what = "argmin"\nalong = "K"\nwithin = [1, 100]\ntied = { x = "K**2" }', math.exp(0.5)),
        ('what = "crossing"\nagainst = "flat"\nalong = "x"\nwithin = [2, 100]', math.e**2),
        ('what = "solution"\nmeasured = 3\nalong = "x"\nwithin = [2, 100]', math.e**2),
        ('what = "r2"\nrows = { x = [1, "exp(1)"], loss = [3, 2] }', 1.0),
        ('what = "mean_absolute_error"\nrows = { x = [1, 1], loss = [4, 2] }', 1.0),
        ('what = "mean_relative_error"\nrows = { x = [1, 1], loss = [6, 2] }', 0.5),
        ('what = "rms_log10"\nrows = { x = [1, 1], loss = [30, 0.3] }', 1.0),
    ],
)
def test_quantities_along_a_column_and_over_rows(entry, got):
    card = LINE.replace('set = "up"\n', "") if entry.startswith("set") else LINE
    law = Law.from_text(f"{card}expected = {got!r}\ntolerance = 1e-6\n{entry}\n")
    table = law.check()
    assert table["got"][0] == pytest.approx(got, rel=1e-6)
    assert bool(table["ok"].all())


def test_no_optimum_within_the_range_is_an_error():
    law = Law.from_text(f'{LINE}expected = 1\nwhat = "argmin"\nalong = "x"\nwithin = [10, 100]\n')
    with pytest.raises(LawError, match="the optimum lies at an end of `within`"):
        law.check()


def test_a_check_of_a_table_that_is_not_there_is_skipped(tmp_path, monkeypatch):
    entry = (
        'what = "r2"\ntable = "a/runs.csv"\nwhere = "kind == \'x\'"\n'
        'columns = { x = "exp(log_x)" }\nexpected = 1\n'
    )
    law = Law.from_text(LINE + entry)
    monkeypatch.delenv("BAYESCALE_DATA", raising=False)
    table = law.check()
    assert table["ok"].isna().all()
    assert math.isnan(table["got"][0])
    assert "BAYESCALE_DATA is not set" in table["source"][0]
    assert not law.verified
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path))
    assert "has no a/runs.csv" in law.check()["source"][0]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "runs.csv").write_text("kind,log_x,loss\nx,0,3\nx,1,2\ny,5,0\n")
    assert law.check()["got"][0] == 1.0
    assert law.verified
    wrong = Law.from_text((LINE + entry).replace("log_x", "logx"))
    with pytest.raises(LawError, match=r"no column 'logx'\. Did you mean 'log_x'"):
        wrong.check()
