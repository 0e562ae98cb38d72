"""Ordered splits of every ladder, by one written rule.

The rule. An origin is a cost c, one of the ladder's own. Runs with C <= c are fitted, runs at
least ``gap`` times dearer than the dearest fitted run are predicted (4 on ladders, 2 along x on
curves), those between are left out. An origin is admissible with at least 8 fitted runs and 3
targets, where a target counts only if its family has 5 fitted runs. Costs within 5% are one. Of
the admissible origins, the one a third along, the one two thirds along and the last are taken.
No loss has a part in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from backtest_parts.ladders import CURVE, Ladder, canonical, ladders, read_table
from bayescale.runs import Runs, read_runs

GAP = {"ladder": 4.0, "curve": 2.0}
MIN_TRAIN, MIN_TARGETS, MIN_FAMILY = 8, 3, 5
PLACES = (1 / 3, 2 / 3, 1.0)
SAME_COST = 1.05


@dataclass(frozen=True, eq=False)
class OrderedSplit:
    """Cheap runs to fit and dear runs to predict.

    Attributes
    ----------
    dataset, ladder, name : str
        Study, ladder of it, and the split's own name, unique in the suite.
    law : str
        The suite's default card; `laws` has all that apply.
    train : Runs
        Columns N, D, C, loss, family, run; for `power_law` the scale x is C.
    test : pandas.DataFrame
        The same columns.
    distance : float
        Median over targets of log(C / dearest fitted C).
    weight : float
        Of the split: splits of a data set sum to 1, equal within it.
    """

    dataset: str
    ladder: str
    name: str
    kind: str
    law: str
    laws: tuple[str, ...]
    train: Runs
    test: pd.DataFrame
    distance: float
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def observed(self) -> np.ndarray:
        """Measured losses of the targets."""
        return self.test["loss"].to_numpy(float)

    @property
    def hidden(self) -> pd.DataFrame:
        """Targets without what is to be predicted."""
        return self.test.drop(columns="loss")


def splits(datasets: list[str] | None = None) -> list[OrderedSplit]:
    """All splits of the macro suite, or those of some data sets."""
    chosen = [one for one in ladders() if datasets is None or one.dataset in datasets]
    found = []
    for ladder in chosen:
        table = ladder.table()
        if not len(table):
            raise SystemExit(f"{ladder.dataset}, {ladder.name}: no usable row in {ladder.file}")
        found += splits_of(ladder, table)
    count = pd.Series([split.dataset for split in found]).value_counts()
    for split in found:
        object.__setattr__(split, "weight", 1.0 / float(count[split.dataset]))
    return found


def splits_of(ladder: Ladder, table: pd.DataFrame) -> list[OrderedSplit]:
    """Splits of one ladder's table, by the rule."""
    return [split_at(ladder, table, origin) for origin in origins(ladder, table)]


def origins(ladder: Ladder, table: pd.DataFrame) -> list[float]:
    """The origins that the rule takes, of those that are admissible."""
    gap = GAP[ladder.kind]
    admissible = [c for c in _costs(table) if sides(table, c, gap) is not None]
    places = [int(np.ceil(place * len(admissible))) - 1 for place in PLACES] if admissible else []
    return [admissible[i] for i in dict.fromkeys(places)]


def split_at(ladder: Ladder, table: pd.DataFrame, origin: float) -> OrderedSplit:
    """Fit the runs up to an origin, predict those beyond the gap."""
    found = sides(table, origin, GAP[ladder.kind])
    if found is None:
        raise ValueError(f"{ladder.dataset}, {ladder.name}: {origin:.4g} is no admissible origin")
    train, test = found
    return _split(ladder, train, test, f"C<={train['C'].max():.4g}")


def _split(ladder: Ladder, train: pd.DataFrame, test: pd.DataFrame, name: str) -> OrderedSplit:
    return OrderedSplit(
        dataset=ladder.dataset,
        ladder=ladder.name,
        name=f"{ladder.dataset}:{ladder.name}:{name}",
        kind=ladder.kind,
        law=ladder.laws[0],
        laws=ladder.laws,
        train=read_runs(train.reset_index(drop=True), units={"loss": ladder.unit}),
        test=test.reset_index(drop=True),
        distance=float(np.median(np.log(test["C"] / train["C"].max()))),
        options={"groups": ladder.groups, "provenance": ladder.provenance},
    )


def _costs(table: pd.DataFrame) -> list[float]:
    """The ladder's costs, the largest of each cluster within 5%."""
    costs = np.unique(table["C"].to_numpy(float))
    last = np.append(costs[1:] > SAME_COST * costs[:-1], True)
    return costs[last].tolist()


def sides(
    table: pd.DataFrame, origin: float, gap: float
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    train = table[table["C"] <= origin]
    if len(train) < MIN_TRAIN:
        return None
    counts = train["family"].value_counts()
    known = counts.index[counts >= MIN_FAMILY]
    test = table[(table["C"] >= gap * train["C"].max()) & table["family"].isin(known)]
    if len(test) < MIN_TARGETS:
        return None
    return train.reset_index(drop=True), test.reset_index(drop=True)


# --- Named extras, never in the macro average ---------------------------------------------------


def chinchilla_split() -> OrderedSplit:
    """Fit C < 3e20 of Hoffmann's runs, predict the 63 others, without a gap."""
    ladder = next(one for one in ladders() if one.dataset == "chinchilla")
    table = ladder.table()
    cheap = table["C"] < 3e20
    return replace(
        _split(ladder, table[cheap], table[~cheap], "C<3e20"), name="extra:chinchilla:C<3e20"
    )


def benchmark_splits() -> list[OrderedSplit]:
    """Alabdulmohsin's benchmark: each curve whole, divided by its own Training column.

    The domain (IC, NMT, LM, BB) is the ladder. A curve is a split, by itself or with the others of
    its ``pool``: the same images to classify or text to read, by other networks and shots.
    """
    found = []
    for file, loss in (
        ("alabdulmohsin_vision.csv.gz", "error"),
        ("alabdulmohsin_lang.csv", "loss"),
    ):
        table = read_table(f"tidy/{file}")
        for keys, rows in table.groupby(["domain", "run", "task", "shots"], dropna=False):
            domain = DOMAINS[keys[0]]
            curve = canonical(rows, 1.0, "examples_seen", loss, "examples_seen")
            curve = curve[(curve["C"] > 0) & (curve["loss"] > 0)].sort_values("C", kind="stable")
            seen = rows["split"].loc[curve.index] == "visible"
            name = "/".join(str(key) for key in keys[1:])
            about = Ladder("benchmark", domain, file, canonical, CURVE, "curve", "error")
            split = _split(about, curve[seen], curve[~seen], name)
            own = {**split.options, "pool": re.sub(r"_\d+$", "", str(keys[2]))}
            named = f"extra:benchmark:{domain}:{name}"
            found.append(replace(split, name=named, options=own))
    return found


DOMAINS = {"nmt": "NMT", "lm": "LM", "bigbench": "BB", "image_classification": "IC"}
