"""A law written as brms and Bambi write non-linear models, without a card.

One formula for the response and one for each kind of parameter. What a card says with shares is
worked out from the formula: a parameter that stands alone in the sum is its floor, one that
multiplies a term is the height of that term, and a power of a variable is an exponent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayescale.card import write_card
from bayescale.elements import is_log_linear, read_varies
from bayescale.errors import FormulaError, LawError, placed
from bayescale.formula import Expression, unparsed
from bayescale.grammar import Binary, Minus, Name, Node, children, nearest
from bayescale.law import Law
from bayescale.priors import Prior

FLOOR = {"prior": "LogNormal(log(0.6), 0.4)", "of": "smallest", "about": "floor"}
HEIGHT = {"prior": "LogNormal(log(0.15), 1.0)", "about": "height of a term"}
EXPONENT = {"prior": "LogNormal(log(0.35), 0.4)", "about": "exponent"}
_WHY = "default of law_from_formula, that of the card chinchilla"
_UNITS = {"N": "parameters", "D": "tokens", "C": "FLOP", "U": "tokens"}
_SHAPE = re.compile(r"(1|0)((?:\+\(1\|(?:\w+\|)?[A-Za-z]\w*\))*|\+[A-Za-z]\w*)")


@dataclass
class _Told:
    """What the formulas say of each parameter."""

    varies: dict[str, str] = field(default_factory=dict)
    pooling: dict[str, str] = field(default_factory=dict)


def law_from_formula(
    formula: str,
    *parameters: str,
    priors: Mapping[str, str | Mapping[str, str]] | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str = "nat/token",
    noise: str = "t",
    name: str = "custom",
    title: str = "",
) -> Law:
    """Make a law of formulas such as those of brms (``nl = TRUE``) and Bambi.

    Parameters
    ----------
    formula : str
        ``"loss ~ E + A / N**alpha + B / D**beta"``; powers may be written ``^``. A name that no
        formula of parameters and no prior names is a column of the runs.
    *parameters : str
        ``"E + A + alpha ~ 1 + (1 | family)"``, ``"B + beta ~ 1"``: partial pooling over one or two
        columns, or one value for all; ``"alpha ~ 0 + family"`` fits the families apart.
        ``(1 | id | family)`` is read as ``(1 | family)``: height and exponent of a term are
        correlated between groups anyway, where there are 8 groups or more.
    priors : dict, optional
        Of the parameters themselves, such as ``{"alpha": "Normal(0.33, 0.1)"}``, or keys of a card,
        such as ``{"A": {"prior": "LogNormal(log(0.2), 0.5)", "on": "share"}}``. Floors, heights
        and exponents have defaults, which are on shares of the loss; others need one.
    columns : dict, optional
        Variable -> column of the runs, where they differ.
    unit, noise, name, title : str
        Of the response, its scatter (`fit`), and of the law.

    Returns
    -------
    Law

    Raises
    ------
    FormulaError, LawError
        For what can't be read, covariates of parameters, or a parameter without a prior.

    Examples
    --------
    >>> law = law_from_formula(
    ...     "loss ~ E + A / N^alpha + B / D^beta",
    ...     "E + A + alpha ~ 1 + (1 | family)",
    ...     "B + beta ~ 1",
    ... )
    >>> law.parameters["alpha"].varies, law.parameters["A"].share.text
    (('family',), 'A / N**alpha')
    """
    response, right = _sides(formula)
    if not response.isidentifier():
        raise FormulaError(
            f"{response!r} can't stand on the left: name the response's column; scatter is on its"
            f" log already",
            formula,
            0,
        )
    told = _Told()
    for text in parameters:
        _read_parameters(text, told)
    own = {n: {"prior": p} if isinstance(p, str) else dict(p) for n, p in (priors or {}).items()}
    with placed("formula"):
        expression = Expression.parse(right)
    known = [n for n in expression.names if n in told.varies or n in own]
    for named in (*told.varies, *own):
        if named not in expression.names:
            guess = nearest(named, expression.names)
            raise LawError(f"the formula has no parameter {named!r}.{guess} It is {right}")
    if not known:
        raise LawError("no parameter is named: add a formula such as 'E + A + alpha ~ 1'")
    variables = [n for n in expression.names if n not in known]
    if not variables:
        raise LawError(f"the formula has no variable: {', '.join(known)} are all parameters")
    if strange := [n for n in _exponents(expression.tree) if n in variables]:
        raise LawError(
            f"{strange[0]} is an exponent, and no formula says that it is a parameter:"
            f" '{strange[0]} ~ 1'"
        )
    for named in columns or {}:
        if named not in variables:
            raise LawError(f"columns names {named!r}.{nearest(named, variables)} It is no variable")
    found, pairs = _defaults(expression.tree, known, variables)
    tables = {n: _parameter(n, found.get(n), own.get(n), told) for n in known}
    if missing := [n for n in known if "prior" not in tables[n]]:
        raise LawError(
            f"no prior is given for {', '.join(missing)}, and only floors, heights of terms and"
            f" exponents have a default: priors={{{missing[0]!r}: 'LogNormal(0, 1)'}}"
        )
    card = {
        "name": name,
        "title": title or right,
        "formula": right,
        "cite": "given as a formula",
        "unverified": "given as a formula",
        "pairs": [
            [a, b] for a, b in pairs if tables[a].get("varies") == tables[b].get("varies") != "1"
        ],
        "response": {"column": response, "unit": unit, "noise": noise},
        "variables": {v: _variable(v, dict(columns or {})) for v in variables},
        "parameters": tables,
    }
    return Law.from_text(write_card(card))


def _sides(text: str) -> tuple[str, str]:
    """Left and right of the ``~``, powers as the grammar writes them."""
    if not isinstance(text, str):
        raise FormulaError(f"a formula is a text, not {type(text).__name__}")
    left, tilde, right = text.replace("^", "**").partition("~")
    if not tilde or "~" in right:
        raise FormulaError("write it with one ~, as in loss ~ E + A / N**alpha", text, len(text))
    return left.strip(), right.strip()


def _read_parameters(text: str, told: _Told) -> None:
    """Note what ``E + A ~ 1 + (1 | family)`` says."""
    left, right = _sides(text)
    names = [n.strip() for n in re.split(r"[+,]", left)]
    for n in names:
        if not n.isidentifier():
            raise FormulaError(f"{n!r} is no name of a parameter", text, max(text.find(n), 0))
        if n in told.varies:
            raise FormulaError(f"{n} has two formulas", text, text.find(n))
    tight = re.sub(r"\s+", "", right)
    shape = _SHAPE.fullmatch(tight)
    apart = shape is not None and shape[1] == "0"
    if shape is None or (apart and (not shape[2] or shape[2].startswith("+("))):
        raise FormulaError(
            'a parameter is written "~ 1", "~ 1 + (1 | family)" or "~ 0 + family"; it has no'
            " covariates: write what depends on them into the formula of the response",
            text,
            text.index("~") + 1,
        )
    if not apart and shape[2] and not shape[2].startswith("+("):
        raise FormulaError(
            f"{shape[2][1:]} can't be a covariate of a parameter: (1 | {shape[2][1:]}) pools over"
            f" its levels, 0 + {shape[2][1:]} fits them apart",
            text,
            text.index("~") + 1,
        )
    groups = [shape[2][1:]] if apart else re.findall(r"\|(\w+)\)", shape[2])
    varies = "1" + "".join(f" + (1 | {g})" for g in groups)
    with placed(text):
        read_varies(varies)
    told.varies |= dict.fromkeys(names, varies)
    if apart:
        told.pooling |= dict.fromkeys(names, "none")


def _terms(node: Node) -> Iterator[Node]:
    """The summands of a sum."""
    if isinstance(node, Binary) and node.symbol == "+":
        yield from _terms(node.left)
        yield from _terms(node.right)
    else:
        yield node


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.id
    for child in children(node):
        yield from _names(child)


def _exponents(node: Node) -> Iterator[str]:
    """Names to which something with another name in it is raised."""
    if isinstance(node, Binary) and node.symbol == "**" and any(_names(node.left)):
        power = node.right.operand if isinstance(node.right, Minus) else node.right
        if isinstance(power, Name):
            yield power.id
    for child in children(node):
        yield from _exponents(child)


def _defaults(
    tree: Node, parameters: list[str], variables: list[str]
) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """What each parameter is, where its place in the formula tells, and pairs of one term."""
    found: dict[str, dict[str, Any]] = {}
    pairs: list[tuple[str, str]] = []
    named = dict.fromkeys(variables)
    for term in _terms(tree):
        inside = list(dict.fromkeys(_names(term)))
        if isinstance(term, Name) and term.id in parameters and term.id not in found:
            found[term.id] = {**FLOOR, "share": term.id, "why": _WHY}
            continue
        exponents = [n for n in dict.fromkeys(_exponents(term)) if n in parameters]
        found |= {n: {**EXPONENT, "why": _WHY} for n in exponents if n not in found}
        if not any(n in variables for n in inside):
            continue
        text = unparsed(term)
        share = Expression.parse(text)
        heights = [
            n
            for n in inside
            if n in parameters and n not in found and is_log_linear(share, n, named)
        ]
        if heights:
            found[heights[0]] = {**HEIGHT, "share": text, "why": _WHY}
            pairs += [(heights[0], exponents[0])] if len(exponents) == 1 else []
    once: set[str] = set()
    disjoint = []
    for pair in pairs:
        if not once & set(pair):
            disjoint.append(pair)
            once |= set(pair)
    return found, disjoint


def _parameter(
    name: str, default: dict[str, Any] | None, own: dict[str, str] | None, told: _Told
) -> dict[str, Any]:
    """A parameter's table of the card."""
    table: dict[str, Any] = {"about": name, **(default or {})}
    if own is not None:
        table |= own
        table["why"] = own.get("why", "given with the formula")
        if default is not None and "share" in default and "on" not in own:
            with placed(f"priors[{name!r}]"):
                positive = Prior.parse(own["prior"]).support[0] >= 0 if "prior" in own else True
            if "prior" in own and positive:
                table["on"] = "value"
            elif not positive:  # a contribution is positive: this one is taken as a plain number
                table = {k: v for k, v in table.items() if k not in ("share", "of")}
    table["varies"] = told.varies.get(name, "1")
    if name in told.pooling:
        table["pooling"] = told.pooling[name]
    return table


def _variable(name: str, columns: dict[str, str]) -> dict[str, str]:
    column = columns.get(name, name)
    return {"column": column, "unit": _UNITS.get(column, "")}
