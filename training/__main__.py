"""`phasemix train` as a module, for launchers: `composer -n 8 -m training general ...`."""

from __future__ import annotations

import argparse
import sys

from streamer.errors import PhasemixError
from training.commands import add_train


def main() -> int:
    """Trains; a user's mistake is one line and code 2."""
    parser = argparse.ArgumentParser(prog="python -m training")
    add_train(parser)
    args = parser.parse_args()
    try:
        code: int = args.run(args)
    except PhasemixError as error:
        print(f"phasemix: {error}", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
