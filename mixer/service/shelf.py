"""What the routes share: the catalog, and what is kept of it between requests, which may be lost at any time."""

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import xxhash

from mixer.journal.journal import absent_run
from mixer.pool import pool
from mixer.preview.previews import Mixtures
from mixer.reading.batch_page import BatchPages
from mixer.runs.archive import LOG as ARCHIVE
from mixer.runs.runs import Runs
from mixer.runs.series import Curves
from mixer.service.ledgers import HeldLedger
from mixer.service.metrics import Gauges, Metrics
from mixer.service.requests import OfScored, OfScores
from mixer.service.route import named_in_path
from streamer.catalog.catalog import Catalog
from streamer.reading.looking.passages import Passage, Passages
from streamer.reading.looking.scores import Histogram, ScoredDocument, Scores
from streamer.store.store import Store

MOST_TRACED = 4  # runs whose planned batches stay in memory
PROBE_S = 60.0  # between two looks at whether the store can be written


class Shelf:
    """One root. Threads may share it."""

    def __init__(self, root: str | Path | Store, redis_url: str | None, metrics: Metrics) -> None:
        self.catalog, self.redis_url, self.metrics = Catalog(root), redis_url, metrics
        self.runs, self.mixtures = Runs(self.catalog), Mixtures(self.catalog)
        self._ledgers: dict[str, HeldLedger] = {}
        self._curves: dict[str, Curves] = {}
        self._batches: dict[str, BatchPages] = {}
        self._passages, self._reading = Passages(self.catalog), threading.Lock()
        self._scores, self._scoring = Scores(self.catalog), threading.Lock()
        self._lock = threading.Lock()
        self._probed_s: float | None = None

    def run_name(self, name: str) -> str:
        """A run that is there, or `AbsentError`; so that names of no run leave nothing in memory."""
        with named_in_path():
            have = self.catalog.names("runs")
            if name not in have:
                raise absent_run(self.catalog, name)
        return name

    def ledger(self, name: str) -> HeldLedger:
        """A run's ledger, kept, so that a request takes in only what is new."""
        with self._lock:
            if name not in self._ledgers:
                self._ledgers[name] = HeldLedger(self.catalog, self.run_name(name), self.metrics.segments.inc)
            return self._ledgers[name]

    def curves(self, name: str) -> Curves:
        """A run's target and realised samples over its steps."""
        with self._lock:
            if name not in self._curves:
                self._curves[name] = Curves(self.catalog, self.run_name(name))
            return self._curves[name]

    def batches(self, name: str) -> BatchPages:
        """The documents of a run's batches; only of the runs that were looked at last."""
        with self._lock:
            found = self._batches.pop(name, None) or BatchPages(self.catalog, self.run_name(name))
            self._batches[name] = found
            while len(self._batches) > MOST_TRACED:
                del self._batches[next(iter(self._batches))]
            return found

    def passages(self, stream: str, first: int, count: int) -> list[Passage]:
        """The documents in rows [first, first + count) of a stream."""
        with self._reading:
            return self._passages.window(stream, first, count)

    def document(self, stream: str, part: int, document: str) -> list[Passage]:
        """One document of a part of a stream."""
        with self._reading:
            return self._passages.document(stream, part, document)

    def scores_version(self, asked: OfScores) -> str:
        """Changes with every part of the streams of a set's key."""
        return digest(iter([self._scores.version(asked.set, asked.key)]))

    def histogram(self, asked: OfScores) -> Histogram:
        """How the documents of a set's key score."""
        with self._scoring:
            return self._scores.histogram(asked.set, asked.key)

    def scored(self, asked: OfScored) -> list[ScoredDocument]:
        """Documents of a set's key by their scores."""
        low, high = (-math.inf if asked.low is None else asked.low), (math.inf if asked.high is None else asked.high)
        with self._scoring:
            return self._scores.documents(
                asked.set, asked.key, low=low, high=high, worst=asked.order == "worst", first=asked.first, count=asked.limit
            )

    def run_version(self, name: str) -> str:
        """Changes with every entry of a run and every report."""
        logs = (f"runs/{self.run_name(name)}/{what}" for what in ("ledger", "reports"))
        return "-".join(str(len(self.catalog.log(log).read())) for log in logs)

    def runs_version(self) -> str:
        logs = {name: f"runs/{name}/ledger" for name in self.catalog.names("runs")} | {"": ARCHIVE}
        return digest(f"{name} {len(self.catalog.log(log).read())}" for name, log in logs.items())

    def streams_version(self) -> str:
        names = self.catalog.match_names("*")
        return digest(f"{name} {len(self.catalog.stream_log(name).read())}" for name in names)

    def check_ready(self) -> None:
        """Raises: StoreError when the root is not the one that was opened, cannot be read, or does not keep what it has."""
        self.catalog.store.opened.check()
        self.catalog.names("runs")
        if self._probed_s is None or time.monotonic() - self._probed_s > PROBE_S:
            self.catalog.store.opened.probe()
            self._probed_s = time.monotonic()

    def figures(self) -> bytes:
        """What Prometheus scrapes."""
        return self.metrics.text(self._gauges())

    def _gauges(self) -> Gauges:
        runs = self.runs.list()
        streams = self.catalog.streams()
        state = pool.read_state(self.redis_url, self.catalog)
        yield "phasemix_run_batches", "global batches in a run's ledger", ["run"], [([r.name], r.end_step) for r in runs]
        yield "phasemix_run_ended", "1 when a run has ended", ["run"], [([r.name], float(r.ended is not None)) for r in runs]
        yield "phasemix_stream_tokens", "tokens of a stream", ["stream"], [([s.name], s.tokens) for s in streams]
        yield "phasemix_pool_wanted", "wanted workers", [], [([], pool.wanted(self.catalog))]
        if state is None:
            return
        yield "phasemix_pool_workers", "living workers", [], [([], len(state.workers))]
        yield "phasemix_pool_jobs", "jobs on their way", ["state"], [
            (["waiting"], state.queue_waiting), (["running"], state.queue_running), (["unpublished"], state.unpublished)
        ]  # fmt: skip
        backlog = state.queue_waiting + state.queue_running
        yield "phasemix_pool_backlog", "jobs waiting and running together: what to scale workers by", [], [([], backlog)]
        yield "phasemix_pool_dead", "jobs among the dead letters", [], [([], state.dead)]
        yield (
            "phasemix_pool_missing_tokens",
            "synthetic tokens that live runs will draw beyond what is published",
            ["language"],
            [([one.language], one.missing_tokens) for one in state.supply],
        )
        yield "phasemix_pool_accepted", "files accepted", [], [([], state.accepted)]
        yield "phasemix_pool_rejected", "files rejected", ["reason"], [([r], n) for r, n in state.rejected.items()]


def digest(lines: Iterator[str]) -> str:
    return xxhash.xxh3_64_hexdigest("\n".join(lines).encode())
