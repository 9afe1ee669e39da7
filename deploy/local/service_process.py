"""What runs inside the supervisor's child that has no command of its own: the mixer's server."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from deploy.local.services import REDIS
from streamer.errors import PhasemixError

if TYPE_CHECKING:
    from fastapi import FastAPI


def application(root: Any, redis_url: str | None = None, **access: Any) -> FastAPI:
    """The mixer's service with the routes of the generator pool. `access`: as `mixer.service.create_app` takes it."""
    from generators.routes import routes
    from mixer.service.application import create_app

    return create_app(root, redis_url, **access, others=[routes])


def serve_mixer(root: str, descriptor: int, reach: str, tokens: str | None = None) -> int:
    """Serves the mixer and the dashboard on a socket that is bound already, so that a restart keeps its port.

    `reach`: "loopback", or "network" where others can connect. Raises: AccessError.
    """
    from mixer.service.access import load_tokens
    from mixer.service.server import serve

    app = application(root, os.environ[REDIS], tokens=load_tokens(tokens), loopback=reach == "loopback")
    serve(app, socket.socket(fileno=descriptor))
    return 0


def main(words: list[str]) -> int:
    try:
        return serve_mixer(words[0], int(words[1]), *words[2:])
    except PhasemixError as error:
        print(f"phasemix: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
