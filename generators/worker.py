"""Claims jobs, has files written, judges them, hands them on.

Always holds: a claimed job is delivered, rejected, buried, withdrawn or left for others to claim; only what the job itself
is to blame for ends it; a worker that dies at any point loses none, because its claims fall silent.

How: one event loop keeps the requests in flight; calls of the queue and the gates run in threads, executions in some of
their own.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from generators.engines.engine import Engine
from generators.errors import EngineAwayError, EngineError, JobRefusedError, NoCompletionError, QueueError
from generators.gates.execution import execute
from generators.gates.gates import judge
from generators.queue.job import Completion, Job, Reason, Verdict, accepted_file
from generators.queue.job_queue import Claim, JobQueue
from mixer.pool.pool import WorkerState
from streamer.errors import PhasemixError, SandboxError
from streamer.store.backoff import Backoff
from streamer.wording import one_line

BEAT_S = 3.0
FOLLOW_S = 1.0  # between looks at the metrics of an engine
SILENT_S = 15.0
START_S = 10.0  # so long the engine may take to answer when the worker starts
MOST_DELIVERIES = 5  # a job whose workers died so often goes to the dead letters
IDLE_S = 0.2
TOGETHER_S = 0.02  # jobs that end so close together are followed by one claim
FIRST_WAIT_S, ASK_AGAIN_S = 0.5, 5.0  # between questions to an engine or a Redis that is away, the first and the longest


class Worker:
    """One worker. `register`: tells the pool how it does, at every beat; `elsewhere`: which models other workers serve."""

    def __init__(
        self,
        queue: JobQueue,
        engine: Engine,
        *,
        name: str,
        concurrency: int,
        register: Callable[[WorkerState], None],
        elsewhere: Callable[[], set[str]] = set,
        silent_s: float = SILENT_S,
        say: Callable[[str], None] = print,
    ) -> None:
        self._queue, self._engine, self._name = queue, engine, name
        self._concurrency, self._register, self._elsewhere = concurrency, register, elsewhere
        self._silent_ms, self._say = int(silent_s * 1000), say
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._held: set[str] = set()  # entries that beats are for
        self._beating = threading.Lock()  # no beat may come after an entry was given back
        self._ended: list[tuple[Any, ...]] = []  # calls that the queue is to be told
        self._closing = asyncio.Lock()
        self._unjudged: list[tuple[asyncio.Future[Verdict | Exception], Callable[[], Verdict]]] = []
        self._judging = asyncio.Lock()
        self._gates = ThreadPoolExecutor(1)  # several would wait for each other, at twice the CPU time
        self._executions = ThreadPoolExecutor(os.cpu_count())  # not among the threads that tell the queue
        self._away = ""  # why nothing is claimed
        self._said = ""  # the last that was said of it, since a job ended
        self._accepted = self._rejected = self._tokens = 0
        self._beat_at_s, self._beat_tokens = time.monotonic(), 0

    async def run(self, stop: asyncio.Event, *, drain_s: float = 25.0) -> None:
        """Until told to stop; then what is in flight has `drain_s` to end, and the rest is given back. When it is
        cancelled, all of it is given back at once.

        Raises: EngineError when the engine does not answer at the start, QueueError when nothing can be given back.
        """
        await self._wait_for_engine(stop)
        await self._engine.follow()
        others = [asyncio.create_task(each) for each in (self._beat_always(), self._follow_always(), stop.wait())]
        try:
            while not stop.is_set():
                await self._fill()
                pause_s = max(IDLE_S, min(ASK_AGAIN_S, self._engine.wait_s)) if self._away else IDLE_S
                await asyncio.wait({others[-1], *self._running}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(TOGETHER_S)
            if self._running:
                self._say(f"{self._name}: ends after {len(self._running)} jobs in flight, at most {drain_s:g} s")
                await asyncio.wait(self._running, timeout=drain_s)
        finally:
            left = dict(self._running)
            for task in (*others, *left):
                task.cancel()
            await asyncio.gather(*others, *left, return_exceptions=True)
            for executor in (self._gates, self._executions):
                executor.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self._release, list(left.values()))

    async def _wait_for_engine(self, stop: asyncio.Event) -> None:
        """An engine that was started together with the worker has a while to answer. Raises: EngineError."""
        until_s = time.monotonic() + START_S
        while not stop.is_set():
            try:
                await self._engine.check()
                return
            except EngineAwayError:
                if time.monotonic() >= until_s:
                    raise
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(IDLE_S, min(1.0, self._engine.wait_s)))

    async def _fill(self) -> None:
        """Claims as many jobs as can be started now; none while the engine or Redis is away, or publishing is behind."""
        try:
            if self._away:
                await self._engine.check()
                await asyncio.to_thread(self._queue.depth)
            room = min(self._concurrency - len(self._running), self._engine.room)
            claims = await asyncio.to_thread(self._claim, room) if room > 0 else []
        except (EngineError, QueueError) as error:
            self._note_away(error)
            return
        self._away = ""
        for claim in claims:
            task = asyncio.create_task(self._do(claim))
            self._running[task] = claim
            self._held.add(claim.entry)
            task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._held.discard(self._running.pop(task).entry)

    def _note_away(self, error: PhasemixError) -> None:
        self._away = str(error)
        if self._said != self._away:
            self._said = self._away
            self._say(f"{self._name}: {error}")

    def _claim(self, count: int) -> list[Claim]:
        return self._queue.claim(self._name, count=count, silent_ms=self._silent_ms)

    async def _do(self, claim: Claim) -> None:
        job = claim.job
        if claim.deliveries > MOST_DELIVERIES:
            await self._close(self._queue.bury, claim, f"claimed {claim.deliveries} times, and each worker died of it")
            return
        if not self._engine.serves(job.model):
            await self._give_back(claim, f"a job names model {job.model!r}, the engine serves {self._engine.model!r}")
            return
        try:
            completion = await self._engine.complete(job)
            most = min(job.sampling.max_tokens, self._engine.max_tokens)
            verdict = await self._judge(job, completion, most)
            if verdict.accepted and job.execute_s is not None:
                verdict = await asyncio.get_running_loop().run_in_executor(self._executions, execute, job, verdict)
        except EngineAwayError as error:
            self._note_away(error)
            await self._give_back(claim, str(error))
        except SandboxError as error:  # of this machine
            self._note_away(error)
            await self._close(self._release, [claim])
        except NoCompletionError as error:
            self._note_away(error)  # the engine is asked again a little later
            self._rejected += 1
            await self._close(self._queue.reject_job, claim, str(Reason.NO_COMPLETION), error.text)
        except JobRefusedError as error:
            await self._close(self._queue.bury, claim, str(error))
        except Exception as error:  # of a gate: whatever it is, the job would meet it again
            await self._close(self._queue.bury, claim, one_line(f"{type(error).__name__}: {error}"))
        else:
            self._said = ""
            self._tokens += completion.tokens
            if verdict.text is None:
                self._rejected += 1
                await self._close(self._queue.reject_job, claim, str(verdict.reason), completion.text, verdict.values)
            else:
                self._accepted += 1
                file = accepted_file(job, verdict.text, completion, values=verdict.values)
                await self._close(self._queue.deliver, claim, file)

    async def _judge(self, job: Job, completion: Completion, max_tokens: int) -> Verdict:
        """What the gates say, asked together with those that come while the gates are at work. Raises: what a gate does."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Verdict | Exception] = loop.create_future()
        self._unjudged.append((found, partial(judge, job, completion, max_tokens=max_tokens)))
        async with self._judging:
            unjudged, self._unjudged = self._unjudged, []
            if unjudged:
                verdicts = await loop.run_in_executor(self._gates, call_all, [gates for _, gates in unjudged])
                for (each, _), verdict in zip(unjudged, verdicts, strict=True):
                    each.set_result(verdict)
        said = await found
        if isinstance(said, Exception):
            raise said
        return said

    async def _give_back(self, claim: Claim, why: str) -> None:
        """Leaves a job to others; one of a model that no engine serves any more is planned anew."""
        serves = self._engine.serves(claim.job.model)
        if serves or claim.job.model in await self._tell(self._elsewhere):
            await self._close(self._release, [claim])
        else:
            await self._close(self._queue.withdraw, claim)
        if not serves:
            self._note_away(EngineAwayError(why))

    def _release(self, claims: list[Claim]) -> None:
        with self._beating:
            self._held.difference_update(claim.entry for claim in claims)
            self._queue.release(claims)

    async def _close(self, call: Callable[..., None], *arguments: Any) -> None:
        """Tells the queue how a job ended, together with those that end while the queue is told of others."""
        self._ended.append((call, *arguments))
        async with self._closing:
            ended, self._ended = self._ended, []
            if ended:
                await self._tell(self._close_all, ended)

    def _close_all(self, ended: list[tuple[Any, ...]]) -> None:
        with self._queue.at_once():
            for call, *arguments in ended:
                call(*arguments)

    async def _tell(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the queue until it answers, so that no work is lost while Redis restarts."""
        backoff = Backoff(first_s=FIRST_WAIT_S, longest_s=ASK_AGAIN_S)
        while True:
            try:
                return await asyncio.to_thread(call, *arguments)
            except QueueError as error:
                self._note_away(error)
                await asyncio.sleep(backoff.next_wait_s() or ASK_AGAIN_S)

    async def _beat_always(self) -> None:
        while True:
            await self._tell(self._beat)
            await asyncio.sleep(BEAT_S)

    async def _follow_always(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self._engine.follow()

    def _beat(self) -> None:
        with self._beating:
            self._queue.beat(self._name, sorted(self._held))
        now_s = time.monotonic()
        rate = (self._tokens - self._beat_tokens) / max(now_s - self._beat_at_s, 1e-3)
        self._beat_at_s, self._beat_tokens = now_s, self._tokens
        self._register(self._state(rate))

    def _state(self, tokens_per_s: float) -> WorkerState:
        return WorkerState(
            name=self._name,
            endpoint=", ".join(endpoint.name for endpoint in self._engine.endpoints),
            engine=self._engine.model,
            running=len(self._running),
            says=self._away or self._engine.problems,
            accepted=self._accepted,
            rejected=self._rejected,
            tokens_per_s=round(tokens_per_s, 1),
        )


def call_all(calls: list[Callable[[], Verdict]]) -> list[Verdict | Exception]:
    """What each returns or raises."""
    found: list[Verdict | Exception] = []
    for call in calls:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)
    return found
