"""Columns of a runs table: which of its own names means what, and how to say that one lacks."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

SYNONYMS: dict[str, tuple[str, ...]] = {
    "N": ("params", "n_params"),
    "D": ("tokens",),
    "C": ("flops", "compute"),
    "corpus": ("dataset",),
}
UNITS = {"N": "parameters", "D": "tokens", "C": "FLOPs", "U": "unique tokens"}
MEASURED = ("N", "D", "C")  # text in them is a fault whichever law reads the table
OPTIONAL_NUMBERS = ("step", "is_final")  # may be empty, may not be text
LABELS = ("run", "family", "recipe", "corpus", "evaluation", "role", "split", "status")
SHOWN = 8


def rows_text(rows: Sequence[int]) -> str:
    """Name rows for a message: ``row 4``, ``rows 4, 9``, ``rows 1, ..., 8, ... (40 rows)``.

    Examples
    --------
    >>> rows_text([4, 9])
    'rows 4, 9'
    """
    shown = ", ".join(str(row) for row in rows[:SHOWN])
    if len(rows) > SHOWN:
        return f"rows {shown}, ... ({len(rows)} rows)"
    return f"row{'s' if len(rows) > 1 else ''} {shown}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Name the known word that looks most like `name` (or like a synonym of it), if any does.

    Examples
    --------
    >>> nearest("D", ["N", "tokns", "loss"])
    'tokns'
    """
    words = list(known)
    lowered = {word.lower(): word for word in reversed(words)}
    for wanted in (name, *SYNONYMS.get(name, ())):
        found = difflib.get_close_matches(wanted.lower(), lowered, n=1, cutoff=0.6)
        if found:
            return lowered[found[0]]
        parts = [w for w in words if len(wanted) > 2 and wanted.lower() in w.lower()]
        if parts:
            return min(parts, key=len)
    return None


def remedy(name: str, own: str) -> str:
    """Say how to map a table's own column to a canonical name, in Python and on the command line.

    Examples
    --------
    >>> remedy("N", "params")
    "columns={'N': 'params'} (--columns N=params)"
    """
    return f"columns={{{name!r}: {own!r}}} (--columns {name}={own})"


def resolve(
    present: Sequence[str], asked: Mapping[str, str], needed: Collection[str] | None
) -> tuple[dict[str, str], tuple[str, ...], dict[str, str]]:
    """Decide which of a table's own columns is read as which canonical column.

    Parameters
    ----------
    present
        The table's own column names.
    asked
        Canonical name -> own name, as the user maps them; this wins over synonyms.
    needed
        Canonical names that the law reads; None where the law isn't known yet.

    Returns
    -------
    mapping
        Canonical name -> own name, for every column that gets a new name.
    notes
        One sentence for each column that a synonym named.
    faults
        Canonical name -> why it can't be read: a mapping that can't be followed, or a choice
        that only the user can make.
    """
    mapping: dict[str, str] = {}
    notes: list[str] = []
    faults: dict[str, str] = {}
    for name, own in asked.items():
        if own in present:
            mapping[name] = own
            continue
        fault = f"columns maps {name} to {own!r}, which the table doesn't have"
        near = nearest(own, present)
        if name in present:
            fault += f"; a mapping is canonical=own, did you mean {remedy(own, name)}?"
        elif near is not None:
            fault += f"; the nearest is {near!r}: {remedy(name, near)}"
        else:
            fault += f"; it has {', '.join(present)}"
        faults[name] = fault
    taken = set(mapping.values())
    for name, synonyms in SYNONYMS.items():
        if name in asked or name in present:
            continue
        free = [own for own in present if own not in taken]
        found = [own for own in synonyms if own in free]
        rivals = [*found, "params_total"] if found and name == "N" else found
        rivals = [own for own in rivals if own in free]
        if len(rivals) > 1:
            if needed is None or name in needed or (name == "N" and "C" in needed):
                choices = " or ".join(remedy(name, own) for own in rivals)
                faults[name] = (
                    f"columns {' and '.join(rivals)} are both here: which does the law mean "
                    f"by {name}? Say {choices}"
                )
        elif found:
            mapping[name] = found[0]
            notes.append(f"{name} is read from column {found[0]!r}")
    return mapping, tuple(notes), faults


def rename(table: pd.DataFrame, mapping: Mapping[str, str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give columns their canonical names; a column whose name is taken over keeps another one."""
    notes: list[str] = []
    parts: dict[str, pd.Series] = {}
    for own in table.columns:
        names = [name for name, source in mapping.items() if source == own]
        if not names and own in mapping:
            names = [f"{own}_original"]
            while names[0] in table.columns:
                names[0] += "_"
            notes.append(
                f"{own} is read from column {mapping[own]!r}; the table's own {own} is kept "
                f"as {names[0]!r}"
            )
        parts.update({name: table[own] for name in names or [own]})
    return pd.DataFrame(parts, index=table.index), tuple(notes)


def missing_fault(name: str, present: Sequence[str], about: str = "") -> str:
    """Say that a column isn't there, which one looks like it, and how to map it."""
    unit = f" ({about or UNITS[name]})" if about or name in UNITS else ""
    measured = (*MEASURED, "loss")
    spoken_for = (*measured, *OPTIONAL_NUMBERS, *LABELS) if name in measured else ()
    near = nearest(name, [c for c in present if c not in spoken_for])
    if near is not None:
        return f"no column {name}{unit}; the nearest is {near!r}: {remedy(name, near)}"
    return (
        f"no column {name}{unit} among {', '.join(present)}; if it has another name there, map "
        f"it with columns={{{name!r}: 'that name'}} (--columns {name}=...)"
    )
