"""What runs inside the supervisor's children that have no command of their own: Redis's keeper and the mixer's server.

Always holds: the keeper of Redis stops its Redis before it ends, on SIGTERM, which the kernel also sends when the
supervisor dies.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from pathlib import Path

from streamer.errors import PhasemixError

CHECK_S = 1.0


def keep_redis(address_file: Path) -> int:
    """Starts Redis, writes its address, ends when told to or when Redis does not answer any more. Raises: PhasemixError."""
    import redis

    from deploy.local.redis_server import find_redis

    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    server = find_redis(None)
    server.start()
    try:
        client = redis.Redis.from_url(server.url)
        client.ping()
        aside = address_file.with_suffix(".aside")
        aside.write_text(server.url)
        aside.replace(address_file)
        while not told.wait(CHECK_S):
            client.ping()
    except redis.RedisError as error:
        raise PhasemixError(f"redis at {server.url} does not answer: {error}") from error
    finally:
        address_file.unlink(missing_ok=True)
        server.stop()
    return 0


def serve_mixer(root: str, redis_url: str, descriptor: int, reach: str, tokens: str | None = None) -> int:
    """Serves the mixer and the dashboard on a socket that is bound already, so that a restart keeps its port.

    `reach`: "loopback", or "network" where others can connect. Raises: AccessError.
    """
    from mixer.service.access import load_tokens
    from mixer.service.application import create_app
    from mixer.service.server import serve

    app = create_app(root, redis_url, tokens=load_tokens(tokens), loopback=reach == "loopback")
    serve(app, socket.socket(fileno=descriptor))
    return 0


def main(words: list[str]) -> int:
    try:
        if words[0] == "redis":
            return keep_redis(Path(words[1]))
        return serve_mixer(words[1], words[2], int(words[3]), *words[4:])
    except PhasemixError as error:
        print(f"phasemix: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
