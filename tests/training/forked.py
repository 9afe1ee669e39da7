"""Programs without the seconds of their imports: forks of one process that has imported what they need.

    python -P forked.py SOCKET MODULE[:FUNCTION]...

A function is called once, so that the forks find what it keeps. Each connection sends one line of JSON, {"program", "words",
"folder", "output", "variables"}. It is answered with the pid of a process that runs the program, a file, as
`python PROGRAM WORDS` does in that folder, in a session of its own and with these environment variables as well, and with
its exit code as Popen counts it, each a number of eight bytes. Ends with its standard input.
"""

import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

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
    for word in sys.argv[2:]:
        module, _, function = word.partition(":")
        imported = import_module(module)
        if function:
            getattr(imported, function)()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        asked = serve(listener)
    descriptor = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.update(asked["variables"])
    sys.argv[:] = [asked["program"], *asked["words"]]
    runpy.run_path(asked["program"], run_name="__main__")
