"""`phasemix train` as a module, for launchers of several processes:

    composer -n 8 -m training general --mixture NAME --run NAME ...
    torchrun --nproc-per-node 8 -m -- training general --mixture NAME --run NAME ...

torchrun needs the `--`: without it, it takes `--run` for an abbreviation of its own `--run-path`.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

from streamer.errors import PhasemixError
from streamer.extras import require
from streamer.wording import one_line
from training.commands.train import add_train


def main() -> int:
    """Trains. A user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m training")
    add_train(parser)
    args = parser.parse_args()
    try:
        require("python -m training", "train")
        code: int = args.run(args)
    except PhasemixError as error:
        print(f"phasemix: {one_line(error)}", file=sys.stderr)
        return 2
    return code


def end(code: int) -> NoReturn:
    """Ends this process with an exit code, as Python does, but for taking the interpreter down where there are other ranks.

    Threads of torch's connections to them now and then abort that ("terminate called without an active exception"), and a
    training that went well ends with exit code 134.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    end(main())
