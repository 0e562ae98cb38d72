"""Conditions on a table: `C < 3e20 and family == 'dense'`, read by our own parser.

Comparisons of columns with numbers or quoted text, joined by `and`; nothing else exists, so a
condition can't run anything (pandas' `query` and `eval` can).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from bayescale.errors import DataError, FormulaError
from bayescale.grammar import Token, nearest, tokens, why_refused

if TYPE_CHECKING:
    import pandas as pd

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Comparison:
    """One comparison of a column with a number or a text."""

    column: str
    sign: str
    value: float | str


@dataclass(frozen=True)
class Condition:
    """Comparisons that must all hold.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"C": [1e19, 1e21], "family": ["dense", "moe"]})
    >>> Condition.parse("1e18 <= C < 3e20 and family == 'dense'").mask(table)
    array([ True, False])
    """

    text: str
    comparisons: tuple[Comparison, ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Parameters
        ----------
        text : str
            ``column sign value`` joined by ``and``; a sign is < <= > >= == or !=, a value a
            number or quoted text. ``1e18 <= C < 3e20`` is two comparisons.

        Raises
        ------
        FormulaError
            With the position of the fault.
        """
        return cls(text, tuple(_Reader(text).whole()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared, in order of appearance."""
        return tuple(dict.fromkeys(c.column for c in self.comparisons))

    def mask(self, table: pd.DataFrame) -> np.ndarray:
        """Say for each row whether the condition holds; a missing value never does.

        Returns
        -------
        ndarray of bool, shape (rows,)

        Raises
        ------
        DataError
            For columns that the table lacks, and text compared with a number.
        """
        faults = [
            f"no column {name!r} in {self.text!r}.{nearest(name, list(map(str, table.columns)))}"
            for name in self.columns
            if name not in table.columns
        ]
        if not faults:
            faults = [f for c in self.comparisons for f in _mismatch(c, table[c.column])]
        if faults:
            raise DataError("the condition does not suit the table:", tuple(faults))
        holds = np.ones(len(table), dtype=bool)
        for comparison in self.comparisons:
            holds &= _holds(comparison, table[comparison.column])
        return holds


def _mismatch(comparison: Comparison, column: Any) -> list[str]:
    from pandas.api import types

    name, value = comparison.column, comparison.value
    if types.is_numeric_dtype(column):  # pandas counts bool as numeric
        if isinstance(value, str):
            return [f"column {name!r} holds numbers; write a number, not the text {value!r}"]
        return []
    present = column.dropna()
    if isinstance(value, str):
        if comparison.sign not in ("==", "!="):
            return [
                f"column {name!r} holds text, which is compared by == or !=, not by "
                f"{comparison.sign}"
            ]
        return []
    texts = [v for v in present if not isinstance(v, int | float | np.number)]
    if texts:
        return [f"column {name!r} holds text ({texts[0]!r}, ...); write '...' instead of {value:g}"]
    return []


def _holds(comparison: Comparison, column: Any) -> np.ndarray:
    present = column.notna().to_numpy()
    held = np.zeros(len(column), dtype=bool)
    kept = column[present]
    values: Any
    if isinstance(comparison.value, str):
        values = kept.map(str).to_numpy(dtype=object)
    else:
        values = kept.to_numpy(dtype=float)
    held[present] = _COMPARE[comparison.sign](values, comparison.value).astype(bool)
    return held


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.text, self.at = text, 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, message: str) -> NoReturn:
        token = self.token
        if token.kind == "bad":
            message = why_refused(token.text)
        elif token.text == "=":
            message = "equality is written =="
        elif token.text in ("or", "not", "in", "is"):
            message = f"{token.text!r} has no meaning here: comparisons are joined by and"
        elif token.text in ("&", "|", "&&"):
            message = "comparisons are joined by and"
        raise FormulaError(message, self.text, token.position)

    def take(self) -> Token:
        token = self.token
        self.at += token.kind != "end"
        return token

    def whole(self) -> list[Comparison]:
        if self.token.kind == "end":
            self.fail("the condition is empty; write one such as C < 3e20")
        found = self.chain()
        while self.token.kind == "name" and self.token.text == "and":
            self.take()
            found += self.chain()
        if self.token.kind != "end":
            self.fail("expected 'and' or the end of the condition here")
        return found

    def chain(self) -> list[Comparison]:
        """Read `a < x`, `x < b` or `a < x < b`."""
        start = self.token.position
        left = self.side()
        found: list[Comparison] = []
        while not found or self.token.text in _COMPARE:
            if self.token.text not in _COMPARE:
                self.fail("a comparison is missing here: < <= > >= == or !=")
            sign = self.take().text
            right = self.side()
            columns = [isinstance(side, _Column) for side in (left, right)]
            if sum(columns) != 1:
                both = "two columns" if all(columns) else "two values"
                raise FormulaError(
                    f"this compares {both}; compare a column with a number or quoted text "
                    "(text stands in quotes: family == 'dense')",
                    self.text,
                    start,
                )
            if isinstance(left, _Column):
                found.append(Comparison(left.name, sign, _plain(right)))
            else:
                found.append(Comparison(_name(right), _MIRRORED[sign], _plain(left)))
            left = right
        return found

    def side(self) -> _Column | float | str:
        negative = (
            self.token.kind == "symbol" and self.token.text in "+-" and self.take().text == "-"
        )
        token = self.token
        if token.kind == "number":
            value = float(token.text)
            following = self.tokens[self.at + 1]
            if not np.isfinite(value):
                self.fail("this number is too large for a float")
            if following.kind == "name" and following.position == token.position + len(token.text):
                self.at += 1
                self.fail("a number is followed by letters (text stands in quotes)")
            self.take()
            return -value if negative else value
        if negative:
            self.fail("a number is missing after the sign")
        if token.kind == "text":
            return self.take().text[1:-1]
        if token.kind == "name" and token.text not in ("and", "or", "not", "in", "is"):
            if token.text.startswith("__"):
                self.fail("column names do not begin with __")
            name = self.take().text
            if self.token.text == "(":
                self.fail("nothing can be called in a condition")
            return _Column(name)
        if token.kind == "end":
            self.fail("the condition ends here; a column, a number or quoted text is missing")
        self.fail("a column, a number or quoted text is missing here")


@dataclass(frozen=True)
class _Column:
    name: str


def _plain(side: _Column | float | str) -> float | str:
    assert not isinstance(side, _Column)
    return side


def _name(side: _Column | float | str) -> str:
    assert isinstance(side, _Column)
    return side.name
