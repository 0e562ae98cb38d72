"""ScaleBench's tasks as data: columns, costs, budgets, and the law of each.

A law is a card of the library, or where that has none the study's own
(`tests/studies/scalebench_laws`). Costs are the benchmark's own (arXiv:2604.22753, table 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale.catalog import load_law
from bayescale.law import Law

CARDS = Path(__file__).resolve().parents[1] / "scalebench_laws"
HELD_OUT = 0.1
SEQUENCE = 2048.0  # tokens of a sequence in the learning-rate sweep
Rule = Callable[[pd.DataFrame], pd.Series]


def cost_6nd(table: pd.DataFrame) -> pd.Series:
    """6 N D."""
    return 6.0 * table["N"] * table["D"]


@dataclass(frozen=True)
class Task:
    """One task of the benchmark.

    Attributes
    ----------
    name
        Its file.
    columns
        Canonical column to the file's.
    card
        Name of its law.
    cost
        Of each run.
    outputs
        Columns of the losses; more than one are fitted apart and scored together.
    shift
        Added to the losses, which must be positive; R2 doesn't see it.
    budgets
        Shares of the pool's cost.
    typical
        Guess of the losses before any run, shift included.
    """

    name: str
    columns: Mapping[str, str]
    card: str
    cost: Rule
    outputs: tuple[str, ...] = ("loss",)
    shift: float = 0.0
    budgets: tuple[float, ...] = (0.01, 0.05, 0.1)
    typical: float = 2.5
    derived: Mapping[str, Rule] = field(default_factory=dict)

    def law(self) -> Law:
        """The library's card of that name, or the study's own."""
        own = CARDS / f"{self.card}.toml"
        return load_law(own if own.exists() else self.card)

    def read(self, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Pool and target: the tenth of highest cost of each group is held out.

        Where all runs cost the same, a tenth drawn once and for all.
        """
        raw = pd.read_csv(folder / f"{self.name}.csv")
        table = pd.DataFrame({own: raw[theirs] for own, theirs in self.columns.items()})
        table["family"] = raw["group"].astype(str)
        for name, rule in self.derived.items():
            table[name] = rule(table)
        for output in self.outputs:
            table[output] = raw[output] + self.shift
        table["cost"] = self.cost(table).astype(float)
        table["run"] = np.arange(len(table))
        mixed = np.random.default_rng(0).permutation(len(table))
        held = []
        for _, part in table.assign(mixed=mixed).groupby("family"):
            order = part.sort_values(["cost", "mixed"], ascending=False)
            held.extend(order.index[: max(2, round(HELD_OUT * len(part)))])
        target = table.loc[sorted(held)].reset_index(drop=True)
        return table.drop(index=held).reset_index(drop=True), target


SHARES = {f"r{i}": f"proportion_domain_{i}" for i in range(1, 6)}
TASKS = (
    Task(
        "parallel",
        {"N": "num_params", "P": "parallel_size"},
        "parscale",
        lambda t: t["N"],
        typical=1.6,
    ),
    Task(
        "vocab",
        {"N": "non_vocab_parameters", "V": "vocab_size", "H": "num_characters"},
        "sb_vocabulary",
        lambda t: t["N"] * t["H"],
        outputs=("unigram_normalized_loss",),
        shift=10.0,  # the unigram model's own loss is about this, in nats a token
        typical=6.0,
    ),
    Task(
        "moe",
        {"N": "dense_parameter_count", "experts": "num_experts"},
        "routed_floor",
        lambda t: t["N"] * t["experts"],
        outputs=("loss_validation",),
    ),
    Task(
        "data_constrained",
        {"N": "params", "D": "tokens", "U": "unique_tokens"},
        "data_constrained",
        cost_6nd,
        derived={"U": lambda t: np.minimum(t["U"], t["D"])},
        typical=3.5,
    ),
    Task(
        "lr_bsz",
        {"N": "non_embedding_param_size", "D": "data_size", "lr": "lr", "batch_tokens": "bsz"},
        "step_law_loss",
        cost_6nd,
        outputs=("lm_loss",),
        derived={"batch_tokens": lambda t: SEQUENCE * t["batch_tokens"]},
    ),
    Task(
        "sparsity",
        {"N": "N_active", "P": "P", "D1": "D1", "D2": "D2", "N1": "N_dense"},
        "sb_sparsity",
        lambda t: 6.0 * t["N1"] * t["D1"] + 6.0 * t["N"] * t["D2"],
        budgets=(0.2, 0.35, 0.5),
        typical=2.9,
    ),
    Task("farseer", {"N": "N", "D": "D"}, "farseer", cost_6nd, typical=0.6),
    Task(
        "domain_mixture",
        SHARES,
        "sb_mixture",
        lambda t: pd.Series(1.0, index=t.index),
        outputs=tuple(f"loss_domain_{i}" for i in range(1, 6)),
        budgets=(0.2, 0.35, 0.5),
        derived={name: (lambda t, name=name: t[name] + 0.01) for name in SHARES},  # none is zero
        typical=2.7,
    ),
)
