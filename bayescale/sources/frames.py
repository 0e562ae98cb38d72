"""Tables in memory: pandas, polars, pyarrow, a dict of columns, or what turns into one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bayescale.errors import DataError


def is_frame(source: Any) -> bool:
    """Whether it is a table in memory, by what it can do."""
    ways = ("to_pandas", "to_pydict", "collect")
    return isinstance(source, (pd.DataFrame, Mapping)) or any(hasattr(source, w) for w in ways)


def read_frame(source: Any) -> pd.DataFrame:
    """Make a pandas table of one in memory; column names become text.

    Raises
    ------
    DataError
        Its columns differ in length, or it can't be turned into one.

    Examples
    --------
    >>> read_frame({"N": [1e6], 3: [2]}).columns.tolist()
    ['N', '3']
    """
    try:
        table = pd.DataFrame(_columns(source))
    except (ValueError, TypeError) as error:
        raise DataError(f"columns of unequal length make no table: {error}") from error
    return table.set_axis(pd.Index([str(c) for c in table.columns]), axis=1)


def _columns(source: Any) -> Any:
    if isinstance(source, (pd.DataFrame, Mapping)):
        return source
    if hasattr(source, "collect") and not hasattr(source, "to_pandas"):
        source = source.collect()  # a lazy polars frame
    if hasattr(source, "to_pydict"):
        return source.to_pydict()  # pyarrow: no guess at types, no pandas needed there
    if type(source).__module__.partition(".")[0] == "polars":
        return source.to_dict(as_series=False)  # its to_pandas would need pyarrow
    return source.to_pandas()
