"""`phasemix train` as a module, for launchers of several processes:

    composer -n 8 -m training general --mixture NAME --run NAME ...
    torchrun --nproc-per-node 8 -m -- training general --mixture NAME --run NAME ...

torchrun needs the `--`: without it, it takes `--run` for an abbreviation of its own `--run-path`.
"""

from __future__ import annotations

import argparse
import sys

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


if __name__ == "__main__":
    sys.exit(main())
