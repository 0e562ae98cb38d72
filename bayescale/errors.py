"""The kinds of error that users meet: each names what is at fault, where, and the remedy."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescale.averages import Average
    from bayescale.fitting import Fit


class BayescaleError(ValueError):
    """Something asked of bayescale can't be done as asked; the message says why and what to do."""


class FormulaError(BayescaleError):
    """A formula, prior, pooling or condition that can't be read, with a caret under the fault."""

    def __init__(self, message: str, text: str = "", position: int | None = None) -> None:
        self.message = message
        self.text = text
        self.position = position
        pointer = ""
        if position is not None:
            line_start = text.rfind("\n", 0, position) + 1
            line_end = text.find("\n", position)
            line = text[line_start : line_end if line_end >= 0 else len(text)]
            pointer = f"\n\n    {line}\n    {' ' * (position - line_start)}^"
        super().__init__(message + pointer)


class LawError(BayescaleError):
    """A law card (or a law built in Python) that contradicts itself or lacks something."""


class DataError(BayescaleError):
    """A table that can't be used; `faults` lists every fault found, each with its rows."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        self.faults = faults
        super().__init__("\n".join([message, *(f"  - {fault}" for fault in faults)]))


class ConvergenceError(BayescaleError):
    """Diagnostics refuse the fit; it is kept in `fit` for inspection."""

    def __init__(self, message: str, fit: Fit | Average | None = None) -> None:
        self.fit = fit
        super().__init__(message)


class UnsettledError(ConvergenceError):
    """The fit is sound, and a decision rests on what no data tell; the fit is kept in `fit`."""


@contextmanager
def placed(place: str) -> Generator[None]:
    """Say in which entry of the card a fault lies."""
    try:
        yield
    except FormulaError as error:
        raise FormulaError(f"{place}: {error.message}", error.text, error.position) from None
