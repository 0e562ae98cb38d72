"""Upstream files to tidy tables: one row a run, a checkpoint or a curve's point, units in words.

Every function takes what a file holds and gives back a table; none reads from disk. Counts are
floats, since ``6 * params * tokens`` overflows int64 in silence.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

GADRE_SETS = {  # name -> the evaluation's file upstream
    "openlm": "openlm/shard",
    "c4_val": "c4_val/shard",
    "paloma_c4_en": "paloma_c4_en/",
    "paloma_100_programming_languages": "paloma_dolma_100_programing_languages/",
    "paloma_refinedweb": "paloma_falcon-refinedweb/",
    "paloma_ptb": "paloma_ptb/",
    "paloma_redpajama": "paloma_redpajama/",
    "c4_german": "de-en/val_de-en",
}
_GADRE_CORPORA = {"c4_original": "c4", "rpj": "redpajama", "rw_original": "refinedweb"}
_GADRE_FITTED = (  # architecture and Chinchilla multiplier of the source's default fit
    ("d=96_l=8_h=4", 1.0),
    ("d=96_l=8_h=4", 16.0),
    ("d=512_l=8_h=4", 1.0),
    ("d=576_l=24_h=8", 1.0),
    ("d=1024_l=24_h=8", 1.0),
)
_BATCH_7B = 2048  # its files say 1; the source's command line says this
_DROPPED = 5  # highest losses, left out by the source's fit
_WIDTH_95 = 2 * 1.959964  # of a normal interval, in standard errors
_LARGEST = 1e21  # FLOPs from which a digitised run is a target
_MULTI_POWER_TRAIN = ("cosine_24000", "constant_24000", "wsdcon_9")
_FAMILIES = {"birds": "bird", "cifar100": "c", "caltech101": "cal", "imagenet": "inet"}


def chinchilla(raw: pd.DataFrame) -> pd.DataFrame:
    """Tidy the runs that Besiroglu et al. read off figure 4 of Hoffmann et al.

    Parameters
    ----------
    raw
        ``svg_extracted_data.csv``: x, y, color, Model Size, Training FLOP, loss.

    Examples
    --------
    >>> columns = ["x", "y", "color", "Model Size", "Training FLOP", "loss"]
    >>> chinchilla(pd.DataFrame([[1, 2, "#fff", 1e9, 6e19, 3.0]], columns=columns)).tokens.item()
    10000000000.0
    """
    size, flops = raw["Model Size"], raw["Training FLOP"]
    worst = raw["loss"].rank(ascending=False, method="first") <= _DROPPED
    return pd.DataFrame(
        {
            "family": "chinchilla",
            "dataset": "massivetext",
            "run": [f"chinchilla_{i:03d}" for i in range(len(raw))],
            "split": np.where(flops >= _LARGEST, "holdout", "visible"),
            "params": size,
            "tokens": flops / (6.0 * size),
            "flops": flops,
            "loss": raw["loss"],
            "svg_x": raw["x"],
            "svg_y": raw["y"],
            "svg_color": raw["color"],
            "excluded_by_source": worst.astype(int),
        }
    )


def gadre(models: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Tidy the over-trained models of Gadre et al., one row each.

    Parameters
    ----------
    models
        What ``exp_data/models/*.json`` hold.

    Returns
    -------
    DataFrame
        Sorted by corpus, size and tokens. `loss` is of C4's validation set; ``loss_<set>`` and
        ``loss_se_<set>`` of all eight, the latter from the interval over sequences.
    """
    table = pd.DataFrame([_gadre_model(model) for model in models])
    order = ["dataset", "params_total", "tokens"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _gadre_model(model: Mapping[str, Any]) -> dict[str, Any]:
    given = model["hyperparameters"]
    prefix = next(p for p in _GADRE_CORPORA if model["name"].startswith(f"{p}-"))
    arch = model["name"].removeprefix(f"{prefix}-").rpartition("-")[0]
    multiple = float(given["chinchilla_multiplier"])
    if (arch, multiple) in _GADRE_FITTED:
        role = "loss_fit"
    elif arch == "open_lm_1b" and multiple == 1.0:
        role = "error_fit"
    else:
        role = "target" if arch.startswith("open_lm") else "grid"
    losses: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name, part in GADRE_SETS.items():
        (result,) = (r for r in model["results"] if part in r["val_data"][0])
        losses[f"loss_{name}"] = result["loss"]
        width = result["loss_sequences_upper_95"] - result["loss_sequences_lower_95"]
        errors[f"loss_se_{name}"] = width / _WIDTH_95
    total, tokens = float(given["params"]), float(given["tokens"])
    return {
        "family": "open_lm",
        "dataset": _GADRE_CORPORA[prefix],
        "seed": 124,
        "run": model["name"],
        "split": "holdout" if role == "target" else "visible",
        "params": float(given["params_no_embed"]),
        "params_total": total,
        "tokens": tokens,
        "flops": 6.0 * total * tokens,
        "lr": given["lr"],
        "batch_size": _BATCH_7B if arch == "open_lm_7b" else given["global_bs"],
        "loss": losses["loss_c4_val"],
        "arch": arch,
        "token_multiplier": round(20 * multiple),
        "weight_decay": given["wd"],
        "warmup_steps": given["warmup"],
        "lr_final": given["cd"],
        "loss_se": errors["loss_se_c4_val"],
        "role": role,
        **losses,
        **errors,
    }


def gadre_evaluations(wide: pd.DataFrame) -> pd.DataFrame:
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
        for name in sorted(GADRE_SETS)
    ]
    return pd.concat(parts, ignore_index=True)


def vision(raw: pd.DataFrame) -> pd.DataFrame:
    """Tidy the 72 few-shot learning curves of Alabdulmohsin et al.

    Parameters
    ----------
    raw
        ``benchmark.vision.csv``: Domain, Task, Model, Seen Examples, Loss, Training.

    Examples
    --------
    >>> raw = pd.DataFrame([["IC", "bird_5", "MiX/B/16", 7e6, 0.97, 1]])
    >>> raw.columns = ["Domain", "Task", "Model", "Seen Examples", "Loss", "Training"]
    >>> vision(raw)[["architecture", "downstream", "shots", "split"]].values.tolist()
    [['MiX', 'birds', 5, 'visible']]
    """
    names = {short: name for name, short in _FAMILIES.items()}
    parts = raw["Task"].str.rpartition("_")
    tidy = pd.DataFrame(
        {
            "family": raw["Model"],
            "dataset": "jft_300m",
            "run": raw["Model"],
            "split": _seen(raw),
            "architecture": raw["Model"].str.partition("/")[0],
            "domain": "image_classification",
            "task": raw["Task"],
            "downstream": parts[0].map(names),
            "shots": parts[2].astype(int),
            "examples_seen": raw["Seen Examples"].astype(float),
            "error": raw["Loss"],
        }
    )
    return tidy.sort_values(["task", "family", "examples_seen"], kind="stable", ignore_index=True)


def language(raw: pd.DataFrame) -> pd.DataFrame:
    """Tidy the 20 curves of text of Alabdulmohsin et al., copies of rows counted and left out.

    Parameters
    ----------
    raw
        ``benchmark.lang.csv``, columns as in `vision`; Task of a BIG-bench row is the text of a
        pair such as ``('date', '1-shot')``.
    """
    copies = raw.value_counts(sort=False, dropna=False).rename("size").reset_index()
    tidy = pd.DataFrame([_language_row(row) for row in copies.to_dict(orient="records")])
    order = ["domain", "task", "shots", "run", "examples_seen"]
    return tidy.sort_values(order, kind="stable", ignore_index=True)


def _language_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    task, shots, params = row["Task"], np.nan, np.nan
    model, domain = row["Model"], {"BB": "bigbench", "LM": "lm", "NMT": "nmt"}[row["Domain"]]
    if domain == "bigbench":
        task, told = ast.literal_eval(task)
        shots = float(told.removesuffix("-shot"))
    if domain != "nmt":
        params = float(model.removesuffix("M")) * (1e6 if model.endswith("M") else 1.0)
        model = f"lm_{params / 1e6:.1f}m"
    own = model.lower().replace(",", "").replace("-", "_").replace(" ", "_")
    metric = {"bigbench": "error", "lm": "val_loss_scaled", "nmt": "log_perplexity"}[domain]
    return {
        "family": f"nmt_{own}" if domain == "nmt" else "lamda_like_decoder",
        "dataset": "nmt_parallel" if domain == "nmt" else "lm_web",
        "run": model,
        "split": "visible" if row["Training"] == 1 else "holdout",
        "params": params,
        "loss": row["Loss"],
        "domain": domain,
        "task": task,
        "shots": shots,
        "examples_seen": float(row["Seen Examples"]),
        "n_duplicates": row["size"],
        "metric": metric,
    }


def _seen(raw: pd.DataFrame) -> np.ndarray:
    return np.where(raw["Training"] == 1, "visible", "holdout")


def vision_curves(tidy: pd.DataFrame) -> pd.DataFrame:
    """From `vision` to the columns of runs; a family is one model on one task."""
    return pd.DataFrame(
        {
            "family": tidy["family"] + "/" + tidy["task"],
            "D": tidy["examples_seen"],
            "loss": tidy["error"],
            "model": tidy["family"],
            "task": tidy["task"],
            "shots": tidy["shots"],
            "corpus": tidy["dataset"],
            "split": tidy["split"],
        }
    )


def language_curves(tidy: pd.DataFrame, domain: str) -> pd.DataFrame:
    """From one domain of `language` to the columns of runs; a family is one curve."""
    own = tidy[tidy["domain"] == domain].reset_index(drop=True)
    told = {"family": own["run"], "D": own["examples_seen"], "loss": own["loss"]}
    told |= {"model": own["run"], "corpus": own["dataset"], "split": own["split"]}
    if domain == "bigbench":
        told["task"] = own["task"] + "/" + own["shots"].astype(int).astype(str) + "-shot"
        told["family"] = told["task"]
    return pd.DataFrame(told)


def multi_power(curves: Mapping[tuple[int, str], pd.DataFrame]) -> pd.DataFrame:
    """Tidy the learning-rate-schedule curves of Luo et al.

    Parameters
    ----------
    curves
        (millions of parameters, schedule) -> ``loss_curve_repo/csv_<size>/<schedule>.csv``: step,
        lr, loss.

    Examples
    --------
    >>> curve = pd.DataFrame({"step": [2160], "lr": [3e-4], "loss": [4.1]})
    >>> multi_power({(25, "wsdcon_9"): curve})[["run", "total_steps", "split"]].values.tolist()
    [['25m_wsdcon_9', 16000, 'visible']]
    """
    parts = []
    for (size, schedule), curve in sorted(curves.items()):
        kind, _, rest = schedule.partition("_")
        parts.append(
            pd.DataFrame(
                {
                    "family": "mpl_llama",
                    "run": f"{size}m_{schedule}",
                    "split": "visible" if schedule in _MULTI_POWER_TRAIN else "holdout",
                    "params": size * 1e6,
                    "step": curve["step"],
                    "lr": curve["lr"],
                    "loss": curve["loss"],
                    "schedule": schedule,
                    "schedule_type": kind,
                    "total_steps": 16000 if kind == "wsdcon" else int(rest.rpartition("_")[2]),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
