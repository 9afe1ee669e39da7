"""`phasemix generators engine up MODEL`: runs vLLM until it is told to end. Imports nothing heavy."""

import argparse
import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generators.engines.vllm_server import Server

LOOK_S, PROBE_S, END_S = 0.5, 2.0, 30.0

# Asks the kernel for SIGTERM when the process of that id, the parent, dies, then becomes the program of the words behind it.
TIED = """
import ctypes, os, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is None or prctl(1, 15, 0, 0, 0):
    said = "this system has no PR_SET_PDEATHSIG: if this command is killed, end vLLM by hand"
    print("phasemix: " + said, file=sys.stderr, flush=True)
elif os.getppid() != int(sys.argv[1]):
    sys.exit(1)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"phasemix: {sys.argv[2]} cannot be run: {error}")
"""


def add_engine(verbs: Any) -> None:
    engine = verbs.add_parser("engine", help="run a vLLM server with the flags that suit this machine")
    actions = engine.add_subparsers(required=True, metavar="up")
    up = actions.add_parser("up", help="start vLLM, say when it is ready, and run it until Control-C or SIGTERM")
    up.add_argument("model", metavar="MODEL", help="a folder with a checkpoint, or a name of a hub")
    up.add_argument("--port", type=int, default=8000, help="listen at this port of 127.0.0.1 (default: 8000)")
    up.add_argument("--name", help="what the model is called in answers (default: the folder's name)")
    up.add_argument("--python", metavar="PATH", help="the Python that has vLLM (default: .engine/bin/python, else this one)")
    up.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS", help="wait so long until it is ready")
    up.add_argument(
        "--flags", default="", metavar="FLAGS", help="flags of vLLM in one word, as in --flags='--max-model-len 8192'"
    )
    up.set_defaults(run=run_up)


def run_up(options: argparse.Namespace) -> int:
    from generators.engines.vllm_server import find_python, server_of, this_machine
    from generators.errors import EngineError

    try:
        more = shlex.split(options.flags)
    except ValueError as error:
        raise EngineError(f"--flags {options.flags} cannot be split into words ({error}); close its quotes") from error
    server = server_of(
        options.model,
        python=find_python(options.python),
        port=options.port,
        machine=this_machine(),
        name=options.name,
        more=more,
    )
    print(f"phasemix: {' '.join(server.argv)}", file=sys.stderr, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    start_s = time.monotonic()
    try:
        with running(server, timeout_s=options.timeout, otherwise="give it longer with --timeout") as process:
            print(f"ready at {server.url} after {time.monotonic() - start_s:.0f} s", flush=True)
            return process.wait() or 1
    except KeyboardInterrupt:
        return 0


@contextmanager
def running(
    server: "Server", *, timeout_s: float, otherwise: str, stdout: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A vLLM server that is ready, while this lasts. On Linux it also ends when this process is killed.

    Raises: EngineError when it ends before it is ready, or is not ready in time, which `otherwise` says what to do about.
    """
    from generators.errors import EngineError

    tied = [sys.executable, "-I", "-S", "-c", TIED, str(os.getpid())]
    process = subprocess.Popen([*tied, *server.argv], env={**os.environ, **server.environment}, stdout=stdout)
    try:
        start_s = time.monotonic()
        while not is_healthy(server.url):
            if process.poll() is not None:
                raise EngineError(
                    f"vLLM ended with exit code {process.returncode} before it was ready; the reason stands above"
                )
            if time.monotonic() - start_s > timeout_s:
                raise EngineError(f"vLLM is not ready after {timeout_s:g} s; {otherwise}")
            time.sleep(LOOK_S)
        yield process
    finally:
        process.terminate()  # before it is killed, so that it ends its own processes, which hold the GPUs
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        finally:  # also at a second Control-C
            process.kill()
            process.wait()


def is_healthy(url: str) -> bool:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy of the environment reaches it
        with opener.open(f"{url.removesuffix('/v1')}/health", timeout=PROBE_S) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False
