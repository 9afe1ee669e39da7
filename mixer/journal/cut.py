"""Whether the newest entries of a run's log are missing.

A log cannot tell by itself that its newest entries are gone: what is left is a whole log. But a kept state and a report
are only written for batches that the log covers, so that one of a later step is a witness.
"""

from typing import NamedTuple

from mixer.planning.states import state_key
from streamer.catalog.catalog import Catalog


class Witness(NamedTuple):
    """An object that was written when the log had come to a later step."""

    key: str
    step: int


def later_witness(catalog: Catalog, run: str, end: int, interval: int) -> Witness | None:
    """A witness of a step past `end`, where the log ends: the next kept state, or the newest report.

    States are kept every `interval` batches without gaps, so that looking at one of them is enough.
    """
    step = (end // interval + 1) * interval
    if catalog.store.get(state_key(run, step)) is not None:
        return Witness(state_key(run, step), step)
    log = catalog.log(f"runs/{run}/reports")
    newest = log.newest()
    if newest is not None:
        number, body = newest
        if body.get("end_step", 0) > end:
            return Witness(log.key(number), body["end_step"])
    return None
