"""Tables that a card's checks compare a law with: inline rows, or a file of BAYESCALE_DATA."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayescale.conditions import Condition
from bayescale.errors import LawError
from bayescale.formula import Expression
from bayescale.grammar import nearest
from bayescale.schedule_columns import columns_along

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Measured rows.

    Attributes
    ----------
    path : str
        A csv file below the folder that BAYESCALE_DATA names; empty where `rows` are given.
    where : str
        Which rows, as a condition (`"is_final == 1 and family == 'hash'"`); all where empty.
    columns : Mapping of str to str
        The law's column or the response -> arithmetic of the file's columns (`"flops / 8.64e19"`);
        a column not named stands under its own name.
    rows : Mapping of str to sequence of float
        Inline columns.
    schedules : Mapping of str to str
        What the names in the file's column `schedule` mean; columns along it are computed then.
    by : str
        A column of labels: a measure is taken within each and averaged.
    """

    path: str = ""
    where: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Sequence[float]] = field(default_factory=dict)
    schedules: Mapping[str, str] = field(default_factory=dict)
    by: str = ""

    def __post_init__(self) -> None:
        """Refuse a table of two sources, or a path out of the folder."""
        if bool(self.path) == bool(self.rows):
            raise LawError("a check of a table gives either `table`, a file, or `rows`")
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise LawError(f"table = {self.path!r} must be a path below BAYESCALE_DATA")
        if len({len(column) for column in self.rows.values()}) > 1:
            raise LawError("the columns of `rows` differ in length")

    @property
    def absent(self) -> str:
        """Why the rows can't be read here; empty where they can."""
        if self.rows:
            return ""
        folder = os.environ.get("BAYESCALE_DATA", "")
        if not folder:
            return f"skipped: BAYESCALE_DATA is not set, and {self.path} is measured data"
        if not (Path(folder) / self.path).is_file():
            return f"skipped: BAYESCALE_DATA has no {self.path}"
        return ""

    def read(self, names: Sequence[str]) -> dict[str, Floats]:
        """Read columns by the law's names.

        Raises
        ------
        LawError
            For a column that the table lacks.
        """
        size, table = self._chosen()
        if self.schedules:
            table = dict(table) | self._along(table, names)
        return {name: np.broadcast_to(self._column(table, name), (size,)) for name in names}

    def _along(self, table: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Floats]:
        wanted = tuple(name for name in names if name not in table and name not in self.columns)
        named = [self.schedules.get(str(label), str(label)) for label in table["schedule"]]
        return dict(zip(wanted, columns_along(named, table["step"], wanted).T, strict=True))

    def _chosen(self) -> tuple[int, Mapping[Any, Any]]:
        """The number of rows, and their columns by name."""
        if self.rows:
            return len(next(iter(self.rows.values()))), self.rows
        table = _read(str(Path(os.environ["BAYESCALE_DATA"]) / self.path))
        if self.where:
            table = table[Condition.parse(self.where).mask(table)]
        return len(table), dict(table.items())

    def labels(self) -> NDArray[Any]:
        """Number the groups of `by`, one number a row; all zero without it.

        Raises
        ------
        LawError
            For a column that the table lacks.
        """
        size, table = self._chosen()
        if self.by and self.by not in table:
            raise LawError(f"{self.path or 'rows'} has no column {self.by!r}")
        if not self.by:
            return np.zeros(size, dtype=int)
        return np.unique(np.asarray(table[self.by], dtype=str), return_inverse=True)[1]

    def _column(self, table: Mapping[Any, Any], name: str) -> Floats:
        expression = Expression.parse(self.columns.get(name, name))
        for needed in expression.names:
            if needed not in table:
                known = [str(column) for column in table]
                raise LawError(
                    f"{self.path or 'rows'} has no column {needed!r}.{nearest(needed, known)}"
                )
        return expression({n: np.asarray(table[n], float) for n in expression.names})


@lru_cache(maxsize=8)
def _read(path: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path)


def _r2(measured: Floats, predicted: Floats) -> float:
    return float(1 - np.mean((predicted - measured) ** 2) / np.var(measured))


def _mean_relative(measured: Floats, predicted: Floats) -> float:
    return float(np.mean(np.abs(predicted / measured - 1)))


def _rms_log10(measured: Floats, predicted: Floats) -> float:
    return float(np.sqrt(np.mean(np.log10(predicted / measured) ** 2)))


MEASURES: dict[str, Callable[[Floats, Floats], float]] = {
    "r2": _r2,
    "mean_absolute_error": lambda measured, predicted: float(np.mean(np.abs(predicted - measured))),
    "mean_relative_error": _mean_relative,
    "rms_log10": _rms_log10,
}
