"""A law: a formula with variables, parameters and priors, published constants and oracles.

Everything here is frozen. A changed law is a new law, read and checked again from its card.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayescale.card import read_card, write_card
from bayescale.card_changes import indexed_parameters, with_fixed, with_members
from bayescale.covariates import without_slopes
from bayescale.elements import Parameter as Parameter
from bayescale.elements import Variable as Variable
from bayescale.elements import (
    read_formula,
    read_pairs,
    read_parameters,
    read_published,
    read_variables,
    read_where,
)
from bayescale.errors import FormulaError, LawError
from bayescale.factors import Factor, read_factors
from bayescale.formula import Expression, log_name
from bayescale.grammar import nearest
from bayescale.indexed_card import written_out
from bayescale.indexed_names import simplexes
from bayescale.law_text import in_latex, one_line
from bayescale.oracles import Check, read_checks
from bayescale.responses import STATED, read_response
from bayescale.responses import Response as Response

if TYPE_CHECKING:
    import pandas as pd

_TRIED = 12  # linear parameters of which all subsets are tried
_UNITS = {"N": "parameters", "D": "tokens", "C": "FLOP", "U": "tokens"}


@dataclass(frozen=True, repr=False)
class Law:
    """One law, complete: call it with constants and columns.

    Attributes
    ----------
    name, title, cite : str
    formula : Expression or None
        In the names of variables and parameters, sub-expressions written out; None for a law
        that is a Python function.
    response : Response
    variables : Mapping of str to Variable
    parameters : Mapping of str to Parameter
    pairs : tuple of (str, str)
        Parameters whose group effects may be correlated.
    published : Mapping of str to Mapping of str to float
    sources, units : Mapping of str to str
        Of every published set: where it stands, and what its N means.
    checks : tuple of Check
    card : str
        The card's text (of a Python function, all but the function).
    identifiability, decision, unverified : str
        What data are needed; what the law decides; why it has no checks, where it has none.
    where : Mapping of str to str
        Named sub-expressions, as written.
    beliefs : tuple of Factor
        What the prior says beside the parameters' own priors (`bayescale.elicit`).
    function : callable or None
        f(params, columns, xp) -> loss, the escape hatch.
    simplexes : Mapping of str to tuple of str
        Variables whose columns, here named, add up to 1 in every row.

    Examples
    --------
    >>> from bayescale.catalog import load_law
    >>> law = load_law("chinchilla")
    >>> round(float(law(law.published["hoffmann"], N=70e9, D=1.4e12)), 3)
    1.937
    """

    name: str
    title: str
    formula: Expression | None
    response: Response
    variables: Mapping[str, Variable]
    parameters: Mapping[str, Parameter]
    pairs: tuple[tuple[str, str], ...] = ()
    cite: str = ""
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    card: str = ""
    identifiability: str = ""
    decision: str = ""
    unverified: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    beliefs: tuple[Factor, ...] = ()
    function: Callable[..., Any] | None = None
    simplexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: str) -> Law:
        """Read a law from the TOML text of a card.

        Raises
        ------
        LawError, FormulaError
            For a card that can't be read, contradicts itself or lacks something.
        """
        return _build(read_card(text), text)

    @classmethod
    def from_toml(cls, path: str | Path) -> Law:
        """Read a law from a card file, whose name must be the law's name."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise LawError(f"the card {path} can't be read: {reason}") from None
        try:
            law = cls.from_text(text)
        except LawError as error:
            raise LawError(f"{path.name}: {error}") from None
        except FormulaError as error:
            message = f"{path.name}: {error.message}"
            raise FormulaError(message, error.text, error.position) from None
        if law.name != path.stem:
            raise LawError(f"{path.name}: the card's name is {law.name!r}; name the file after it")
        return law

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        variables: Mapping[str, Mapping[str, str]],
        parameters: Mapping[str, Mapping[str, str]],
        name: str = "custom",
        title: str = "",
        varies: str = "1",
        response: Mapping[str, str] | None = None,
        pairs: Iterable[tuple[str, str]] = (),
    ) -> Law:
        """Make a law of a Python function that no formula can express.

        Parameters
        ----------
        function : callable
            ``f(params, columns, xp) -> loss``: two dicts of arrays (by the names of parameters
            and variables) and the array module, numpy or jax.numpy; it must be traceable.
        variables, parameters : Mapping
            As in a card: ``{"N": {"column": "N", "unit": "parameters"}}``,
            ``{"E": {"prior": "LogNormal(0, 1)", "about": "the floor"}}``.
        name, title, varies, response, pairs
            As in a card.

        Examples
        --------
        >>> law = Law.from_function(
        ...     lambda p, c, xp: p["E"] + xp.exp(-p["k"] * c["x"]),
        ...     variables={"x": {"column": "x"}},
        ...     parameters={"E": {"prior": "HalfNormal(2)"}, "k": {"prior": "HalfNormal(1)"}},
        ... )
        >>> float(law({"E": 1.0, "k": 0.0}, x=3.0))
        2.0
        """
        card = {
            "name": name,
            "title": title or name,
            "varies": varies,
            "pairs": [list(pair) for pair in pairs],
            "unverified": "a function given in Python",
            "response": dict(response or {}),
            "variables": {k: dict(v) for k, v in variables.items()},
            "parameters": {k: dict(v) for k, v in parameters.items()},
        }
        return _read(card, function)

    def __call__(self, params: Mapping[str, Any], /, **columns: Any) -> np.ndarray:
        """Return the law's loss at given constants.

        Parameters
        ----------
        params : Mapping of str to float or array
            Every parameter, in the card's units; a misspelt one is an error.
        **columns : float or array
            Every variable by its column (or its own name), in base units.

        Returns
        -------
        ndarray of float64
            In the response's unit, of the broadcast shape.

        Raises
        ------
        LawError
            For a missing or unknown parameter or column.
        """
        _exactly(params, self.parameters, "parameter", self.name)
        named = {v.column: columns[n] for n, v in self.variables.items() if n in columns}
        given = {k: v for k, v in columns.items() if k not in self.variables} | named
        _exactly(given, [v.column for v in self.variables.values()], "column", self.name)
        params = {name: np.asarray(value, dtype=np.float64) for name, value in params.items()}
        given = {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
        with np.errstate(all="ignore"):
            return np.asarray(self.mean(params, given, np), dtype=np.float64)

    def _repr_html_(self) -> str:
        from bayescale.display import law_html

        return law_html(self)

    def mean(
        self, params: Mapping[str, Any], columns: Mapping[str, Any], xp: ModuleType = np
    ) -> Any:
        """Evaluate with numpy or jax.numpy; traceable, nothing is checked.

        `columns` are by the names of the table's columns; more than needed are ignored.
        """
        values = {name: columns[v.column] for name, v in self.variables.items()}
        for name, v in self.variables.items():
            if log_name(v.column) in columns:
                values[log_name(name)] = columns[log_name(v.column)]
        if self.function is not None:
            return self.function({name: params[name] for name in self.parameters}, values, xp)
        assert self.formula is not None
        return self.formula({**values, **{name: params[name] for name in self.parameters}}, xp)

    def __repr__(self) -> str:
        return f"<Law {self.name}: {self.response.column} = {self.formula_text}>"

    @property
    def linear(self) -> tuple[str, ...]:
        """The largest set of parameters in which the formula is jointly affine."""
        if self.formula is None:
            return ()
        names = [n for n in self.parameters if self.formula.linear_in([n])]
        if len(names) > _TRIED or self.formula.linear_in(names):
            return _affine(self.formula, names)
        for size in range(len(names), 0, -1):
            for subset in combinations(names, size):
                if self.formula.linear_in(subset):
                    return subset
        return ()

    def share(
        self,
        parameter: Parameter,
        params: Mapping[str, Any],
        columns: Mapping[str, Any],
        xp: ModuleType = np,
    ) -> Any:
        """Evaluate a parameter's contribution to the loss; traceable, nothing is checked."""
        assert parameter.share is not None
        values = {name: columns[v.column] for name, v in self.variables.items()}
        return parameter.share({**values, **params}, xp)

    @property
    def text(self) -> str:
        """The card from which this law can be read again; empty for a Python function."""
        return self.card if self.function is None else ""

    @property
    def formula_text(self) -> str:
        """The formula as a reader wants it, with its sub-expressions named."""
        if self.formula is None:
            return f"{getattr(self.function, '__name__', 'function')}(params, columns, xp)"
        return one_line(read_card(self.card))

    def latex(self) -> str:
        r"""Write the whole law in LaTeX: the response, the formula, then what it names.

        Examples
        --------
        >>> from bayescale.catalog import load_law
        >>> print(load_law("overtraining").latex().splitlines()[1])
        M &= \frac{D}{N} \\
        """
        if self.formula is None:
            raise LawError(f"the law {self.name!r} is a Python function and has no formula to set")
        return in_latex(read_card(self.card), self.response.column)

    @property
    def varies(self) -> tuple[str, ...]:
        """The grouping columns over which any parameter varies."""
        return tuple(dict.fromkeys(g for p in self.parameters.values() for g in p.varies))

    @property
    def verified(self) -> bool:
        """Whether the card has oracles and all that can be run here hold."""
        ran = self.check()["ok"].dropna()
        return len(ran) > 0 and bool(ran.all())

    def check(self) -> pd.DataFrame:
        """Run the card's oracles.

        Returns
        -------
        DataFrame
            check, expected, got, tolerance (relative), ok, source: a row for each. A check of a
            table that is not at hand is skipped: got is NaN, ok is missing, source says why.
        """
        import pandas as pd

        rows = []
        for check in self.checks:
            row = (check.label, check.expected, *self._run(check))
            rows.append((*row, f"{check.source}{check.absent and f' ({check.absent})'}"))
        columns = ["check", "expected", "got", "tolerance", "ok", "source"]
        return pd.DataFrame(rows, columns=columns).astype({"ok": "boolean"})

    def _run(self, check: Check) -> tuple[float, float, bool | None]:
        if check.absent:
            return math.nan, check.tolerance, None
        got = check.got(lambda label: lambda **at: self(self.published[label], **at))
        return got, check.tolerance, check.agrees(got)

    def with_priors(self, **priors: str | Mapping[str, str]) -> Law:
        """Return a law with other priors.

        Parameters
        ----------
        **priors : str or dict
            A prior as text, or keys of the parameter's table in a card, such as
            ``{"prior": "Normal(0.3, 0.1)", "on": "value"}``. Of the scatter's parameters
            (``sigma``, ``nu``, ...) and ``sd(bend)``, all scales of a bend, as text.

        Raises
        ------
        LawError
            Where the law has no such parameter.

        Examples
        --------
        >>> from bayescale.catalog import load_law
        >>> law = load_law("chinchilla").with_priors(alpha="LogNormal(log(0.4), 0.1)")
        >>> law.parameters["alpha"].prior.text
        'LogNormal(log(0.4), 0.1)'
        """
        stated = {k: priors[k] for k in STATED if isinstance(priors.get(k), str)}
        own = {k: v for k, v in priors.items() if k not in stated}
        self._known(own, STATED)
        changed = self._changed(
            {k: {"prior": v} if isinstance(v, str) else dict(v) for k, v in own.items()}
        )
        if not stated:
            return changed
        card = copy.deepcopy(read_card(changed.card))
        response = card.setdefault("response", {})
        response["priors"] = {**response.get("priors", {}), **stated}
        return _read(card, self.function)

    def believing(self, factors: Iterable[Factor]) -> Law:
        """Return a law whose prior has these factors too; `bayescale.elicit` makes them."""
        card = copy.deepcopy(read_card(self.card))
        card["beliefs"] = [f.entry() for f in (*self.beliefs, *factors)]
        return _read(card, self.function)

    def scattering(self, noise: str | None) -> Law:
        """The same law, its runs scattering by another likelihood; None for the card's own."""
        return replace(self, response=self.response.scattering(noise))

    def varying(self, pool: Mapping[str, str | Iterable[str]] | str) -> Law:
        """Return a law pooled otherwise.

        Parameters
        ----------
        pool : dict or str
            ``{"alpha": ["family"], "E": "1 + (1 | family)"}`` changes those parameters;
            "complete" gives all groups the same parameters; "none" fits groups apart.
        """
        if isinstance(pool, str):
            if pool not in ("complete", "none"):
                raise LawError(
                    f"pool must be 'complete', 'none' or a dict such as {{'alpha': ['family']}}, "
                    f"not {pool!r}"
                )
            change = {"varies": "1"} if pool == "complete" else {"pooling": "none"}
            return self._changed({name: dict(change) for name in self.parameters})
        self._known(pool)
        return self._changed(
            {n: {"varies": _written(v), "pooling": "partial"} for n, v in pool.items()}
        )

    def with_index(self, **members: Iterable[str] | int) -> Law:
        """Return a law whose index has other members: ``with_index(domain=["web", "code"])``.

        Columns are named after them, `r_web`, and so are parameters. Published constants, their
        checks and what the card says of single members hold for the card's own members only, and
        are left out.

        Examples
        --------
        >>> from bayescale.catalog import load_law
        >>> law = load_law("data_mixing").with_index(domain=["web", "code", "books"])
        >>> [v.column for v in law.variables.values()]
        ['r_web', 'r_code', 'r_books']
        """
        return _read(with_members(read_card(self.card), members), self.function)

    def fixing(self, **values: float | str) -> Law:
        """Return a law in which parameters are fixed, or tied to others.

        Parameters
        ----------
        **values : float or str
            A number, or an expression of other parameters: ``fixing(alpha=0.35, beta="alpha")``.

        Published constants and their checks hold for the free law only, and are left out.

        Examples
        --------
        >>> from bayescale.catalog import load_law
        >>> list(load_law("chinchilla").fixing(beta="alpha", A=520.8).parameters)
        ['E', 'alpha', 'B']
        """
        self._known(values)
        return _read(with_fixed(read_card(self.card), values), self.function)

    def with_columns(self, **columns: str) -> Law:
        """Return a law whose variables stand in other columns: ``with_columns(x="D")``.

        The published constants and their checks hold for the card's own columns only, and are
        left out.
        """
        card = copy.deepcopy(read_card(self.card))
        for name, column in columns.items():
            if name not in self.variables:
                guess = nearest(name, self.variables)
                raise LawError(f"the law {self.name!r} has no variable {name!r}.{guess}")
            of = card["variables"].setdefault(name, {})  # a member of an indexed one is not there
            of |= {"column": column, "unit": _UNITS.get(column, "")}
        for key in ("published", "checks", "beliefs"):
            card.pop(key, None)
        card["unverified"] = "its variables stand in other columns than the card's"
        return _read(card, self.function)

    def _known(self, names: Iterable[str], also: Sequence[str] = ()) -> None:
        indexed = indexed_parameters(read_card(self.card))
        for name in names:
            if name not in self.parameters and name not in indexed:
                guess = nearest(name, (*self.parameters, *also))
                more = f"; beside the law's: {', '.join(also)}" if also else ""
                raise LawError(
                    f"the law {self.name!r} has no parameter {name!r}.{guess}"
                    f" Parameters: {', '.join(self.parameters)}{more}"
                )

    def _changed(self, changes: Mapping[str, Mapping[str, str]]) -> Law:
        card = copy.deepcopy(read_card(self.card))
        for name, change in changes.items():
            table = card["parameters"].get(name, {})  # a member of an indexed one has none
            card["parameters"][name] = without_slopes({**table, **change})
        return _read(card, self.function)


def _read(card: Mapping[str, Any], function: Callable[..., Any] | None) -> Law:
    text = write_card(card)
    return _build(read_card(text), text, function)


def _written(groups: str | Iterable[str]) -> str:
    if isinstance(groups, str):
        return groups if not groups.isidentifier() else f"1 + (1 | {groups})"
    return "1" + "".join(f" + (1 | {group})" for group in groups)


def _affine(formula: Expression, names: list[str]) -> tuple[str, ...]:
    """Names in their order, each taken if the formula stays jointly affine."""
    taken: list[str] = []
    for name in names:
        if formula.linear_in([*taken, name]):
            taken.append(name)
    return tuple(taken)


def _exactly(given: Iterable[str], expected: Iterable[str], what: str, law: str) -> None:
    given, expected = set(given), list(expected)
    for name in sorted(given - set(expected)):
        raise LawError(
            f"the law {law!r} has no {what} {name!r}.{nearest(name, expected)} "
            f"It has: {', '.join(expected)}"
        )
    missing = [name for name in expected if name not in given]
    if missing:
        raise LawError(f"the law {law!r} needs the {what} {', '.join(missing)}")


def _build(card: Mapping[str, Any], text: str, function: Callable[..., Any] | None = None) -> Law:
    """Make a law of a card's tables, checking what they mean together."""
    needed = ["name", "title", "variables", "parameters"]
    needed += ["formula", "cite"] if function is None else []
    missing = [key for key in needed if not card.get(key)]
    if missing:
        raise LawError(f"the card lacks {', '.join(missing)}")
    if not card["name"].isidentifier():
        raise LawError(f"name = {card['name']!r}: letters, digits and _ only")
    whole, card = card, written_out(card)
    where = read_where(card)
    variables, parameters = read_variables(card), read_parameters(card, where)
    published = read_published(card, parameters)
    entries = card.get("published", {})
    return Law(
        name=card["name"],
        title=card["title"],
        formula=read_formula(card, where) if function is None else None,
        response=read_response(card),
        variables=variables,
        parameters=parameters,
        pairs=read_pairs(card, parameters),
        cite=card.get("cite", ""),
        published=published,
        sources={label: entry["source"] for label, entry in entries.items()},
        units={label: entry.get("units", "") for label, entry in entries.items()},
        checks=read_checks(card, published, [v.column for v in variables.values()]),
        card=text,
        identifiability=card.get("identifiability", ""),
        decision=card.get("decision", ""),
        unverified=card.get("unverified", ""),
        where=dict(whole.get("where", {})),
        beliefs=read_factors(
            card,
            card.get("response", {}).get("column", "loss"),
            [*parameters],
            [v.column for v in variables.values()],
        ),
        function=function,
        simplexes=simplexes(whole),
    )
