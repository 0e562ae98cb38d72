"""What a project starts from: a table of runs and a card to be replaced by one's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale.errors import BayescaleError
from bayescale.files import write_whole

TABLE, CARD = "runs.csv", "my_law.toml"
_SIZES, _TOKENS = (1e7, 3e7, 1e8, 3e8), (3e8, 1e9, 3e9)
_SCATTER = (0.004, -0.003, -0.001, 0.003, -0.004, 0.001, 0.002, -0.002)  # of log loss


def template_table() -> pd.DataFrame:
    """Twelve made-up runs in the columns that laws read, each marked as an example.

    Examples
    --------
    >>> template_table().columns.tolist()
    ['run', 'family', 'N', 'D', 'loss', 'note']
    """
    N, D = (grid.ravel() for grid in np.meshgrid(_SIZES, _TOKENS, indexing="ij"))
    loss = 1.7 + 0.55 * (1e8 / N) ** 0.34 + 0.65 * (1e9 / D) ** 0.3
    loss = loss * np.exp(np.resize(_SCATTER, len(N)))
    return pd.DataFrame(
        {
            "run": [f"example-{i}" for i in range(1, len(N) + 1)],
            "family": "example",
            "N": N,
            "D": D,
            "loss": loss.round(4),
            "note": "made up: replace this row by a run of yours",
        }
    )


def template_card() -> str:
    """A card with every key that most laws need, each explained beside it."""
    return (files("bayescale") / "data" / "template_card.toml").read_text(encoding="utf-8")


def write_templates(folder: str | Path = ".", overwrite: bool = False) -> tuple[Path, Path]:
    """Write the table and the card into a folder, which is made where it isn't there.

    Parameters
    ----------
    folder
    overwrite
        Replace files of these names.

    Returns
    -------
    table, card
        Their paths.

    Raises
    ------
    BayescaleError
        A file of that name is there, and `overwrite` isn't asked for: nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> [path.name for path in write_templates(tempfile.mkdtemp())]
    ['runs.csv', 'my_law.toml']
    """
    folder = Path(folder)
    table, card = folder / TABLE, folder / CARD
    there = [str(path) for path in (table, card) if path.exists()]
    if there and not overwrite:
        raise BayescaleError(
            f"{' and '.join(there)} {'are' if len(there) > 1 else 'is'} there already, and nothing "
            "was written; name another folder, or say overwrite (--overwrite)"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BayescaleError(f"{folder} can't be made: {error.strerror}") from None
    write_whole(table, template_table().to_csv(index=False).encode())
    write_whole(card, template_card().encode())
    return table, card
