"""A slice of `tests/studies/sbc.py`: uniform ranks pass, planted bugs don't."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent / "studies"))

import sbc
from sbc_parts import planted
from sbc_parts.bands import ecdf_p_value
from sbc_parts.simulate import draw, part, quantities

from bayescale.framing import frame


def test_bands_hold_for_uniform_ranks_and_not_for_others():
    rng = np.random.default_rng(0)
    p = [ecdf_p_value(rng.integers(0, 100, 200), 99) for _ in range(200)]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.1
    narrow = (rng.beta(2.0, 2.0, 200) * 100).astype(int)  # posteriors too wide
    assert ecdf_p_value(narrow, 99) < 0.01
    assert ecdf_p_value(np.full(50, 99), 99) < 1e-3


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(planted, "BURN", 250)
    monkeypatch.setattr(planted, "STEPS", 252)


def test_the_healthy_density_is_calibrated(short):
    (row,) = planted.caught("none", repeats=1, counts=[100])
    assert row["caught"] == 0


@pytest.mark.parametrize("name", ["swapped prior", "sd for variance", "off by one row", "float32"])
def test_a_planted_bug_is_caught(short, name):
    (row,) = planted.caught(name, repeats=1, counts=[50])
    assert row["caught"] == 1
    assert row["by_recomputation" if name == "float32" else "by_ranks"] == 1


@pytest.mark.parametrize("name", ["chinchilla", "error_from_loss", "passuntil", "vocabulary"])
def test_runs_are_drawn_on_the_line_of_the_card(name):
    question = sbc.asked(f"{name}/card/card/none")
    truths = draw(question, np.random.default_rng(3), 10)
    seen = np.stack([t[question.law.response.column] for t in truths.tables])
    lowest, highest = question.model.structure.likelihood.link.support
    assert np.all((seen >= lowest) & (seen < highest))
    assert (np.min(seen) < 0) == (name == "vocabulary")
    if name == "passuntil":
        assert np.allclose(1000 * seen, np.round(1000 * seen))
    with question.reference_held():
        for i, table in enumerate(truths.tables):
            model = frame(question.law, table, **question.options).model
            found = quantities(question, model, part(truths.position, slice(i, i + 1)))
            assert np.isfinite(found["log_likelihood"]).all()
