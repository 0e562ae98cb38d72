"""Our posterior beside those of other programs, whose summaries are checked in.

`tests/studies/references.py` writes the same hierarchical model out by hand for them.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.append(str(Path(__file__).resolve().parent / "studies"))

from references import FOUND, compared, data, ours

if not FOUND.exists():
    pytest.skip("no reference posteriors: run the study references.py", allow_module_level=True)
REFERENCES = pd.read_csv(FOUND)


@pytest.fixture(scope="module")
def mine():
    return ours()


@pytest.mark.parametrize("program", sorted(REFERENCES["program"].unique()))
def test_the_same_posterior_by_another_program(mine, program):
    """Rulings 13: 4 Monte Carlo standard errors; sds within 10%."""
    _, summary = mine
    theirs = REFERENCES[REFERENCES["program"] == program]
    assert theirs["r_hat"].max() < 1.01
    assert theirs["ess"].min() > 400
    table = compared(summary, theirs)
    assert set(theirs["parameter"]) == set(summary["parameter"])
    z = table.filter(like="z_").abs()
    assert z.max().max() < 4.0, table[(z > 4.0).any(axis=1)]
    assert table["sd_ratio"].between(0.9, 1.1).all(), table[~table["sd_ratio"].between(0.9, 1.1)]


def test_both_take_the_same_rows_and_reference(mine):
    fit, _ = mine
    told = data()
    assert len(fit.runs) == len(told["y"])
    reference = fit.model.arrays.reference
    assert reference.typical == pytest.approx(math.exp(told["typical"]))
    assert reference.smallest == pytest.approx(math.exp(told["smallest"]))
    assert fit.groups["family"] == told["families"]
