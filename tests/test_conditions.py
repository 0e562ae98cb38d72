"""Conditions: right rows, nothing run, faults that point."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescale.conditions import Comparison, Condition
from bayescale.errors import DataError, FormulaError

TABLE = pd.DataFrame(
    {
        "C": [1e19, 3e20, 1e21, np.nan],
        "family": ["dense", "moe", "dense", None],
        "excluded_by_source": [0, 0, 1, 0],
        "is_final": [True, False, True, True],
        "mixed": [1, "a", 2.5, None],
        "x-y": [1, 2, 3, 4],
    }
)


def rows(text: str) -> list[int]:
    mask = Condition.parse(text).mask(TABLE)
    assert mask.dtype == bool
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C<3e20", [0]),
        ("C <= 3e20", [0, 1]),
        ("C > 3e20", [2]),
        ("C >= 3e20", [1, 2]),
        ("C == 3e20", [1]),
        ("C != 3e20", [0, 2]),
        ("3e20 > C", [0]),
        ("3e20 <= C", [1, 2]),
        ("1e19 < C <= 1e21", [1, 2]),
        ("1e22 > C >= 3e20", [1, 2]),
        ("family == 'dense'", [0, 2]),
        ('family != "dense"', [1]),
        ("'moe' == family", [1]),
        ("C<3e20 and excluded_by_source == 0 and family == 'dense'", [0]),
        ("C < 1e30 and C > 1e30", []),
        ("C > -1", [0, 1, 2]),
        ("is_final == 1", [0, 2, 3]),
        ("mixed == 'a'", [1]),
    ],
)
def test_rows(text, expected):
    assert rows(text) == expected


def test_what_is_read():
    condition = Condition.parse("1 < C <= 2 and family == 'a b'")
    assert condition.comparisons == (
        Comparison("C", ">", 1.0),
        Comparison("C", "<=", 2.0),
        Comparison("family", "==", "a b"),
    )
    assert condition.columns == ("C", "family")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("c < 1", r"no column 'c' in 'c < 1'\. Did you mean 'C'\?"),
        ("famly == 'x'", "Did you mean 'family'"),
        ("C == 'big'", "column 'C' holds numbers; write a number, not the text 'big'"),
        ("family < 3", "column 'family' holds text"),
        ("family < 'e'", "compared by == or !="),
        ("mixed < 2", "column 'mixed' holds text"),
    ],
)
def test_the_table_does_not_suit(text, fault):
    with pytest.raises(DataError, match=fault):
        Condition.parse(text).mask(TABLE)


def test_every_fault_at_once():
    with pytest.raises(DataError) as caught:
        Condition.parse("a < 1 and b < 2").mask(TABLE)
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("", "empty", 0),
        ("C", "a comparison is missing", 1),
        ("C <", "ends here", 3),
        ("C = 3", "equality is written ==", 2),
        ("C < 3 or C > 5", "'or' has no meaning here", 6),
        ("not C < 3", "'not' has no meaning here", 0),
        ("C < 3 & D < 4", "& has no meaning here", 6),
        ("C < 3 | D < 4", "joined by and", 6),
        ("C < D", "two columns", 0),
        ("1 < 2", "two values", 0),
        ("family == dense", "two columns", 0),
        ("C < 3 4", "expected 'and'", 6),
        ("C < 3x", "followed by letters", 5),
        ("C < 1e999", "too large", 4),
        ("C.to_csv('x.csv')", "a dot has no meaning", 1),
        ("to_csv('x.csv') == 1", "nothing can be called", 6),
        ("@C < 3", "@ has no meaning", 0),
        ("C < (3)", "a number or quoted text is missing", 4),
        ("family == 'x", "not closed", 10),
        ("__class__ == 1", "do not begin with __", 0),
        ("C < -", "a number is missing after the sign", 5),
        ("C < 3 and", "ends here", 9),
        ("C < 3\0", "ASCII", 5),
    ],
)
def test_refused_with_a_caret(text, message, at):
    with pytest.raises(FormulaError, match=message) as caught:
        Condition.parse(text)
    assert caught.value.position == at


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormulaError):
        Condition.parse('C.to_csv("x.csv") and C < 3').mask(TABLE)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=400, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(["C", " and ", "<", "<=", "==", "1", "3e20", "'a'", " ", "-", "family"]),
        max_size=9,
    ).map("".join)
)
def test_random_texts_raise_nothing_else(text):
    try:
        mask = Condition.parse(text).mask(TABLE)
    except (FormulaError, DataError):
        return
    assert mask.shape == (4,)


@given(st.floats(-1e30, 1e30), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_agrees_with_pandas(value, sign):
    table = pd.DataFrame({"C": [-1.0, 0.0, value, 1e29]})
    expected = table.query(f"C {sign} {value!r}").index.tolist()
    got = np.flatnonzero(Condition.parse(f"C {sign} {value!r}").mask(table)).tolist()
    assert got == expected
