"""Hypotheses about parameters, in words such as ``alpha[moe] < alpha[dense]``.

The text is read by the grammar of formulas; names are those that `summary` prints. Nothing is
executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayescale.diagnostics import flat_draws
from bayescale.errors import BayescaleError, FormulaError
from bayescale.fitting import Fit
from bayescale.formula import Expression
from bayescale.grammar import nearest, tokens

SIDES = {"<": -1, "<=": -1, ">": 1, ">=": 1, "=": 0, "==": 0}
_LABELLED = re.compile(r"(?:sd|cor)\([^()]*\)|[A-Za-z_]\w*\[[^\[\]]*\]")


def hypothesis(fit: Fit, hypotheses: str | Sequence[str], alpha: float = 0.05) -> pd.DataFrame:
    """Ask the posterior how probable statements about parameters are.

    Parameters
    ----------
    fit : Fit
    hypotheses : str or sequence of str
        Two expressions with ``<``, ``>`` or ``=`` between them; names as in `summary`:
        ``alpha[moe] < alpha[dense]``, ``sd(E|family) > 0.1``, ``A / B = 1``.
    alpha : float
        A star is given to a one-sided hypothesis of probability above 1 - alpha, and to an
        equality whose interval leaves 0 out.

    Returns
    -------
    pandas.DataFrame
        A row each: ``hypothesis``; ``estimate`` and ``error`` (posterior mean and sd of left minus
        right); ``lower``, ``upper``, equal-tailed, of probability 1 - 2 alpha for a one-sided
        hypothesis and 1 - alpha for an equality; ``evidence_ratio``, the odds of a one-sided
        hypothesis against its opposite (infinite where every draw agrees); ``probability``;
        ``mcse``, the Monte Carlo error of the probability; ``star``. An equality has no
        probability: look at the interval.

    Raises
    ------
    FormulaError
        For a text that can't be read, or an unknown name, with a caret under it.

    Notes
    -----
    As ``hypothesis`` of brms (Buerkner 2017), but for the evidence ratio of an equality, which
    hangs on the prior's density at one point and is not given.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> bs.hypothesis(fit, "alpha > 0")["star"].tolist()
    ['*']
    """
    if not 0.0 < alpha < 0.5:
        raise BayescaleError(f"alpha lies between 0 and 0.5, not {alpha}")
    texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    names, draws = flat_draws(fit.data["posterior"].dataset)
    known = {name: draws[..., i] for i, name in enumerate(names)}
    return pd.DataFrame([_answer(text, known, alpha) for text in texts])


def _answer(text: str, known: Mapping[str, np.ndarray], alpha: float) -> dict[str, object]:
    side, difference = read_hypothesis(text, known)
    tail = alpha if side else alpha / 2.0
    lower, upper = np.quantile(difference, [tail, 1.0 - tail])
    told: dict[str, object] = {
        "hypothesis": text,
        "estimate": float(difference.mean()),
        "error": float(difference.std(ddof=1)),
        "lower": float(lower),
        "upper": float(upper),
        "evidence_ratio": np.nan,
        "probability": np.nan,
        "mcse": np.nan,
        "star": "*" if lower > 0 or upper < 0 else "",
    }
    if side == 0:
        return told
    holds = side * difference > 0
    probability = float(holds.mean())
    with np.errstate(divide="ignore"):
        ratio = float(np.divide(probability, 1.0 - probability))
    told |= {"evidence_ratio": ratio, "probability": probability, "mcse": _mcse(holds)}
    return told | {"star": "*" if probability > 1.0 - alpha else ""}


def _mcse(holds: np.ndarray) -> float:
    """Monte Carlo error of a probability; that of one draw more where all draws agree."""
    from arviz_stats.base import array_stats

    if holds.all() or not holds.any():
        return 1.0 / holds.size
    return float(array_stats.mcse(holds * 1.0, chain_axis=0, draw_axis=1, method="mean"))


def read_hypothesis(text: str, known: Mapping[str, np.ndarray]) -> tuple[int, np.ndarray]:
    """Read a hypothesis: -1 for <, 1 for >, 0 for =, and the draws of left minus right.

    Examples
    --------
    >>> known = {"alpha[moe]": np.array([[0.3]]), "alpha[dense]": np.array([[0.4]])}
    >>> side, difference = read_hypothesis("alpha[moe] < alpha[dense]", known)
    >>> side, round(float(difference[0, 0]), 3)
    (-1, -0.1)
    """
    if not isinstance(text, str):
        raise FormulaError(f"a hypothesis is a text, not {type(text).__name__}")
    plain, stands_for = _plain(text, known)
    here = {p: known[name] for p, name in stands_for.items()}
    here |= {name: values for name, values in known.items() if name.isidentifier()}
    compared = [token for token in tokens(plain) if token.text in SIDES]
    if len(compared) != 1:
        where = compared[1].position if compared else len(text)
        one = "one comparison at a time: give a list of hypotheses"
        none = "a hypothesis compares two things: write <, > or = between them"
        raise FormulaError(one if compared else none, text, where)
    symbol, at = compared[0].text, compared[0].position
    after = at + len(symbol)
    for side, where in ((plain[:at], 0), (plain[after:], after)):
        if not side.strip():
            raise FormulaError(f"nothing stands on this side of {symbol}", text, where)
    try:  # what stands before keeps its place, so that a caret points right
        left = Expression.parse(plain[:at], list(here))
        right = Expression.parse(" " * after + plain[after:], list(here))
    except FormulaError as error:
        message = error.message.split(" Known names:")[0]
        raise FormulaError(message, text, error.position) from None
    with np.errstate(all="ignore"):
        difference = left(here, np) - right(here, np)
    difference = np.broadcast_to(difference, next(iter(known.values())).shape)
    if not np.isfinite(difference).all():
        raise FormulaError("some draws have no finite value here", text)
    return SIDES[symbol], difference


def _plain(text: str, known: Mapping[str, np.ndarray]) -> tuple[str, dict[str, str]]:
    """Names with labels replaced by names that formulas can hold, as long as they were."""
    stands_for: dict[str, str] = {}
    pieces, last = [], 0
    tidy = {re.sub(r"\s+", "", name): name for name in known}
    for match in _LABELLED.finditer(text):
        name = tidy.get(re.sub(r"\s+", "", match.group()))
        if name is None:
            raise FormulaError(
                f"there is no parameter {match.group()!r}.{nearest(match.group(), known)}"
                f" `summary` names them all",
                text,
                match.start(),
            )
        placeholder = f"z{len(stands_for)}".ljust(len(match.group()), "_")
        stands_for[placeholder] = name
        pieces += [text[last : match.start()], placeholder]
        last = match.end()
    return "".join([*pieces, text[last:]]), stands_for
