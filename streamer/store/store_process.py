"""An object store's calls in processes of their own, for a process that was forked after its parent had used obstore.

Always holds: a call runs in a fresh interpreter, which ends when the process that started it ends or is killed: its
standard input closes. Bytes of shards do not pass through: `fetch` writes the file there.

One such process serves one call at a time; as many are kept as calls were made at once.
"""

import os
import pickle
import signal
import subprocess
import sys
from typing import Any, Protocol

from streamer.errors import StoreError

_idle: list["subprocess.Popen[bytes]"] = []
_owner: list[int] = []


class Called(Protocol):
    """An object store: it pickles, and is known by its address and options."""

    url: str
    options: dict[str, Any]


def call(store: Called, operation: str, *arguments: Any) -> Any:
    """Runs one call elsewhere; returns what it returns, raises what it raises."""
    if _owner != [os.getpid()]:
        _owner[:] = [os.getpid()]
        _idle.clear()  # they serve a parent
    try:
        process = _idle.pop()
    except IndexError:
        command = [sys.executable, "-P", "-m", "streamer.store.store_process"]
        path = os.pathsep.join(entry for entry in sys.path if entry)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        pickle.dump((store, operation, arguments), process.stdin)
        process.stdin.flush()
        raised, value = pickle.load(process.stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        process.kill()
        process.wait()
        raise StoreError(f"{store.url}: the process that reads it has ended; call again") from error
    except BaseException:
        process.kill()  # an answer on its way belongs to nobody
        process.wait()
        raise
    _idle.append(process)
    if raised:
        raise value
    return value


def serve() -> None:
    """Answers calls until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is for the process that asks
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not stand among the answers
    stores: dict[str, Called] = {}  # with their open connections
    while True:
        try:
            store, operation, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        store = stores.setdefault(f"{store.url} {store.options}", store)
        try:
            answer = False, getattr(store, operation)(*arguments)
        except (StoreError, OSError) as error:
            answer = True, error
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve()
