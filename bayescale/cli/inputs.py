"""From the words of a command line to arguments of the library."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayescale.errors import BayescaleError, ConvergenceError

if TYPE_CHECKING:
    from bayescale.fitting import Fit


def column_names(values: Sequence[str]) -> dict[str, str] | None:
    """Read `N=params D=tokens` as the columns of a table; None where nothing was said.

    Examples
    --------
    >>> column_names(["N=params", "D=tokens"])
    {'N': 'params', 'D': 'tokens'}
    """
    return _pairs(values, "--columns", "N=params") or None


def unit_names(values: Sequence[str]) -> dict[str, str] | None:
    """Read `loss=bit/byte` as the units of columns; None where nothing was said.

    Examples
    --------
    >>> unit_names(["loss=bit/byte"])
    {'loss': 'bit/byte'}
    """
    return _pairs(values, "--units", "loss=bit/byte") or None


def pooling(values: Sequence[str]) -> dict[str, list[str]] | str | None:
    """Read `alpha=family E=family,corpus`, or one of `complete` and `none`.

    Examples
    --------
    >>> pooling(["alpha=family", "E=family,corpus"])
    {'alpha': ['family'], 'E': ['family', 'corpus']}
    >>> pooling(["none"])
    'none'
    """
    if len(values) == 1 and values[0] in ("complete", "none"):
        return values[0]
    pairs = _pairs(values, "--pool", "alpha=family")
    return {
        name: [group.strip() for group in groups.split(",") if group.strip()]
        for name, groups in pairs.items()
    } or None


def index_members(values: Sequence[str]) -> dict[str, list[str] | int]:
    """Read `domain=web,code epoch=20` as the members of a law's indices.

    Examples
    --------
    >>> index_members(["domain=web,code", "epoch=20"])
    {'domain': ['web', 'code'], 'epoch': 20}
    """
    pairs = _pairs(values, "--index", "domain=web,code")
    return {
        name: int(text) if text.isdecimal() else [member.strip() for member in text.split(",")]
        for name, text in pairs.items()
    }


def point(
    text: str, numbers: Collection[str] = (), groups: Collection[str] = ()
) -> dict[str, float | str]:
    """Read `N=7e10,D=1.4e12,family=x`.

    The names in `numbers` must be numbers, those in `groups` stay text, and any other is a
    number where it can be read as one.

    Examples
    --------
    >>> point("N=7e10, family=dense, corpus=2", numbers=["N", "D"], groups=["corpus"])
    {'N': 70000000000.0, 'family': 'dense', 'corpus': '2'}
    """
    pairs = _pairs(text.split(","), "--at", "N=7e10,D=1.4e12")
    values = {
        name: value if name in groups else _number_or_text(value) for name, value in pairs.items()
    }
    for name in numbers:
        if isinstance(values.get(name), str):
            raise BayescaleError(f"--at {text}: {name} must be a number, not {values[name]}")
    return values


def points(
    texts: Sequence[str], numbers: Collection[str] = (), groups: Collection[str] = ()
) -> list[dict[str, float | str]]:
    """Read several points, which must name the same columns."""
    targets = [point(text, numbers, groups) for text in texts]
    for text, target in zip(texts, targets, strict=True):
        if missing := [name for name in targets[0] if name not in target]:
            raise BayescaleError(f"--at {text}: lacks {', '.join(missing)}, which the first has")
        if extra := [name for name in target if name not in targets[0]]:
            raise BayescaleError(f"--at {text}: names {', '.join(extra)}, which the first lacks")
    return targets


def law_names(ctx: Any, param: Any, incomplete: str) -> list[Any]:
    """Complete the name of a law, and else the path of a card."""
    from click.shell_completion import CompletionItem

    from bayescale.catalog import laws

    names = [name for name in laws()["name"] if name.startswith(incomplete)]
    return [CompletionItem(n) for n in names] or [CompletionItem(incomplete, type="file")]


def checked_destination(out: Path | None) -> Path | None:
    """Find out before the work, not after it, that its result can't be put where it should go."""
    if out is not None and out.is_dir():
        raise BayescaleError(f"--out {out}: is a folder; name a file in it")
    if out is not None and not out.parent.is_dir():
        raise BayescaleError(f"--out {out}: the folder {out.parent} does not exist")
    if out is not None and not os.access(out.parent, os.W_OK):
        raise BayescaleError(f"--out {out}: the folder {out.parent} can't be written")
    return out


def opened(path: str, force: bool) -> tuple[Fit, bool]:
    """Load a fit and ask its diagnostics; the second value says that they were overruled.

    Raises
    ------
    ConvergenceError
        If they refuse and `force` is not given.
    """
    from bayescale.averages import Average
    from bayescale.diagnostics import diagnose
    from bayescale.storage import load

    fit: Any = load(path)  # an average answers what a fit answers, or says that it can't
    for one in fit.fits.values() if isinstance(fit, Average) else [fit]:
        diagnosis = diagnose(one)
        if not diagnosis.ok and not force:
            problems = "; ".join(diagnosis.problems)
            raise ConvergenceError(f"{path}: the diagnostics refuse this fit: {problems}", one)
        if not diagnosis.ok:
            return fit, True
    return fit, False


def _pairs(values: Sequence[str], option: str, example: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, rest = (part.strip() for part in value.partition("="))
        if not (name and equals and (rest or option == "--pool")):
            raise BayescaleError(f"{option} {value}: write it as in {option} {example}")
        if name in pairs:
            raise BayescaleError(f"{option}: {name} is given twice, as {pairs[name]} and {rest}")
        pairs[name] = rest
    return pairs


def _number_or_text(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
