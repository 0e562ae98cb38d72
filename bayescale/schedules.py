"""Learning-rate schedules: a rate for every step, read from text, and what laws sum along them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayescale.errors import DataError, FormulaError

Floats = NDArray[np.float64]

MAX_STEPS = 10_000_000
DECAY = 0.999  # a step's memory of annealing (Tissue et al. 2024, arXiv:2408.11029)
_STAGE = re.compile(
    r"\s*(?P<what>from|constant|jump|linear|cosine|exponential|sqrt)"
    r"(?:\s+(?:to\s+)?(?P<rate>[0-9][0-9.eE+-]*))?(?:\s+over\s+(?P<steps>[0-9][0-9_.eE+]*))?\s*"
)
_USAGE = (
    "a schedule is stages with ; between: 'linear to 3e-4 over 2000; cosine to 3e-5 over 22000'. "
    "Stages: constant over STEPS; linear, cosine, exponential or sqrt to RATE over STEPS; jump to "
    "RATE; from RATE, first, where it does not begin at 0"
)


@dataclass(frozen=True, eq=False)
class Schedule:
    """A learning rate for every step.

    Attributes
    ----------
    rates : ndarray
        Of steps 0, 1, 2, ...; step 0 is before training.

    Examples
    --------
    >>> schedule = Schedule.parse("linear to 3e-4 over 2; cosine to 3e-5 over 2")
    >>> schedule.rates.round(6).tolist()
    [0.0, 0.00015, 0.0003, 0.000165, 3e-05]
    >>> round(schedule.area(3), 6)
    0.000615
    """

    rates: Floats

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read stages such as ``linear to 3e-4 over 2000; cosine to 3e-5 over 22000``.

        Raises
        ------
        FormulaError
            With a caret under the stage at fault.
        """
        if not isinstance(text, str) or len(text) > 2000:
            raise FormulaError(_USAGE, str(text)[:80], 0)
        parts, rate, position, length = [np.zeros(1)], 0.0, 0, 1
        for number, stage in enumerate(text.split(";")):
            match = _STAGE.fullmatch(stage)
            if match is None:
                raise FormulaError(_USAGE, text, position + len(stage) - len(stage.lstrip()))
            what, end, steps = _stage(match, text, position, number)
            length += steps
            if length > MAX_STEPS:
                raise FormulaError(f"more than {MAX_STEPS} steps", text, position)
            if what == "exponential" and rate == 0:
                raise FormulaError("an exponential can't begin at 0", text, position)
            end = rate if end is None else end
            if what in _SHAPES:
                parts.append(_SHAPES[what](rate, end, np.arange(1, steps + 1) / steps))
            if what == "from":
                parts[0][0] = end
            rate, position = end, position + len(stage) + 1
        return cls(np.concatenate(parts))

    @classmethod
    def of(cls, given: Schedule | str | Any) -> Schedule:
        """Take a schedule, its text, or the rates of steps 0, 1, 2, ... themselves."""
        if isinstance(given, Schedule):
            return given
        if isinstance(given, str):
            return _parsed(given)
        rates = np.asarray(given, dtype=np.float64)
        if rates.ndim != 1 or len(rates) < 2 or not np.all(np.isfinite(rates) & (rates >= 0)):
            raise DataError("a schedule's rates are a list of numbers from 0 on, one a step")
        return cls(rates)

    @property
    def steps(self) -> int:
        """The last step."""
        return len(self.rates) - 1

    def area(self, step: int) -> float:
        """Sum of the rates up to a step."""
        return float(np.sum(self.rates[: step + 1]))

    def annealed(self, step: int) -> float:
        """Sum up to a step of the rate given up, with memory: S_2 of Tissue et al. 2024.

        The sum of m_i, m_i = 0.999 m_(i-1) + eta_(i-1) - eta_i, from the end of the warm-up on.
        """
        first = int(np.argmax(self.rates))
        drops = -np.diff(self.rates[first : max(step, first) + 1])
        ages = np.arange(len(drops), 0, -1)
        return float(np.sum(drops * (1 - DECAY**ages)) / (1 - DECAY))

    def pieces(self, step: int, count: int) -> Floats:
        """Changes of the rate up to a step, gathered into few pieces.

        Parameters
        ----------
        step : int
        count : int
            How many pieces there are; unused ones change nothing.

        Returns
        -------
        ndarray, shape (count, 4)
            Of each piece the rate before and after it; the mean of the rates in it and of the
            area from them to `step`, weighted by how much the rate changes. Every change has
            a piece of its own where there are no more of them; otherwise a piece holds about an
            equal part of the changes, and of changes over the area since: recent ones count.
            With 16 pieces the sums of a multi-power law are exact to 2e-4 nats, with 24 to 8e-5.
        """
        idle = float(np.max(self.rates))
        table = np.full((count, 4), idle)
        changes = self._changes
        n = int(np.searchsorted(changes.at, step))
        if n == 0:
            return table
        far = max(n - _NEAR, 0)  # long ago, changes count by sixteens
        cells = np.union1d(np.r_[0:far:16, far:n], changes.turns[changes.turns < n])
        weight = np.diff(changes.weight[np.append(cells, n)])
        since = changes.sums[step] - changes.sums[changes.at[cells]]
        turned = np.isin(cells, changes.turns)
        begins = cells[_begins(weight, since / idle, turned, count)]
        k, ends = len(begins), np.append(begins[1:], n)
        total = changes.weight[ends] - changes.weight[begins]
        table[:k, 0] = self.rates[changes.at[begins]]
        table[:k, 1] = self.rates[changes.at[ends - 1] + 1]
        table[:k, 2] = (changes.rate[ends] - changes.rate[begins]) / total
        table[:k, 3] = changes.sums[step] - (changes.area[ends] - changes.area[begins]) / total
        return np.maximum(table, 1e-9 * idle)

    @cached_property
    def _changes(self) -> _Changes:
        change = np.diff(self.rates)
        at = np.flatnonzero(np.abs(change) > 1e-9 * np.max(self.rates))
        weight, sums = np.abs(change[at]), np.cumsum(self.rates)
        running = [np.cumsum(np.r_[0.0, weight * x]) for x in (1.0, self.rates[at + 1], sums[at])]
        turns = np.flatnonzero(np.diff(np.sign(change[at]))) + 1
        return _Changes(at, turns, sums, *running)


_NEAR = 4000  # changes


@dataclass(frozen=True)
class _Changes:
    """Changes of a rate: after which steps, where their sign turns, and running sums."""

    at: NDArray[np.int64]
    turns: NDArray[np.int64]
    sums: Floats  # of the rates, a value a step
    weight: Floats  # running sums of the changes' sizes, and times the rate, and times `sums`
    rate: Floats
    area: Floats


def _begins(
    weight: Floats, since: Floats, turned: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Where pieces begin: none holds changes of both signs."""
    turns = np.flatnonzero(turned)
    if len(weight) <= count:
        return np.arange(len(weight))
    if len(turns) >= count:
        raise DataError(f"the rate turns {len(turns)} times; {count} pieces can't hold that")
    recent = weight / np.maximum(since, 1.0)
    part = 0.5 * weight / np.sum(weight) + 0.5 * recent / np.sum(recent)
    own = np.floor((np.cumsum(part) - 0.5 * part) * (count - len(turns))).astype(int)
    return np.union1d(np.unique(own, return_index=True)[1], turns)


def _linear(start: float, end: float, x: Floats) -> Floats:
    return start + (end - start) * x


_SHAPES: Mapping[str, Any] = {
    "constant": lambda start, end, x: np.full_like(x, start),
    "linear": _linear,
    "cosine": lambda start, end, x: _linear(start, end, 0.5 - 0.5 * np.cos(np.pi * x)),
    "exponential": lambda start, end, x: start * (end / start) ** x,
    "sqrt": lambda start, end, x: _linear(start, end, np.sqrt(x)),
}


def _stage(
    match: re.Match[str], text: str, position: int, number: int
) -> tuple[str, float | None, int]:
    """What a stage does, the rate at which it ends, its steps."""
    what = match["what"]
    needs = {"constant": (False, True), "jump": (True, False), "from": (True, False)}
    rate, steps = needs.get(what, (True, True))
    if bool(match["rate"]) != rate or bool(match["steps"]) != steps or (what == "from" and number):
        raise FormulaError(_USAGE, text, position + match.start("what"))
    try:
        end = float(match["rate"]) if rate else None
        count = float(match["steps"]) if steps else 0.0
    except ValueError:
        raise FormulaError(_USAGE, text, position + match.start("what")) from None
    if steps and not (count >= 1 and count == int(count)):
        raise FormulaError("steps are a whole number", text, position + match.start("steps"))
    if what == "exponential" and end == 0:
        raise FormulaError("an exponential can't end at 0", text, position + match.start("rate"))
    return what, end, int(count)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Schedule:
    return Schedule.parse(text)
