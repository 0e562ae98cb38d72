"""The law library: the cards of `models/`, in an installed package or in a checkout."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayescale.errors import LawError
from bayescale.grammar import nearest
from bayescale.law import Law

if TYPE_CHECKING:
    import pandas as pd


def library() -> Path:
    """Return the folder of the cards: inside the package (a wheel), or beside it (a checkout)."""
    installed = Path(str(files("bayescale"))) / "models"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[1] / "models"


def _cards() -> dict[str, Path]:
    return {path.stem: path for path in sorted(library().glob("*.toml"))}


def load_law(name: str | Path, **members: Iterable[str] | int) -> Law:
    """Read a law by its name in the library, or from a card file.

    Parameters
    ----------
    name : str or Path
        "chinchilla", or a path that ends in .toml.
    **members : list of str, or int
        Of the law's indices, where yours are others than the card's:
        ``load_law("data_mixing", domain=["web", "code"])`` (see `Law.with_index`).

    Raises
    ------
    LawError
        For an unknown name (with the nearest one) and for a card that can't be read.

    Examples
    --------
    >>> load_law("chinchilla").linear
    ('E', 'A', 'B')
    """
    law = _by_name(name)
    return law.with_index(**members) if members else law


def _by_name(name: str | Path) -> Law:
    if isinstance(name, Path) or str(name).endswith(".toml"):
        return Law.from_toml(name)
    cards = _cards()
    if name in cards:
        return Law.from_toml(cards[name])
    guess = nearest(str(name), cards)
    raise LawError(
        f"there is no law {name!r}.{guess} bs.laws() (or bayescale laws) lists what there is; "
        "a card of your own is given by its path, ending in .toml"
    )


def require_law(law: Any) -> Law:
    """Give back a law (or an average of laws); of anything else say how to come by one."""
    if isinstance(law, Law) or hasattr(law, "variables"):
        return law
    if isinstance(law, str | Path):
        _by_name(law)  # an unknown name is the first fault
        raise LawError(f"the law is still its name; give bs.load_law({str(law)!r})")
    raise LawError(
        f"the law is no law but of type {type(law).__name__}; give one of"
        " bs.load_law('chinchilla'), bs.Law.from_text(...) or bs.law(function, ...)"
    )


def laws() -> pd.DataFrame:
    """List the laws of the library.

    Returns
    -------
    DataFrame
        name, title, formula, response, unit, cite, varies (the grouping columns), n_parameters,
        verified (the card has oracles, and they hold): a row for each card.

    Examples
    --------
    >>> "chinchilla" in set(laws()["name"])
    True
    """
    import pandas as pd

    rows = []
    for path in _cards().values():
        law = Law.from_toml(path)
        rows.append(
            {
                "name": law.name,
                "title": law.title,
                "formula": law.formula_text,
                "response": law.response.column,
                "unit": law.response.unit,
                "cite": law.cite,
                "varies": ", ".join(law.varies),
                "n_parameters": len(law.parameters),
                "verified": law.verified,
            }
        )
    return pd.DataFrame(rows)
