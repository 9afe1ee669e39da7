"""The ledgers that a service has handed out, in memory as the bytes that it hands out.

Always holds: what is handed out is a run of entries of the one log; a step that is held is answered without store, thread
or lock; the segment after the one that is asked for is written in the background, after the answer.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
from anyio.to_thread import run_sync

from mixer.errors import MixerError, WaitError
from mixer.journal.journal import Journal
from streamer.catalog.catalog import Catalog

MOST_ANSWERS = 8  # of a run that are kept encoded
WRITE_AFTER_S = 0.12  # ranks ask together: first all are answered, then the next segment is planned
WAITS_S = 0.25  # how long a run that waits for parts is not planned again


class HeldLedger:
    """One run's ledger. `note`: told how many segments it wrote."""

    def __init__(self, catalog: Catalog, run: str, note: Callable[[int], None]) -> None:
        self._journal, self._log, self._note = Journal(catalog, run), catalog.log(f"runs/{run}/ledger"), note
        self._lock = asyncio.Lock()
        self._waits, self._waits_until_s = "", 0.0
        self._bodies: list[bytes] = []
        self._answers: dict[int, tuple[int, bytes]] = {}
        self._end, self._has_ended = 0, False
        self._ahead: asyncio.Task[None] | None = None
        settings = self._journal.ledger.settings
        self._segment_batches = settings.segment_batches

    def answer(self, start: int) -> bytes:
        """The bodies held from entry `start` on, as a JSON list; the same bytes for all who ask before it grows."""
        length = len(self._bodies)
        known = self._answers.get(start)
        if known is None or known[0] != length:
            known = length, b"[" + b",".join(self._bodies[start:length]) + b"]"
            if len(self._answers) >= MOST_ANSWERS and start not in self._answers:
                self._answers.pop(next(iter(self._answers)))
            self._answers[start] = known
        return known[1]

    def segments(self, step: int, start: int) -> bytes | None:
        """The answer where `step` is held; has what comes next written. None: it is to be asked for."""
        if step >= self._end:
            return None
        self._write_ahead(step)
        return self.answer(start)

    async def cover(self, step: int, start: int) -> bytes:
        """Has the ledger cover a step. Raises: what `Journal.ensure` raises."""
        async with self._lock:
            if step >= self._end:
                if time.monotonic() < self._waits_until_s:
                    raise WaitError(self._waits)
                await run_sync(self._ensure, step)
        self._write_ahead(step)
        return self.answer(start)

    async def refreshed(self, start: int) -> bytes:
        """The bodies that the log has now, from entry `start` on."""
        async with self._lock:
            await run_sync(self._take)
        return self.answer(start)

    def _write_ahead(self, step: int) -> None:
        """Writes on, unless a whole segment after the one of `step` is held already."""
        wanted = step + self._segment_batches
        if wanted < self._end or self._has_ended or (self._ahead is not None and not self._ahead.done()):
            return
        self._ahead = asyncio.get_running_loop().create_task(self._write_until(self._end))

    async def _write_until(self, step: int) -> None:
        await asyncio.sleep(WRITE_AFTER_S)
        async with self._lock:
            with contextlib.suppress(MixerError):  # who needs it will be told
                await run_sync(self._ensure, step)

    def _ensure(self, step: int) -> None:
        before = self._journal.ledger.length
        try:
            self._journal.ensure(step)
        except WaitError as error:
            self._waits, self._waits_until_s = str(error), time.monotonic() + WAITS_S
            raise
        finally:
            self._take()
            self._note(self._journal.ledger.length - before)

    def _take(self) -> None:
        """Takes in the log; what it had encoded stays as it is."""
        self._journal.refresh()
        bodies = self._log.read()
        self._bodies.extend(msgspec.json.encode(body) for body in bodies[len(self._bodies) :])
        self._end, self._has_ended = self._journal.ledger.end, self._journal.ledger.ended is not None
