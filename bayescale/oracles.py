"""Published facts that a law must reproduce: what a card's `[[checks]]` can ask.

An oracle is a number that the paper, its code or its data state independently of the formula:
an optimum, an exponent, a ratio, the error at a measured run. Restating the formula proves
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayescale.elements import number
from bayescale.errors import LawError
from bayescale.grammar import nearest

_OPTIMA = ("N_opt", "D_opt", "N_opt_exponent")

Loss = Callable[..., np.ndarray]  # the law at one published set, of columns


@dataclass(frozen=True)
class Check:
    """One oracle of a card.

    Attributes
    ----------
    what : str
        One of `QUANTITIES`.
    set : str
        The published set of constants that it is computed with.
    at : Mapping of str to float
        Columns, in base units; `C` in training FLOPs for the optima.
    expected, tolerance : float
        The published number and the relative difference allowed.
    source : str
        Where the number stands.
    over : Mapping of str to float
        For `loss_ratio`, the columns of the denominator.
    measured : float
        For `relative_error`, the measured loss.
    """

    what: str
    set: str
    at: Mapping[str, float]
    expected: float
    tolerance: float
    source: str
    over: Mapping[str, float] = field(default_factory=dict)
    measured: float | None = None

    def __post_init__(self) -> None:
        """Refuse a check that can't be computed or can't fail."""
        if self.what not in QUANTITIES:
            raise LawError(
                f"unknown check {self.what!r}.{nearest(self.what, QUANTITIES)} "
                f"Known: {', '.join(QUANTITIES)}"
            )
        if not 0 < self.tolerance < 1:
            raise LawError(f"check {self.label}: tolerance must lie between 0 and 1 (relative)")
        if self.expected == 0:
            raise LawError(f"check {self.label}: expected must not be 0")
        if self.what == "relative_error" and not self.measured:
            raise LawError(f"check {self.label}: give the measured loss as `measured`")
        if self.what == "loss_ratio" and not self.over:
            raise LawError(f"check {self.label}: give the columns of the denominator as `over`")
        if self.what in _OPTIMA and set(self.at) != {"C"}:
            raise LawError(f"check {self.label}: `at` must give C, in FLOPs, and nothing else")

    @property
    def label(self) -> str:
        """A short name: what, the set, where."""
        place = ", ".join(f"{name}={value:g}" for name, value in self.at.items())
        return f"{self.what} [{self.set}] at {place}"

    def got(self, loss: Loss) -> float:
        """Return the law's own value of the quantity."""
        return float(QUANTITIES[self.what](self, loss))

    def agrees(self, got: float) -> bool:
        """Whether a value lies within the tolerance."""
        return bool(abs(got - self.expected) <= self.tolerance * abs(self.expected))


def optimal_N(loss: Loss, C: float) -> float:
    """Return the model size of lowest loss on C = 6 N D, by a search that knows no formula.

    Parameters
    ----------
    loss : callable
        Of columns N and D.
    C : float
        Training FLOPs.

    Raises
    ------
    LawError
        If the lowest loss lies at an end of [1, C / 6].

    Examples
    --------
    >>> round(optimal_N(lambda N, D: 1 / N + 1 / D, 6e10))
    100000
    """
    low, high = 0.0, np.log(C / 6.0)
    for _ in range(12):  # each pass narrows the bracket fifty times, to rounding error
        grid = np.linspace(low, high, 101)
        losses = loss(N=np.exp(grid), D=C / 6.0 / np.exp(grid))
        best = int(np.argmin(losses))
        if best in (0, 100) and (low, high) == (0.0, np.log(C / 6.0)):
            raise LawError(f"at C={C:g} the law has no best model size inside [1, C/6]")
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 100)]
        if high - low < 1e-7:
            break
    return float(np.exp((low + high) / 2))


def _exponent(check: Check, loss: Loss) -> float:
    sizes = [optimal_N(loss, check.at["C"] * factor) for factor in (0.1, 10.0)]
    return float(np.log10(sizes[1] / sizes[0]) / 2)


def _relative_error(check: Check, loss: Loss) -> float:
    assert check.measured is not None
    return abs(float(loss(**check.at)) / check.measured - 1)


QUANTITIES: dict[str, Callable[[Check, Loss], float]] = {
    "loss": lambda check, loss: float(loss(**check.at)),
    "loss_ratio": lambda check, loss: float(loss(**check.at)) / float(loss(**check.over)),
    "relative_error": _relative_error,
    "N_opt": lambda check, loss: optimal_N(loss, check.at["C"]),
    "D_opt": lambda check, loss: check.at["C"] / 6.0 / optimal_N(loss, check.at["C"]),
    "N_opt_exponent": _exponent,
}


def read_checks(
    card: Mapping[str, Any],
    published: Mapping[str, Any],
    columns: Sequence[str],
) -> tuple[Check, ...]:
    """Read a card's checks; `columns` are those of the law's variables."""
    entries = card.get("checks", [])
    if not entries and not card.get("unverified"):
        raise LawError(
            "the card lacks [[checks]]: give a number that the paper, its code or its data "
            'state, or say why there is none: unverified = "..."'
        )
    checks = []
    for i, entry in enumerate(entries, 1):
        place = f"checks {i}"
        lacking = [k for k in ("what", "set", "at", "expected", "source") if k not in entry]
        if lacking:
            raise LawError(f"{place} lacks {', '.join(lacking)}")
        if entry["set"] not in published:
            guess = nearest(entry["set"], published)
            raise LawError(f"{place}: no published set is called {entry['set']!r}.{guess}")
        places = {
            key: {n: number(v, f"{place}.{key}.{n}") for n, v in entry.get(key, {}).items()}
            for key in ("at", "over")
        }
        optimum = entry["what"] in _OPTIMA
        if optimum and set(columns) != {"N", "D"}:
            raise LawError(f"{place}: {entry['what']} needs a law of the columns N and D")
        for at in () if optimum else (places["at"], places["over"]):
            if at and set(at) != set(columns):
                raise LawError(f"{place} must give the columns {', '.join(columns)}")
        stated: dict[str, Any] = {"tolerance": 0.01, **entry, **places}
        checks.append(Check(**stated))
    return tuple(checks)
