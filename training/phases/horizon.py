"""Decides what becomes of a run's horizon when a training asks for another one.

Always holds: the horizon of a run that was trained moves only on request, and what is asked for is never dropped silently.
"""

from __future__ import annotations

from mixer.runs.run_info import RunInfo
from training.errors import RunMismatchError


def choose_horizon(info: RunInfo, num_steps: int, *, is_trained: bool, extend: bool, phase: str) -> int | None:
    """The horizon that the run must get before it is trained for `num_steps`; None when the one it has will do.

    A training may always be shorter than its run. Raises: RunMismatchError when a trained run would have to be extended and
    nobody asked for that.
    """
    if info.num_steps is None or num_steps <= info.num_steps:
        return None
    if is_trained and not extend:
        raise RunMismatchError(
            f"run {info.name} has been trained towards a horizon of {info.num_steps:,} steps, but the recipe asks for "
            f"{num_steps:,}; add --extend to train on to {num_steps:,}, or --set {phase}.steps={info.num_steps}"
        )
    return num_steps
