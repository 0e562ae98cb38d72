"""Numbers as people write them: 70B parameters, 5.76e23 FLOPs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite, isnan, log10

COUNTS = ("N", "N_total", "D", "U")  # columns that people write as 70B, 1.4T
_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def human(value: float, digits: int = 3) -> str:
    """Write a count as people say it.

    Parameters
    ----------
    value : float
        Parameters, tokens, FLOPs: any scale.
    digits : int
        Significant digits kept.

    Examples
    --------
    >>> [human(v) for v in (3132, 70e9, 1.4e12, 5.76e23, 0.25, 999_999)]
    ['3.13k', '70B', '1.4T', '5.76e23', '0.25', '1M']
    >>> human(312e3, digits=2)
    '310k'
    """
    value = float(value)
    if not isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    if 0 < abs(rounded) < 1e-3 or abs(rounded) >= 1e15:
        return exponential(value, digits)
    for scale, suffix in _SCALES:
        if abs(rounded) >= scale:
            return f"{rounded / scale:.12g}{suffix}"
    return f"{rounded:.12g}"


def exponential(value: float, digits: int = 3) -> str:
    """Write a number as 5.76e23, with no sign or zero that says nothing.

    Examples
    --------
    >>> exponential(5.76e23), exponential(1e-5), exponential(6e10)
    ('5.76e23', '1e-5', '6e10')
    """
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def quantity(value: float, column: str, digits: int = 3) -> str:
    """Write a value as its column is usually written: N and D as 70B, C as 5.76e23.

    Examples
    --------
    >>> quantity(70e9, "N"), quantity(5.76e13, "C"), quantity(1.93712, "loss")
    ('70B', '5.76e13', '1.94')
    """
    value = float(value)
    if column in COUNTS:
        return human(value, digits)
    if not isfinite(value):
        return str(value)
    if value != 0 and not -3 <= log10(abs(value)) < 5:
        return exponential(value, digits)
    return f"{float(f'{value:.{digits}g}'):.12g}"


def span(ends: Iterable[float], column: str, digits: int = 3) -> str:
    """Write an interval, or "none" where there is none.

    Examples
    --------
    >>> span((1e9, 70e9), "N"), span((float("nan"), 1.0), "N")
    ('1B to 70B', 'none')
    """
    low, high = (float(end) for end in ends)
    if isnan(low):
        return "none"
    return f"{quantity(low, column, digits)} to {quantity(high, column, digits)}"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Name the first few and count the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def counted(count: int, noun: str) -> str:
    """Count a noun, with its s where needed."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
