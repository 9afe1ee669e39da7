"""The engine's client against the offline engine over loopback HTTP."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from generators.engines.engine import Engine
from generators.engines.offline_engine import LABEL, create_app
from generators.errors import EngineAwayError
from generators.queue.job import Completion, Job

JOB = Job(
    language="python",
    seed_document="s",
    recipe="file/1",
    model=LABEL,
    index=0,
    text="def f(value):\n    return value\n",
    purpose="order/0",
)


@pytest.fixture
def endpoint() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


def complete(endpoints: list[str]) -> Completion:
    async def ask() -> Completion:
        engine = Engine(endpoints)
        try:
            return await engine.complete(JOB)
        finally:
            await engine.close()

    return asyncio.run(ask())


def test_a_completion_comes_finished_and_counted(endpoint: str) -> None:
    found = complete([endpoint])
    assert found.finish_reason == "stop"
    assert "def" in found.text
    assert found.tokens > 0


def test_the_next_endpoint_is_asked_when_one_is_away(endpoint: str) -> None:
    assert complete(["http://127.0.0.1:1/v1", endpoint]).finish_reason == "stop"


def test_an_engine_that_does_not_answer_is_named() -> None:
    with pytest.raises(EngineAwayError, match=r"127\.0\.0\.1:1/v1 does not answer"):
        complete(["http://127.0.0.1:1/v1"])
