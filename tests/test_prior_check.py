"""The prior predictive check sees units that are wrong."""

from __future__ import annotations

import numpy as np
import pytest

import bayescale as bs
from tests.simulate import TWO_FAMILIES, ladder


def test_priors_on_shares_expect_any_ladder():
    runs = bs.read_runs(ladder(families=TWO_FAMILIES))
    table = bs.prior_predictive(bs.load_law("chinchilla"), runs)
    assert len(table) == len(runs)
    inside = (table["prior_lower"] < table["observed"]) & (table["observed"] < table["prior_upper"])
    assert inside.all()
    assert abs(table.attrs["conflict"]) < 3
    half = bs.prior_predictive(bs.load_law("chinchilla"), runs, prob=0.5)
    assert np.all(half["prior_upper"] < table["prior_upper"])


def test_an_absolute_prior_of_another_scale_conflicts():
    law = bs.load_law("chinchilla").with_priors(
        E={"prior": "LogNormal(log(40), 0.1)", "on": "value"}
    )
    table = bs.prior_predictive(law, bs.read_runs(ladder()))
    assert table.attrs["conflict"] < -3
    assert (table["z"] < -3).all()


def test_bad_rows_are_refused():
    runs = bs.read_runs(ladder()).where("N < 2e6")
    with pytest.raises(bs.DataError, match="N"):
        bs.prior_predictive(bs.load_law("chinchilla"), runs)
