"""Every public ladder that the suite reads: which rows, which columns, which law.

A data set is a study. It may have several ladders, each with one kind of loss; the suite gives a
data set weight 1 whatever its number of ladders.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

SURFACE = ("chinchilla", "bottleneck", "overtraining")
TWO_SCALES = ("chinchilla", "bottleneck")  # the second scale is no count of tokens
CURVE = ("power_law", "m4")
POINTS = 40  # of a learning curve, at equal steps in log x

Reader = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Ladder:
    """One table of comparable losses.

    Attributes
    ----------
    dataset, name
        The study, and the ladder's own name.
    file
        Under BAYESCALE_DATA.
    read
        From the file's table to N, D, C (FLOPs, or another cost), loss, family, run.
    laws
        Cards that apply, the suite's default first.
    kind
        "ladder": a row is a run, targets are 4 times dearer in C. "curve": a row is a reading,
        targets are 2 times further in x, which is then in both C and D.
    unit
        Of the loss.
    provenance
        How the losses came about where they were not simply measured.
    """

    dataset: str
    name: str
    file: str
    read: Reader = field(repr=False)
    laws: tuple[str, ...] = SURFACE
    kind: str = "ladder"
    unit: str = "nat/token"
    provenance: str = "measured"

    @property
    def groups(self) -> tuple[str, ...]:
        return ("family",)

    def table(self) -> pd.DataFrame:
        """Rows in canonical columns, finite and positive, in the order of cost."""
        table = self.read(read_table(self.file))
        used = table[["N", "D", "C", "loss"]].to_numpy(float)
        table = table[np.isfinite(used).all(axis=1) & (used > 0).all(axis=1)]
        return table.sort_values(["C", "run"], kind="stable").reset_index(drop=True)


def data_folder() -> Path:
    """The folder of public tables."""
    told = os.environ.get("BAYESCALE_DATA", "")
    if not told or not Path(told).is_dir():
        raise SystemExit("the suite reads public tables: set BAYESCALE_DATA to their folder")
    return Path(told)


@lru_cache(maxsize=8)
def read_table(name: str) -> pd.DataFrame:
    """A table under the folder, or the final rows of a bundled one."""
    if name.startswith("package:"):
        from bayescale import datasets

        runs = datasets.load(name.removeprefix("package:"), split="train", role="not sweep")
        return runs.table[runs.table["is_final"] == 1]
    return pd.read_csv(data_folder() / name)


def canonical(
    table: pd.DataFrame,
    N: str | float,
    D: str | float,
    loss: str,
    C: str | None = None,
    family: str | None = None,
) -> pd.DataFrame:
    """The suite's columns from a table's own; C is 6 N D where none is named."""
    out = pd.DataFrame(index=table.index)
    out["N"] = table[N].astype(float) if isinstance(N, str) else float(N)
    out["D"] = table[D].astype(float) if isinstance(D, str) else float(D)
    out["C"] = table[C].astype(float) if C else 6.0 * out["N"] * out["D"]
    out["loss"] = pd.to_numeric(table[loss], errors="coerce")
    out["family"] = table[family].astype(str) if family else "all"
    out["run"] = [f"r{i}" for i in range(len(table))]
    return out


def curve(table: pd.DataFrame, x: str, loss: str, family: str | None = None) -> pd.DataFrame:
    """Readings along x, each family thinned to `POINTS` at equal steps in log x."""
    out = canonical(table, 1.0, x, loss, x, family)
    out = out[(out["C"] > 0) & out["loss"].notna()]
    return pd.concat([_thin(rows) for _, rows in out.groupby("family", sort=True)])


def _thin(rows: pd.DataFrame) -> pd.DataFrame:
    """By x alone: a target's loss has no say in which rows are kept."""
    rows = rows.sort_values("C", kind="stable").drop_duplicates("C")
    if len(rows) <= POINTS:
        return rows
    log_x = np.log(rows["C"].to_numpy())
    wanted = np.linspace(log_x[0], log_x[-1], POINTS)
    return rows.iloc[np.unique(np.abs(log_x[:, None] - wanted).argmin(axis=0))]


def best(table: pd.DataFrame, cell: list[str], loss: str = "loss") -> pd.DataFrame:
    """The best of each cell's sweep: cells are never divided, so no split sees into another."""
    return table.loc[table.groupby(cell, sort=True)[loss].idxmin()]


# --- Ladders ----------------------------------------------------------------------------------


def _simple(
    N: str, D: str, loss: str, C: str | None, family: str | None, where: str = ""
) -> Reader:
    def read(table: pd.DataFrame) -> pd.DataFrame:
        if where:
            column, value = where.split("==")
            table = table[table[column].astype(str) == value]
        return canonical(table, N, D, loss, C, family)

    return read


def _misfitting(t: pd.DataFrame) -> pd.DataFrame:
    t = t[t["is_final"] == 1]
    return canonical(best(t, ["params", "tokens"]), "params", "tokens", "loss", "flops")


def _gemstones(recipe: str) -> Reader:
    def read(t: pd.DataFrame) -> pd.DataFrame:
        return canonical(t[t["recipe"] == recipe], "params", "tokens", "loss", "flops")

    return read


def _olmo(loss: str) -> Reader:
    def read(t: pd.DataFrame) -> pd.DataFrame:
        return canonical(t[t["is_final"] == 1], "params", "tokens", loss, "flops")

    return read


def _steplaw(t: pd.DataFrame) -> pd.DataFrame:
    cell = ["non_embedding_param_size", "data_size"]
    return canonical(best(t, cell, "lm_loss"), *cell, "lm_loss")


def _routed(t: pd.DataFrame) -> pd.DataFrame:
    t = t[(t["is_final"] == 1) & (t["main_sweep"] == 1) & (t["family"] != "dense")]
    return canonical(t, "params", "num_experts", "loss", "flops", "family")


def _parallel(t: pd.DataFrame) -> pd.DataFrame:
    out = canonical(t, "num_params", "parallel_size", "loss", None, "group")
    return out.assign(C=out["N"] * out["D"])


def _single_epoch(t: pd.DataFrame) -> pd.DataFrame:
    return canonical(t[t["tokens"] <= t["unique_tokens"]], "params", "tokens", "loss")


def _porian(dataset: str, loss_type: str) -> Reader:
    def read(t: pd.DataFrame) -> pd.DataFrame:
        keep = (t["dataset"] == dataset) & (t["loss_type"] == loss_type)
        t = t[keep & (t["param_count"] == "standard")]
        return canonical(t, "params", "tokens", "loss", "flops", "family")

    return read


def _clip(corpus: str, loss: str) -> Reader:
    def read(t: pd.DataFrame) -> pd.DataFrame:
        t = t[(t["dataset"] == corpus) & (t["schedule"] == "cosine")]
        t = t[t["family"].isin(["clip", "mammut"])]
        return canonical(t, "params_total", "samples_seen", loss, "flops", "family")

    return read


def _own(t: pd.DataFrame) -> pd.DataFrame:
    return canonical(t, "N", "D", "loss", "C", "family")


def _curves(x: str, loss: str, group: str | None, /, **where: object) -> Reader:
    def read(t: pd.DataFrame) -> pd.DataFrame:
        for column, value in where.items():
            t = t[t[column] == value]
        return curve(t, x, loss, group)

    return read


GADRE = (
    "c4_val openlm paloma_c4_en paloma_100_programming_languages paloma_refinedweb paloma_ptb "
    "paloma_redpajama c4_german"
).split()


def ladders() -> list[Ladder]:
    """All ladders of the macro suite, in a fixed order."""
    tidy, bench = "tidy/", "scalebench/"
    flops = ("params", "tokens", "loss", "flops")
    found = [
        Ladder(
            "chinchilla",
            "massivetext",
            tidy + "chinchilla_besiroglu.csv",
            _simple(*flops, None, "excluded_by_source==0"),
            provenance="digitised",
        ),
        *(
            Ladder(
                "gadre",
                name,
                tidy + "gadre_overtraining.csv",
                _simple("params", "tokens", f"loss_{name}", "flops", "dataset"),
            )
            for name in GADRE
        ),
        *(
            Ladder(
                "porian",
                f"{corpus}/{kind}",
                tidy + "porian_isoflops.csv",
                _porian(corpus, kind),
                provenance="interpolated",
            )
            for corpus, kind in (
                ("refinedweb", "val"),
                ("openwebtext2", "val"),
            )
        ),
        Ladder(
            "marin",
            "paloma",
            tidy + "marin_isoflops.csv",
            _simple("params_total", "tokens", "loss", "flops", "family", "outlier_flag==0"),
        ),
        Ladder(
            "misfitting",
            "best_lr",
            tidy + "misfitting_checkpoints.csv",
            _misfitting,
            provenance="best of a sweep",
        ),
        Ladder("gemstones", "cooldown", tidy + "gemstones.csv", _gemstones("cooldown")),
        *(
            Ladder("olmo_ladder", loss, tidy + "olmo_ladder.csv", _olmo(loss))
            for loss in ("loss", "ce_dolma_stack", "ce_wikitext_103")
        ),
        Ladder(
            "steplaw",
            "best_lr_batch",
            bench + "lr_bsz.csv",
            _steplaw,
            provenance="best of a sweep",
        ),
        Ladder(
            "routed",
            "experts",
            tidy + "routed_lm_curves.csv.gz",
            _routed,
            TWO_SCALES,
        ),
        Ladder("farseer", "all", bench + "farseer.csv", _simple("N", "D", "loss", None, None)),
        Ladder("datablations", "single_epoch", bench + "data_constrained.csv", _single_epoch),
        Ladder("parallel", "streams", bench + "parallel.csv", _parallel, TWO_SCALES),
        *(
            Ladder(
                "clip_mammut",
                f"{corpus}/{loss.removeprefix('error_')}",
                tidy + "clip_mammut_best.csv",
                _clip(corpus, loss),
                TWO_SCALES,
                unit="error",
                provenance="best of a sweep",
            )
            for corpus in ("datacomp_1_4b", "relaion_2b_en")
            for loss in ("error_imagenet1k", "error_mscoco_text_retrieval_r5")
        ),
        Ladder("own_ladder", "bytes", "package:ladder", _own, unit="nat/byte"),
        *_vision(),
        *_language(),
        Ladder(
            "multi_power",
            "constant",
            tidy + "multi_power_law_curves.csv",
            _curves("step", "loss", "params", schedule="constant_72000"),
            CURVE,
            "curve",
        ),
        *(
            Ladder(
                "bimix",
                domain,
                tidy + "bimix_domains.csv",
                _curves("tokens", "loss", "mix", family="bimix_slimpajama", domain=domain),
                CURVE,
                "curve",
            )
            for domain in _domains()
        ),
        *(
            Ladder(
                "gpt3",
                kind,
                tidy + "colpret_checkpoints.csv.gz",
                _gpt3(kind),
                CURVE,
                "curve",
                provenance="digitised",
            )
            for kind in ("train_nats_per_token", "val_nats_per_token")
        ),
    ]
    return found


def _gpt3(kind: str) -> Reader:
    def read(t: pd.DataFrame) -> pd.DataFrame:
        t = t[(t["component"] == "gpt3_digitised") & (t["loss_kind"] == kind)]
        return curve(t, "tokens", "loss", "run")

    return read


def _domains() -> list[str]:
    table = read_table("tidy/bimix_domains.csv")
    return sorted(table.loc[table["family"] == "bimix_slimpajama", "domain"].unique())


def _vision() -> list[Ladder]:
    file = "tidy/alabdulmohsin_vision.csv.gz"
    return [
        Ladder(
            "alabdulmohsin_vision",
            task,
            file,
            _curves("examples_seen", "error", "family", task=task),
            CURVE,
            "curve",
            "error",
        )
        for task in sorted(read_table(file)["task"].unique())
    ]


def _language() -> list[Ladder]:
    file, dataset = "tidy/alabdulmohsin_lang.csv", "alabdulmohsin_language"
    table = read_table(file)
    big = table[table["domain"] == "bigbench"]
    tasks = sorted(set(zip(big["task"], big["shots"], strict=True)))
    return [
        Ladder(
            dataset,
            "nmt",
            file,
            _curves("examples_seen", "loss", "run", domain="nmt"),
            CURVE,
            "curve",
            "log perplexity",
        ),
        Ladder(
            dataset,
            "lm",
            file,
            _curves("examples_seen", "loss", "run", domain="lm"),
            CURVE,
            "curve",
            "scaled loss",
        ),
        *(
            Ladder(
                dataset,
                f"bigbench/{task}/{shots:g}",
                file,
                _curves("examples_seen", "loss", None, domain="bigbench", task=task, shots=shots),
                CURVE,
                "curve",
                "error",
            )
            for task, shots in tasks
        ),
    ]
