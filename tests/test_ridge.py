"""Straight coordinates where a floor trades against terms, also under a factor of the whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale import ridge
from bayescale.coordinates import to_natural
from bayescale.model import Model, find_trade, reference_inputs, stands_apart
from bayescale.model_from_runs import build_model, floor_of
from tests.test_models import place, scales

TRADING = {"chinchilla": "EAB", "moe_sparsity": "eabcd", "step_law_loss": "EAB", "farseer": "EB"}


def model_of(name: str) -> Model:
    """A law over a decade about its card's place, with losses about the card's."""
    law, rng = bs.load_law(name), np.random.default_rng(0)
    wide = {c: v * 10 ** rng.uniform(-0.5, 0.5, 20) for c, v in place(law).items()}
    if "rho" in wide:
        wide["rho"] = np.minimum(wide["rho"], 0.9)
    loss = scales(law)["typical"] * np.exp(0.1 * rng.standard_normal(20))
    table = pd.DataFrame({**wide, law.response.column: loss})
    return build_model(law, table.assign(C=6.0 * table["N"] * table["D"]))


@pytest.mark.parametrize("name", TRADING)
def test_a_floor_trades_against_the_terms_on_it(name):
    law = bs.load_law(name)
    floor, terms = find_trade(law)
    names = list(law.parameters)
    assert [names[floor], *(names[t] for t in terms)] == list(TRADING[name])
    apart = name in ("chinchilla", "moe_sparsity")
    assert stands_apart(law) == apart
    assert floor_of(law) == (names[floor] if apart else None)


@pytest.mark.parametrize("name", TRADING)
def test_the_straight_coordinate_is_the_log_loss_at_the_reference(name):
    model = model_of(name)
    structure, reference = model.structure, model.arrays.reference
    center = np.array([float(p.prior.to_real(p.prior.quantile(0.4))) for p in structure.parameters])
    scale = ridge.log_scale(model, center)
    straight = ridge.straighten(structure, center, scale, np)
    values = to_natural(structure, center, reference_inputs(reference), np)
    columns = {v.column: reference.columns[v.name] for v in structure.law.variables.values()}
    loss = structure.law.mean({p: values[p] for p in structure.law.parameters}, columns, np)
    floor = structure.trade[0]
    assert straight[floor] == pytest.approx(float(np.log(loss)), abs=1e-6)
    assert np.delete(straight, floor) == pytest.approx(np.delete(center, floor), abs=0)
    back, log_jacobian = ridge.bend(structure, straight, scale, np)
    assert back == pytest.approx(center, abs=1e-12)
    moved = straight + 1e-6 * (np.arange(structure.size) == floor)
    slope = (ridge.bend(structure, moved, scale, np)[0] - center)[floor] / 1e-6
    assert np.exp(log_jacobian) == pytest.approx(slope, rel=1e-4)
