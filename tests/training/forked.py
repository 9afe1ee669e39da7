"""Trainings without the seconds of their imports: forks of one process that has everything imported.

    python -P forked.py SOCKET

Each connection sends one line of JSON, {"words", "output"}. It is answered with the pid of a process that runs `python -m
training WORDS`, and with its exit code as Popen counts it, each a number of eight bytes. Ends with its standard input.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import NoReturn

import training.composer.trainer  # noqa: F401 (most of the seconds)
from training.__main__ import main

NUMBER = struct.Struct("q")


def serve(listener: socket.socket) -> dict:
    """Returns only in a fork: what it is asked to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        with connection:
            if not os.fork():
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                asked = json.loads(connection.makefile("rb").readline())
                pid = os.fork()
                if not pid:
                    return asked
                tell_end(pid, connection)
    sys.exit(0)


def tell_end(pid: int, connection: socket.socket) -> NoReturn:
    with suppress(BrokenPipeError):
        connection.sendall(NUMBER.pack(pid))
        connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        asked = serve(listener)
    descriptor = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv[1:] = asked["words"]
    sys.exit(main())
