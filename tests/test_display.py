"""HTML of the nouns: what it must say, and that nothing in it can act."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.backtesting import Backtest
from bayescale.display import markup
from bayescale.display.writing import span
from bayescale.machine import Machine
from bayescale.many_fits import ManyFits
from bayescale.recipes import RecipeComparison
from bayescale.tuning import Tuning

NASTY = "<script>alert('x')</script>&\"quoted\""


class Page(HTMLParser):
    """Every tag and attribute, the text, and whether tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        self.words += data + "\n"


def read(noun) -> Page:
    page = Page(noun._repr_html_())
    assert not page.open
    assert set(page.tags) <= {
        *("div", "p", "b", "br", "code", "ul", "li", "details", "summary"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert page.attributes <= {"style", "open"}
    assert "url(" not in noun._repr_html_()
    return page


def runs(**columns):
    table = {"N": [1e6, 2e6], "D": [1e9, 1.4e12], "loss": [3.25, 2.5], "family": ["a", "b"]}
    return bs.read_runs(pd.DataFrame({**table, **columns}))


def test_runs_show_their_ranges_notes_and_first_rows():
    page = read(runs())
    assert "2 runs from table" in page.words
    assert "D 1B to 1.4T" in page.words and "loss 2.5 to 3.25" in page.words
    assert "family: a, b" in page.words
    assert "C is 6*N*D in 2 of 2 rows" in page.words
    assert page.tags.count("tr") == 3


def test_long_tables_are_cut_and_say_so():
    frame = pd.DataFrame({"N": np.geomspace(1e6, 1e9, 31)})
    page = Page(markup.table(frame, "row", limit=4))
    assert page.tags.count("tr") == 5
    assert "27 more rows" in page.words


def test_a_law_shows_its_card():
    page = read(bs.load_law("chinchilla"))
    for text in (
        "loss = E + A / N**alpha + B / D**beta",
        "LogNormal(log(0.35), 0.4)",
        "A / N**alpha over the typical loss",
        "return to tokens",
        "besiroglu",
        "2085.43",
        "arXiv:2203.15556",
    ):
        assert text in page.words


def test_a_law_that_is_a_function_shows_itself():
    law = bs.Law.from_function(
        lambda p, c, xp: p["E"] + 1 / c["x"],
        variables={"x": {"column": "x"}},
        parameters={"E": {"prior": "HalfNormal(2)", "about": NASTY}},
        name="mine",
    )
    page = read(law)
    assert "mine" in page.words and "params, columns, xp" in page.words
    assert NASTY in page.words


def test_a_fit_shows_its_verdict_and_parameters(small_fit):
    page = read(small_fit)
    table = bs.summary(small_fit)
    assert "chinchilla fitted to 40 runs" in page.words
    assert "Diagnostics ok" in page.words
    assert "family: dense, moe" in page.words
    assert "alpha[moe]" in page.words
    assert f"{table.loc['beta', 'median']:.4g}" in page.words


def test_a_refused_fit_says_so_first(small_fit):
    tree = small_fit.data.copy(deep=True)
    tree["sample_stats"]["diverging"][:] = True
    page = read(replace(small_fit, data=tree))
    assert "Diagnostics refuse this fit" in page.words
    assert "draws diverged" in page.words


def test_a_prediction_shows_sentence_interval_and_warnings(small_fit):
    prediction = bs.predict(small_fit, {"N": 1e9, "D": 2e10, "family": "dense"})
    page = read(replace(prediction, warnings=[NASTY]))
    assert prediction.sentences[0] in page.words
    assert NASTY in page.words
    row = prediction.table.iloc[0]
    assert f"{span((row['lower_95'], row['upper_95']), 'loss', 4)}\n" in page.words
    assert "95%" in page.words and "20B" in page.words
    assert "mean_log" not in page.words


def test_an_allocation_shows_choice_range_and_loss(small_fit):
    plan = bs.allocate(small_fit, C=1e19, at={"family": "moe"})
    page = read(replace(plan, notes=("a note",)))
    assert "Allocation of 1e19 FLOPs" in page.words
    assert "Within 0.005 of the least expected loss" in page.words
    assert plan.loss.sentences[0] in page.words
    assert "a note" in page.words


def test_a_comparison_shows_chances_and_crossovers():
    table = pd.DataFrame(
        {
            "recipe": ["old", NASTY],
            "p_best": [0.1, 0.9],
            "expected_regret": [0.02, 0.0],
            "median": [2.02, 2.0],
            "lower_95": [1.97, 1.95],
            "upper_95": [2.07, 2.05],
        }
    )
    crossing = pd.DataFrame({"pair": ["old, new"], "median": [3e21], "p_none": [0.25]})
    page = read(RecipeComparison(table, crossing, pd.DataFrame(), notes=("beware",)))
    assert f"{NASTY} is best with probability 0.900." in page.words
    assert "1.95 to 2.05" in page.words
    assert "3e21" in page.words and "beware" in page.words
    assert "factor that b needs" not in page.words  # no multipliers, no title for them


def test_every_answer_shows_itself(small_fit):
    """What notebooks show of the nouns that have no page of their own (rulings: everywhere)."""
    left = bs.loo(small_fit, reloo=False)
    assert left.pointwise.index[0] in read(left).words
    mixed = bs.average({NASTY: small_fit, "other": small_fit}, [0.7, 0.3])
    assert NASTY in read(mixed).words and "0.7" in read(mixed).words
    verdict = bs.diagnose(small_fit)
    assert read(verdict).words.strip().startswith("Diagnostics")
    refused = replace(verdict, ok=False, problems=[NASTY])
    assert NASTY in read(refused).words and "refuse" in read(refused).words
    where = {"family": "dense"}
    swept = bs.sweep_budgets(small_fit, [1e17, 1e18], at=where)
    assert "N grows as C" in read(swept).words
    reach = float(swept.table["loss"].iloc[0])
    assert "with probability" in read(bs.least_compute(small_fit, loss=reach, at=where)).words
    tuned = Tuning(pd.DataFrame({"variable": ["lr"], "value": [1e-3]}), 2.5, 1e-4, 0.005, (NASTY,))
    assert NASTY in read(tuned).words and "lr" in read(tuned).words
    scored = Backtest(
        {"n_train": 3, "n_test": 1, "coverage": {"0.95": 1.0}, "crps": 0.01},
        pd.DataFrame({"run": [NASTY], "observed": [2.5], "lower_95": [2.4], "upper_95": [2.6]}),
        small_fit,
    )
    assert "95% intervals held 100%" in read(scored).words and NASTY in read(scored).words
    machine = Machine({"cores": 2, "versions": {"bayescale": "0"}}, "one thread", [NASTY])
    assert NASTY in read(machine).words
    assert "0 fits" in read(ManyFits([], [])).words


def test_whatever_a_table_holds_is_text():
    table = runs().table.assign(**{"family": [NASTY, "b"], NASTY: NASTY})
    noun = replace(runs(), table=table, source=NASTY, notes=(NASTY,))
    page = read(noun)
    assert "script" not in page.tags
    assert page.words.count(NASTY) >= 4


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (None, "x", ""),
        (float("nan"), "x", ""),
        (float("inf"), "x", "inf"),
        (True, "ok", "True"),
        (np.int64(7), "seed", "7"),
        (np.int64(70_000_000_000), "N", "70B"),
        (2.345678, "loss", "2.346"),
        (6e22, "C", "6e22"),
        ("a", "family", "a"),
    ],
)
def test_a_cell_is_written_by_its_column(value, column, text):
    assert markup.cell(value, column) == text
