"""A law at posterior draws, bent where its fit bends: what every decision evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayescale.bends import BEND
from bayescale.law import Law

Floats = NDArray[np.float64]


def values(law: Law, params: Mapping[str, Any], columns: Mapping[str, Any]) -> Floats:
    """Losses of each draw at given columns.

    Parameters
    ----------
    law
        The law.
    params
        What `parameter_draws` gives of one target: draws of shape ``(sample, 1)``, and under
        "bend" the paths of a law that bends.
    columns
        Values of the law's columns, which broadcast to ``(sample, k)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(sample, k)``.
    """
    own = {name: np.asarray(params[name], dtype=float) for name in law.parameters}
    with np.errstate(all="ignore"):
        loss = np.asarray(law.mean(own, columns, np), dtype=float)
        return loss if BEND not in params else params[BEND].bent(loss, columns, own)


def named(law: Law, params: Mapping[str, Any]) -> dict[str, Any]:
    """What `values` needs of draws, the noise's left out."""
    return {name: params[name] for name in (*law.parameters, BEND) if name in params}
