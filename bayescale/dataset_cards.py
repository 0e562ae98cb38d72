"""What is known of each table that `bayescale.datasets` loads: contents, licence, columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

import pandas as pd

_OWN = {"N": "params", "D": "tokens", "C": "flops", "corpus": "dataset"}
_GADRE_SETS = (
    "c4_german",
    "c4_val",
    "openlm",
    "paloma_100_programming_languages",
    "paloma_c4_en",
    "paloma_ptb",
    "paloma_redpajama",
    "paloma_refinedweb",
)
_GADRE_CITE = (
    "Gadre et al. 2024, Language models scale reliably with over-training and on downstream "
    "tasks, arXiv:2403.08540; github.com/mlfoundations/scaling at a003c4913793"
)


@dataclass(frozen=True)
class Dataset:
    """One known table: what it holds, whose it is, and how its columns are read.

    Attributes
    ----------
    name, title
        Name for `load`, and one sentence.
    licence
        Terms of the upstream copy.
    cite
        Paper and repository.
    bundled
        Whether the table comes with the package.
    file
        Its file: in `bayescale/data` where bundled, else in the `tidy` folder of BAYESCALE_DATA.
    units
        Units that are not the laws' own.
    about
        How it was measured and what to bear in mind, a few sentences.
    """

    name: str
    title: str
    licence: str
    cite: str
    bundled: bool
    file: str
    columns: Mapping[str, str] = field(default_factory=dict, repr=False)
    shape: Callable[[pd.DataFrame], pd.DataFrame] | None = field(default=None, repr=False)
    units: Mapping[str, str] = field(default_factory=dict)
    about: str = field(default="", repr=False)


def _gadre_evaluations(wide: pd.DataFrame) -> pd.DataFrame:
    """One row for each run and evaluation set; a family is a corpus seen through one set."""
    shared = {
        "run": wide["run"],
        "corpus": wide["dataset"],
        "seed": wide["seed"],
        "N": wide["params"],
        "N_total": wide["params_total"],
        "D": wide["tokens"],
        "C": wide["flops"],
        "role": wide["role"],
        "split": wide["split"],
    }
    parts = [
        pd.DataFrame(
            {
                **shared,
                "evaluation": name,
                "family": wide["dataset"] + "/" + name,
                "loss": wide[f"loss_{name}"],
                "loss_heldout_se": wide[f"loss_se_{name}"],
            }
        )
        for name in _GADRE_SETS
    ]
    return pd.concat(parts, ignore_index=True)


_OURS = (
    "Byte-level models trained on one processor core each; C counts matrix products, forward and "
    "backward; losses are of held-out documents of prose and of code. No byte is seen twice unless "
    "the title says so. The standard errors of held-out losses are shared by all runs scored on "
    "one text. Rates come from sweeps scored on the same documents, so losses are a little too "
    "good. The data card is in tests/studies/README.md."
)


def _ladder(name: str, title: str, about: str = "") -> Dataset:
    return Dataset(
        name,
        title,
        "as bayescale; the text that was trained on is named in ladder_corpora.csv",
        "bayescale, tests/studies/ladder.py and ladder_b.py",
        bundled=True,
        file=f"{name}.csv",
        units={"loss": "nat/byte"},
        about=" ".join(part for part in (about, _OURS) if part),
    )


_LADDERS = (  # known once the first of their runs is measured
    _ladder(
        "ladder",
        "Byte-level language models, two architectures on two corpora, measured for bayescale",
        "Stage A is a grid of four sizes and three horizons with two seeds, its sweeps and its "
        "targets; stage B adds seeds to a third of the cells and a larger size.",
    ),
    _ladder(
        "ladder_isoflop",
        "Three budgets of counted compute, six sizes each: two architectures on prose",
        "`budget` is the slice; C is within 1% of it.",
    ),
    _ladder(
        "ladder_schedules",
        "Four learning-rate schedules at two sizes, with the rate at every checkpoint",
        "`lr` is the rate of the row's last step, `lr_sum` of all its steps together, `steps` the "
        "length of the whole run. All schedules share the peak rate chosen for `linear`.",
    ),
    _ladder(
        "ladder_repeats",
        "U unique bytes of prose, each seen one to eight times, at two sizes",
        "D counts a byte as often as it was seen.",
    ),
    _ladder(
        "ladder_mixtures",
        "Five shares of prose and code at two sizes, a row for the loss on each",
        "Each run has two final rows, one an `evaluation`; every batch holds `prose_share` of its "
        "rows from prose.",
    ),
)
KNOWN = {
    known.name: known
    for known in (
        *(one for one in _LADDERS if (files("bayescale") / "data" / one.file).is_file()),
        Dataset(
            "chinchilla_besiroglu",
            "245 runs of Hoffmann et al. 2022, read off their figure 4 by Besiroglu et al.",
            "none stated",
            "Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv:2404.10102; "
            "github.com/epoch-research/analyzing-chinchilla at 92258837425e",
            bundled=False,
            file="chinchilla_besiroglu.csv",
            columns=_OWN,
        ),
        Dataset(
            "gadre_overtraining",
            "104 over-trained OpenLM models, C4 validation loss",
            "MIT",
            _GADRE_CITE,
            bundled=False,
            file="gadre_overtraining.csv",
            columns={**_OWN, "N_total": "params_total"},
        ),
        Dataset(
            "gadre_evaluations",
            "The same 104 models on 8 evaluation sets, one row each: 24 families",
            "MIT",
            _GADRE_CITE,
            bundled=False,
            file="gadre_overtraining.csv",
            shape=_gadre_evaluations,
        ),
    )
}
