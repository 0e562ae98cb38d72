"""One run of any of the ladder's tables: what is trained, on what, and the rows it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ladder_parts import feeds, nets, schedules, train
from ladder_parts.corpus import CORPORA, Corpus

MIX = "mix"
CHECKPOINTS = (0.25, 0.5, 0.75)
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes
    ----------
    run
        Its name, unique in its table; weights and order of data are drawn from it.
    recipe, corpus, size
        Network and text; the corpus `MIX` takes `prose_share` of its bytes from prose.
    steps, seed
        Batches trained on; number of the repetition.
    role, stage
        Why it is trained; the issue that asked for it.
    schedule
        One of `schedules.SCHEDULES`.
    epochs
        How often each byte is seen.
    evaluations
        Corpora whose held-out loss becomes the `loss` of a row; the run's own without it.
    labels
        Further columns of its rows.
    """

    run: str
    recipe: str
    corpus: str
    size: str
    steps: int
    seed: int
    role: str
    stage: str = "A"
    split: str = "train"
    schedule: str = "linear"
    epochs: int = 1
    prose_share: float = 1.0
    checkpoints: tuple[float, ...] = CHECKPOINTS
    evaluations: tuple[str, ...] = ()
    labels: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def family(self) -> str:
        """Name of the recipe on the corpus."""
        return f"{self.recipe}-{self.corpus}"

    @property
    def shape(self) -> nets.Shape:
        """Shape of the network."""
        return nets.SHAPES[self.recipe, self.size]

    @property
    def seen(self) -> int:
        """Bytes trained on, each counted as often as it is seen."""
        return self.steps * nets.BATCH_BYTES


def feed(trial: Trial, texts: Mapping[str, Corpus]) -> feeds.Feed:
    """Bytes of a run and their order."""
    seed = train.run_seed(trial.run)
    if trial.corpus == MIX:
        prose, code = (texts[name].train for name in CORPORA)
        return feeds.mixed(prose, code, trial.prose_share, trial.steps, seed)
    rows = texts[trial.corpus].train
    if trial.epochs == 1:
        return feeds.once(rows, trial.steps, seed)
    return feeds.repeated(rows, trial.seen // trial.epochs, trial.epochs, seed)


def execute(trial: Trial, lr: float, texts: Mapping[str, Corpus]) -> list[dict[str, object]]:
    """Train one run at peak rate `lr` and give its rows."""
    held = {name: text.held for name, text in texts.items()}
    rates = schedules.rates(trial.schedule, trial.steps, lr)
    given = feed(trial, texts)
    marks = trial.checkpoints
    readings = train.train_run(trial.run, trial.shape, given, held, rates, marks)
    scored = trial.evaluations or (trial.corpus,)
    return [row(trial, lr, rates, reading, name) for reading in readings for name in scored]


def row(
    trial: Trial, lr: float, rates: np.ndarray, reading: train.Reading, evaluation: str
) -> dict[str, object]:
    """Row of the table; a schedule's own columns are there for a table that has them."""
    n, n_total = nets.parameter_counts(trial.shape)
    seen = reading.step * nets.BATCH_BYTES
    losses = {name: reading.losses.get(name, (None, None)) for name in CORPORA}
    made: dict[str, object] = {
        "run": trial.run,
        "family": f"{trial.family}/{evaluation}" if trial.evaluations else trial.family,
        "recipe": trial.recipe,
        "corpus": trial.corpus,
        "evaluation": evaluation,
        "seed": trial.seed,
        "N": n,
        "N_total": n_total,
        "D": seen,
        "C": nets.training_flops(trial.shape, seen),
        "step": reading.step,
        "lr": f"{lr:.6g}",
        "batch": nets.BATCH_BYTES,
        "role": trial.role,
        "split": trial.split,
        "is_final": int(reading.step == trial.steps or reading.diverged),
        "status": "diverged" if reading.diverged else "ok",
        "seconds": f"{reading.seconds:.1f}",
        "stage": trial.stage,
        **trial.labels,
    }
    if "schedule" in trial.labels:
        spent = rates[: reading.step].astype(np.float64)
        made |= {"lr": f"{spent[-1]:.6g}", "lr_peak": f"{lr:.6g}", "lr_sum": f"{spent.sum():.6g}"}
    if "U" in trial.labels:  # at a reading in the first pass, what has been seen so far
        made["U"] = min(seen, trial.seen // trial.epochs)
    pairs = {"loss": losses[evaluation]} | {f"loss_{name}": pair for name, pair in losses.items()}
    for column, (loss, error) in pairs.items():
        made[column] = "" if loss is None else f"{loss:.6f}"
        made[f"{column}_heldout_se"] = "" if error is None else f"{error:.6f}"
    return made
