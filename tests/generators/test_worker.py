"""A worker with a queue in memory and an engine over HTTP: only what a job is to blame for ends it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from generators import worker as workers
from generators.engines import endpoint as endpoints
from generators.engines.engine import Engine
from generators.gates.gates import judge
from generators.queue.job import Job, Verdict
from generators.queue.memory_job_queue import MemoryJobQueue
from generators.worker import Worker
from mixer.pool.pool import WorkerState
from tests.generators.engines.scripted_engine import Server, good, serving

FILE = """```python
def double_of_value_{index}(value_{index}, least=0):
    if value_{index} < least:
        raise ValueError(f"{{value_{index}}} is below {{least}}")
    return value_{index} * 2
```"""


def job(index: int, *, model: str = "m") -> Job:
    return Job(
        language="python",
        seed_document="s",
        recipe="file/1",
        model=model,
        index=index,
        text="import os\nprint(os)\n",
        purpose="order/0",
    )


def write_file(asked: dict[str, Any]) -> web.StreamResponse:
    choice = {"message": {"content": FILE.format(index=asked["seed"])}, "finish_reason": "stop"}
    return good(asked, choices=[choice])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(endpoints, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(workers, "IDLE_S", 0.02)
    monkeypatch.setattr(workers, "BEAT_S", 0.02)
    monkeypatch.setattr(workers, "TOGETHER_S", 0.005)


class Run:
    """One worker at work on a queue of 12 jobs, and what it registers."""

    def __init__(self, *servers: Server, elsewhere: set[str] | None = None, jobs: int = 12) -> None:
        self.queue, self.servers = MemoryJobQueue(), servers
        self.states: list[WorkerState] = []
        self.said: list[str] = []
        self._elsewhere = elsewhere or set()
        for index in range(jobs):
            self.queue.add(job(index))

    def until(self, *steps: Callable[[], bool]) -> None:
        """Works until each step in turn holds."""

        async def work() -> None:
            stop = asyncio.Event()
            async with serving(*self.servers):
                engine = Engine([server.url for server in self.servers])
                worker = Worker(
                    self.queue,
                    engine,
                    name="w",
                    concurrency=64,
                    register=self.states.append,
                    elsewhere=lambda: self._elsewhere,
                    say=self.said.append,
                )
                task = asyncio.create_task(worker.run(stop, drain_s=1))
                try:
                    for step in steps:
                        await reach(step, task)
                finally:
                    stop.set()
                    with suppress(asyncio.CancelledError):
                        await task
                    await engine.close()

        asyncio.run(work())


async def reach(holds: Callable[[], bool], task: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(60):
        while not holds():
            assert not task.done()
            await asyncio.sleep(0.005)


def broken(status: int, **words: Any) -> Callable[[dict[str, Any]], web.StreamResponse]:
    return lambda asked: web.Response(status=status, **words)


@pytest.mark.parametrize(
    "answer",
    [broken(500, text="EngineCore died"), broken(429), broken(503, headers={"Retry-After": "0"}), broken(502), broken(401)],
)
def test_whatever_is_wrong_with_the_engine_costs_no_job_and_is_said(answer: Any) -> None:
    server = Server()
    server.respond = answer
    run = Run(server)

    def mend() -> bool:
        server.respond = write_file
        return True

    run.until(
        lambda: len(server.asked) >= 4 and bool(run.states and run.states[-1].says),
        lambda: not (run.queue.ends().refused or run.queue.count_dead()),
        mend,
        lambda: run.queue.depth() == (0, 0, 12),
        lambda: not run.states[-1].says,
    )
    assert run.queue.ends() == (12, 0, 0, 0)
    assert any("answers" in line for line in run.said)


def test_an_answer_that_is_no_completion_is_a_rejection_with_its_reason_and_the_engine_is_left_alone() -> None:
    server = Server()
    server.respond = lambda asked: web.json_response({"choices": []})
    run = Run(server, jobs=30)
    run.until(lambda: run.queue.ends().refused >= 18)
    assert set(run.queue.rejections()) == {"no_completion"}
    assert any("no completion (it has no choices)" in line for line in run.said)
    assert {file.text for file in run.queue.rejected_files()} == {'{"choices": []}'}


def test_what_the_gates_measure_goes_with_each_file_and_half_a_character_is_refused_by_name() -> None:
    def some(asked: dict[str, Any]) -> web.StreamResponse:
        content = FILE.format(index=asked["seed"])
        if asked["seed"] % 2:
            content += "\n\ud83d"
        return good(asked, choices=[{"message": {"content": content}, "finish_reason": "stop"}])

    server = Server()
    server.respond = some
    run = Run(server)
    run.until(lambda: run.queue.depth().unpublished + run.queue.ends().refused == 12)
    refused = run.queue.rejected_files()
    assert {(file.reason, file.recipe, file.text[-1], "at_character" in file.values) for file in refused} == {
        ("lone_surrogate", "file/1", "?", True)
    }
    assert (len(refused), run.queue.count_dead()) == (6, 0)
    for waiting in run.queue.take("p", count=12, silent_ms=1):
        values = waiting.file.origin.values
        assert (values["min_code_size"], values["code_size"] > 16) == (16, True)


@pytest.mark.parametrize("status", [400, 422])
def test_a_job_that_the_engine_refuses_is_dead_with_the_engine_s_reason(status: int) -> None:
    server = Server()
    server.respond = lambda asked: (
        web.json_response({"message": "no such thing"}, status=status) if asked["seed"] == 3 else write_file(asked)
    )
    run = Run(server)
    run.until(lambda: run.queue.depth() == (0, 0, 11))
    assert [(dead.job.index, "no such thing" in dead.why) for dead in run.queue.dead()] == [(3, True)]


def test_a_gate_that_fails_buries_that_job_alone_with_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: Job, *others: Any, **named: Any) -> Verdict:
        if job.index % 4 == 1:
            raise RecursionError("too deep")
        return judge(job, *others, **named)

    monkeypatch.setattr(workers, "judge", fail)
    server = Server()
    server.respond = write_file
    run = Run(server)
    run.until(lambda: run.queue.count_dead() == 3 and run.queue.depth().unpublished == 9)
    assert {dead.why for dead in run.queue.dead()} == {"RecursionError: too deep"}


def test_jobs_of_a_model_that_nobody_serves_any_more_are_planned_anew_under_the_new_one() -> None:
    server = Server()
    server.respond = write_file
    run = Run(server)

    def change() -> bool:
        server.models = ["n"]
        for index in range(100, 106):
            run.queue.add(job(index))
        return True

    def plan_anew() -> bool:
        return run.queue.add(job(200, model="n"))

    run.until(
        lambda: run.queue.depth() == (0, 0, 12),
        change,
        lambda: run.queue.depth() == (0, 0, 12) and run.states[-1].engine == "n",
        plan_anew,
        lambda: run.queue.depth() == (0, 0, 13),
    )
    assert run.queue.ends() == (13, 0, 0, 0)
    assert run.queue.add(job(100))  # it was withdrawn: not dead, not rejected


def test_a_job_of_a_model_that_another_worker_serves_is_left_to_it() -> None:
    server = Server()
    server.respond = write_file
    run = Run(server, elsewhere={"other"}, jobs=0)
    run.queue.add(job(0, model="other"))
    run.until(lambda: any("names model 'other'" in line for line in run.said))
    assert run.queue.on_the_way() == {("order/0", "file/1"): 1}
    (claim,) = run.queue.claim("another", count=1, silent_ms=1000)
    assert claim.deliveries == 1


def test_a_job_whose_workers_died_of_it_is_buried() -> None:
    server = Server()
    server.respond = write_file
    run = Run(server, jobs=1)
    for _ in range(workers.MOST_DELIVERIES):
        run.queue.now_ms += 10**6
        assert run.queue.claim("dies", count=1, silent_ms=1)
    run.queue.now_ms += 10**6
    run.until(lambda: run.queue.count_dead() == 1)
    assert "each worker died of it" in run.queue.dead()[0].why


def test_requests_in_flight_when_the_engine_dies_are_asked_again() -> None:
    server, other = Server(), Server()
    server.respond = other.respond = write_file
    held = asyncio.Event()
    complete = server.complete

    async def hold(request: web.Request) -> web.StreamResponse:
        if not held.is_set():
            server.asked.append({})
            await held.wait()
            assert request.transport is not None
            request.transport.close()
        return await complete(request)

    server.complete = hold  # type: ignore[method-assign]
    run = Run(server, other)

    def die() -> bool:
        held.set()
        return True

    run.until(lambda: bool(server.asked), die, lambda: run.queue.depth() == (0, 0, 12))
    assert run.queue.ends() == (12, 0, 0, 0)
