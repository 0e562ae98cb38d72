"""Upstream files read and handed to `dataset_tables`; whoever calls has checked their digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bayescale import dataset_tables as tables

Files = Mapping[str, Path]  # path in the repository's folder -> file


def read_chinchilla(found: Files) -> pd.DataFrame:
    """See `dataset_tables.chinchilla`."""
    return tables.chinchilla(pd.read_csv(found["svg_extracted_data.csv"]))


def read_gadre(found: Files) -> pd.DataFrame:
    """See `dataset_tables.gadre`."""
    return tables.gadre(json.loads(found[name].read_text("utf-8")) for name in sorted(found))


def read_vision(found: Files) -> pd.DataFrame:
    """See `dataset_tables.vision`."""
    return tables.vision(pd.read_csv(found["benchmark.vision.csv"]))


def read_language(found: Files) -> pd.DataFrame:
    """See `dataset_tables.language`."""
    return tables.language(pd.read_csv(found["benchmark.lang.csv"]))


def read_multi_power(found: Files) -> pd.DataFrame:
    """See `dataset_tables.multi_power`."""
    curves = {}
    for name, path in found.items():
        _, folder, file = name.split("/")
        size, schedule = int(folder.removeprefix("csv_")), file.removesuffix(".csv")
        curves[size, schedule] = pd.read_csv(path)
    return tables.multi_power(curves)
