"""Beliefs in a law's prior: normal factors on its value at some scale, or on a parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayescale.errors import LawError

if TYPE_CHECKING:
    from bayescale.law import Law


@dataclass(frozen=True)
class Factor:
    """One factor ``exp(-((x - mean) / sd)**2 / 2)`` of a prior density.

    Attributes
    ----------
    of : str
        The response, whose log at `at` is x; or a parameter, x being its log where its prior is of
        positive numbers, else itself.
    mean, sd : float
    at : tuple of (str, float)
        Column and value, for a response.
    about : str
        What was believed, in words.
    """

    of: str
    mean: float
    sd: float
    at: tuple[tuple[str, float], ...] = ()
    about: str = ""

    def entry(self) -> dict[str, Any]:
        """As a card's ``[[beliefs]]`` has it."""
        told = {
            "quantity": self.of,
            "mean": float(self.mean),
            "sd": float(self.sd),
            "about": self.about,
        }
        return told | ({"at": {name: float(value) for name, value in self.at}} if self.at else {})


def quantity(law: Law, of: str, at: Iterable[tuple[str, float]], values: Mapping, xp: Any) -> Any:
    """What a belief is about, on the scale that its factor is normal on."""
    columns = dict(at)
    if columns:
        return xp.log(law.mean(values, columns, xp))
    return xp.log(values[of]) if logged(law, of) else values[of]


def logged(law: Law, of: str) -> bool:
    """Whether a belief about it is on the scale of logs."""
    parameter = law.parameters.get(of)
    return parameter is None or parameter.share is not None or parameter.prior.support[0] >= 0


def log_factors(law: Law, values: Mapping[str, Any], xp: Any) -> Any:
    """Sum of the logs of a law's factors; `values` are its parameters, of any shape.

    Examples
    --------
    >>> import numpy as np
    >>> from bayescale.catalog import load_law
    >>> law = load_law("chinchilla").believing([Factor("alpha", np.log(0.3), 0.1)])
    >>> round(float(log_factors(law, {"alpha": 0.3 * np.exp(0.1)}, np)), 9)
    -0.5
    """
    total: Any = 0.0
    for f in law.beliefs:
        total = total - 0.5 * ((quantity(law, f.of, f.at, values, xp) - f.mean) / f.sd) ** 2
    return total


def read_factors(
    card: Mapping[str, Any], response: str, parameters: Sequence[str], columns: Sequence[str]
) -> tuple[Factor, ...]:
    """Read a card's ``[[beliefs]]``; `columns` are those of the law's variables.

    Raises
    ------
    LawError
        A belief is of something unknown, lacks a number, or isn't at the law's columns.
    """
    factors = []
    for i, entry in enumerate(card.get("beliefs", []), 1):
        missing = [key for key in ("quantity", "mean", "sd") if key not in entry]
        if missing:
            raise LawError(f"beliefs {i} lacks {', '.join(missing)}")
        of, at = entry["quantity"], entry.get("at", {})
        if of != response and of not in parameters:
            known = ", ".join([response, *parameters])
            raise LawError(f"beliefs {i}: quantity is {of!r}, not one of {known}")
        if set(at) != (set(columns) if of == response else set()):
            where = f"at {', '.join(columns)}" if of == response else "at no scale"
            raise LawError(f"beliefs {i}: {of} is {where}, not at {', '.join(at) or 'none'}")
        if entry["sd"] <= 0:
            raise LawError(f"beliefs {i}: sd must be above 0, not {entry['sd']:g}")
        told = float(entry["mean"]), float(entry["sd"])
        placed = tuple((name, float(value)) for name, value in at.items())
        factors.append(Factor(of, *told, placed, entry.get("about", "")))
    return tuple(factors)
