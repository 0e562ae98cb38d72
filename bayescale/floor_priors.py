"""Decisions that rest on the prior of a floor, because no data tell it.

An interval of such a fit is what it should be, as wide as what is known; a choice hides that. The
draws are reweighted as they would be had the prior of the floor lain one of its sds lower, and
higher (importance weights, as in Kallioinen et al. 2023, arXiv:2107.14054). Where another choice
would then lose less, and by more than is tolerated, the prior has chosen and not the runs: such a
decision is refused unless forced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale.averages import Average
from bayescale.coordinates import prior_argument, to_natural
from bayescale.density import population_coordinates
from bayescale.errors import UnsettledError
from bayescale.fitting import Fit
from bayescale.model import reference_inputs
from bayescale.precision import x64
from bayescale.symptoms import Floor, untold_floors
from bayescale.targets import decades_beyond
from bayescale.what_changes import Index, Reweighting, reweighted

Floats = NDArray[np.float64]

OUTSIDE = -700.0  # log weight of a draw that the moved prior rules out


def shifted_floors(fit: Fit | Average, targets: pd.DataFrame) -> list[Reweighting]:
    """Draws as they would be had the prior of an untold floor lain one sd lower, or higher.

    Of groups that share no floor, those that the targets are of. None where no target lies beyond
    the runs, whose losses the data tell.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> shifted_floors(fit, pd.DataFrame({"N": [1e6], "D": [2e7]}))  # these runs tell it
    []
    """
    if not np.any(decades_beyond(fit, targets) > 0):
        return []
    if not isinstance(fit, Average):
        return [reweighted(change, weights) for change, weights in _shifts(fit, targets)]
    out = []
    for k, (name, one) in enumerate(fit.fits.items()):
        mine = np.flatnonzero(fit.which == k)  # resampled among themselves, others as they are
        for change, weights in _shifts(one, targets) if mine.size else []:
            moved = reweighted(f"{change} ({name})", weights[fit.slots[name][mine]])
            index = np.arange(len(fit.which))
            index[mine] = mine[moved.index]
            out.append(replace(moved, index=index))
    return out


def _shifts(fit: Fit, targets: pd.DataFrame) -> Iterator[tuple[str, Floats]]:
    """What is changed, and log weights of the fit's draws."""
    for floor in untold_floors(fit):
        if floor.level is None or floor.level in set(targets[floor.factor].astype(str)):
            for where, weights in _shifted(fit, floor).items():
                yield f"prior of {floor.name} one sd {where}", weights


def _shifted(fit: Fit, floor: Floor) -> dict[str, Floats]:
    """Log weights of the draws under the prior moved down and up."""
    structure, position = fit.model.structure, fit.position
    assert structure.trade is not None
    place = structure.trade[0]
    if floor.level is not None:  # a normal prior of the group's own coordinate
        f = next(k for k, one in enumerate(structure.factors) if one.name == floor.factor)
        factor = structure.factors[f]
        at = factor.varied.index(place)
        effect = position.effects[f][:, factor.levels.index(floor.level), at]
        z = np.asarray(effect, dtype=float) / factor.fixed_sd[at]
        return {"lower": -z, "higher": z}
    prior = structure.parameters[place].prior
    eta = population_coordinates(structure, position.population, np)
    values = to_natural(structure, eta, reference_inputs(fit.model.arrays.reference), np)
    value = np.asarray(prior_argument(structure, eta, values, place, np), dtype=float)
    with x64():
        stated = np.asarray(prior.log_prob(value))
        moved = {
            where: np.asarray(prior.log_prob(value * np.exp(by)))
            for where, by in (("lower", floor.prior), ("higher", -floor.prior))
        }
    possible = {where: there for where, there in moved.items() if np.isfinite(there).any()}
    return {where: np.maximum(there - stated, OUTSIDE) for where, there in possible.items()}


def unsettled(
    shifts: Sequence[Reweighting],
    decide: Callable[[Index], tuple[str, float]],
    choice: str,
    tolerance: float,
) -> str | None:
    """Say of a choice that another prior of a floor would make another one.

    Parameters
    ----------
    shifts
        From `shifted_floors`.
    decide
        Of some draws, by their index: what would be chosen, and how much more the present choice
        would be expected to lose.
    choice
        The present one.
    tolerance
        A loss that is not worth a refusal.

    Examples
    --------
    >>> draws = np.array([[2.0, 2.1], [2.3, 2.2]])
    >>> one = Reweighting("prior of E one sd lower", np.array([0, 0]), 0.1)
    >>> decide = lambda i: ("a", draws[i, 1].mean() - draws[i, 0].mean())
    >>> print(unsettled([one], decide, "b", 0.005))
    the choice of b rests on a prior ...: with the prior of E one sd lower it would be a, ...
    >>> unsettled([one], decide, "b", 0.2)
    """
    worst: str | None = None
    most = tolerance
    for one in shifts:
        other, lost = decide(one.index)
        if lost > most:
            most = lost
            worst = f"with the {one.change} it would be {other}, expected to lose {lost:.2g} less"
    if worst is None:
        return None
    return (
        f"the choice of {choice} rests on a prior and not on the runs: {worst}; the data don't"
        f" tell that floor: add runs over more decades (next_runs), or give a prior from elsewhere"
        f" (prior=), or choose all the same (force=True, which says so)"
    )


def settle(said: str | None, force: bool, fit: Fit | Average) -> tuple[str, ...]:
    """Refuse a decision that is not settled, or note why it would have been.

    Raises
    ------
    UnsettledError
        Unless there is nothing to say, or `force` is given.
    """
    if said is not None and not force:
        raise UnsettledError(said, fit)
    return () if said is None else (f"forced: {said}",)
