"""Which of a tracker's columns is N, D, C, the loss: by name, where one fits, else a question."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bayescale import cells
from bayescale.columns import remedy

_TOTAL = ("totalparams", "paramstotal", "nparamstotal", "numparamstotal", "trainableparams")
_BODY = ("nonembeddingparams", "paramsnonembedding", "paramsnoembed", "nparamsnonembedding")
_SIZE = (
    *("n", "params", "nparams", "numparams", "parameters", "nparameters", "numparameters"),
    *("paramcount", "parametercount", "nonembparams"),
)
WORDS: dict[str, tuple[str, ...]] = {
    "N": (*_SIZE, *_TOTAL, *_BODY),
    "D": (
        *("d", "tokens", "ntokens", "numtokens", "tokensseen", "traintokens", "trainingtokens"),
        *("totaltokens", "consumedtokens", "numinputtokensseen", "processedtokens"),
    ),
    "C": ("c", "flops", "flos", "compute", "totalflops", "totalflos", "trainflops"),
    "step": ("step", "globalstep", "iteration", "iter"),
    "seed": ("seed",),
}
_ABOUT_A_RUN = ("id", "name", "state", "status", "notes", "tags", "user", "created", "sweep")
_HELD_OUT = re.compile(r"(val|valid|validation|eval|test|heldout)")
_OTHER_UNIT = re.compile(r"(bpb|bpc|bits|ppl|perplexity)")


@dataclass(frozen=True)
class Proposal:
    """What names alone say.

    Attributes
    ----------
    mapping
        Canonical column -> the tracker's own.
    notes
        What was read from where, and what only the user can know, as questions.
    faults
        Canonical column -> a choice that only the user can make.
    """

    mapping: Mapping[str, str]
    notes: tuple[str, ...] = ()
    faults: Mapping[str, str] | None = None


def propose(table: pd.DataFrame, asked: Collection[str]) -> Proposal:
    """Look for the columns that the user (`asked`) hasn't named.

    Examples
    --------
    >>> table = pd.DataFrame({"model.params": [1e6], "train/loss": [4.0], "eval/loss": [4.1]})
    >>> propose(table, ()).mapping
    {'N': 'model.params', 'loss': 'eval/loss'}
    """
    numeric = [str(c) for c in table if _numeric(table[c])]
    mapping: dict[str, str] = {}
    faults: dict[str, str] = {}
    notes: list[str] = []
    for name, words in WORDS.items():
        if name in asked or name in table:
            continue
        found = [c for c in numeric if _last(c) in words]
        if len(found) > 1 and name == "D":
            found = _counting(table, found) or found
        if len(found) > 1 and name in ("step", "seed"):
            continue
        if len(found) > 1:
            faults[name] = _choice(name, found)
        elif found:
            mapping[name] = found[0]
            notes.append(f"{name} is read from column {found[0]!r}")
    if "loss" not in asked:
        _propose_loss(table, numeric, mapping, faults, notes)
    if "N" in mapping:
        notes.append(_about_embeddings(mapping["N"]))
    return Proposal(mapping, tuple(notes), faults)


def unit_question(own: str) -> str | None:
    """Ask for the unit of a loss whose name speaks of another one.

    Examples
    --------
    >>> unit_question("eval/loss")
    >>> unit_question("eval/bpb").split(":")[0]
    'question'
    """
    found = _OTHER_UNIT.search(own.lower())
    if found is None:
        return None
    if found[0] in ("ppl", "perplexity"):
        return (
            f"question: is {own!r} a perplexity? A law describes its logarithm, the loss in nats "
            "per token: give that"
        )
    return (
        f"question: is {own!r} in bits? If so, say units={{'loss': 'bit/byte'}} (or bit/token; "
        "--units loss=bit/byte), and answers come in it; nothing is converted"
    )


def family_hint(table: pd.DataFrame) -> str | None:
    """Name settings that could tell families apart, where nothing does yet."""
    if "family" in table or not len(table):
        return None
    runs = table.drop_duplicates("run") if "run" in table else table
    fit = []
    for column in runs:
        values = cells.labels(runs[column]).dropna()
        many = values.nunique()
        if column == "run" or _last(str(column)) in _ABOUT_A_RUN:
            continue
        if 2 <= many <= 12 and 2 * many <= len(values) and not _numeric(runs[column]):
            fit.append(str(column))
    if not fit:
        return None
    return (
        "no column family: all runs get the same constants; to tell families apart, say one of "
        + ", ".join(remedy("family", c) for c in fit[:4])
    )


def _propose_loss(
    table: pd.DataFrame,
    numeric: Sequence[str],
    mapping: dict[str, str],
    faults: dict[str, str],
    notes: list[str],
) -> None:
    losses = [c for c in numeric if _is_loss(c)]
    held_out = [c for c in losses if _HELD_OUT.search(c.lower())]
    if len(held_out) > 1:
        faults["loss"] = _choice("loss", held_out)
    elif held_out:
        mapping["loss"] = held_out[0]
        others = [c for c in losses if c != held_out[0]]
        beside = f", the held-out one, not from {', '.join(others)}" if others else ""
        notes.append(f"loss is read from column {held_out[0]!r}{beside}")
    elif "loss" in table:
        notes.append("question: is column 'loss' of training or of held-out text?")
    elif len(losses) > 1:
        faults["loss"] = _choice("loss", losses)
    elif losses:
        mapping["loss"] = losses[0]
        notes.append(f"loss is read from column {losses[0]!r}")


def _is_loss(column: str) -> bool:
    name = column.lower()
    if any(part in name for part in ("aux", "_se", "std", "min", "max", "best", "balance")):
        return False
    return bool(re.search(r"(^|[^a-z])(loss|bpb|cross_entropy|nll)($|[^a-z])", name)) or (
        _last(column).endswith("loss")
    )


def _choice(name: str, found: Sequence[str]) -> str:
    shown = [remedy(name, c) for c in found[:4]]
    about = {
        "N": "; the two counts differ by the embeddings",
        "loss": "; a law describes one evaluation",
    }.get(name, "")
    return (
        f"columns {', '.join(found[:6])} could all be {name}{about}: which is meant? Say "
        + " or ".join(shown)
    )


def _about_embeddings(own: str) -> str:
    word = _last(own)
    if word in _BODY:
        return f"N ({own!r}) leaves out embeddings: so must every N that you ask about"
    if word in _TOTAL:
        return f"N ({own!r}) counts all parameters: so must every N that you ask about"
    return (
        f"question: does N ({own!r}) count embeddings? Any way of counting will do where every "
        "run and every question share it; published constants differ by it"
    )


def _last(column: str) -> str:
    """The last part of a dotted or slashed name, letters only: ``model.n_params`` -> nparams."""
    return re.sub(r"[^a-z]", "", re.split(r"[./]", column)[-1].lower())


def _counting(table: pd.DataFrame, found: Sequence[str]) -> list[str]:
    """Columns that differ between a run's rows: at a checkpoint, those are what D is."""
    if "run" not in table or not table["run"].duplicated().any():
        return []
    values = pd.DataFrame({c: cells.numbers(table[c])[0] for c in found})
    several = values.groupby(table["run"], sort=False).nunique().max() > 1
    return [c for c in found if several[c]]


def _numeric(column: pd.Series) -> bool:
    """Whether its cells are numbers; a few that aren't are faults of theirs, to be named later."""
    values, text = cells.numbers(column)
    return len(text) < int(values.notna().sum())
