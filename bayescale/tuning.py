"""Best values of any variables of a law: learning rate, batch, epochs, vocabulary, mixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescale import drawn_laws
from bayescale.allocation import group_of, positive, straight
from bayescale.costs import Cost, SixND, further_columns, training_flops
from bayescale.errors import DataError
from bayescale.optimum_many import minimise_many

if TYPE_CHECKING:
    from bayescale.fitting import Fit
    from bayescale.law import Law

Floats = NDArray[np.float64]
Columns = Callable[[Floats], dict[str, Floats]]

_DRAWS = 1000  # draws whose own optimum is found
_SPREAD = 7.0  # bounds of the log-ratios of a mixture


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """Values of a law's variables that give the least expected loss.

    Attributes
    ----------
    table : pandas.DataFrame
        A row a variable: ``variable``, ``value`` (Bayes choice), ``lower``, ``upper`` (95% of the
        draws' own optima), ``near_lower``, ``near_upper`` (expected regret at most `tolerance`,
        the other variables held), ``p_interior``.
    loss : float
        Expected loss at the choice.
    expected_regret : float
    tolerance : float
    notes : tuple of str
    """

    table: pd.DataFrame
    loss: float
    expected_regret: float
    tolerance: float
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        told = f"expected loss {self.loss:.4g}, expected regret {self.expected_regret:.2g}"
        return answer_html("Values of least expected loss", [told], self.table, self.notes)

    def __repr__(self) -> str:
        lines = [
            self.table.to_string(index=False, float_format="{:.4g}".format),
            f"expected loss {self.loss:.4g}, expected regret {self.expected_regret:.2g}",
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def optimise(
    fit: Fit,
    over: Mapping[str, tuple[float, float]],
    at: Mapping[str, Any] | None = None,
    C: float | None = None,
    cost: Cost | None = None,
    mixture: Sequence[str] = (),
    tolerance: float = 0.005,
) -> Tuning:
    """Choose several variables of a law together, by a numeric optimum over the posterior.

    Parameters
    ----------
    fit
        Posterior of a law with these variables.
    over
        Bounds of each, such as ``{"lr": (1e-5, 1e-2), "batch": (16, 4096)}``.
    at
        Group labels, and values of all other variables.
    C
        A budget; then N is among `over`, and D follows from it.
    cost
        What the budget pays for; 6 N D without it.
    mixture
        Columns that are shares of one whole; they sum to 1 and need no bounds.
    tolerance
        Expected regret that is still near-optimal.

    Returns
    -------
    Tuning

    Raises
    ------
    DataError
        For a variable that the law hasn't, bounds that aren't positive and increasing, or a group
        or variable left open.

    Examples
    --------
    >>> import bayescale as bs
    >>> best = bs.optimise(fit, {"lr": (1e-5, 1e-2)}, at={"N": 1e9, "D": 2e10})  # doctest: +SKIP
    """
    from bayescale import predictive_draws

    return optimise_with(
        predictive_draws.parameter_draws,
        fit,
        over,
        at=at,
        C=C,
        cost=cost,
        mixture=mixture,
        tolerance=tolerance,
    )


def optimise_with(
    parameter_draws: Callable[..., dict[str, Floats]],
    fit: Fit,
    over: Mapping[str, tuple[float, float]],
    at: Mapping[str, Any] | None = None,
    C: float | None = None,
    cost: Cost | None = None,
    mixture: Sequence[str] = (),
    tolerance: float = 0.005,
) -> Tuning:
    """Choose with a given function for draws; see `optimise`."""
    positive("tolerance", tolerance)
    fit.law.response.require_lower(fit.law.name, "optimise")
    over, mixture = dict(over), tuple(mixture)
    columns = [v.column for v in fit.law.variables.values()]
    _refuse(fit.law, columns, over, mixture, C)
    cost = SixND() if cost is None else cost
    filled = further_columns(cost, 1.0, 1.0) if C is not None else {}
    decided = [*over, *mixture, *(("D", "C") if C is not None else ()), *filled]
    where = group_of(fit, at, tuple(decided))
    fixed = {name: where[name] for name in columns if name in where}
    params = parameter_draws(straight(fit), pd.DataFrame([where]))

    def inputs(x: Floats) -> dict[str, Floats]:
        chosen = {name: np.exp(x[:, i]) for i, name in enumerate(over)}
        if mixture:
            logits = np.column_stack([x[:, len(over) :], np.zeros(len(x))])
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            chosen |= {name: weights[:, i] for i, name in enumerate(mixture)}
        if C is not None:
            D = np.asarray(cost.tokens(chosen["N"], C), dtype=float)
            D = np.where(D >= 1.0, D, np.nan)
            chosen |= further_columns(cost, chosen["N"], D) | {"D": D}
        if "C" in columns and "C" not in chosen and {"N", "D"} <= {*chosen, *fixed}:
            known = {**fixed, **chosen}
            chosen["C"] = training_flops(cost, known["N"], known["D"])
        return chosen

    few = np.unique(np.linspace(0, len(next(iter(params.values()))) - 1, _DRAWS).astype(int))
    kept = {name: params[name][few] for name in fit.law.parameters}

    def own(x: Floats) -> Floats:  # a point a draw, or one for all
        at = {name: np.reshape(values, (-1, 1)) for name, values in inputs(x).items()}
        return drawn_laws.values(fit.law, kept, {**fixed, **at})[:, 0]

    def expected(x: Floats) -> Floats:  # a point at a time
        return np.array([np.mean(own(one[None])) for one in x])

    logs = np.log(np.array(list(over.values()), dtype=float).reshape(-1, 2))
    free = np.array([[-_SPREAD, _SPREAD]] * max(len(mixture) - 1, 0)).reshape(-1, 2)
    bounds = np.concatenate([logs, free])
    low, high = bounds.T
    optima = minimise_many(own, low, high, len(few))
    best = minimise_many(expected, low, high, 1)
    if not (np.isfinite(best.value[0]) and np.isfinite(optima.value).all()):
        raise DataError("the law has no finite loss within the bounds: widen them, or raise C")
    regret = float(best.value[0] - np.mean(optima.value))
    at_best, of_draws = inputs(best.x), inputs(optima.x)
    rows = []
    names = [*over, *mixture, *(("D",) if C is not None else ())]
    for place, name in enumerate(names):
        lower, upper = np.quantile(of_draws[name], [0.025, 0.975])
        near = (np.nan, np.nan)
        inside = 1.0
        if name in over:
            near = _near(expected, best.x[0], place, bounds[place], optima.value, tolerance)
            inside = float(np.mean(optima.interior[:, place]))
        rows.append(
            {
                "variable": name,
                "value": float(at_best[name][0]),
                "lower": float(lower),
                "upper": float(upper),
                "near_lower": near[0],
                "near_upper": near[1],
                "p_interior": inside,
            }
        )
    edge = [n for i, n in enumerate(over) if not best.interior[0, i]]
    notes = (f"{', '.join(edge)}: the choice is at a bound; nothing inside is better",)
    return Tuning(
        pd.DataFrame(rows), float(best.value[0]), regret, tolerance, notes if edge else ()
    )


def _near(
    expected: Callable[[Floats], Floats],
    best: Floats,
    place: int,
    bounds: Floats,
    least: Floats,
    tolerance: float,
) -> tuple[float, float]:
    """Range of one variable with little expected regret, the others held at the choice."""
    grid = np.unique(np.append(np.linspace(bounds[0], bounds[1], 201), best[place]))
    points = np.tile(best, (len(grid), 1))
    points[:, place] = grid
    allowed = grid[expected(points) - np.mean(least) <= tolerance]
    if not allowed.size:
        return np.nan, np.nan
    return float(np.exp(allowed[0])), float(np.exp(allowed[-1]))


def _refuse(
    law: Law,
    columns: Sequence[str],
    over: Mapping[str, tuple[float, float]],
    mixture: Sequence[str],
    C: float | None,
) -> None:
    strange = [name for name in (*over, *mixture) if name not in columns]
    if strange:
        raise DataError(
            f"the law {law.name!r} has no variable {', '.join(strange)}: it is one of "
            f"{', '.join(columns)}"
        )
    if not over and not mixture:
        raise DataError("name what is to be chosen, such as over={'lr': (1e-5, 1e-2)}")
    if len(mixture) == 1:
        raise DataError(f"a mixture of {mixture[0]} alone has nothing to choose")
    for name, ends in over.items():
        low, high = (positive(f"a bound of {name}", end) for end in ends)
        if not low < high:
            raise DataError(f"the bounds of {name} are {low:g} and {high:g}: the first is larger")
    if C is not None:
        positive("C", C)
        if "N" not in over or "D" in over:
            raise DataError("on a budget C, N is among the chosen variables and D follows from it")
