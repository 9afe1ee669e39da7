"""Which sample comes next, and why: mixtures, order, ledger, runs and their reader."""

from mixer.errors import MixerError, MixtureError, RunEnded, RunError, StepError, WaitError
from mixer.preview.previews import Mixtures
from mixer.reading.run_reader import RunReader
from mixer.reading.trace import Trace
from mixer.runs.demand import demand
from mixer.runs.runs import Runs

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
