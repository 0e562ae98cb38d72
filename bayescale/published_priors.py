"""Priors centred on a card's published constants, as wide as one says."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayescale.beliefs import StatedPriors
from bayescale.catalog import require_law
from bayescale.elicitation import compared, prior_model
from bayescale.errors import BayescaleError, LawError
from bayescale.grammar import nearest
from bayescale.law import Law, Parameter
from bayescale.model import Reference
from bayescale.population_prior import sample_population_prior
from bayescale.prior_check import prior_conflict
from bayescale.runs import Runs, as_runs

_DRAWS = 8000


def presets(law: Law) -> pd.DataFrame:
    """List the sets of published constants that `preset` can centre priors on.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: every parameter in the card's units, what N and the loss are in, source.

    Examples
    --------
    >>> import bayescale as bs
    >>> float(bs.presets(bs.load_law("chinchilla")).loc["hoffmann", "alpha"])
    0.34
    """
    rows = [
        {"preset": name, **values, "units": law.units.get(name, ""), "source": law.sources[name]}
        for name, values in require_law(law).published.items()
    ]
    columns = ["preset", *law.parameters, "units", "source"]
    return pd.DataFrame(rows, columns=columns).set_index("preset")


def preset(
    law: Law,
    name: str,
    runs: Runs,
    width: float = 0.3,
    widths: Mapping[str, float] | None = None,
) -> StatedPriors:
    """Centre a law's priors on published constants.

    Parameters
    ----------
    law : Law
    name : str
        One of `presets(law)`.
    runs : Runs
        Those to be fitted. A term such as A / N**alpha is centred on the size that the published
        constants give it at the runs' centre, so that height and exponent don't contradict.
    width : float
        Sd of the log of a parameter or of a term's size: 0.3 is give or take a third. Of the log
        odds for a parameter between 0 and 1; in units of the constant for one of either sign.
    widths : dict, optional
        Parameter -> another width. A floor depends on text and tokens, an exponent less so.

    Returns
    -------
    StatedPriors
        Give it to `fit` as ``prior=``. A note says so where the runs contradict it.

    Raises
    ------
    BayescaleError
        The card has no such set, or a width isn't above 0.
    DataError
        For rows that can't be fitted.

    Examples
    --------
    >>> import bayescale as bs
    >>> law, runs = bs.load_law("chinchilla"), bs.datasets.load("ladder")
    >>> stated = bs.preset(law, "besiroglu", runs, widths={"alpha": 0.1})
    >>> stated.changes["alpha"]
    {'prior': 'LogNormal(log(0.34781), 0.1)', 'on': 'value'}
    """
    law, runs = require_law(law), as_runs(runs, law)
    if name not in law.published:
        known = ", ".join(law.published) or "none: its card has no published constants"
        raise BayescaleError(
            f"the law {law.name!r} has no preset {name!r}.{nearest(str(name), law.published)}"
            f" Known: {known}"
        )
    own = dict.fromkeys(law.parameters, float(width)) | dict(widths or {})
    for parameter, value in own.items():
        if parameter not in law.parameters:
            raise LawError(
                f"widths names {parameter!r}, which the law {law.name!r} doesn't have."
                f"{nearest(parameter, law.parameters)}"
            )
        if not 0 < value < math.inf:
            raise BayescaleError(f"the width of {parameter} must be above 0, not {value}")
    model = prior_model(law, runs)
    published = law.published[name]
    changes, notes = {}, []
    for parameter in law.parameters.values():
        told = _centred(parameter, published, model.arrays.reference, own[parameter.name])
        if told is None:
            value = published[parameter.name]
            notes.append(f"{parameter.name} keeps its prior, which {value:g} lies outside of")
        else:
            changes[parameter.name] = {"prior": told, "on": parameter.on}
    changed = law.with_priors(**changes)
    rows = [
        (p, published[p], own[p], changed.parameters[p].prior.text, changed.parameters[p].on)
        for p in law.parameters
    ]
    columns = ["parameter", "published", "width", "prior", "on"]
    table = pd.DataFrame(rows, columns=columns).set_index("parameter")
    after = prior_model(changed, runs)
    _, before = sample_population_prior(model, np.random.default_rng(3), _DRAWS)
    _, now = sample_population_prior(after, np.random.default_rng(3), _DRAWS)
    notes.append(f"{name}: {law.sources[name]}; {law.units.get(name) or 'units not stated'}")
    if abs(z := prior_conflict(after)) > 3:
        notes.append(
            f"the runs' mean log loss lies {z:.1f} sd from what these priors expect: look at the"
            " units of N, D and loss, or widen them"
        )
    return StatedPriors(changed, table, compared(law, before, now), tuple(notes), changes)


def _centred(
    parameter: Parameter, published: Mapping[str, float], reference: Reference, width: float
) -> str | None:
    """A prior of the kind that its support allows; None where the constant lies outside."""
    value = published[parameter.name]
    if parameter.share is not None and parameter.on == "share":
        with np.errstate(all="ignore"):
            value = float(parameter.share({**reference.columns, **published}))
        value /= reference.loss(parameter.of)
    low, high = parameter.prior.support
    if not (math.isfinite(value) and low < value < high):
        return None
    shift = f"{low:.6g} + " if low not in (0.0, -math.inf) and high == math.inf else ""
    if low > -math.inf and high == math.inf:
        return f"{shift}LogNormal(log({value - low:.6g}), {width:g})"
    if (low, high) == (0.0, 1.0):
        count = 1.0 / (width**2 * value * (1.0 - value)) - 1.0  # sd of log odds is about width
        if count > 0:
            return f"Beta({value * count:.6g}, {(1.0 - value) * count:.6g})"
    scale = width * (abs(value) or parameter.prior.sd)
    if (low, high) == (-math.inf, math.inf):
        return f"Normal({value:.6g}, {scale:.6g})"
    ends = [f"low={low:.6g}"] * (low > -math.inf) + [f"high={high:.6g}"] * (high < math.inf)
    return f"TruncatedNormal({value:.6g}, {scale:.6g}, {', '.join(ends)})"
