"""`report`: from a fit and its answers to one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.display.writing import counted
from bayescale.errors import BayescaleError
from bayescale.files import write_whole
from bayescale.fitting import Fit
from bayescale.reporting import about_answers, about_fit, about_next
from bayescale.reporting.answers import Answers, completed, sorted_out
from bayescale.reporting.blocks import Document, Picture, Section
from bayescale.reporting.html import page
from bayescale.reporting.markdown import text

# A section is a function of the fit and its answers; a new one is a line here.
SECTIONS: tuple[Callable[[Fit, Answers], Section | None], ...] = (
    about_answers.in_short,
    about_fit.data,
    about_fit.law,
    about_fit.priors,
    about_fit.diagnostics,
    about_fit.fit,
    about_answers.extrapolation,
    about_answers.allocation,
    about_answers.recipes,
    about_next.next_runs,
    about_answers.ask,
    about_fit.provenance,
)
_MARKDOWN = (".md", ".markdown")
_HTML = (".html", ".htm")


def report(
    fit: Fit,
    *answers: Any,
    to: str | Path = "report.html",
    targets: pd.DataFrame | Mapping[str, Any] | None = None,
    C: float | None = None,
    title: str = "",
    seed: int = 0,
) -> Path:
    """Write a report: data, law, priors, diagnostics, fit, predictions, decisions, provenance.

    Parameters
    ----------
    fit : Fit
        One that the diagnostics refuse is reported too, with that said first.
    *answers : Prediction, Allocation, RecipeComparison, Backtest, or a table of `next_runs`
        Shown as they are. What is not given is asked: each group is predicted, and a budget
        split, at ten times its largest compute; recipes are compared there, and runs up to three
        times the largest N and D are valued for that choice, or else that split.
    to : str or Path
        ``.html``: one page that needs nothing else, with sliders over target and budget that
        work offline. ``.md``: Markdown, with its figures in a folder ``<name>_files`` beside it.
    targets : DataFrame or dict of columns, optional
        To predict, as in `predict`.
    C : float, optional
        Budget in FLOPs, to split and to compare recipes at.
    title : str
    seed : int
        Of the new runs' deviations.

    Returns
    -------
    Path
        The file, written whole or not at all.

    Raises
    ------
    BayescaleError
        For another kind of file, a folder that isn't there, or an answer without a section.
    DataError
        For targets that can't be predicted.

    Examples
    --------
    >>> import bayescale as bs
    >>> fit = bs.load("fit.nc")                                               # doctest: +SKIP
    >>> bs.report(fit, targets={"N": 7e10, "D": 1.4e12, "family": "dense"})   # doctest: +SKIP
    """
    path = checked_path(to)
    if C is not None and not 0 < C < float("inf"):
        raise BayescaleError(f"C is {C!r}: give a positive number of FLOPs, such as C=1e22")
    found = completed(sorted_out(answers), fit, targets, C, seed)
    document = document_of(fit, found, title)
    if path.suffix.lower() in _HTML:
        write_whole(path, page(document).encode("utf-8"))
        return path
    folder = f"{path.stem}_files"
    pictures = [b for s in document.sections for b in s.blocks if isinstance(b, Picture)]
    if pictures:
        _make(path.parent / folder)
    for picture in pictures:
        write_whole(path.parent / folder / f"{picture.name}.png", picture.plot.png())
    write_whole(path, text(document, folder).encode("utf-8"))
    return path


def document_of(fit: Fit, answers: Answers, title: str = "") -> Document:
    """Make the sections, without saying how they look."""
    made = [section(fit, answers) for section in SECTIONS]
    subtitle = f"{fit.law.name} fitted to {counted(len(fit.runs), 'run')} from {fit.runs.source}"
    return Document(
        title or "Scaling law report", subtitle, tuple(s for s in made if s is not None)
    )


def checked_path(to: str | Path) -> Path:
    """Refuse before the work a file that can't be written after it."""
    path = Path(to)
    if path.suffix.lower() not in (*_HTML, *_MARKDOWN):
        raise BayescaleError(f"{path}: a report is .html or .md; name it so")
    if path.is_dir():
        raise BayescaleError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise BayescaleError(f"{path}: the folder {path.parent} does not exist")
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BayescaleError(f"{folder} can't be made ({error.strerror})") from None
