"""Measures the loss of each stream by the stream that each row came from; rank 0 reports it.

Always holds:
- a report covers whole batches that all ranks trained on;
- measuring neither waits for the device within a step nor changes anything of it;
- a report that cannot be written is left out, and a line says so.

How: the rows' mean losses stay on the device until a report is due. Then come one bincount over all their streams and one
all-reduce, and a thread writes the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from mixer.ledger.reports import Report
from streamer.errors import PhasemixError

AllReduce = Callable[[torch.Tensor, str], None]


class StreamLosses:
    """Adds up rows and losses by stream. `all_reduce(tensor, operation)` works in place, with `SUM` and `MAX`."""

    def __init__(self, all_reduce: AllReduce) -> None:
        self._all_reduce = all_reduce
        self._streams: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []

    def add(self, streams: torch.Tensor, losses: torch.Tensor) -> None:
        """Takes in rows: stream indices (rows,), mean nats of a predicted token (rows,)."""
        self._streams.append(streams.detach())
        self._losses.append(losses.detach())

    def take(self) -> tuple[list[int], list[float | None]]:
        """Rows and mean loss of each stream, over all ranks, since the last time. Every rank must ask."""
        device = self._losses[0].device if self._losses else torch.device("cpu")
        streams = torch.cat([part.cpu() for part in self._streams]).long() if self._streams else torch.zeros(0).long()
        losses = torch.cat(self._losses).double().cpu() if self._losses else torch.zeros(0).double()
        self._streams, self._losses = [], []
        width = torch.tensor([int(streams.max()) + 1 if len(streams) else 0], device=device)
        self._all_reduce(width, "MAX")
        sums = torch.stack(
            [torch.bincount(streams, weights, int(width)) for weights in (torch.ones_like(losses), losses)]
        ).to(device)
        self._all_reduce(sums, "SUM")
        rows, totals = sums.cpu().tolist()
        return [int(count) for count in rows], [
            total / count if count else None for count, total in zip(rows, totals, strict=True)
        ]


class ReportWriter:
    """Writes reports from a thread of its own, by `append`, so that no step waits for the store or the service."""

    def __init__(self, append: Callable[[Report], None], say: Callable[[str], None]) -> None:
        self._append_one, self._say = append, say
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reports")
        self._last: Future[None] | None = None

    def write(
        self, start_step: int, end_step: int, streams: Sequence[str], samples: list[int], loss: list[float | None]
    ) -> None:
        """Hands over a report on batches [start_step, end_step) of those streams that gave rows. Lists by stream index."""
        there = [index for index, count in enumerate(samples) if count]
        report = Report(
            start_step=start_step,
            end_step=end_step,
            streams=[streams[index] for index in there],
            samples=[samples[index] for index in there],
            loss=[loss[index] for index in there],
        )
        self._last = self._thread.submit(self._append, report)

    def wait(self) -> None:
        """Returns once what was handed over is written, so that a checkpoint never lies before its reports."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Returns once everything is written."""
        self._thread.shutdown()

    def _append(self, report: Report) -> None:
        try:
            self._append_one(report)
        except (PhasemixError, OSError) as error:
            self._say(f"the report on batches {report.start_step} to {report.end_step} could not be written: {error}")
