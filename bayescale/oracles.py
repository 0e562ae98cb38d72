"""Published facts that a law must reproduce: what a card's `[[checks]]` can ask.

An oracle is a number that the paper, its code or its data state independently of the formula:
an optimum, an exponent, a crossing, a ratio, the error at a measured run or over a table of
runs. Restating the formula proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayescale.elements import number
from bayescale.errors import DataError, LawError, placed
from bayescale.formula import Expression
from bayescale.grammar import nearest
from bayescale.optimum import minimise, roots
from bayescale.oracle_tables import MEASURES, Table
from bayescale.schedule_columns import columns_at

_BUDGETED = ("N_opt", "D_opt", "N_opt_exponent")
_SEARCHED = ("argmin", "argmax", "lowest", "crossing", "solution")
_GRID = 200  # places along the logarithm of a column, between which a change of sign is looked for

Loss = Callable[..., np.ndarray]  # the law at one published set, of columns
Losses = Callable[[str], Loss]  # by the name of the set


@dataclass(frozen=True)
class Check:
    """One oracle of a card.

    Attributes
    ----------
    what : str
        One of `QUANTITIES`.
    set : str
        The published set of constants that it is computed with.
    expected, tolerance : float
        The published number and the relative difference allowed.
    source : str
        Where the number stands.
    at : Mapping of str to float
        Columns, in base units; `C` in training FLOPs for the optima; what `tied` needs.
    over : Mapping of str to float
        The other place: the denominator of `loss_ratio` and `lowest`, the other side of `crossing`.
    against : str
        The published set of that other place, where it is another.
    measured : float
        For `relative_error` and `solution`, the loss measured or wanted.
    along : str
        The column that is searched.
    within : tuple of float
        Both ends of the search.
    tied : Mapping of str to Expression
        Columns that follow from the others: ``{ D = "C / (6 * N)" }``, a budget.
    table : Table or None
        The rows over which a measure is taken.
    response : str
        The law's response, a column of the table.
    columns : tuple of str
        The columns of the law's variables.
    schedule : str
        The learning-rate schedule, and the step of it, that columns of `at` were computed from.
    """

    what: str
    set: str
    expected: float
    tolerance: float
    source: str
    at: Mapping[str, float] = field(default_factory=dict)
    over: Mapping[str, float] = field(default_factory=dict)
    against: str = ""
    measured: float | None = None
    along: str = ""
    within: tuple[float, ...] = ()
    tied: Mapping[str, Expression] = field(default_factory=dict)
    table: Table | None = None
    response: str = "loss"
    columns: tuple[str, ...] = ()
    schedule: str = ""

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
        if self.what in ("relative_error", "solution") and not self.measured:
            raise LawError(f"check {self.label}: give the measured loss as `measured`")
        if self.what == "loss_ratio" and not self.over:
            raise LawError(f"check {self.label}: give the columns of the denominator as `over`")
        if self.what in _BUDGETED and set(self.at) != {"C"}:
            raise LawError(f"check {self.label}: `at` must give C, in FLOPs, and nothing else")
        if self.what in _SEARCHED and not (self.along and _is_range(self.within)):
            raise LawError(
                f"check {self.label}: give the column searched as `along` and its range as "
                "`within = [low, high]`, 0 < low < high"
            )
        if self.what == "crossing" and not (self.over or self.against):
            raise LawError(f"check {self.label}: give the other side as `over` or `against`")
        if (self.what in MEASURES) != (self.table is not None):
            raise LawError(f"check {self.label}: `table` or `rows` go with {', '.join(MEASURES)}")

    @property
    def label(self) -> str:
        """A short name: what, the set, where."""
        place = ", ".join(f"{name}={value:g}" for name, value in self.at.items())
        if self.schedule:
            place = self.schedule
        if self.along:
            place = f"{place} along {self.along}".strip()
        if self.table is not None:
            place = self.table.path or "the rows given"
        return f"{self.what} [{self.set}] at {place}"

    @property
    def absent(self) -> str:
        """Why the check can't be run here (its table is not at hand); empty where it can."""
        return self.table.absent if self.table is not None else ""

    def got(self, losses: Losses) -> float:
        """Return the law's own value of the quantity; `losses` gives the law at a set."""
        return float(QUANTITIES[self.what](self, losses))

    def agrees(self, got: float) -> bool:
        """Whether a value lies within the tolerance."""
        return bool(abs(got - self.expected) <= self.tolerance * abs(self.expected))


def _is_range(within: Sequence[float]) -> bool:
    return len(within) == 2 and 0 < within[0] < within[1]


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


def _exponent(check: Check, losses: Losses) -> float:
    loss = losses(check.set)
    sizes = [optimal_N(loss, check.at["C"] * factor) for factor in (0.1, 10.0)]
    return float(np.log10(sizes[1] / sizes[0]) / 2)


def _loss(check: Check, losses: Losses) -> float:
    return float(losses(check.set)(**check.at))


def _relative_error(check: Check, losses: Losses) -> float:
    assert check.measured is not None
    return abs(_loss(check, losses) / check.measured - 1)


def _line(
    check: Check, loss: Loss, at: Mapping[str, float], columns: Sequence[str]
) -> Callable[[np.ndarray], np.ndarray]:
    """The law along one column's logarithm, the tied columns following."""

    def value(log_x: np.ndarray) -> np.ndarray:
        known: dict[str, Any] = {**at, check.along: np.exp(log_x)}
        for name, expression in check.tied.items():
            known.setdefault(name, expression(known))
        return loss(**{name: known[name] for name in columns})

    return value


def _search(check: Check, losses: Losses, sign: float) -> tuple[float, float]:
    """Where the law is lowest (sign 1) or highest (-1) along the column, and its value there."""
    line = _line(check, losses(check.set), check.at, check.columns)
    low, high = np.log(check.within)
    found = minimise(lambda x: sign * line(x), low, high)
    if not found.interior:
        raise LawError(f"check {check.label}: the optimum lies at an end of `within`")
    return float(np.exp(found.x)), sign * float(found.value)


def _lowest(check: Check, losses: Losses) -> float:
    """The least value along the column; with `over`, as a ratio to the value there."""
    where, value = _search(check, losses, 1.0)
    if not check.over:
        return value
    there = _line(check, losses(check.set), {**check.at, **check.over}, check.columns)
    return value / float(there(np.log(where)))


def _crossing(check: Check, losses: Losses) -> float:
    """Where the law at two places, or at two sets, is the same; `over` may name a few columns."""
    here = _line(check, losses(check.set), check.at, check.columns)
    there_at = {**check.at, **check.over}
    there = _line(check, losses(check.against or check.set), there_at, check.columns)
    return _root(check, lambda x: here(x) - there(x))


def _solution(check: Check, losses: Losses) -> float:
    line = _line(check, losses(check.set), check.at, check.columns)
    return _root(check, lambda x: line(x) - check.measured)


def _root(check: Check, difference: Callable[[np.ndarray], np.ndarray]) -> float:
    grid = np.linspace(*np.log(check.within), _GRID)
    side = np.sign(difference(grid))  # all at once: each may be the root of an equation itself
    crossed = np.flatnonzero((side[:-1] * side[1:] <= 0) & (side[:-1] != 0))
    if not crossed.size:
        raise LawError(f"check {check.label}: no such place lies within the range")
    cell = grid[crossed[0]], grid[crossed[0] + 1]
    return float(np.exp(roots(difference, *cell, points=2)))


def _measure(check: Check, losses: Losses) -> float:
    assert check.table is not None
    columns = check.table.read([*check.columns, check.response])
    measured, groups = columns.pop(check.response), check.table.labels()
    predicted = losses(check.set)(**columns)
    within = [groups == group for group in np.unique(groups)]
    return float(np.mean([MEASURES[check.what](measured[g], predicted[g]) for g in within]))


Quantity = Callable[[Check, Losses], float]
QUANTITIES: dict[str, Quantity] = {
    "loss": _loss,
    "loss_ratio": lambda check, losses: (
        _loss(check, losses) / float(losses(check.set)(**check.over))
    ),
    "relative_error": _relative_error,
    "N_opt": lambda check, losses: optimal_N(losses(check.set), check.at["C"]),
    "D_opt": lambda check, losses: (
        check.at["C"] / 6.0 / optimal_N(losses(check.set), check.at["C"])
    ),
    "N_opt_exponent": _exponent,
    "argmin": lambda check, losses: _search(check, losses, 1.0)[0],
    "argmax": lambda check, losses: _search(check, losses, -1.0)[0],
    "lowest": _lowest,
    "crossing": _crossing,
    "solution": _solution,
    **dict.fromkeys(MEASURES, _measure),
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
    response = card.get("response", {}).get("column", "loss")
    return tuple(
        _read_check(entry, f"checks {i}", published, columns, response)
        for i, entry in enumerate(entries, 1)
    )


def _read_check(
    entry: Mapping[str, Any],
    place: str,
    published: Mapping[str, Any],
    columns: Sequence[str],
    response: str,
) -> Check:
    lacking = [k for k in ("what", "set", "expected", "source") if k not in entry]
    if lacking:
        raise LawError(f"{place} lacks {', '.join(lacking)}")
    for label in (entry["set"], entry.get("against", entry["set"])):
        if label not in published:
            raise LawError(
                f"{place}: no published set is called {label!r}.{nearest(label, published)}"
            )
    places = {
        key: {n: number(v, f"{place}.{key}.{n}") for n, v in entry.get(key, {}).items()}
        for key in ("at", "over")
    }
    if "schedule" in entry:
        places["at"] |= _along_schedule(entry, columns, places["at"], place)
        entry = dict(entry, schedule=f"step {entry['step']:g} of {entry['schedule']}")
    rows = {
        n: [number(v, f"{place}.rows.{n}") for v in r] for n, r in entry.get("rows", {}).items()
    }
    plain = ("what", "set", "source", "against", "measured", "along", "schedule")
    given = {k: entry[k] for k in plain if k in entry}
    known = [*columns, *places["at"], entry.get("along", "")]
    check = Check(
        **given,
        **places,
        expected=number(entry["expected"], f"{place}.expected"),
        tolerance=entry.get("tolerance", 0.01),
        within=tuple(number(v, f"{place}.within") for v in entry.get("within", ())),
        tied={n: _tied(t, known, f"{place}.tied.{n}") for n, t in entry.get("tied", {}).items()},
        table=_read_table(entry, rows),
        response=response,
        columns=tuple(columns),
    )
    _check_columns(check, place)
    return check


def _along_schedule(
    entry: Mapping[str, Any], columns: Sequence[str], at: Mapping[str, float], place: str
) -> dict[str, float]:
    """The columns that a check leaves to its schedule and step."""
    if "step" not in entry:
        raise LawError(f"{place}: a schedule goes with a step")
    wanted = [column for column in columns if column not in at]
    with placed(f"{place}.schedule"):
        try:
            values = columns_at(entry["schedule"], entry["step"], wanted)
        except DataError as error:
            raise LawError(f"{place}: {error}") from None
    return {column: float(value) for column, value in zip(wanted, values, strict=True)}


def _read_table(entry: Mapping[str, Any], rows: Mapping[str, Sequence[float]]) -> Table | None:
    if not ("table" in entry or rows):
        return None
    named = {key: entry[key] for key in ("where", "columns", "schedules", "by") if key in entry}
    return Table(entry.get("table", ""), rows=rows, **named)


def _tied(text: str, known: Sequence[str], place: str) -> Expression:
    with placed(place):
        return Expression.parse(text, known)


def _check_columns(check: Check, place: str) -> None:
    """Every column of the law must be given, once."""
    columns = set(check.columns)
    if check.what in _BUDGETED and columns != {"N", "D"}:
        raise LawError(f"{place}: {check.what} needs a law of the columns N and D")
    if check.what in _BUDGETED or check.table is not None:
        return
    searched = {check.along} - {""}
    given = set(check.at) | searched | set(check.tied)
    needed = {name for e in check.tied.values() for name in e.names}
    if columns - given or set(check.at) - columns - needed or searched - columns - needed:
        raise LawError(f"{place} must give the columns {', '.join(check.columns)}")
    if check.what == "loss_ratio" and set(check.over) != columns:
        raise LawError(f"{place} must give the columns {', '.join(check.columns)}")
    if set(check.over) - given:
        raise LawError(
            f"{place}.over names {', '.join(sorted(set(check.over) - given))}, not in at"
        )
