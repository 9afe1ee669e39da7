"""Learning-rate schedules as multipliers of the peak rate, by step.

Always holds:
- a multiplier depends on its arguments alone;
- warm-up starts from 0 at step 0, and the multiplier at step `num_steps` is exactly the final one.

Source: Arctic-SnowCoder, section 3 (general: warm-up and cosine; continued: re-warm-up and linear to 0) and table 5
(linear from the minimum, constant, re-warm-up). Warm-up, stable, decay: MiniCPM (Hu et al. 2024). The form of the decay, 1
minus a square root: Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations".
"""

from __future__ import annotations

import math
from typing import Literal

Kind = Literal["warm_up_cosine", "re_warm_up_linear", "linear", "constant", "warm_up_stable_decay"]


def multiplier(kind: Kind, step: int, *, num_steps: int, warm_up_steps: int, final: float, decay_steps: int = 0) -> float:
    """The multiplier of the peak rate with which step `step` (0, 1, ...) is taken.

    Args:
        num_steps: the horizon. Past it the final multiplier stays.
        warm_up_steps: at most num_steps; linear and constant ignore it.
        final: the multiplier at the horizon; constant ignores it.
        decay_steps: the steps of the decay, of warm_up_stable_decay alone; at most those that the warm-up leaves.
    """
    match kind:
        case "warm_up_cosine":
            return warm_up_cosine(step, num_steps, warm_up_steps, final)
        case "re_warm_up_linear":
            return re_warm_up_linear(step, num_steps, warm_up_steps, final)
        case "linear":
            return linear(step, num_steps, final)
        case "constant":
            return 1.0
        case "warm_up_stable_decay":
            return warm_up_stable_decay(step, num_steps, warm_up_steps, decay_steps, final)


def warm_up_cosine(step: int, num_steps: int, warm_up_steps: int, final: float) -> float:
    """From 0 to 1 in a line over the warm-up, then half a cosine from 1 to `final`."""
    if step < warm_up_steps:
        return step / warm_up_steps
    progress = _progress(step - warm_up_steps, num_steps - warm_up_steps)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def re_warm_up_linear(step: int, num_steps: int, warm_up_steps: int, final: float) -> float:
    """From 0 to 1 in a line over the warm-up, then in a line from 1 to `final`."""
    if step < warm_up_steps:
        return step / warm_up_steps
    return linear(step - warm_up_steps, num_steps - warm_up_steps, final)


def linear(step: int, num_steps: int, final: float) -> float:
    """In a line from 1 to `final`."""
    progress = _progress(step, num_steps)
    return 1.0 - progress + final * progress


def warm_up_stable_decay(step: int, num_steps: int, warm_up_steps: int, decay_steps: int, final: float) -> float:
    """From 0 to 1 in a line over the warm-up, then 1; over the last `decay_steps` to `final`, steeply first: 1 - sqrt."""
    if step < warm_up_steps:
        return step / warm_up_steps
    begin = num_steps - decay_steps
    if step < begin:
        return 1.0
    return final + (1.0 - final) * (1.0 - math.sqrt(_progress(step - begin, decay_steps)))


def _progress(step: int, num_steps: int) -> float:
    return min(1.0, step / num_steps) if num_steps > 0 else 1.0
