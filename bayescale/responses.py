"""The response: what is measured, on which line it is compared with the law, how runs scatter.

A card says it in ``[response]``: a column and its unit, a `link` (``log`` where none is said), a
`likelihood` (Student-t on the link's line where none is said), and for counts of successes the
column of their `trials`. The response column and the law's value are in one unit: for counts of
successes both are their share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayescale.errors import BayescaleError, LawError, placed
from bayescale.grammar import nearest
from bayescale.priors import Prior

CONTINUOUS = ("t", "normal", "t+scale", "frontier")
COUNTED = ("binomial", "beta-binomial")
LIKELIHOODS = (*CONTINUOUS, "beta", *COUNTED, "negative-binomial")
LINK_NAMES = ("log", "identity", "logit", "cloglog", "loglog")
DISCREPANCIES = ("none", "bend")
BETTER = ("lower", "higher", "neither")
SCATTER = ("sigma", "sd(cell)", "nu", "sigma_slope", "sd(tuning)", "memory")
STATED = (*SCATTER, "sd(bend)")  # what may have a prior beside the law's parameters
_RISING = {  # words of columns that are better the higher, unless a card says otherwise
    *("accuracy", "acc", "score", "scores", "coverage", "pass", "passed", "success", "successes"),
    *("solved", "correct", "reward", "win", "wins", "elo", "bleu", "rouge", "f1", "recall", "auc"),
}
RATE_LINKS = ("logit", "cloglog", "loglog")
_LINKS_OF = {
    **dict.fromkeys(CONTINUOUS, LINK_NAMES),
    **dict.fromkeys(("beta", *COUNTED), RATE_LINKS),
    "frontier": ("log",),
    "negative-binomial": ("log",),
}


@dataclass(frozen=True)
class Response:
    """What is measured: a column, its unit, its line, and how runs scatter about the law.

    Attributes
    ----------
    column, unit, about : str
    link : str
        One of `LINK_NAMES`: the line on which runs scatter.
    likelihood : str
        One of `LIKELIHOODS`.
    discrepancy : str
        Whether the law itself may be wrong, where a fit doesn't say: "bend" (`bayescale.bends`), or
        "none"; where empty, as the law is: see `model_from_runs.default_discrepancy`.
    trials : str
        The column of the number of trials, which likelihoods of successes need: the response is the
        share of successes.
    better : str
        "lower", "higher" or "neither", which decisions ask for; where empty, as the column's name
        says: a score or an accuracy is better the higher, everything else the lower.
    priors : tuple of (str, str)
        Of the scatter's parameters and of a bend's scales, `STATED`, where they are not the usual.
    """

    column: str = "loss"
    unit: str = "nat/token"
    link: str = "log"
    likelihood: str = "t"
    trials: str = ""
    about: str = ""
    discrepancy: str = ""
    better: str = ""
    priors: tuple[tuple[str, str], ...] = ()

    def require_lower(self, law: str, verb: str) -> None:
        """Refuse a decision that would take the worst for the best.

        Raises
        ------
        LawError
            If the response isn't better the lower.
        """
        rising = _RISING & set(re.split(r"[^a-z0-9]+", self.column.lower()))
        better = self.better or ("higher" if rising else "lower")
        if better == "lower":
            return
        if better == "neither":
            raise LawError(
                f"{verb} takes lower for better, and {self.column} of law {law!r} is no measure of "
                "how good a run is; predict() says what it will be"
            )
        said = "" if self.better else ' (if not, say better = "lower" in its [response])'
        raise LawError(
            f"{verb} takes lower for better, and {self.column} of law {law!r} is better the "
            f"higher{said}: fit a law of what is missing, such as 1 - {self.column}"
        )

    @property
    def noise(self) -> str:
        """The likelihood; its name in older cards, and in ``fit(noise=...)``."""
        return self.likelihood

    @property
    def frontier(self) -> bool:
        """Whether the law is that of well-tuned runs, above which the others lie."""
        return self.likelihood == "frontier"

    @property
    def positive(self) -> bool:
        """Whether every response has a logarithm."""
        return self.link != "identity" and not self.counted

    @property
    def counted(self) -> bool:
        """Whether the likelihood is of counts, which may be zero."""
        return self.likelihood in (*COUNTED, "negative-binomial")

    @property
    def counts_of(self) -> str:
        """The column of trials, where the likelihood is of successes in them; else empty."""
        return self.trials if self.likelihood in COUNTED else ""

    @property
    def described(self) -> str:
        """Link and likelihood in words, for people."""
        of = f" of {self.counts_of}" if self.counts_of else ""
        return f"{self.likelihood}{of}, {self.link} link"

    def scattering(self, likelihood: str | None) -> Response:
        """The same response under another likelihood; None for its own."""
        if likelihood is None or likelihood == self.likelihood:
            return self
        if likelihood not in LIKELIHOODS:
            known = ", ".join(LIKELIHOODS)
            raise BayescaleError(f"noise {likelihood!r} is not known; choose one of {known}")
        return checked(replace(self, likelihood=likelihood), f"noise={likelihood!r}")

    @property
    def widest(self) -> Response:
        """The same response under the likelihood that takes most: counts, where trials are told."""
        return replace(self, likelihood="binomial") if self.trials else self

    def columns(self) -> tuple[str, ...]:
        """Columns of the runs that the likelihood needs beside the law's."""
        return (self.column, *((self.counts_of,) if self.counts_of else ()))

    def scale(self, values: np.ndarray, trials: np.ndarray | None) -> tuple[float, float]:
        """Typical and smallest response, of which shares are taken.

        The geometric mean, counts of none drawn inwards; the root mean square where some are
        negative.
        """
        if trials is not None:
            values = (np.round(values * trials) + 0.5) / (trials + 1.0)
        elif self.counted:
            values = values + 0.5
        if np.min(values) <= 0:
            return float(np.sqrt(np.mean(values**2))), float(np.min(values))
        return float(np.exp(np.mean(np.log(values)))), float(np.min(values))


def read_response(card: Mapping[str, Any]) -> Response:
    """Read a card's ``[response]``.

    Examples
    --------
    >>> read_response({"response": {"column": "error", "link": "logit"}}).described
    't, logit link'
    """
    keys = dict(card.get("response", {}))
    if "noise" in keys:
        if "likelihood" in keys:
            raise LawError("response.noise is the older name of response.likelihood: keep one")
        keys["likelihood"] = keys.pop("noise")
    if "link" not in keys:
        rates = keys.get("likelihood") in ("beta", *COUNTED)
        keys["link"] = "logit" if rates else "log"
    keys["priors"] = tuple(keys.get("priors", {}).items())
    return checked(Response(**keys), "response.likelihood")


def checked(response: Response, place: str) -> Response:
    """The response, if its likelihood, link and trials go together."""
    if response.likelihood not in LIKELIHOODS:
        raise LawError(
            f"{place}: {response.likelihood!r} is not known; choose one of {', '.join(LIKELIHOODS)}"
        )
    if response.discrepancy not in ("", *DISCREPANCIES):
        known = ", ".join(DISCREPANCIES)
        raise LawError(f"response.discrepancy: {response.discrepancy!r} is not one of {known}")
    for name, prior in response.priors:
        if name not in STATED:
            known = ", ".join(STATED)
            raise LawError(f"response.priors: {name!r} is none of {known}{nearest(name, STATED)}")
        with placed(f"response.priors.{name}"):
            Prior.parse(prior)
    if response.better not in ("", *BETTER):
        raise LawError(f"response.better: {response.better!r} is not one of {', '.join(BETTER)}")
    if response.link not in LINK_NAMES:
        known = ", ".join(LINK_NAMES)
        raise LawError(f"response.link: {response.link!r} is not known; choose one of {known}")
    if response.link not in (links := _LINKS_OF[response.likelihood]):
        raise LawError(
            f"{place}: {response.likelihood} goes with the link {' or '.join(links)}, "
            f"not {response.link}"
        )
    if response.likelihood in COUNTED and not response.trials:
        raise LawError(
            f"{place}: {response.likelihood} needs the column of the number of trials, such as "
            'trials = "n_questions" in [response]'
        )
    if response.trials and response.link not in RATE_LINKS:
        raise LawError(
            f"response.trials counts successes, whose link is {' or '.join(RATE_LINKS)}, "
            f"not {response.link}"
        )
    return response
