"""What trainers report of a run: samples and mean loss of each stream over some of its batches. Format report/1.

Always holds: reports decide nothing by themselves; a training that went back to an earlier batch replaces what was reported
from there on.
"""

import time
from functools import partial

import msgspec

from mixer.errors import RunError
from mixer.ledger.ledger import Ledger
from streamer.catalog.catalog import Catalog
from streamer.store.log import Body

FORMAT = "report/1"
MOST_SAMPLES, MOST_LOSS = 1 << 62, 1e9


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Batches [start_step, end_step) of a run as trained on: of each of `streams` the samples, and the mean loss of a
    predicted token in nats, None where it was not measured. `at_s`: the writer's clock, for people.
    """

    start_step: int
    end_step: int
    streams: list[str]
    samples: list[int]
    loss: list[float | None]
    at_s: float | None = None


class Reports:
    """The log `runs/NAME/reports`."""

    def __init__(self, catalog: Catalog, run: str) -> None:
        self._run, self._log = run, catalog.log(f"runs/{run}/reports")

    def append(self, report: Report) -> None:
        """Adds a report. Raises: RunError when it contradicts itself."""
        check_report(self._run, report)
        stamped = msgspec.structs.replace(report, at_s=round(time.time(), 3))
        self._log.append(lambda bodies: {"format": FORMAT, **msgspec.to_builtins(stamped)})

    def read(self) -> list[Report]:
        """The reports by step; of a batch that was trained on again, the later one."""
        return standing(self._log.read().read_each(partial(read_body, self._run)))


def check_against(run: str, ledger: Ledger, report: Report) -> None:
    """Raises: RunError for batches that the run has not come to, or streams that it does not have."""
    if report.end_step > ledger.end:
        raise RunError(
            f"report of run {run}: end_step = {report.end_step} is past its ledger's end, {ledger.end}; report what was "
            "trained on"
        )
    unknown = sorted(set(report.streams) - set(ledger.streams))
    if unknown:
        raise RunError(
            f"report of run {run}: it has no stream {unknown[0]}; report its own: {', '.join(ledger.streams[:8])}"
        )


def standing(reports: list[Report]) -> list[Report]:
    """What holds of reports in the order they were written: one that begins at a step ends all that go beyond it."""
    found: list[Report] = []
    for report in reports:
        while found and found[-1].end_step > report.start_step:
            found.pop()
        found.append(report)
    return found


def read_body(run: str, body: Body) -> Report:
    """Raises: RunError for another format."""
    if body["format"] != FORMAT:
        raise RunError(f"run {run} has a report of format {body['format']}; this version reads {FORMAT}: update phasemix")
    return msgspec.convert({key: value for key, value in body.items() if key != "format"}, Report)


def check_report(run: str, report: Report) -> None:
    """Raises: RunError that names what is wrong."""
    where = f"report of run {run}, batches {report.start_step} to {report.end_step}"
    if not 0 <= report.start_step < report.end_step:
        raise RunError(f"{where}: it covers no batch; give start_step from 0 and an end_step above it")
    if not len(report.streams) == len(report.samples) == len(report.loss):
        raise RunError(
            f"{where}: {len(report.streams)} streams, {len(report.samples)} samples, {len(report.loss)} losses; give as many"
        )
    if len(set(report.streams)) < len(report.streams):
        raise RunError(f"{where}: a stream is named twice; name each once")
    for stream, samples, loss in zip(report.streams, report.samples, report.loss, strict=True):
        if not 0 <= samples < MOST_SAMPLES or (loss is not None and not abs(loss) < MOST_LOSS):
            raise RunError(
                f"{where}: stream {stream} has {samples} samples and loss {loss}; give a finite number from 0 and a loss "
                f"below {MOST_LOSS:g}"
            )
