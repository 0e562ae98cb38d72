"""Files as experiment trackers write them, made from a small table of runs."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pandas as pd

SIZES = {"a": 1e6, "b": 4e6, "c": 1.6e7}
STEPS = (100, 200, 300, 400)
TOKENS = 524288.0  # of a step


def loss(N: float, step: float) -> float:
    """A law that the files' losses follow, in nats."""
    return 1.7 + 40.0 / N**0.25 + 30.0 / (step * TOKENS) ** 0.2


def final() -> dict[str, float]:
    """Every run's last held-out loss."""
    return {run: loss(N, STEPS[-1]) for run, N in SIZES.items()}


def wandb_table(path: Path) -> Path:
    """The runs table, as its download button gives it, with a run that crashed."""
    rows = [
        {
            "Name": run,
            "State": "finished",
            "Notes": "-",
            "Created": "2026-01-01T10:00:00.000Z",
            "Runtime": 3600,
            "Sweep": "",
            "model.params": N,
            "model.arch": "dense" if run != "b" else "moe",
            "data.tokens": STEPS[-1] * TOKENS,
            "optimizer.lr": 3e-4,
            "train/loss": loss(N, STEPS[-1]) + 0.1,
            "val/loss": loss(N, STEPS[-1]),
        }
        for run, N in SIZES.items()
    ]
    rows.append({**rows[0], "Name": "z", "State": "crashed", "val/loss": "", "train/loss": "NaN"})
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def wandb_api(path: Path) -> Path:
    """The CSV of W&B's own export script: settings and summaries printed into cells."""
    rows = [
        {
            "name": run,
            "config": {"model": {"params": int(N)}, "tokens": STEPS[-1] * TOKENS},
            "summary": {"val/loss": loss(N, STEPS[-1]), "_runtime": 5.0, "x": float("nan")},
        }
        for run, N in SIZES.items()
    ]
    pd.DataFrame(rows).to_csv(path)
    return path


def history(run: str) -> pd.DataFrame:
    """One run's log: training and held-out losses at steps of their own."""
    rows = []
    for step in range(50, STEPS[-1] + 1, 50):
        held_out = loss(SIZES[run], step) if step in STEPS else None
        rows.append(
            {
                "_step": step,
                "_runtime": 2.0 * step,
                "train/loss": loss(SIZES[run], step) + 0.1,
                "val/loss": held_out,
                "tokens": None if step in STEPS[:-1] else step * TOKENS,
            }
        )
    return pd.DataFrame(rows)


def wandb_exports(folder: Path) -> Path:
    """A folder with the runs table and every history."""
    folder.mkdir()
    wandb_table(folder / "runs.csv")
    for run in SIZES:
        history(run).to_csv(folder / f"history_{run}.csv", index=False)
    return folder


def wandb_chart(path: Path) -> Path:
    """A chart's download: a column a run, with its extremes."""
    columns: dict[str, object] = {"Step": STEPS}
    for run, N in SIZES.items():
        values = [loss(N, s) for s in STEPS]
        columns[f"{run} - val/loss"] = values
        columns[f"{run} - val/loss__MIN"] = values
        columns[f"{run} - val/loss__MAX"] = values
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def wandb_folder(folder: Path) -> Path:
    """The folder `wandb` of runs that were online."""
    for run, N in SIZES.items():
        files = folder / f"run-20260101_100000-{run}" / "files"
        files.mkdir(parents=True)
        last = {"val": {"loss": loss(N, STEPS[-1])}, "_step": STEPS[-1], "_runtime": 7}
        (files / "wandb-summary.json").write_text(json.dumps(last))
        (files / "config.yaml").write_text(
            "_wandb:\n    value:\n        cli_version: 0.18\n"
            f"model:\n    desc: null\n    value:\n        params: {int(N)}\n        act: gelu\n"
            f"tokens:\n    value: {STEPS[-1] * TOKENS}\n"
        )
    return folder


def mlflow_store(folder: Path) -> Path:
    """A file store: two states of runs, and one deleted."""
    for i, (run, N) in enumerate([*SIZES.items(), ("deleted", 1e6)]):
        own = folder / "0" / run
        for part in ("metrics/val", "params", "tags"):
            (own / part).mkdir(parents=True)
        stage = "deleted" if run == "deleted" else "active"
        (own / "meta.yaml").write_text(
            f"run_id: {run}\nrun_name: 'a: b'\nlifecycle_stage: {stage}\nstatus: 3\ntags: []\n"
        )
        (own / "params" / "n_params").write_text(str(int(N)))
        (own / "params" / "seed").write_text(str(i))
        lines = [f"{1700000000000 + s} {loss(N, s)} {s}" for s in STEPS]
        (own / "metrics" / "val" / "loss").write_text("\n".join(lines) + "\n")
        (own / "metrics" / "tokens").write_text(f"1700000000000 {STEPS[-1] * TOKENS} {STEPS[-1]}")
    (folder / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
    return folder


def trainer_outputs(folder: Path, counted: bool = True) -> Path:
    """Output folders of the Hugging Face Trainer, with an earlier checkpoint in each."""
    for run, N in SIZES.items():
        for last in (STEPS[1], STEPS[-1]):
            log: list[dict[str, object]] = []
            for step in (s for s in STEPS if s <= last):
                log.append({"loss": loss(N, step) + 0.1, "learning_rate": 1e-4, "step": step})
                log.append({"eval_loss": loss(N, step), "eval_runtime": 1.0, "step": step})
                if counted:
                    log[-1]["num_input_tokens_seen"] = int(step * TOKENS)
            state = {"global_step": last, "max_steps": 400, "log_history": log, "epoch": 0.5}
            if counted:
                state |= {"num_input_tokens_seen": int(last * TOKENS)}
                state |= {"total_flos": 6 * N * last * TOKENS}
            own = folder / run / f"checkpoint-{last}"
            own.mkdir(parents=True)
            (own / "trainer_state.json").write_text(json.dumps(state))
    return folder


def lightning_logs(folder: Path) -> Path:
    """CSV logs of Lightning's versions, with settings that carry a hostile tag."""
    for i, (run, N) in enumerate(SIZES.items()):
        own = folder / f"version_{i}"
        own.mkdir(parents=True)
        (own / "hparams.yaml").write_text(
            f"model:\n  n_params: {int(N)}\n  name: {run}\n"
            "evil: !!python/object/apply:os.system ['touch evil']\nlayers:\n- 1\n- 2\n"
        )
        log = history(run).rename(columns={"_step": "step"}).drop(columns="_runtime")
        log.rename(columns={"val/loss": "val_loss", "train/loss": "train_loss"}).to_csv(
            own / "metrics.csv", index=False
        )
    return folder


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum bit by bit, slowly: the reader has another way."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record(content: bytes) -> bytes:
    """A TFRecord."""

    def masked(data: bytes) -> bytes:
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def field(number: int, value: int | float | bytes, wide: bool = False) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        form = "<d" if wide else "<f"
        return varint(number << 3 | (1 if wide else 5)) + struct.pack(form, value)
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def scalar(step: int, tag: str, value: float, tensor: bool = False) -> bytes:
    """An event with one scalar, as PyTorch (a float) or TensorFlow 2 (a tensor) writes it."""
    told = field(2, value)
    if tensor:
        told = field(8, field(1, 1) + field(4, struct.pack("<f", value)))
    summary = field(1, field(1, tag.encode()) + told)
    return record(field(1, 1.7e9, wide=True) + field(2, step) + field(5, summary))


def setting(name: str, value: float) -> bytes:
    """An event with a session's hyper-parameters."""
    entry = field(1, name.encode()) + field(2, field(2, value, wide=True))
    content = field(3, field(1, entry))
    metadata = field(1, field(1, b"hparams") + field(2, content))
    tagged = field(1, b"_hparams_/session_start_info") + field(9, metadata)
    return record(field(2, 0) + field(5, field(1, tagged)))


def tensorboard_logs(folder: Path) -> Path:
    """A folder of event files for each run: scalars of both kinds, an image, settings apart."""
    for run, N in SIZES.items():
        own = folder / run
        (own / "1700000000.5").mkdir(parents=True)
        parts = [record(field(1, 1.7e9, wide=True) + field(3, b"brain.Event:2"))]
        parts.append(record(field(2, 1) + field(5, field(1, field(1, b"image") + bytes(70000)))))
        for step in STEPS:
            parts.append(scalar(step, "train/loss", loss(N, step) + 0.1))
            parts.append(scalar(step, "val/loss", loss(N, step), tensor=True))
            parts.append(scalar(step, "tokens", step * TOKENS))
        (own / "events.out.tfevents.1700000000.host").write_bytes(b"".join(parts))
        told = own / "1700000000.5" / "events.out.tfevents.1700000001.host"
        told.write_bytes(setting("n_params", N) + scalar(0, "hp_metric", -1.0))
    return folder
