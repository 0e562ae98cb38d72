"""Columns that are products of others: tokens are steps times tokens a step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayescale import cells
from bayescale.columns import nearest
from bayescale.errors import DataError


def with_products(
    table: pd.DataFrame, columns: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Compute the columns that a mapping writes as products, or as one number.

    Parameters
    ----------
    table
    columns
        Canonical name -> own name, or ``step * batch * 2048``, or ``1.24e8``.

    Returns
    -------
    table
        With a further column for each, named by its text.
    columns
        As given.
    notes
        One sentence for each.

    Raises
    ------
    DataError
        A factor is neither a column nor a number; the nearest column is named.

    Examples
    --------
    >>> table = pd.DataFrame({"step": ["10", "20"], "loss": [4.1, 3.9]})
    >>> with_products(table, {"D": "step * 512"})[0]["step * 512"].tolist()
    [5120.0, 10240.0]
    """
    notes = []
    for name, text in columns.items():
        if text in table or not _is_product(text):
            continue
        value = pd.Series(1.0, index=table.index)
        for part in (p.strip() for p in text.split("*")):
            value = value * _factor(table, part, name)
        table = table.assign(**{text: value.astype(np.float64)})
        notes.append(f"{name} is {text} in every row")
    return table, dict(columns), notes


def _is_product(text: str) -> bool:
    return "*" in text or _number(text) is not None


def _number(text: str) -> float | None:
    value = cells.number(text)
    return None if value is None or np.isnan(value) else value


def _factor(table: pd.DataFrame, part: str, name: str) -> float | pd.Series:
    if part in table:
        return cells.numbers(table[part])[0]
    value = _number(part)
    if value is not None:
        return value
    near = nearest(part, [str(c) for c in table])
    hint = f"; did you mean {near!r}?" if near else f"; it has {', '.join(map(str, table))}"
    raise DataError(
        f"columns says that {name} is a product with {part!r}, which is neither a number nor a "
        f"column of the table{hint}"
    )
