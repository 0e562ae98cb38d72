"""What laws are made of: variables, parameters, the response, read from a card's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayescale.covariates import Slope, read_slopes, read_terms
from bayescale.errors import LawError, placed
from bayescale.formula import Expression, constant
from bayescale.grammar import MAX_WRITTEN, Parser, nearest
from bayescale.priors import Prior

_NAMED = {"from": "least"}  # keys of a card that Python keeps for itself
SCHEDULE = "schedule"  # the kind of a variable that is computed from a schedule
RESERVED = ("sigma", "nu")  # the noise component has parameters of these names
_GROUP_SD_SHARE, _GROUP_SD_OTHER = "HalfNormal(0.3)", "HalfNormal(0.15)"


@dataclass(frozen=True)
class Variable:
    """What the formula is a function of: a name, a column of the runs, a unit.

    Attributes
    ----------
    name, column, unit, about, kind : str
    least : float or None
        The smallest value it may take (``from`` in a card); its logarithm is then never taken. 0
        for shares of a whole and for sums along a schedule. None for a positive quantity, whose
        logarithm counts.
    """

    name: str
    column: str
    unit: str = ""
    about: str = ""
    kind: str = ""
    least: float | None = None


@dataclass(frozen=True)
class Parameter:
    """What is learnt: a prior, a meaning, and by which groups it may vary.

    Attributes
    ----------
    name : str
    prior : Prior
        Of the share at the reference (`on` = "share") or of the parameter itself ("value").
    about, why : str
        What it means; where its prior comes from.
    share : Expression or None
        The parameter's contribution to the loss. Its logarithm is the coordinate that is
        pooled; without it the coordinate is `prior.to_real(parameter)`.
    of : str
        "typical": the share is of the geometric mean of the losses; "smallest": of the smallest;
        "one": it is no share of the loss but a number by itself, such as x / x_0.
    on : str
    varies : tuple of str
        The grouping columns; empty for one value for all groups.
    group_sd : Prior
        Of the standard deviation between groups, on the pooled coordinate.
    pooling : str
        "partial", or "none": groups are fitted apart.
    slopes : tuple of Slope
        On columns that have one value in every group, such as log(width).
    """

    name: str
    prior: Prior
    about: str = ""
    share: Expression | None = None
    of: str = "typical"
    on: str = "value"
    varies: tuple[str, ...] = ()
    group_sd: Prior = field(default_factory=lambda: Prior.parse(_GROUP_SD_OTHER))
    pooling: str = "partial"
    why: str = ""
    slopes: tuple[Slope, ...] = ()


def read_varies(text: str) -> tuple[str, ...]:
    """Read the grouping columns of "1 + (1 | family) + (1 | corpus)".

    Raises
    ------
    FormulaError
        For anything that is not an intercept, covariates and grouping columns.

    Examples
    --------
    >>> read_varies("1 + (1 | family)")
    ('family',)
    """
    return read_terms(text)[0]


def number(value: float | str, place: str) -> float:
    """Return a number that a card states, or writes as arithmetic ("406.4 / 1e9**0.34")."""
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        raise LawError(f"{place} must be one number or arithmetic, not {value!r}")
    with placed(place):
        return constant(Parser(value, allowed=()).whole(), value)


def read_where(card: Mapping[str, Any]) -> dict[str, Expression]:
    """Read named sub-expressions; each may use those above it."""
    where: dict[str, Expression] = {}
    taken = {**card["variables"], **card["parameters"]}
    for name, text in card.get("where", {}).items():
        if name in taken:
            raise LawError(f"where.{name}: {name!r} is already a variable or a parameter")
        with placed(f"where.{name}"):
            read = Expression.parse(text, [*taken, *where], MAX_WRITTEN)
            where[name] = read.substitute(where)
    for name, keys in card.get("solve", {}).items():
        if name in taken or name in where:
            raise LawError(f"solve.{name}: {name!r} already has another meaning")
        where[name] = _read_solve(name, keys, [*taken, *where]).substitute(where)
    return where


def _read_solve(name: str, keys: Mapping[str, Any], known: Sequence[str]) -> Expression:
    """Read an unknown that an equation defines: where `zero` is zero, between two bounds."""
    place = f"solve.{name}"
    between = keys.get("between", [])
    if "zero" not in keys or len(between) != 2 or not all(isinstance(b, str) for b in between):
        raise LawError(
            f"{place} needs an expression that is zero at {name}, and two bounds: "
            f'zero = "{name} - exp(-{name})", between = ["0", "1"]'
        )
    with placed(f"{place}.zero"):
        zero = Expression.parse(keys["zero"], [*known, name], MAX_WRITTEN)
    if name not in zero.names:
        raise LawError(f"{place}.zero must contain {name!r}: it is what is solved for")
    with placed(f"{place}.between"):
        low, high = (Expression.parse(text, known, MAX_WRITTEN) for text in between)
    return Expression.solution(name, zero, low, high)


def where_names(card: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Names that a sub-expression or a solved unknown is made of, as written."""
    keys = card.get("solve", {}).get(name)
    texts = [card["where"][name]] if keys is None else [keys["zero"], *keys["between"]]
    return tuple(n for text in texts for n in Expression.parse(text, None, MAX_WRITTEN).names)


def read_formula(card: Mapping[str, Any], where: Mapping[str, Expression]) -> Expression:
    """Read the formula, sub-expressions written out; every declared name must be used."""
    declared = [*card["variables"], *card["parameters"]]
    with placed("formula"):
        written = Expression.parse(card["formula"], [*declared, *where], MAX_WRITTEN)
    used = set(written.names)
    for name in reversed(list(where)):  # each may use those above it
        if name in used:
            used.update(where_names(card, name))
    for name in (*declared, *where):
        if name not in used:
            raise LawError(f"{name!r} is declared and the formula does not use it")
    return written.substitute(where)


def read_variables(card: Mapping[str, Any]) -> dict[str, Variable]:
    """Read the variables; a variable stands in the column of its own name unless told."""
    variables = {
        name: Variable(name, **{"column": name, **{_NAMED.get(k, k): v for k, v in keys.items()}})
        for name, keys in card["variables"].items()
    }
    variables = {
        name: replace(v, least=0.0) if v.kind == SCHEDULE and v.least is None else v
        for name, v in variables.items()
    }
    columns = [v.column for v in variables.values()]
    for v in variables.values():
        if columns.count(v.column) > 1:
            raise LawError(f"two variables stand in the column {v.column!r}")
        if v.name != v.column and v.name in columns:
            raise LawError(f"{v.name!r} is a variable and also the column of another")
    return variables


def read_parameters(
    card: Mapping[str, Any], where: Mapping[str, Expression]
) -> dict[str, Parameter]:
    """Read the parameters with their priors, shares and pooling."""
    parameters = {}
    for name, keys in card["parameters"].items():
        place = f"parameters.{name}"
        if name in RESERVED:
            raise LawError(f"{place}: {name!r} belongs to the noise; choose another name")
        if name in card["variables"]:
            raise LawError(f"{place}: {name!r} is also a variable")
        with placed(place):
            Expression.parse(name)  # a name that a formula could not hold
        if "prior" not in keys:
            raise LawError(f'{place} needs a prior, such as prior = "LogNormal(0, 1)"')
        with placed(f"{place}.prior"):
            prior = Prior.parse(keys["prior"])
        share = _read_share(name, card, where)
        default = _GROUP_SD_OTHER if share is None else _GROUP_SD_SHARE
        with placed(f"{place}.group_sd"):
            group_sd = Prior.parse(keys.get("group_sd", default))
        with placed(f"{place}.varies"):
            varies, covariates = read_terms(keys.get("varies", card.get("varies", "1")))
        if keys.get("pooling") == "none":
            covariates = ()
        with placed(f"{place}.slopes"):
            slopes = read_slopes(name, covariates, keys.get("slopes", {}), group_sd)
        parameter = Parameter(
            name=name,
            prior=prior,
            about=keys.get("about", ""),
            why=keys.get("why", ""),
            share=share,
            of=keys.get("of", "typical"),
            on=keys.get("on", "value" if share is None else "share"),
            varies=varies,
            group_sd=group_sd,
            pooling=keys.get("pooling", "partial"),
            slopes=slopes,
        )
        _check_parameter(parameter, keys)
        parameters[name] = parameter
    _check_shares(parameters)
    return parameters


def _read_share(
    name: str, card: Mapping[str, Any], where: Mapping[str, Expression]
) -> Expression | None:
    text = card["parameters"][name].get("share")
    if text is None:
        return None
    with placed(f"parameters.{name}.share"):
        known = [*card["variables"], *card["parameters"], *where]
        share = Expression.parse(text, known, MAX_WRITTEN)
        share = share.substitute(where)
    if name not in share.names:
        raise LawError(f"parameters.{name}.share must contain {name!r}: it is its contribution")
    if not is_log_linear(share, name, card["variables"]):
        raise LawError(
            f"parameters.{name}.share: its logarithm must be a straight line in log({name}) "
            f"(a product or a power of {name}), as in {name} / N**alpha"
        )
    return share


def is_log_linear(share: Expression, name: str, variables: Mapping[str, Any]) -> bool:
    """Whether log(share) is affine in log(parameter), tried at five values in forty places.

    Half of the places have small variables: sums of many terms overflow at the others.
    """
    rng = np.random.default_rng(0)
    logs = np.linspace(-1.0, 1.0, 5)
    tried = 0
    for at in range(40):
        low = (1, -4)[at % 2]
        env = {
            n: np.exp(rng.uniform(low, low + 3) if n in variables else rng.uniform(-1, 0.5))
            for n in share.names
        }
        with np.errstate(all="ignore"):
            line = np.log(share({**env, name: np.exp(logs)})) * np.ones_like(logs)
        if not np.all(np.isfinite(line)):
            continue
        steps = np.diff(line)
        scale = np.max(np.abs(steps))
        if scale < 1e-12 or np.ptp(steps) > 1e-8 * max(scale, float(np.max(np.abs(line)))):
            return False
        tried += 1
    return tried >= 5


def _check_parameter(parameter: Parameter, keys: Mapping[str, Any]) -> None:
    place = f"parameters.{parameter.name}"
    if parameter.share is None:
        for key in ("of", "on"):
            if keys.get(key) not in (None, "value"):
                raise LawError(f"{place}.{key} says of what the share is, but there is no share")
    elif parameter.prior.support[0] < 0:
        raise LawError(
            f"{place}.prior: {parameter.prior.text} reaches below 0, and a contribution to the "
            "loss is positive; take LogNormal, Gamma or HalfNormal"
        )
    if parameter.group_sd.support[0] < 0:
        raise LawError(
            f"{place}.group_sd: {parameter.group_sd.text} reaches below 0, and a standard "
            "deviation is positive; take HalfNormal"
        )


def _check_shares(parameters: Mapping[str, Parameter]) -> None:
    """Shares are undone one by one, so none may hold a second parameter that has a share."""
    for name, parameter in parameters.items():
        for other in parameter.share.names if parameter.share else ():
            if other != name and other in parameters and parameters[other].share is not None:
                raise LawError(
                    f"parameters.{name}.share contains {other!r}, which has a share itself; "
                    "one share holds one such parameter"
                )


def read_published(
    card: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> dict[str, dict[str, float]]:
    """Read the sets of published constants; each must give every parameter."""
    published = {}
    for label, entry in card.get("published", {}).items():
        place = f"published.{label}"
        if not entry.get("source"):
            raise LawError(f"{place} needs a source")
        values = entry.get("values", {})
        for name in values:
            if name not in parameters:
                guess = nearest(name, parameters)
                raise LawError(f"{place}: the law has no parameter {name!r}.{guess}")
        missing = [name for name in parameters if name not in values]
        if missing:
            raise LawError(f"{place} lacks {', '.join(missing)}")
        published[label] = {n: number(values[n], f"{place}.{n}") for n in parameters}
    return published


def read_pairs(
    card: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> tuple[tuple[str, str], ...]:
    """Read the pairs of parameters whose group effects may be correlated."""
    pairs = []
    for pair in card.get("pairs", []):
        names = [n for n in pair if isinstance(n, str)] if isinstance(pair, list) else []
        if len(names) != 2 or len(pair) != 2 or pair[0] == pair[1]:
            raise LawError(f'pairs: each is two names, such as ["A", "alpha"], not {pair!r}')
        for name in pair:
            if name not in parameters:
                guess = nearest(str(name), parameters)
                raise LawError(f"pairs: the law has no parameter {name!r}.{guess}")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)
