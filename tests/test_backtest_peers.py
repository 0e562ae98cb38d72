"""Peers in the backtests: BNSL follows a planted break; an absent package says what to install."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent / "studies"))

from backtest_parts import broken, peers


def test_bnsl_follows_a_planted_break():
    cost = np.logspace(15, 21, 25)
    x = cost / 1e17
    loss = 0.05 + x**-0.1 * (1 + x ** (1 / 0.6)) ** (-0.3 * 0.6)  # the paper's, written out
    rows = pd.DataFrame({"C": cost, "loss": loss})
    rng = np.random.default_rng(0)
    said = broken.forecast_broken(rows[:19], rows[19:].drop(columns="loss"), rng)
    assert said.shape == (broken.DRAWS, 6)
    np.testing.assert_allclose(np.median(said, axis=0), np.log(loss[19:]), atol=0.02)


@pytest.mark.parametrize("name", peers.PACKAGES)
@pytest.mark.parametrize("found", ["absent", "0.0.0"])
def test_package_that_is_not_there_says_what_to_install(monkeypatch, name, found):
    def version(package: str) -> str:
        if found == "absent":
            raise PackageNotFoundError(package)
        return found

    monkeypatch.setattr(peers, "version", version)
    package, wanted = peers.PACKAGES[name], name.rsplit(" ", 1)[1]
    message = f"{package} is {found}: pip install {package}=={wanted}"
    with pytest.raises(peers.AbsentError, match=re.escape(message)):
        peers.required(name)
