"""What would change an answer: the prior, how much the data count, the largest run.

Draws are reweighted, nothing is refitted: by prior or likelihood to a power near 1 (Kallioinen et
al. 2023, arXiv:2107.14054), and by leaving the largest run out (Vehtari et al. 2017), the weights
Pareto-smoothed. A decision is then taken again on draws resampled by those weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayescale.averages import Average
    from bayescale.fitting import Fit

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

POWERS = (0.8, 1.25)
MAX_KHAT = 0.7


@dataclass(frozen=True, eq=False)
class Reweighting:
    """Draws as they would be had something been otherwise.

    Attributes
    ----------
    change : str
        What is changed, such as "prior to the power 0.8".
    index : numpy.ndarray
        Draws, resampled by their weights.
    khat : float
        Pareto shape of the weights; above 0.7 they can't be trusted.
    """

    change: str
    index: Index
    khat: float


def reweightings(fit: Fit | Average) -> list[Reweighting]:
    """Draws of a fit under a weaker and a stronger prior and likelihood, and less its largest run.

    Of an average, draws of each law alone.

    Examples
    --------
    >>> [one.change for one in reweightings(fit)]                       # doctest: +SKIP
    ['prior to the power 0.8', 'prior to the power 1.25', ...]
    """
    from bayescale.averages import Average
    from bayescale.sensitivity import log_prior_draws

    if isinstance(fit, Average):
        return _law_by_law(fit)
    stats = fit.data["sample_stats"].dataset
    parts = {
        "prior": log_prior_draws(fit),
        "data": stats["log_likelihood"].transpose("chain", "draw").to_numpy().ravel(),
    }
    made = [
        reweighted(f"{name} to the power {power:g}", (power - 1.0) * density)
        for name, density in parts.items()
        for power in POWERS
    ]
    largest = _largest_run(fit)
    if largest is not None:
        name, density = largest
        made.append(reweighted(f"without the largest run, {name}", -density))
    return made


def reweighted(change: str, log_weights: Floats) -> Reweighting:
    """Resample draws by smoothed weights, evenly: draw s comes about size times its weight.

    Examples
    --------
    >>> one = reweighted("nothing", np.zeros(200))
    >>> bool((one.index == np.arange(200)).all())
    True
    """
    from bayescale.sensitivity import smoothed_weights

    log_weights = np.asarray(log_weights, dtype=float)
    size = len(log_weights)
    if np.ptp(log_weights) < 1e-12:
        return Reweighting(change, np.arange(size), 0.0)
    weights, khat = smoothed_weights(log_weights)
    cumulative = np.cumsum(weights)
    index = np.searchsorted(cumulative, (np.arange(size) + 0.5) / size)
    return Reweighting(change, np.minimum(index, size - 1), khat)


def changed_answers(
    answer: Callable[[Index], float],
    base: float,
    changes: Sequence[Reweighting],
    name: str,
    laws: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Answer a question again under each change.

    Parameters
    ----------
    answer
        Of some draws, by their index.
    base
        The answer as it stands.
    changes
        From `reweightings`.
    name
        Of the quantity.
    laws
        Answers of other laws, by name, where there are any.

    Returns
    -------
    pandas.DataFrame
        ``change``, ``quantity``, ``base``, ``changed``, ``ratio``, ``khat``, ``trusted``; the
        largest change first.

    Examples
    --------
    >>> draws = np.array([1.0, 3.0])
    >>> some = Reweighting("only the second", np.array([1, 1]), 0.2)
    >>> changed_answers(lambda i: draws[i].mean(), 2.0, [some], "loss")["ratio"].tolist()
    [1.5]
    """
    rows = [(one.change, name, base, answer(one.index), one.khat) for one in changes]
    rows += [(f"law {law}", name, base, value, 0.0) for law, value in (laws or {}).items()]
    table = pd.DataFrame(rows, columns=["change", "quantity", "base", "changed", "khat"])
    with np.errstate(divide="ignore", invalid="ignore"):
        table.insert(4, "ratio", table["changed"] / table["base"])
        size = np.abs(np.log(np.abs(table["ratio"].to_numpy(float))))
    table["trusted"] = table["khat"] <= MAX_KHAT
    order = np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def sentence(table: pd.DataFrame) -> str:
    """What moves the answer most, in words.

    Examples
    --------
    >>> some = Reweighting("prior to the power 0.8", np.array([1, 1]), 0.2)
    >>> sentence(changed_answers(lambda i: 3.0, 2.0, [some], "N"))
    'what would change it most: prior to the power 0.8 (N times 1.5)'
    """
    if table.empty:
        return "nothing was tried that would change it"
    first = table.iloc[0]
    doubt = "" if first["trusted"] else "; weights too uneven to trust, refit to know"
    return (
        f"what would change it most: {first['change']} "
        f"({first['quantity']} times {first['ratio']:.3g}{doubt})"
    )


def _law_by_law(average: Average) -> list[Reweighting]:
    """Draws of each law alone, repeated to as many as there were."""
    size = len(average.which)
    alone = [(name, np.flatnonzero(average.which == k)) for k, name in enumerate(average.fits)]
    return [
        Reweighting(f"the law {name} alone", own[np.arange(size) * len(own) // size], 0.0)
        for name, own in alone
        if len(own)
    ]


def _largest_run(fit: Fit) -> tuple[str, Floats] | None:
    """Name and log likelihood of the run of most compute, else of the last."""
    if "log_likelihood" not in fit.data.children:
        return None
    tree = fit.data["log_likelihood"].dataset
    values = tree[next(iter(tree.data_vars))]
    values = values.transpose("chain", "draw", ...)
    table = fit.runs.table
    if values.ndim != 3 or values.shape[2] != len(table):
        return None
    compute = table["C"].to_numpy(float) if "C" in table else np.zeros(len(table))
    place = int(np.nanargmax(compute)) if np.isfinite(compute).any() else len(table) - 1
    name = str(table["run"].iloc[place]) if "run" in table else f"row {table.index[place]}"
    return name, values.to_numpy().reshape(-1, len(table))[:, place]
