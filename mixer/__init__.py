"""Which sample comes next, and why: mixtures, order, ledger, runs and their reader.

Always holds: importing this package loads none of its rooms. Asking for a public name, as in `mixer.RunReader`, loads the
room of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.public_names import found_in

if TYPE_CHECKING:
    from mixer.errors import MixerError as MixerError
    from mixer.errors import MixtureError as MixtureError
    from mixer.errors import RunEnded as RunEnded
    from mixer.errors import RunError as RunError
    from mixer.errors import StepError as StepError
    from mixer.errors import WaitError as WaitError
    from mixer.preview.previews import Mixtures as Mixtures
    from mixer.reading.run_reader import RunReader as RunReader
    from mixer.reading.trace import Trace as Trace
    from mixer.runs.demand import demand as demand
    from mixer.runs.runs import Runs as Runs

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

__getattr__, __dir__ = found_in(
    "mixer",
    {
        "MixerError": "errors",
        "MixtureError": "errors",
        "RunEnded": "errors",
        "RunError": "errors",
        "StepError": "errors",
        "WaitError": "errors",
        "Mixtures": "preview.previews",
        "RunReader": "reading.run_reader",
        "Runs": "runs.runs",
        "Trace": "reading.trace",
        "demand": "runs.demand",
    },
)
