"""Which sample comes next, and why: mixtures, order, ledger, runs and their reader."""

from mixer.demand import demand
from mixer.errors import MixerError, MixtureError, RunEnded, RunError, StepError, WaitError
from mixer.mixtures import Mixtures
from mixer.run_reader import RunReader
from mixer.runs import Runs
from mixer.trace import Trace

__all__ = [
    "MixerError",
    "MixtureError",
    "Mixtures",
    "RunEnded",
    "RunError",
    "RunReader",
    "Runs",
    "StepError",
    "Trace",
    "WaitError",
    "demand",
]
