"""Mixer services in processes of their own, for tests; and, run as a program, one such process."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def serving(root: Path, *, port: int = 0, **limits: Any) -> Iterator[int]:
    """The port of a service that answers."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        found: int = listener.getsockname()[1]
        words = [str(root), str(listener.fileno()), json.dumps(limits)]
        process = subprocess.Popen([sys.executable, __file__, *words], pass_fds=[listener.fileno()])
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{found}/health", timeout=60).close()  # the listener is there already
        yield found
    finally:
        process.terminate()
        process.wait()


def main(root: str, descriptor: str, limits: str) -> None:
    from mixer.service import create_app
    from mixer.service.limits import Limits
    from mixer.service.server import serve

    chosen = Limits(**json.loads(limits))
    serve(create_app(root, limits=chosen), socket.socket(fileno=int(descriptor)), chosen)


if __name__ == "__main__":
    main(*sys.argv[1:])
