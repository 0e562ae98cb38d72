"""What somebody believes before seeing runs, and priors that say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bayescale.errors import BayescaleError, LawError
from bayescale.factors import Factor, logged
from bayescale.grammar import nearest
from bayescale.law import Law


@dataclass(frozen=True)
class Belief:
    """An interval that a loss at some scale, or a parameter, lies in with some probability.

    Attributes
    ----------
    name : str
        The response (``loss``) or a parameter of the law.
    low, high : float
        Ends of the equal-tailed interval, in the runs' units.
    prob : float
    at : Mapping of str to float
        Columns of the run that a loss is of, in base units; empty for a parameter.
    """

    name: str
    low: float
    high: float
    prob: float
    at: Mapping[str, float]

    def __str__(self) -> str:
        where = ", ".join(f"{k}={v:.3g}" for k, v in self.at.items())
        where = where.replace("e+0", "e").replace("e+", "e")
        return f"{self.name} at {where}" if where else self.name


def belief(prob: float = 0.9, **said: Any) -> Belief:
    """State a belief for `elicit`.

    Parameters
    ----------
    prob : float
        Probability of the interval; as much of the rest lies below it as above.
    **said
        One interval, of the response or of a parameter: ``loss=(2.4, 2.8)``, ``alpha=(0.25, 0.4)``.
        For the response also the scale that it is at: ``N=1e9, D=2e10``.

    Returns
    -------
    Belief

    Raises
    ------
    BayescaleError
        There isn't exactly one interval, its ends aren't in order, or a number isn't one.

    Examples
    --------
    >>> print(belief(N=1e9, D=2e10, loss=(2.4, 2.8), prob=0.9))
    loss at N=1e9, D=2e10
    """
    intervals = {k: v for k, v in said.items() if isinstance(v, (tuple, list))}
    if len(intervals) != 1:
        raise BayescaleError(
            "a belief has one interval, such as loss=(2.4, 2.8) or alpha=(0.25, 0.4), not "
            f"{len(intervals)}"
        )
    ((name, ends),) = intervals.items()
    if len(ends) != 2:
        raise BayescaleError(f"{name} needs two ends, such as {name}=(2.4, 2.8)")
    low, high = (_number(name, end) for end in ends)
    at = {k: _number(k, v) for k, v in said.items() if k != name}
    if not low < high:
        raise BayescaleError(f"{name}=({low:g}, {high:g}): the lower end comes first")
    if not 0.0 < prob < 1.0:
        raise BayescaleError(f"a belief's probability lies between 0 and 1, not {prob}")
    for column, value in at.items():
        if value <= 0:
            raise BayescaleError(f"{column} is {value:g}; give a positive number")
    return Belief(name, low, high, float(prob), at)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BayescaleError(f"{name} is {value!r}; give a number")
    return float(value)


def checked(law: Law, said: Belief) -> Belief:
    """A belief with every column that the law needs; C is 6 N D where it isn't given.

    Raises
    ------
    LawError
        It is of nothing that the law has, or lacks a column.
    """
    if said.name == law.response.column:
        at = dict(said.at)
        columns = [v.column for v in law.variables.values()]
        if "C" in columns and "C" not in at and {"N", "D"} <= set(at):
            at["C"] = 6.0 * at["N"] * at["D"]
        missing = [c for c in columns if c not in at]
        if missing:
            raise LawError(f"a belief about {said.name} says at which {', '.join(missing)}")
        if said.low <= 0:
            raise LawError(f"{said.name} is positive, and the belief begins at {said.low:g}")
        return Belief(said.name, said.low, said.high, said.prob, {c: at[c] for c in columns})
    if said.name not in law.parameters:
        known = [law.response.column, *law.parameters]
        raise LawError(
            f"the law {law.name!r} has no parameter {said.name!r}.{nearest(said.name, known)} A "
            f"belief is of {', '.join(known)}"
        )
    if said.at:
        raise LawError(
            f"{said.name} is one number for all scales; leave {', '.join(said.at)} out of it"
        )
    if logged(law, said.name) and said.low <= 0:
        raise LawError(f"{said.name} is positive, and the belief begins at {said.low:g}")
    return said


@dataclass(frozen=True, eq=False, repr=False)
class StatedPriors:
    """Priors for a fit's ``prior=``, with what they say.

    Attributes
    ----------
    law : Law
        With these priors.
    table : pandas.DataFrame
        A row for each belief (`elicit`) or published constant (`preset`).
    parameters : pandas.DataFrame
        90% intervals of every parameter, in the card's units, by the card's prior and now.
    notes : tuple of str
    changes : Mapping
        Parameters' own priors that changed, as `Law.with_priors` takes them.
    factors : tuple of Factor
        What the prior says beside them.
    """

    law: Law
    table: pd.DataFrame
    parameters: pd.DataFrame
    notes: tuple[str, ...] = ()
    changes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    factors: tuple[Factor, ...] = ()

    def applied(self, law: Law) -> Law:
        """The same priors for a law that is pooled otherwise."""
        changed = law.with_priors(**self.changes) if self.changes else law
        return changed.believing(self.factors) if self.factors else changed

    def __repr__(self) -> str:
        def shown(table: pd.DataFrame) -> str:
            return table.to_string(float_format=lambda x: f"{x:.4g}")

        return "\n".join([shown(self.table), "", shown(self.parameters), *self.notes])

    def _repr_html_(self) -> str:
        from bayescale.display import markup

        return markup.page(
            f"Priors of {self.law.name}",
            markup.table(self.table, str(self.table.index.name)),
            markup.table(self.parameters, "parameter"),
            markup.notes("Notes", self.notes, opened=True),
        )
