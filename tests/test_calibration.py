"""A slice of `tests/studies/sbc.py`: uniform ranks pass, planted bugs don't."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
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
    assert row["by_priors"] == (name == "swapped prior")


def test_priors_are_those_of_numpyro(tmp_path, monkeypatch):
    config = "chinchilla/t+scale/card/bend"
    monkeypatch.setattr(sbc, "PRIORS", tmp_path / "priors.csv")
    sbc.priors([config])
    (row,) = pd.read_csv(sbc.PRIORS).itertuples()
    assert row.config == config and row.largest_difference < 1e-10


def test_a_prior_that_fifty_ranks_pass_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(sbc, "PRIORS", tmp_path / "priors.csv")
    config = "power_law/card/card/none"
    with (
        planted.planted("wrong Jacobian", sbc.asked(config).model),
        pytest.raises(SystemExit, match=config),
    ):
        sbc.priors([config])


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


def test_answers_of_a_law_that_bends_are_those_of_its_paths_beyond_the_data():
    question = sbc.asked("chinchilla/t/card/bend")
    model = question.model
    (factor,) = model.structure.factors
    position = draw(question, np.random.default_rng(3), 50).position
    one, other = (quantities(question, model, position, seed) for seed in (1, 2))
    moved = {name for name in one if np.any(one[name] != other[name])}
    always = {"prediction", "first - second", "log N_opt"}
    assert always <= moved <= {*always, "first is best"}

    effects, log_sd = position.effects[0].copy(), position.log_sd[0].copy()
    effects[..., : factor.weights] = 0.0
    log_sd[:, [factor.learned_index.index(k) for k in factor.leaders]] = -40.0
    straight = position._replace(effects=(effects,), log_sd=(log_sd,))
    found = quantities(question, model, straight, 1)
    target = {k: 10.0 * question.table[k].max() for k in ("N", "D")}
    values = {k: found[f"{k}[0]"] for k in ("E", "A", "alpha", "B", "beta")}
    assert found["prediction"] == pytest.approx(question.law.mean(values, target, np), rel=1e-9)
    budget = 10.0 * question.table["C"].max()
    ratio = values["alpha"] * values["A"] / (values["beta"] * values["B"])
    best = np.log(ratio * (budget / 6.0) ** values["beta"]) / (values["alpha"] + values["beta"])
    near = np.abs(best - 0.5 * np.log(budget / 6.0)) < np.log(1e3)  # within the sizes tried
    assert near.sum() > 20
    assert found["log N_opt"][near] == pytest.approx(best[near], abs=0.03)
