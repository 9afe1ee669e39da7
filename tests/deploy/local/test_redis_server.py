"""A Redis of our own: on a socket only, gone when it is stopped."""

import os
import stat
from pathlib import Path

import pytest
import redis

from deploy.local.redis_server import RedisServer, find_redis


def test_ours_listens_on_a_private_socket_alone_and_leaves_nothing() -> None:
    server = find_redis(None)
    server.start()
    folder, pid = Path(server.url.removeprefix("unix://")).parent, server.pid
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert client.config_get("port")["port"] == "0"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server.stop()
    assert not folder.exists()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_given_one_is_neither_started_nor_stopped() -> None:
    server = find_redis("redis://127.0.0.1:1/0")
    server.start()
    assert server.url == "redis://127.0.0.1:1/0"
    server.stop()


def test_a_binary_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not start"):
        RedisServer(None, "/bin/false").start()
