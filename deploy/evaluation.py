"""`phasemix evaluate` with a vLLM server that is started for it: the command itself is training's, the server generators'.

Always holds: a server that was started is stopped when the evaluation ends; on Linux also when the evaluation is killed.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

START_S = 1800.0


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix evaluate`."""
    from training.commands import evaluate

    evaluate.add_evaluate(parser)
    parser.add_argument("--serve", action="store_true", help="start vLLM on the model and have it answer")
    parser.add_argument(
        "--python", metavar="PYTHON", help="the Python that has vLLM (default: .engine/bin/python, else this one)"
    )
    parser.set_defaults(run=run_evaluate)


NOUNS: dict[str, Callable[[argparse.ArgumentParser], None]] = {"evaluate": add_evaluate}


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluates. Raises: PhasemixError."""
    from training.commands.evaluate import run_evaluate as run
    from training.commands.train import sigterm_as_interrupt

    with sigterm_as_interrupt():
        try:
            return run(args, serve=partial(serving, python=args.python) if args.serve else None)
        except KeyboardInterrupt:  # all is kept and closed; Python's end waits for threads, and a second one ends that too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise


@contextmanager
def serving(model: Path, *, python: str | None) -> Iterator[str]:
    """The address of a vLLM server that has the model, while it runs. Raises: EngineError when it does not get ready."""
    from deploy.local.ports import free_port
    from generators.commands.engine import running
    from generators.engines.vllm_server import find_python, server_of, this_machine

    server = server_of(str(model), python=find_python(python), port=free_port(), machine=this_machine(), name=None, more=())
    with running(server, timeout_s=START_S, otherwise="start it yourself, and name it with --engine", stdout=2):
        yield server.url
