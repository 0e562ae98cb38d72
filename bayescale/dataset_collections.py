"""Collections of other people's runs whose upstream files are not pinned: facts and columns.

Digests of these files are not known here, so nothing is downloaded: each is read from the ``tidy``
folder of BAYESCALE_DATA, or from a file that somebody has fetched (`datasets.read`). Each entry is
name, title, licence, citation, repository at a commit and where it has them, the tidied file, its
columns, rows in all, and what to bear in mind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_TIDY = {"N": "params", "D": "tokens", "C": "flops", "corpus": "dataset"}
_TOTAL = {**_TIDY, "N": "params_total"}


class Collection(NamedTuple):
    """What is known of one; see `dataset_cards.Dataset`."""

    name: str
    title: str
    licence: str
    cite: str
    origin: str
    inside: str
    file: str
    columns: Mapping[str, str]
    rows: int
    about: str


COLLECTIONS = (
    Collection(
        "isoflops",
        "IsoFLOP runs of Chinchilla, Llama 3, Marin, Misfitting and ml-scalefit, as vpnls has them",
        "none stated",
        "Open-Athena 2026, arXiv:2603.22339, and the works that its column `source` names",
        "github.com/Open-Athena/scaling-law-analysis at 424cb1281a35",
        "data/isoflops/transform/isoflops.csv",
        "isoflops.csv",
        {"N": "params", "D": "tokens", "C": "budget", "corpus": "dataset", "family": "experiment"},
        877,
        "C is the budget of a slice. `reason` says why the source leaves a row out:"
        " where=\"reason == 'none'\". Losses are of different texts: `source` tells them apart, and"
        " the unit of Llama 3's is not stated. Many of Chinchilla's and Llama 3's are read off"
        " figures, some of Misfitting's interpolated.",
    ),
    Collection(
        "marin_isoflops",
        "Llama-type models of Marin on three corpora, isoFLOP slices and runs up to 1e21 FLOPs",
        "none stated",
        "the Marin project; extracted by Open-Athena 2026, arXiv:2603.22339",
        "github.com/Open-Athena/scaling-law-analysis at 3e0656ee3dce",
        "data/isoflops/extract/",
        "marin_isoflops.csv",
        _TOTAL,
        273,
        "N counts embeddings. `loss` is Paloma's macro average. `run_type` tells slices from the"
        " validation ladder.",
    ),
    Collection(
        "misfitting_checkpoints",
        "240 OpenLM runs of 12M to 1B parameters with sweeps of the rate, with their checkpoints",
        "none stated",
        "(Mis)Fitting, the repository hadasah/scaling_laws and the paper that it names",
        "github.com/hadasah/scaling_laws at 1f3708c0a12d",
        "data/scaling_results.csv",
        "misfitting_checkpoints.csv",
        _TIDY,
        4816,
        "`loss` is of C4. Checkpoints before `is_final` are not annealed. The rate is swept, and"
        " runs off the best lie above the law: noise='frontier'.",
    ),
    Collection(
        "xlstm_isoflop",
        "378 runs of Llama and mLSTM at three context lengths, isoFLOP slices",
        "none stated",
        "the repository NX-AI/xlstm_scaling_laws and the paper that it names",
        "github.com/NX-AI/xlstm_scaling_laws at 604bb3062d3a",
        "data/ (pickles, which are not read here)",
        "xlstm_isoflop.csv",
        _TIDY,
        378,
        "`loss` is of DCLM's validation text. Leave out where excluded_by_source or diverged is 1;"
        " the context length is part of the recipe.",
    ),
    Collection(
        "colpret_final",
        "Last losses of 871 public models, 40 families, as ColPret gathered them",
        "MIT (the part bimix: Apache-2.0)",
        "Choshen, Zhang, Andreas 2024, A Hitchhiker's Guide to Scaling Law Estimation,"
        " arXiv:2410.11840",
        "github.com/IBM/ColPret at 16f23bbe0542",
        "aggregated_eval/ and raw_data/",
        "colpret_final.csv",
        {**_TOTAL, "evaluation": "loss_kind"},
        885,
        "N counts all parameters. `evaluation` names text and unit: never pool different ones"
        " (where=\"evaluation == '...'\"). Its files above 4 MiB are not in it.",
    ),
    Collection(
        "steplaw_dense",
        "1,911 dense models over learning rate and batch, on 17 grids of N and D",
        "none stated",
        "Li et al. 2025, Step Law, arXiv:2503.04715",
        "github.com/step-law/steplaw at 32a8f4cc5024",
        "data/dense_lr_bs_loss.csv",
        "steplaw_dense.csv",
        _TIDY,
        1911,
        "`loss` is smoothed training loss. Most runs are far from the best rate and batch; a law of"
        " N and D needs the best of each grid, or noise='frontier'. Leave out where diverged is 1.",
    ),
    Collection(
        "olmo_ladder",
        "OLMo's ladder from 190M to 3B parameters at 0.5 to 10 times Chinchilla, 7B and 13B",
        "Apache-2.0",
        "the repository allenai/OLMo-ladder and the paper that it names",
        "github.com/allenai/OLMo-ladder at 67a3f440f787",
        "src/scripts/paper/data/ladder-runs/",
        "olmo_ladder.csv",
        _TIDY,
        1048,
        "`loss` is of C4 (Paloma); columns ce_, bpb_ and acc_ hold other texts and tasks.",
    ),
    Collection(
        "gemstones",
        "22 models of several widths and depths under three schedules, with their checkpoints",
        "MIT",
        "the repository mcleish7/gemstone-scaling-laws and the paper that it names",
        "github.com/mcleish7/gemstone-scaling-laws at 5f420478f605",
        "wandb_dfs/",
        "gemstones.csv",
        _TIDY,
        1485,
        "`recipe` is hot (a constant rate), cooldown or lr_ablation; `loss` is of Dolma.",
    ),
    Collection(
        "porian_isoflops",
        "15 experiments from Kaplan's settings to tuned ones, losses at 12 budgets",
        "MIT",
        "the repository formll/resolving-scaling-law-discrepancies and the paper that it names",
        "github.com/formll/resolving-scaling-law-discrepancies at 0dc60d91b8a5",
        "data/summary_df*.pickle.xz (pickles, which are not read here)",
        "porian_isoflops.csv",
        _TIDY,
        1745,
        "Interpolated by the source from 239 runs. `param_count` says how N is counted,"
        " `loss_type` train or val.",
    ),
)
