"""What is known of each table that `bayescale.datasets` loads: contents, licence, columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path

import pandas as pd

from bayescale.dataset_collections import COLLECTIONS
from bayescale.dataset_files import (
    read_chinchilla,
    read_gadre,
    read_language,
    read_multi_power,
    read_vision,
)
from bayescale.dataset_tables import gadre_evaluations, language_curves, vision_curves
from bayescale.upstream import CHINCHILLA, GADRE, MULTI_POWER, NSLPFN, Upstream

_OWN = {"N": "params", "D": "tokens", "C": "flops", "corpus": "dataset"}
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
    rows
        How many rows there are in all; 0 where bundled, to be counted.
    upstream
        The repository, its commit and its files' digests, where it isn't bundled.
    convert
        From those files to the tidy table; `shape` from that to the columns of runs.
    origin
        The repository at a commit, where nothing is downloaded: its files' digests aren't known.
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
    rows: int = 0
    upstream: Upstream | None = field(default=None, repr=False)
    convert: Callable[[Mapping[str, Path]], pd.DataFrame] | None = field(default=None, repr=False)
    origin: str = field(default="", repr=False)

    @property
    def source(self) -> str:
        """Where the numbers come from: the package, or a repository at a commit."""
        if self.origin:
            return self.origin
        if self.upstream is None:
            return "measured for bayescale"
        return f"github.com/{self.upstream.repository} at {self.upstream.commit[:12]}"


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
_NSLPFN_CITE = (
    "Alabdulmohsin, Neyshabur, Zhai 2022, Revisiting Neural Scaling Laws in Language and Vision, "
    "arXiv:2209.06640; the copy in github.com/DongWooLee-Eli/nslpfn at 10a5a60911a2"
)
_NSLPFN_LICENCE = "MIT (the copy); Apache-2.0 (google-research, the benchmark)"
_CURVES = (
    "Learning curves: every row is a point, `model` and `task` say whose. D counts examples. "
    "`split` is the benchmark's: each curve is cut at about half its length."
)
_BENCHMARK = (
    (
        "vision",
        "Few-shot errors of 6 image models on 12 tasks: 72 learning curves",
        "alabdulmohsin_vision.csv.gz",
        read_vision,
        vision_curves,
        "error rate",
        "images",
        "Points lie close together; thin them before a fit.",
        18883,
    ),
    (
        "nmt",
        "Log perplexities of 5 translation models: 5 learning curves",
        "alabdulmohsin_lang.csv",
        read_language,
        partial(language_curves, domain="nmt"),
        "log perplexity",
        "sentence pairs",
        "One point of each curve is its held-out part.",
        53,
    ),
    (
        "lm",
        "Scaled validation losses of 5 sizes of language model: 5 learning curves",
        "alabdulmohsin_lang.csv",
        read_language,
        partial(language_curves, domain="lm"),
        "scaled loss",
        "examples",
        "Losses are scaled (0.85 to 1.0), not nats. Copies of rows upstream are left out.",
        229,
    ),
    (
        "bigbench",
        "Errors of a 262M language model on 5 BIG-bench tasks, 1 and 2 shots: 10 curves",
        "alabdulmohsin_lang.csv",
        read_language,
        partial(language_curves, domain="bigbench"),
        "error rate",
        "examples",
        "",
        430,
    ),
)
_PUBLIC = (
    Dataset(
        "chinchilla_besiroglu",
        "245 runs of Hoffmann et al. 2022, read off their figure 4 by Besiroglu et al.",
        "none stated",
        "Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv:2404.10102; "
        "github.com/epoch-research/analyzing-chinchilla at 92258837425e",
        bundled=False,
        file="chinchilla_besiroglu.csv",
        columns=_OWN,
        about="Losses are read off colours, 99 of them, 0.0045 apart in log. N is the size on the "
        "figure (total parameters; the paper doesn't say), D is C / 6N. The source's fit leaves "
        "out the five highest losses: where='excluded_by_source == 0'.",
        rows=245,
        upstream=CHINCHILLA,
        convert=read_chinchilla,
    ),
    Dataset(
        "gadre_overtraining",
        "104 over-trained OpenLM models, C4 validation loss",
        "MIT",
        _GADRE_CITE,
        bundled=False,
        file="gadre_overtraining.csv",
        columns={**_OWN, "N_total": "params_total"},
        about="Six architectures on three corpora at 5 to 640 tokens a parameter. N leaves out "
        "embeddings, C is 6 N_total D. `role` tells the source's fitted runs from its targets. The "
        "46 errors of downstream tasks are only in a tidy table on disk, not in the download.",
        rows=104,
        upstream=GADRE,
        convert=read_gadre,
    ),
    Dataset(
        "gadre_evaluations",
        "The same 104 models on 8 evaluation sets, one row each: 24 families",
        "MIT",
        _GADRE_CITE,
        bundled=False,
        file="gadre_overtraining.csv",
        shape=gadre_evaluations,
        about="A family is a corpus seen through one evaluation set.",
        rows=832,
        upstream=GADRE,
        convert=read_gadre,
    ),
    *(
        Dataset(
            f"alabdulmohsin_{name}",
            title,
            _NSLPFN_LICENCE,
            _NSLPFN_CITE,
            bundled=False,
            file=file,
            shape=shape,
            units={"loss": unit, "D": examples},
            about=f"{_CURVES} {about}",
            rows=rows,
            upstream=NSLPFN,
            convert=read,
        )
        for name, title, file, read, shape, unit, examples, about, rows in _BENCHMARK
    ),
    Dataset(
        "multi_power_law_curves",
        "Loss curves of 3 sizes under 9 learning-rate schedules",
        "MIT",
        "Luo et al. 2025, A Multi-Power Law for Loss Curve Prediction Across Learning Rate "
        "Schedules, arXiv:2503.12811; github.com/thu-yao-01-luo/MultiPowerLaw at 8da9f1902602",
        bundled=False,
        file="multi_power_law_curves.csv",
        columns={"N": "params"},
        about="N is nominal; tokens are not in the repository, so a row has its `step` and rate "
        "`lr`. Curves start after 2,160 steps of linear warm-up. A fit takes each run's last row: "
        "to fit curves, make a column of what the law reads.",
        rows=6265,
        upstream=MULTI_POWER,
        convert=read_multi_power,
    ),
)
_UNPINNED = tuple(
    Dataset(
        one.name,
        one.title,
        one.licence,
        f"{one.cite}; {one.origin}, {one.inside}",
        bundled=False,
        file=one.file,
        columns=one.columns,
        about=one.about,
        rows=one.rows,
        origin=one.origin,
    )
    for one in COLLECTIONS
)
KNOWN = {
    known.name: known
    for known in (
        *(one for one in _LADDERS if (files("bayescale") / "data" / one.file).is_file()),
        *_PUBLIC,
        *_UNPINNED,
    )
}
