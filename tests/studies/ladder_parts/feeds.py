"""Which rows of bytes a run trains on, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ladder_parts.nets import BATCH_ROWS, CONTEXT


@dataclass(frozen=True)
class Feed:
    """Rows of bytes, and the rows of each step's batch."""

    rows: np.ndarray
    order: np.ndarray


def once(rows: np.ndarray, steps: int, seed: int) -> Feed:
    """Distinct rows in random order, none seen twice."""
    need = steps * BATCH_ROWS
    if need > len(rows):
        raise ValueError(f"{steps} steps need {need} rows, and there are {len(rows)}")
    order = np.random.default_rng(seed).permutation(len(rows))[:need]
    return Feed(rows, order.reshape(steps, BATCH_ROWS))


def repeated(rows: np.ndarray, unique: int, epochs: int, seed: int) -> Feed:
    """Random rows of `unique` bytes in all, seen `epochs` times, each time in another order."""
    rng = np.random.default_rng(seed)
    count = unique // CONTEXT
    if count % BATCH_ROWS or count > len(rows):
        raise ValueError(f"{unique} bytes are no whole batches, or more than {rows.size}")
    chosen = rng.permutation(len(rows))[:count]
    order = np.concatenate([rng.permutation(chosen) for _ in range(epochs)])
    return Feed(rows, order.reshape(-1, BATCH_ROWS))


def mixed(first: np.ndarray, second: np.ndarray, share: float, steps: int, seed: int) -> Feed:
    """Batches with a fixed share of rows of the first corpus, none seen twice."""
    of_first = round(share * BATCH_ROWS)
    if not np.isclose(of_first, share * BATCH_ROWS):
        raise ValueError(f"a share of {share} is no whole number of {BATCH_ROWS} rows")
    rng = np.random.default_rng(seed)
    parts = []
    for rows, count, above in ((first, of_first, 0), (second, BATCH_ROWS - of_first, len(first))):
        if steps * count > len(rows):
            raise ValueError(f"{steps} steps need {steps * count} rows, and there are {len(rows)}")
        drawn = rng.permutation(len(rows))[: steps * count] + above
        parts.append(drawn.reshape(steps, count))
    return Feed(np.concatenate([first, second]), np.concatenate(parts, axis=1))
