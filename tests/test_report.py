"""The report: what it says is what the library answers, and nothing in it can act or fetch."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.colors import to_hex

import bayescale as bs
from bayescale import plots
from bayescale.errors import BayescaleError, DataError
from bayescale.files import write_whole
from bayescale.formula import Expression
from bayescale.grammar import MAX_WRITTEN
from bayescale.plots.canvas import PALETTE
from bayescale.reporting.about_next import sentence as next_sentence
from bayescale.reporting.answers import completed, sorted_out, usual_targets
from bayescale.reporting.drawing import inline_svg, on_dark
from bayescale.reporting.markdown import plain
from bayescale.reporting.mathml import mathml
from bayescale.reporting.payload import payload_of, tree_of
from tests.browser import DRIVER, MISSING, Browser
from tests.simulate import ladder

HOSTILE = "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>|`$`"
_VOID = {"meta", "input", "br", "img", "link"}
_DRAWN = {"svg", "g", "path", "defs", "use", "clippath", "rect"}


class Page(HTMLParser):
    """Every tag with its attributes, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        self.inside.get(inside, self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def nothing_is_fetched(html: str) -> Page:
    """Check that a page refers to nothing outside of itself."""
    page = Page(html)
    assert not page.open
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form", "a:href"}
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} has {name}"
            assert name not in {"src", "srcset", "action", "data", "background", "poster"}
            if name.endswith("href"):
                assert value and value.startswith("#"), f"{tag} points at {value}"
            assert not re.search(r"url\((?!#)", value or ""), f"{tag} {name}={value}"
    styles = " ".join(page.inside["style"])
    assert "@import" not in styles and "url(" not in styles
    code = "".join(page.inside["script"])
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "eval(", "Function("):
        assert word not in code
    return page


@pytest.fixture(scope="module")
def html(small_fit, tmp_path_factory) -> Path:
    return bs.report(small_fit, to=tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def hostile_fit():
    """Few draws: what is tested is how its words are shown."""
    table = ladder(families={HOSTILE: {}, "tame": {"A": 10.0}})
    table = table.assign(recipe=np.where(table["family"] == "tame", "tame", HOSTILE))
    runs = replace(bs.read_runs(table), source=HOSTILE, notes=(HOSTILE,))
    law = bs.load_law("chinchilla")
    return bs.fit(law, runs, draws=100, warmup=200, chains=2, strict=False, progress=False)


# --- what it says ---------------------------------------------------------------------------------


def test_it_says_what_the_library_answers(small_fit, html):
    page = nothing_is_fetched(html.read_text(encoding="utf-8"))
    prediction = bs.predict(small_fit, usual_targets(small_fit))
    for sentence in prediction.sentences:
        assert page.text.count(sentence) == 2  # in short, and beyond the data
    assert "Nothing in the chains speaks against this fit." in page.text
    assert "40 runs from table: N 1M to 100M, D 30M to 1B" in page.text
    summary = bs.summary(small_fit, 0.95)
    assert f"{summary.loc['alpha[moe]', 'median']:.4g}" in page.text
    plan = bs.allocate(
        small_fit,
        10 * small_fit.runs.table["C"].max(),
        cost=bs.costs.from_rows(small_fit.runs.table) if hasattr(bs, "costs") else None,
        at={"family": "moe"},
    )
    assert f"{plan.expected_regret:.2g}" in page.text
    assert "How often such intervals hold on larger runs was not measured here" in page.text
    assert "Not answered: the runs name fewer than two recipes" in page.text
    assert small_fit.law.cite in page.text and "seed" in page.text


def test_it_says_which_run_to_buy_next(small_fit, html, tmp_path):
    page = nothing_is_fetched(html.read_text(encoding="utf-8"))
    plan = completed(sorted_out(()), small_fit).next_runs[0]
    assert plan["C"].max() <= small_fit.runs.table["C"].max()  # a tenth of ten times the largest
    assert page.text.count(next_sentence(plan)) == 2  # in short, and in its section
    assert "Nobody named candidates" in page.text
    own = bs.next_runs(small_fit, plan[["N", "D", "family"]].head(2), worth=1.0)
    assert own.attrs["stop"]
    path = bs.report(small_fit, own, to=tmp_path / "given.md")
    text = path.read_text(encoding="utf-8")
    assert "buy none; no candidate is worth its cost" in text
    assert "Nobody named candidates" not in text


def test_unasked_targets_lie_ten_times_beyond_each_group(small_fit):
    targets = usual_targets(small_fit).set_index("family")
    largest = small_fit.runs.table.groupby("family")["C"].max()
    np.testing.assert_allclose(6 * targets["N"] * targets["D"], 10 * largest[targets.index])


def test_given_answers_are_shown_instead(small_fit, tmp_path):
    prediction = bs.predict(small_fit, {"N": 2.5e8, "D": 2e9, "family": "moe"}, kind="mean")
    plan = bs.allocate(small_fit, C=3e18, at={"family": "dense"})
    path = bs.report(small_fit, prediction, plan, to=tmp_path / "r.html", title="Mine & yours")
    page = nothing_is_fetched(path.read_text(encoding="utf-8"))
    assert "Mine & yours" in page.text
    assert prediction.sentences[0] in page.text
    assert "One more run of" not in page.text
    assert "A budget of 3e18 FLOP for one run of dense: N = " in page.text


def test_a_backtest_gives_the_measured_coverage(small_fit, tmp_path):
    from bayescale.backtesting import Backtest

    coverage = {"0.5": 0.25, "0.95": 0.875}
    metrics = {"n_train": 24, "n_test": 16, "coverage": coverage}
    measured = Backtest(metrics, pd.DataFrame(), small_fit, ("cut at C < 1e17",))
    page = Page(bs.report(small_fit, measured, to=tmp_path / "r.html").read_text("utf-8"))
    assert (
        "fitted to 24 runs, the intervals of the 16 others held as follows. 50%: 25%, 95%: 88%"
        in (page.text)
    )
    assert "was not measured" not in page.text


def test_a_refused_fit_is_reported_with_that_said_first(small_fit, tmp_path):
    tree = small_fit.data.copy(deep=True)
    tree["sample_stats"]["diverging"][:] = True
    path = bs.report(replace(small_fit, data=tree), to=tmp_path / "r.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert any(a.get("role") == "alert" for _, a in page.tags)
    assert page.text.index("The diagnostics refuse this fit") < page.text.index("One more run")


def test_a_law_in_python_has_no_sliders(small_fit, tmp_path):
    def mine(p, c, xp):
        return p["E"] + p["A"] / c["N"] ** p["alpha"] + p["B"] / c["D"] ** p["beta"]

    law = replace(small_fit.law, formula=None, function=mine)
    page = Page(bs.report(replace(small_fit, law=law), to=tmp_path / "r.html").read_text("utf-8"))
    assert "mine(params, columns, xp)" in page.text
    assert not [tag for tag, _ in page.tags if tag == "script"]


# --- what can't be --------------------------------------------------------------------------------


def test_what_a_report_is_not_is_said(small_fit, tmp_path):
    with pytest.raises(BayescaleError, match=r"report\.pdf: a report is \.html or \.md"):
        bs.report(small_fit, to=tmp_path / "report.pdf")
    with pytest.raises(BayescaleError, match="no section for a DataFrame"):
        bs.report(small_fit, pd.DataFrame(), to=tmp_path / "r.html")
    with pytest.raises(BayescaleError, match="does not exist"):
        bs.report(small_fit, to=tmp_path / "nowhere" / "r.html")
    with pytest.raises(BayescaleError, match="give a positive number of FLOPs"):
        bs.report(small_fit, to=tmp_path / "r.html", C=-1.0)
    with pytest.raises(DataError, match="'rnn'"):
        bs.report(small_fit, to=tmp_path / "r.html", targets={"N": 1e9, "D": 1e9, "family": "rnn"})
    assert not list(tmp_path.iterdir())


def test_a_file_is_whole_or_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    write_whole(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o644

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(BayescaleError, match=r"r\.html can't be written: No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


# --- hostile data ---------------------------------------------------------------------------------


def test_words_of_the_data_stay_words(hostile_fit, tmp_path):
    path = bs.report(hostile_fit, to=tmp_path / "r.html", title=HOSTILE)
    html = path.read_text(encoding="utf-8")
    page = nothing_is_fetched(html)
    assert [tag for tag, _ in page.tags].count("script") == 2  # the posterior's JSON, and ours
    assert page.text.count(HOSTILE) > 10
    assert "<script>window" not in html and "<img" not in html
    payload = json.loads(page.inside["script"][0])
    assert HOSTILE in [group["label"] for group in payload["groups"]]


def test_words_of_the_data_stay_words_in_markdown(hostile_fit, tmp_path):
    path = bs.report(hostile_fit, to=tmp_path / "r.md")
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<(script|img)", text)
    assert plain(HOSTILE) in text
    pictures = re.findall(r"\]\((r_files/[\w-]+\.png)\)", text)
    assert {"r_files/fit.png", "r_files/residuals.png", "r_files/exponents.png"} <= set(pictures)
    assert all((tmp_path / p).read_bytes().startswith(b"\x89PNG") for p in pictures)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    for row, above, width in zip(rows[1:], widths, widths[1:], strict=False):
        if row.startswith("|--"):
            assert width == above, "a cell broke its row"


@given(st.text(max_size=60))
def test_markdown_text_is_one_line_without_live_signs(text):
    shown = plain(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>`*\[\]|$]", shown)


# --- its parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "parts"),
    [
        ("A / N**alpha", ["<mfrac>", "<mi>α</mi>", "<msup>"]),  # noqa: RUF001
        ("a - (b - c)", ['stretchy="true">(']),
        ("N_c * exp(-x)", ["<msub><mi>N</mi>", "<mi>e</mi>"]),
        ("minimum(x, 3e21)", ["min</mi>", "<mn>3</mn>", "<mn>21</mn>"]),
        ("sqrt(abs(x))", ["<msqrt>", "<mo>|</mo>"]),
        ("(a / b)**2", ['stretchy="true">(', "<mn>2</mn>"]),
        ("-(a + b)", ['stretchy="true">(']),
    ],
)
def test_formulas_are_set_in_mathml(formula, parts):
    shown = mathml("loss", Expression.parse(formula).tree)
    ElementTree.fromstring(shown)
    for part in parts:
        assert part in shown


def test_every_card_can_be_set():
    for name in bs.laws()["name"]:
        law = bs.load_law(name)
        assert law.formula is not None
        ElementTree.fromstring(mathml(law.response.column, law.formula.tree))


def test_a_drawing_is_shapes_only(small_fit):
    plot = plots.plot_exponents(small_fit)
    drawn = inline_svg(plot, "one", HOSTILE)
    page = Page(drawn)
    assert {tag for tag, _ in page.tags} <= _DRAWN
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids)) and all(i and i.startswith("one-") for i in ids)
    used = {a["href"] for _, a in page.tags if "href" in a}
    assert used and used <= {f"#{i}" for i in ids}
    assert page.tags[0][1]["aria-label"] == HOSTILE
    again = Page(inline_svg(plot, "one", HOSTILE))
    assert ids == [a["id"] for _, a in again.tags if "id" in a]  # they don't depend on the day


_COLOURS = [*PALETTE, *(to_hex(colormaps["viridis"](v)) for v in np.linspace(0, 1, 30))]


@pytest.mark.parametrize("colour", sorted(set(_COLOURS)))
def test_colours_can_be_told_from_a_dark_page(colour):
    def luminance(text: str) -> float:
        parts = np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    contrast = (luminance(on_dark(colour)) + 0.05) / (luminance("#16181d") + 0.05)
    assert contrast > 4.0


def test_the_pages_noise_is_the_fits(small_fit):
    payload = payload_of(small_fit, draws=4000)
    assert payload is not None
    one = next(g for g in payload["groups"] if g["label"] == "moe")
    noise = {name: np.array(values) for name, values in one["noise"].items()}
    sd = np.sqrt(noise["fixed"])
    np.testing.assert_allclose(
        sd, small_fit.data["posterior"]["sigma"].to_numpy().ravel(), rtol=1e-6
    )
    target = {"N": 1e8, "D": 1e9, "family": "moe"}
    said = bs.predict(small_fit, target, kind="new-run").table.iloc[0]
    means = {k: np.array(v) for k, v in one["parameters"].items()}
    assert small_fit.law.formula is not None
    loss = small_fit.law.formula({**means, "N": 1e8, "D": 1e9}) * np.exp(sd * noise["deviate"])
    ends = np.quantile(loss, [0.025, 0.975])
    width = said["upper_95"] - said["lower_95"]
    assert ends == pytest.approx([said["lower_95"], said["upper_95"]], abs=0.08 * width)


# --- in a real browser ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if DRIVER is None:
        pytest.skip(MISSING)
    made = Browser()
    yield made
    made.close()


def test_the_page_computes_what_python_computes(small_fit, html, browser):
    browser.open(html)
    payload = payload_of(small_fit)
    assert payload is not None and small_fit.law.formula is not None
    for i, group in enumerate(payload["groups"]):
        for N, D in ((1e6, 3e7), (3.7e9, 2.2e11)):
            got = browser.run(
                "return law.losses(arguments[0], arguments[0].groups[arguments[1]],"
                " {N: arguments[2], D: arguments[3]})",
                payload,
                i,
                N,
                D,
            )
            draws = {k: np.array(v) for k, v in group["parameters"].items()}
            expected = small_fit.law.formula({**draws, "N": N, "D": D})
            np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_page_walks_every_operation_as_python_does(html, browser):
    browser.open(html)
    formulas = [
        *("-a**2", "2**-a", "a - b - c", "a / b / c", "a**b**c", "-(a + b) * c", "3e-4 * a"),
        *("exp(-a) + log(b) * log10(c)", "sqrt(a * b)", "abs(a - b)"),
        *("minimum(a, maximum(b, c))", "(a / b)**(c - 1)", "1.5"),
        *(str(bs.load_law(name).formula.text) for name in bs.laws()["name"]),
    ]
    rng = np.random.default_rng(7)
    for formula in formulas:
        expression = Expression.parse(formula, None, MAX_WRITTEN)
        values = {
            name: float(v)
            for name, v in zip(
                expression.names, rng.uniform(0.2, 3.0, len(expression.names)), strict=True
            )
        }
        got = browser.run(
            "return law.evaluate(arguments[0], arguments[1])", tree_of(expression.program), values
        )
        expected = float(expression(values))
        if np.isfinite(expected):
            assert got == pytest.approx(expected, rel=1e-12), formula
        else:  # which JSON has no word for
            assert got is None, formula


def test_the_sliders_answer_as_predict_and_allocate_do(small_fit, html, browser):
    label = payload_of(small_fit, draws=2)["groups"][1]["label"]
    browser.open(html, "#group=1&N=2e9&D=3e10&budget=5e19")
    shown = browser.run("return {...document.getElementById('sliders').dataset}")
    target = {"N": 2e9, "D": 3e10, "family": label}
    for kind, key in (("mean", "mean"), ("new-run", "run")):
        got, said = json.loads(shown[key]), bs.predict(small_fit, target, kind=kind).table.iloc[0]
        width = said["upper_95"] - said["lower_95"]
        assert got["median"] == pytest.approx(said["median"], abs=0.1 * width)
        assert [got["low"], got["high"]] == pytest.approx(
            [said["lower_95"], said["upper_95"]], abs=0.2 * width
        )
    plan = bs.allocate(small_fit, 5e19, at={"family": label})
    assert json.loads(shown["plan"])["N"] == pytest.approx(plan.N, rel=0.1)
    said = browser.run("return document.getElementById('said').textContent")
    beyond = np.log10(6 * 2e9 * 3e10 / small_fit.runs.table["C"].max())
    assert f"({beyond:.1f} decades of compute beyond the data)" in said


def test_moving_a_slider_changes_the_answer_and_the_link(html, browser):
    browser.open(html)
    before, after, link = browser.run("""
        const said = document.getElementById("said"), before = said.textContent;
        const slider = document.querySelector('input[data-key="N"]');
        slider.value = String(Number(slider.value) - 100);
        slider.dispatchEvent(new Event("input"));
        return [before, said.textContent, location.hash];
    """)
    assert before != after and after.startswith("One more run: ")
    assert re.search(r"N=[\d.e]+&D=", link)


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (1000, True), (390, False)])
def test_it_is_readable_at_every_width_and_in_the_dark(html, browser, width, dark, tmp_path):
    browser.complaints()
    browser.open(html, width=width, dark=dark)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    paper, ink, drawn = browser.run("""
        const of = (node, name) => getComputedStyle(node)[name];
        const marks = [...document.querySelectorAll("figure svg use, figure svg g")];
        return [of(document.body, "backgroundColor"), of(document.body, "color"),
                marks.map((node) => of(node, "fill")).filter((c) => c !== "none")];
    """)

    def brightness(colour):
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3

    assert (brightness(paper) < 60, brightness(ink) < 60) == (dark, not dark)
    assert drawn and max(abs(brightness(paper) - brightness(c)) for c in drawn) > 150
    assert browser.run("return document.querySelectorAll('math msup').length") > 0
    assert not browser.complaints()  # nothing was refused by the page's own policy
    shot = browser.screenshot(tmp_path / "page.png")
    assert shot.stat().st_size > 50_000


def test_hostile_words_do_nothing_in_a_browser(hostile_fit, browser, tmp_path):
    browser.complaints()
    browser.open(bs.report(hostile_fit, to=tmp_path / "r.html", title=HOSTILE))
    assert browser.run("return window.hacked") is None
    assert HOSTILE in browser.run("return document.querySelector('select').textContent")
    assert HOSTILE in browser.run("return document.body.textContent")
    assert not browser.complaints()
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        "document.body.append(s)"
    )
    assert browser.run("return window.hacked") is None  # the policy admits no script but ours
