"""Claims jobs, has files written, judges them, hands them on.

Always holds: a claimed job is delivered, rejected, buried or left for others to claim; a worker that dies at any point
loses none, because its claims fall silent.

How: one event loop keeps the requests in flight; calls of the queue and the gates run in threads.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from generators.engines.engine import Engine
from generators.errors import EngineAwayError, EngineError, QueueError
from generators.gates.gates import judge
from generators.queue.job import accepted_file
from generators.queue.job_queue import Claim, JobQueue
from mixer.pool.pool import WorkerState
from streamer.errors import PhasemixError
from streamer.store.backoff import Backoff

BEAT_S = 3.0
SILENT_S = 15.0
MOST_DELIVERIES = 5  # a job that was claimed so often without an end goes to the dead letters
IDLE_S = 0.2
TOGETHER_S = 0.02  # jobs that end so close together are followed by one claim
MOST_UNPUBLISHED = 4096  # beyond this no job is claimed: publishing is behind
FIRST_WAIT_S, ASK_AGAIN_S = 0.5, 5.0  # between questions to an engine or a Redis that is away, the first and the longest


class Worker:
    """One worker. `register`: tells the pool how it does, at every beat."""

    def __init__(
        self,
        queue: JobQueue,
        engine: Engine,
        *,
        name: str,
        concurrency: int,
        register: Callable[[WorkerState], None],
        silent_s: float = SILENT_S,
        say: Callable[[str], None] = print,
    ) -> None:
        self._queue, self._engine, self._name = queue, engine, name
        self._concurrency, self._register, self._silent_ms, self._say = concurrency, register, int(silent_s * 1000), say
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._away = False
        self._accepted = self._rejected = self._tokens = 0
        self._beat_at_s, self._beat_tokens = time.monotonic(), 0

    async def run(self, stop: asyncio.Event, *, drain_s: float = 25.0) -> None:
        """Until told to stop; then what is in flight has `drain_s` to end, and the rest is given back.

        Raises: EngineError when the engine does not answer at the start.
        """
        await self._engine.model()
        beats = asyncio.create_task(self._beat_always())
        told = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._fill()
                pause_s = ASK_AGAIN_S if self._away else IDLE_S
                await asyncio.wait({told, *self._running}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(TOGETHER_S)
            if self._running:
                self._say(f"{self._name}: ends after {len(self._running)} jobs in flight, at most {drain_s:g} s")
                await asyncio.wait(self._running, timeout=drain_s)
        finally:
            left = dict(self._running)
            for task in (beats, told, *left):
                task.cancel()
            await asyncio.gather(beats, told, *left, return_exceptions=True)
            await asyncio.to_thread(self._queue.release, self._name, [claim.entry for claim in left.values()])

    async def _fill(self) -> None:
        """Claims as many jobs as can be started now; none while the engine or Redis is away, or publishing is behind."""
        room = self._concurrency - len(self._running)
        try:
            if self._away:
                await self._engine.check()
            claims = await asyncio.to_thread(self._claim, room) if room > 0 else []
        except (EngineError, QueueError) as error:
            self._note_away(error)
            return
        self._away = False
        for claim in claims:
            task = asyncio.create_task(self._do(claim))
            self._running[task] = claim
            task.add_done_callback(self._running.pop)

    def _note_away(self, error: PhasemixError) -> None:
        if not self._away:
            self._say(f"{self._name}: {error}")
        self._away = True

    def _claim(self, count: int) -> list[Claim]:
        if self._queue.depth().unpublished >= MOST_UNPUBLISHED:
            return []
        return self._queue.claim(self._name, count=count, silent_ms=self._silent_ms)

    async def _do(self, claim: Claim) -> None:
        model = await self._engine.model()
        if claim.job.model != model:
            await self._tell(
                self._queue.bury, claim, f"the job names model {claim.job.model!r}, the engine serves {model!r}"
            )
            return
        if claim.deliveries > MOST_DELIVERIES:
            await self._tell(self._queue.bury, claim, f"claimed {claim.deliveries} times without an end")
            return
        try:
            completion = await self._engine.complete(claim.job)
        except EngineAwayError as error:
            self._note_away(error)
            await self._tell(self._queue.release, self._name, [claim.entry])
            return
        except EngineError as error:
            await self._tell(self._queue.bury, claim, str(error))
            return
        self._tokens += completion.tokens
        verdict = await asyncio.to_thread(judge, claim.job, completion)
        if verdict.text is None:
            self._rejected += 1
            await self._tell(self._queue.reject_job, claim, str(verdict.reason), completion.text)
        else:
            self._accepted += 1
            await self._tell(self._queue.deliver, claim, accepted_file(claim.job, verdict.text))

    async def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        """Calls the queue until it answers, so that no work is lost while Redis restarts."""
        backoff = Backoff(first_s=FIRST_WAIT_S, longest_s=ASK_AGAIN_S)
        while True:
            try:
                return await asyncio.to_thread(call, *arguments)
            except QueueError as error:
                self._say(f"{self._name}: {error}")
                await asyncio.sleep(backoff.next_wait_s() or ASK_AGAIN_S)

    async def _beat_always(self) -> None:
        while True:
            await self._tell(self._beat)
            await asyncio.sleep(BEAT_S)

    def _beat(self) -> None:
        self._queue.beat(self._name, [claim.entry for claim in list(self._running.values())])
        now_s = time.monotonic()
        rate = (self._tokens - self._beat_tokens) / max(now_s - self._beat_at_s, 1e-3)
        self._beat_at_s, self._beat_tokens = now_s, self._tokens
        self._register(self._state(rate))

    def _state(self, tokens_per_s: float) -> WorkerState:
        return WorkerState(
            name=self._name,
            endpoint=", ".join(self._engine.endpoints),
            engine=self._engine.model_name,
            running=len(self._running),
            accepted=self._accepted,
            rejected=self._rejected,
            tokens_per_s=round(tokens_per_s, 1),
        )
