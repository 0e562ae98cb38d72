"""Our posterior beside another program's, from the summaries that it left."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.append(str(Path(__file__).resolve().parent / "studies"))

import references


@pytest.fixture(scope="module")
def compared():
    table = pd.read_csv(references.FOUND)
    _, mine = references.ours(draws=1000)
    return {
        program: (part, references.compared(mine, part))
        for program, part in table.groupby("program")
    }


def test_the_other_program_converged(compared):
    for part, _ in compared.values():
        assert part["r_hat"].max() < 1.01
        assert part["ess"].min() > 400


def test_the_same_posterior(compared):
    """By rulings 13; of 105 differences the largest of chance alone is about 3 errors."""
    assert "pymc" in compared
    for _, differences in compared.values():
        assert len(differences) == 32
        assert differences.filter(like="z_").abs().max().max() < 4.0
        assert differences["sd_ratio"].between(0.9, 1.1).all()
