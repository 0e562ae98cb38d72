"""Laws side by side by how well they foretold runs left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import norm

from bayescale.averages import refuse_different_data
from bayescale.errors import DataError
from bayescale.fitting import Fit
from bayescale.leave_out import LeftOut, loo

SMALL = 4.0  # nats below which a difference says little
FEW = 100  # runs below which a normal error of it is doubtful


def loo_compare(laws: Mapping[str, Fit | LeftOut], seed: int = 0) -> pd.DataFrame:
    """Compare laws by runs left out, the best first, each with its difference from the best.

    Parameters
    ----------
    laws : dict of str to Fit or LeftOut
        A fit is asked for its `loo`; results of `loo`, `kfold` or `lfo` are taken as they are, all
        of one kind and of the same runs.
    seed : int
        Of refits.

    Returns
    -------
    pandas.DataFrame
        Indexed by law: ``elpd``, ``se``, ``elpd_diff``, ``se_diff``, ``p_worse`` (by the normal
        error of the difference), ``p`` (effective parameters), ``bad_k`` (runs whose Pareto k is
        above 0.7 and that were not refitted), ``doubt``: why the error of the difference says
        little, if it does. ``attrs["kind"]`` is of what.

    Raises
    ------
    DataError
        For results of different kinds or runs.

    Notes
    -----
    `loo` and `kfold` can't see a law fail in extrapolation; compare `lfo` of the laws for that.

    References
    ----------
    Sivula, Magnusson and Vehtari (2020), arXiv:2008.10296, on the error of a difference.

    Examples
    --------
    >>> import bayescale as bs
    >>> bs.loo_compare({"a": fit_a, "b": fit_b})                        # doctest: +SKIP
    >>> bs.loo_compare({"a": bs.lfo(fit_a), "b": bs.lfo(fit_b)})        # doctest: +SKIP
    """
    if len(laws) < 2:
        raise DataError("give two laws or more by name: {'a': fit_a, 'b': fit_b}")
    fits = {name: one for name, one in laws.items() if isinstance(one, Fit)}
    if len(fits) > 1:
        refuse_different_data(fits)
    left = {n: loo(one, seed=seed) if isinstance(one, Fit) else one for n, one in laws.items()}
    kinds = {name: one.kind for name, one in left.items()}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name} by {kind}" for name, kind in kinds.items())
        raise DataError(f"runs were left out in different ways: {told}")
    scores = pd.DataFrame({name: one.pointwise["elpd"] for name, one in left.items()})
    if scores.isna().to_numpy().any():
        raise DataError("different runs were left out: the laws are of different data")
    best = max(left, key=lambda name: left[name].elpd)
    rows = [_row(name, one, scores, best) for name, one in left.items()]
    table = pd.DataFrame(rows).set_index("law")
    table.attrs |= {"kind": kinds[best]}
    return table.sort_values("elpd", ascending=False, kind="stable")


def _row(name: str, one: LeftOut, scores: pd.DataFrame, best: str) -> dict[str, object]:
    apart = (scores[name] - scores[best]).to_numpy(float)
    diff, se = float(apart.sum()), float(np.sqrt(len(apart)) * apart.std())
    doubts = [f"fewer than {FEW} runs"] if len(apart) < FEW else []
    doubts += [f"less than {SMALL:g} nats"] if abs(diff) < SMALL else []
    bad = one.pointwise.get("pareto_k", pd.Series(dtype=float)) > 0.7
    refitted = one.pointwise.get("refitted", pd.Series(dtype=bool))
    return {
        "law": name,
        "elpd": one.elpd,
        "se": one.se,
        "elpd_diff": diff,
        "se_diff": se,
        "p_worse": np.nan if name == best else float(norm.cdf(-diff / se)) if se > 0 else 0.5,
        "p": one.p,
        "bad_k": int((bad & ~refitted).sum()),
        "doubt": "" if name == best else "; ".join(doubts),
    }
