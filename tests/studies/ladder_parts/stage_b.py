"""Stage B: which runs each of its tables holds, by rules written before any was trained.

The ladder grows in two ways. *Replicates*: seeds 3 and 4 in a third of stage A's cells, those whose
places in the lists of sizes, horizons and families add up to a multiple of three. That takes every
size and every family equally often (four cells each), and horizons 6, 5 and 5 times. They train at
the rate of seeds 1 and 2 of their cell, so that a cell's runs differ by chance alone. *Extension*:
N = 3e5 at stage A's horizons, in every family, at rates from stage A's plane.

The other tables answer one question each; all take their peak rates from that plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ladder_parts import nets, schedules, table
from ladder_parts.corpus import CORPORA
from ladder_parts.grid import HORIZONS, MEGABYTE, RECIPES, SIZES
from ladder_parts.trial import MIX, Trial

DATA = Path(__file__).resolve().parents[3] / "bayescale" / "data"
REPLICATE_SEEDS = (3, 4)
SEEDS = (1, 2)
EXTENSION_SIZE = "3e5"
BUDGETS = {
    2e11: ("3e3", "5.6e3", "1e4", "1.8e4", "3e4", "5.6e4"),
    6e11: ("5.6e3", "1e4", "1.8e4", "3e4", "5.6e4", "1e5"),
    2e12: ("1.8e4", "3e4", "5.6e4", "1e5", "1.8e5", "3e5"),
}
SCHEDULE_SIZES = ("1e4", "3e4")
REPEAT_SIZES = ("3e4", "1e5")
UNIQUE_STEPS = (MEGABYTE // 4, MEGABYTE // 2, MEGABYTE)
EPOCHS = (1, 2, 4, 8)
MIXTURE_SIZES = ("1e4", "1e5")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Set:
    """One table: its file, its columns beyond the ladder's, and its runs in order of training."""

    name: str
    trials: tuple[Trial, ...]
    further: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """File of the table."""
        return DATA / f"{self.name}.csv"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table."""
        return (*table.COLUMNS, *self.further)


def _cell(role: str, recipe: str, corpus: str, size: str, horizon: int, seed: int) -> Trial:
    name = f"{role}-{recipe}-{corpus}-n{size}-d{horizon}M-s{seed}"
    return Trial(name, recipe, corpus, size, horizon * MEGABYTE, seed, role, stage="B")


def replicates() -> tuple[Trial, ...]:
    """Seeds 3 and 4 in a third of stage A's cells, the smaller sizes first."""
    families = [(recipe, corpus) for recipe in RECIPES for corpus in CORPORA]
    return tuple(
        _cell("replicate", recipe, corpus, size, horizon, seed)
        for i, size in enumerate(SIZES)
        for j, horizon in enumerate(HORIZONS)
        for seed in REPLICATE_SEEDS
        for k, (recipe, corpus) in enumerate(families)
        if (i + j + k) % 3 == 0
    )


def extension() -> tuple[Trial, ...]:
    """N = 3e5 in every family at stage A's horizons, one seed of all before the next."""
    return tuple(
        _cell("extension", recipe, corpus, EXTENSION_SIZE, horizon, seed)
        for seed in SEEDS
        for horizon in HORIZONS
        for recipe in RECIPES
        for corpus in CORPORA
    )


def isoflop() -> tuple[Trial, ...]:
    """Three budgets of six sizes, both recipes on prose; D is what the counted C leaves.

    Budgets and sizes were placed with stage A's runs so that the best size of each recipe lies
    inside its slice, and the smallest model still sees no byte twice. One seed: what seeds differ
    by is known from the ladder.
    """
    return tuple(
        Trial(
            f"iso-{recipe}-prose-c{power(budget)}-n{size}-s1",
            recipe,
            "prose",
            size,
            round(budget / nets.training_flops(nets.SHAPES[recipe, size], nets.BATCH_BYTES)),
            1,
            "fit",
            stage="B",
            checkpoints=(),
            labels={"budget": power(budget)},
        )
        for budget, sizes in BUDGETS.items()
        for recipe in RECIPES
        for size in sizes
    )


def power(budget: float) -> str:
    """Write a budget as 2e11."""
    return f"{budget:.0e}".replace("+", "")


def schedule_runs() -> tuple[Trial, ...]:
    """Four schedules of the transformer on prose, 4 MB, read sixteen times."""
    steps = 4 * MEGABYTE
    return tuple(
        Trial(
            f"schedule-transformer-prose-n{size}-{schedule}-s{seed}",
            "transformer",
            "prose",
            size,
            steps,
            seed,
            "fit",
            stage="B",
            schedule=schedule,
            checkpoints=tuple(i / 16 for i in range(1, 16)),
            labels={"schedule": schedule, "steps": steps},
        )
        for seed in SEEDS
        for size in SCHEDULE_SIZES
        for schedule in schedules.SCHEDULES
    )


def repeats() -> tuple[Trial, ...]:
    """The transformer on U unique bytes of prose, seen one to eight times."""
    return tuple(
        Trial(
            f"repeat-transformer-prose-n{size}-u{unique * nets.BATCH_BYTES // 1024}k-e{epochs}-s1",
            "transformer",
            "prose",
            size,
            unique * epochs,
            1,
            "fit",
            stage="B",
            epochs=epochs,
            labels={"U": unique * nets.BATCH_BYTES, "epochs": epochs},
        )
        for size in REPEAT_SIZES
        for unique in UNIQUE_STEPS
        for epochs in EPOCHS
    )


def mixtures() -> tuple[Trial, ...]:
    """The transformer on 2 MB of prose and code in five shares; a row for each corpus's loss."""
    return tuple(
        Trial(
            f"mixture-transformer-n{size}-p{round(100 * share)}-s{seed}",
            "transformer",
            MIX,
            size,
            2 * MEGABYTE,
            seed,
            "fit",
            stage="B",
            prose_share=share,
            evaluations=CORPORA,
            labels={"prose_share": share},
        )
        for seed in SEEDS
        for size in MIXTURE_SIZES
        for share in SHARES
    )


def sets() -> dict[str, Set]:
    """Every table that stage B fills, by name, in order of training."""
    return {
        one.name: one
        for one in (
            Set("ladder", (*replicates(), *extension())),
            Set("ladder_isoflop", isoflop(), ("budget",)),
            Set(
                "ladder_schedules",
                schedule_runs(),
                ("schedule", "steps", "lr_peak", "lr_sum"),
            ),
            Set("ladder_repeats", repeats(), ("U", "epochs")),
            Set("ladder_mixtures", mixtures(), ("prose_share",)),
        )
    }
