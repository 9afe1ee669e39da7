"""Starts of a program in the sandbox beside starts of the same Python as a bare subprocess, each second on one core.

Both start Python without its site packages, give it 1 KB of program and read what it prints, in rounds that take turns; all
processes are held on one core, so that a round's seconds are seconds of that core. The rate is of the median round.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.report import Report, main
from streamer.sandbox.outcome import Limits
from streamer.sandbox.sandbox import BUBBLEWRAP, UNSHARE, Sandbox, try_way

ROUNDS, STARTS = 15, 10
PYTHON = [sys.executable, "-I", "-S"]
PROGRAM = "print('told')\n".ljust(1024, "#")


def measure() -> Report:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    kinds: dict[str, Callable[[], bytes]] = {"bare subprocess": start_bare}
    kinds |= {way: starter(way) for way in (BUBBLEWRAP, UNSHARE) if try_way(way) is None}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, start in kinds.items():
            began_s = time.perf_counter()
            for _ in range(STARTS):
                assert start() == b"told\n"
            seconds[kind].append(time.perf_counter() - began_s)
    rates = {kind: STARTS / statistics.median(found) for kind, found in seconds.items()}
    rows = [
        {
            "start": kind,
            "per_s": round(rate, 1),
            "ms": round(1000 / rate, 1),
            "of_bare": round(rate / rates[next(iter(rates))], 2),
        }
        for kind, rate in rates.items()
    ]
    figures = {"of_bare": rates.get(BUBBLEWRAP, 0.0) / rates["bare subprocess"]}
    return Report("starts of a program", rows, figures, {"of_bare": (">=", 0.3)})


def start_bare() -> bytes:
    return subprocess.run([*PYTHON, "-c", PROGRAM], capture_output=True, check=True).stdout


def starter(way: str) -> Callable[[], bytes]:
    """What starts the program in one way."""
    sandbox = Sandbox(Limits(wall_s=60))
    sandbox.way = way
    return lambda: sandbox.run([*PYTHON, "program.py"], files={"program.py": PROGRAM}).stdout


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
