"""The quick estimators are ArviZ's own."""

from __future__ import annotations

import numpy as np
import pytest

from bayescale.diagnostics import convergence
from bayescale.quick_convergence import quick_convergence


def autoregressive(phi, draws, seed=0, chains=4, parameters=5):
    noise = np.random.default_rng(seed).normal(size=(chains, draws, parameters))
    out = noise.copy()
    for t in range(1, draws):
        out[:, t] = phi * out[:, t - 1] + noise[:, t]
    return out


@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("draws", [101, 400])
def test_agrees_with_arviz(phi, draws):
    x = autoregressive(phi, draws)
    quick, slow = quick_convergence(x), convergence(x)
    assert quick.r_hat == pytest.approx(slow["r_hat"].max(), rel=1e-9)
    assert quick.ess_bulk == pytest.approx(slow["ess_bulk"].min(), rel=0.02)
    assert quick.ess_tail == pytest.approx(slow["ess_tail"].min(), rel=0.02)


def test_chains_apart_and_chains_that_stand():
    x = autoregressive(0.0, 200)
    apart = x.copy()
    apart[0, :, 2] += 3.0
    assert quick_convergence(apart).r_hat > 1.2 > quick_convergence(x).r_hat
    still = x.copy()
    still[..., 1] = 1.0
    assert quick_convergence(still).r_hat == np.inf
    assert quick_convergence(still).ess_bulk == 0.0
