"""Learning rates of each step: a linear warm-up, then one of four ways to go on."""

from __future__ import annotations

import numpy as np

WARMUP = 0.05
WSD_DECAY = 0.2
SCHEDULES = ("linear", "cosine", "constant", "wsd")


def rates(name: str, steps: int, peak: float) -> np.ndarray:
    """Rate of each step under a schedule.

    All rise in a straight line to `peak` over the first 5% of the steps. Then ``linear`` falls in a
    straight line and ``cosine`` along half a wave, both to zero; ``constant`` stays at the peak;
    ``wsd`` stays there and falls in a straight line to zero over the last fifth of the steps.

    Raises
    ------
    ValueError
        The schedule is none of `SCHEDULES`.
    """
    warm = max(1, round(WARMUP * steps))
    at = np.arange(steps, dtype=np.float64)
    left = (steps - at) / (steps - warm)
    if name == "linear":
        after = left
    elif name == "cosine":
        after = 0.5 - 0.5 * np.cos(np.pi * np.minimum(left, 1.0))
    elif name == "constant":
        after = np.ones(steps)
    elif name == "wsd":
        after = np.minimum((steps - at) / max(1, round(WSD_DECAY * steps)), 1.0)
    else:
        raise ValueError(f"no schedule {name!r}; there are {', '.join(SCHEDULES)}")
    return (peak * np.minimum((at + 1) / warm, after)).astype(np.float32)
