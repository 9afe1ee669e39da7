"""A Redis of our own: on a private socket only, with the same address after a restart, gone when it is told to end."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from deploy.local.redis_server import does_redis_answer, find_redis, redis_address, redis_argv


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pm") as found:  # short enough for Unix sockets
        yield Path(found)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ours_listens_on_a_socket_alone_and_leaves_nothing(folder: Path) -> None:
    url = redis_address(folder)
    assert not does_redis_answer(url)
    with subprocess.Popen(redis_argv(find_redis(), folder), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: does_redis_answer(url))
        with redis.Redis.from_url(url) as client:
            assert client.config_get("port")["port"] == "0"
            client.set("key", "value")
        process.terminate()
    assert process.returncode == 0
    assert os.listdir(folder) == []


def test_one_that_was_killed_starts_again_at_the_same_address(folder: Path) -> None:
    url, argv = redis_address(folder), redis_argv(find_redis(), folder)
    for _ in range(2):
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
            wait_for(lambda: does_redis_answer(url))
            process.kill()
        assert not does_redis_answer(url)
