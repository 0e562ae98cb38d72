"""Real tables in the columns of the cards that are fitted to them.

Every table has ``run``, ``family`` (the level that decides which rows may be targets) and ``C``,
the cost in which it is split: FLOPs, or what stands for them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from backtest_parts.ladders import POINTS, best, ladders, read_table

CLIP_ERROR = "error_imagenet1k"
BENCHMARKS = ("arc_c", "hellaswag", "winograd", "mmlu", "xwinograd", "truthfulqa")
WARM_UP, PEAK = 2160, 3e-4  # of the multi-power curves
STEEP = 15  # readings of such a curve, at equal steps in log step


def of_suite(dataset: str, name: str) -> pd.DataFrame:
    """A ladder of the backtest suite, as it stands there."""
    return next(one for one in ladders() if (one.dataset, one.name) == (dataset, name)).table()


def routed() -> pd.DataFrame:
    """Final losses of the main sweep, by router."""
    t = read_table("tidy/routed_lm_curves.csv.gz")
    t = t[(t["is_final"] == 1) & (t["main_sweep"] == 1) & (t["family"] != "dense")]
    names = {"params": "N", "num_experts": "experts", "flops": "C"}
    return t.rename(columns=names)[[*names.values(), "family", "run", "loss"]]


def step_law() -> pd.DataFrame:
    """Every dense run that did not diverge."""
    t = read_table("tidy/steplaw_dense.csv")
    t = t[t["diverged"] == 0]
    names = {"params": "N", "tokens": "D", "flops": "C"}
    kept = [*names.values(), "family", "run", "loss", "lr", "batch_tokens"]
    return t.rename(columns=names)[kept]


def step_law_best() -> pd.DataFrame:
    """The best rate and batch of each size and horizon, as the grid has them."""
    t = best(step_law(), ["N", "D"]).drop(columns="loss")
    return t.astype({"batch_tokens": float})


def clip_mammut() -> pd.DataFrame:
    """Best error of each cell, cosine schedules, of the two procedures on both corpora."""
    t = read_table("tidy/clip_mammut_best.csv")
    t = t[(t["schedule"] == "cosine") & t["family"].isin(["clip", "mammut"])]
    t = t[t[CLIP_ERROR].notna()]
    names = {"flops": "C", "dataset": "corpus", CLIP_ERROR: "error"}
    return t.rename(columns=names)[[*names.values(), "family", "run"]]


def _models() -> pd.DataFrame:
    t = read_table("tidy/obs_scaling.csv")
    t = t[t["flops"].notna()]
    return t.rename(columns={"params_total": "N", "tokens": "D", "flops": "C"})


def observational(task: str = "arc_c") -> pd.DataFrame:
    """One benchmark of public base models."""
    t = _models().rename(columns={f"acc_{task}": "score"})
    return t.loc[t["score"].notna(), ["C", "score", "family", "run"]]


def sloth() -> pd.DataFrame:
    """Six benchmarks of public base models, a row for each."""
    t = _models().melt(
        ["N", "D", "C", "family", "run"],
        [f"acc_{task}" for task in BENCHMARKS],
        "benchmark",
        "score",
    )
    return t[t["score"].notna()].assign(benchmark=lambda x: x["benchmark"].str[4:])


def bimix() -> pd.DataFrame:
    """Losses of SlimPajama's seven domains under six mixtures, along training."""
    t = read_table("tidy/bimix_domains.csv")
    t = t[t["family"] == "bimix_slimpajama"]
    run = t["mix"] + "/" + t["domain"]
    t = t.assign(run=run, family=t["domain"], C=t["step"].astype(float), D=t["tokens"])
    return t[["run", "family", "domain", "domain_weight", "step", "D", "C", "loss"]]


MULTI_POWER = {
    "constant_24000": "constant over 21840",
    "constant_72000": "constant over 69840",
    "cosine_24000": "cosine to 3e-5 over 21840",
    "cosine_72000": "cosine to 3e-5 over 69840",
    "wsd_20000_24000": "constant over 17840; exponential to 3e-5 over 4000",
    "wsdld_20000_24000": "constant over 17840; linear to 3e-5 over 4000",
    "wsdcon_3": "constant over 5839; jump to 3e-5; constant over 8001",
    "wsdcon_9": "constant over 5839; jump to 9e-5; constant over 8001",
    "wsdcon_18": "constant over 5839; jump to 1.8e-4; constant over 8001",
}


def multi_power(points: int = STEEP) -> pd.DataFrame:
    """Nine schedules of three sizes, thinned; ``source`` is the authors' own division."""
    t = read_table("tidy/multi_power_law_curves.csv")
    stages = {k: f"linear to {PEAK:g} over {WARM_UP}; {v}" for k, v in MULTI_POWER.items()}
    t = t.assign(
        family=(t["params"] / 1e6).map("{:g}M".format),
        name=t["schedule"],
        source=t["split"],
        schedule=t["schedule"].map(stages),
        D=t["step"].astype(float),
        C=t["step"].astype(float),
    )
    kept = ["run", "family", "name", "source", "schedule", "step", "D", "C", "loss"]
    return pd.concat([thinned(rows[kept], points) for _, rows in t.groupby("run", sort=True)])


def thinned(rows: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """Readings of one run nearest to equal steps in log D."""
    log_x = np.log(rows["D"].to_numpy(float))
    wanted = np.linspace(log_x.min(), log_x.max(), points)
    return rows.iloc[np.unique(np.abs(log_x[:, None] - wanted).argmin(axis=0))]


# --- Our own ladder -----------------------------------------------------------------------------


def own(name: str, every: bool = False) -> pd.DataFrame:
    """Final readings of a bundled table, or all."""
    from bayescale import datasets

    t = datasets.load(name).table
    return t if every else t[t["is_final"] == 1]


def own_schedules() -> pd.DataFrame:
    """Readings along four schedules; rates relative to the run's peak, as `PEAK` stands for it.

    A family is a size, whose two seeds share its peak.
    """
    t = own("ladder_schedules", every=True)
    t = t[t["step"] >= 256].assign(family=t["N"].map("{:.0e}".format), C=t["D"])
    steps = int(t["steps"].iloc[0])
    warm, decay = round(0.05 * steps), round(0.2 * steps)
    after = {
        "linear": f"linear to 0 over {steps - warm}",
        "cosine": f"cosine to 0 over {steps - warm}",
        "constant": f"constant over {steps - warm}",
        "wsd": f"constant over {steps - warm - decay}; linear to 0 over {decay}",
    }
    told = {k: f"linear to {PEAK:g} over {warm}; {v}" for k, v in after.items()}
    t = t.assign(name=t["schedule"], schedule=t["schedule"].map(told))
    return t[["run", "family", "name", "schedule", "step", "D", "C", "loss"]]


def own_repeats() -> pd.DataFrame:
    """Ends of runs on repeated bytes."""
    return own("ladder_repeats")[["run", "family", "N", "D", "U", "C", "loss"]]


def own_mixtures() -> pd.DataFrame:
    """Ends of runs on mixtures, two rows each: what they are worth on prose and on code.

    All runs have as many tokens; a size's losses on one text are a domain of their own.
    """
    t = own("ladder_mixtures")
    shares = {"r_prose": t["prose_share"], "r_code": 1.0 - t["prose_share"]}
    domain = t["evaluation"] + " at " + t["N"].map("{:.0e}".format)
    t = t.assign(domain=domain, family=domain, **shares)
    return t[["run", "family", "domain", "evaluation", "N", "D", "C", *shares, "loss"]]
