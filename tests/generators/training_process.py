"""What a training does with its batches, as a process: reads each when it is new, and once more when the pool has gone on.

python training_process.py ROOT RUN LINES
Each batch that it has is noted as a line in the file LINES: its step and digest. It goes on behind the last of them.
"""

import itertools
import os
import sys
import time
from pathlib import Path

import xxhash

from mixer import RunReader
from streamer.errors import StoreError
from streamer.reading.snapshot_loader import Batch

STORE_FAULT = 75  # its exit code when the root's disk fails it, as a full one may
LATER, PAUSE_S = 25, 0.04


def digest(batch: Batch) -> str:
    return xxhash.xxh3_64_hexdigest(batch.tokens.tobytes() + batch.origin.tobytes())


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(step, digest) of the complete lines."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [(int(step), found) for step, found in map(str.split, lines)]


def main(root: str, run: str, path: Path) -> None:
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    begin = max((step for step, _ in read_lines(path)), default=-1) + 1
    with path.open("a", buffering=1) as lines, RunReader(root, run, wait_s=3600) as reader:
        for step in itertools.count(begin):
            for number in (step, step - LATER):
                if number >= 0:
                    lines.write(f"{number} {digest(reader.read(number))}\n")
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except StoreError as error:
        print(error, file=sys.stderr)
        sys.exit(STORE_FAULT)
