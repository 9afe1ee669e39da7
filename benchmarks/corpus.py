"""A whole ingest of given sources: what comes in, is kept, dropped and replaced, MB/s of each stage, and its peak of memory.

The ingest runs as a command of its own, with two workers. Memory is looked at four times a second: the resident set of its
largest process, and what all its processes have together, where they share a page each a part of it. With `--peak-mb` or
`--rate` a figure that misses its target ends with 1. With `--mb 2000` the sources are repeated, changed, up to so much text.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.repeated_files import write_repeated
from streamer.commands.corpus import INGEST
from streamer.commands.table import print_table
from streamer.corpus.recipe import Source
from streamer.corpus.sources.ingest import read_source

LOOK_S = 0.25
SIZE = re.compile(r"^(Rss|Pss): +(\d+)", re.MULTILINE)
STAGE = re.compile(rf"(?:^|: )({'|'.join(sorted((stage.name for stage in INGEST), key=len, reverse=True))})(?: [\d,]+.*)?$")


class Stages:
    """Which stage an ingest says it is in, read from its log lines."""

    def __init__(self, lines: Any) -> None:
        self.now = "start"
        self.said: list[str] = []
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: Any) -> None:
        for line in lines:
            found = STAGE.search(line.strip())
            if found:
                self.now = found[1]
            else:
                self.said.append(line)


class Memory(NamedTuple):
    """In 10**6 bytes: the resident set of the largest process of a tree, and what all have, of a shared page a part each."""

    largest: float = 0.0
    together: float = 0.0


def memory_of(pid: int) -> Memory:
    """What the tree of a process has now; nothing when it has ended."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    members = {pid}
    while more := {child for child, parent in parents.items() if parent in members and child not in members}:
        members |= more
    found = [Memory()]
    for member in members:
        with suppress(OSError):
            sizes = dict(SIZE.findall(Path(f"/proc/{member}/smaps_rollup").read_text()))
            found.append(Memory(*(int(sizes[name]) * 1024 / 1e6 for name in ("Rss", "Pss"))))
    return Memory(max(one.largest for one in found), sum(one.together for one in found))


def ingest(command: list[str]) -> tuple[dict[str, Any], dict[str, Memory]]:
    """The report of an ingest, and the peak of memory of each stage."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stages, peaks = Stages(process.stderr), dict[str, Memory]()
    assert process.stdout is not None
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
    reader.start()
    while process.poll() is None:
        stage = stages.now
        found = zip(peaks.get(stage, Memory()), memory_of(process.pid), strict=True)
        peaks[stage] = Memory(*map(max, found))
        time.sleep(LOOK_S)
    process.wait()
    reader.join()
    if process.returncode:
        raise SystemExit("".join(stages.said) or f"the ingest ended with {process.returncode}")
    report: dict[str, Any] = json.loads("".join(output))
    return report, peaks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--recipe", metavar="FILE", help="settings beside the sources")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mb", type=int, metavar="MB", help="repeat the sources, with changes, up to so many 10**6 bytes")
    parser.add_argument("--peak-mb", type=float, metavar="MB", help="end with 1 above this peak of a process")
    parser.add_argument("--rate", type=float, metavar="MB_S", help="end with 1 below this rate of reading, a worker")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phasemix-benchmark-") as folder:
        sources = options.sources
        if options.mb:
            sources = [str(Path(folder) / "repeated")]
            files = [file for path in options.sources for file in read_source(Source(path=path), seed=15)]
            write_repeated(files, Path(sources[0]), options.mb * 10**6, seed=15)
            del files
        command = [sys.executable, "-m", "phasemix", "corpus", "ingest", *sources, "--json"]
        command += ["--root", str(Path(folder) / "root"), "--workers", str(options.workers)]
        command += ["--recipe", options.recipe] if options.recipe else []
        report, peaks = ingest(command)
    read_mb = report["source_bytes"] / 1e6
    print(f"{report['files']:,} files, {read_mb:,.1f} MB read; {report['documents']:,} documents and "
          f"{report['heldout_documents']:,} held out, {report['text_bytes'] / 1e6:,.1f} MB\n")  # fmt: skip
    print_table([{"dropped because": name, "files": count} for name, count in report["dropped"].items()], False)
    print()
    if report["replaced"]:
        print_table([{"replaced": name, "places": count} for name, count in report["replaced"].items()], False)
        print()
    print_table([{"language": name, **found} for name, found in sorted(report["languages"].items())], False)
    print()
    rows = [
        {"stage": name, "seconds": seconds, "mb_per_s": round(read_mb / seconds, 1) if seconds else None,
         "peak_mb_of_a_process": round(peaks.get(name, Memory()).largest) or None,
         "peak_mb_of_all": round(peaks.get(name, Memory()).together) or None}
        for name, seconds in report["seconds"].items()
    ]  # fmt: skip
    print_table(rows, False)
    rate, peak = read_mb / report["seconds"]["read"] / options.workers, max(found.largest for found in peaks.values())
    print(f"\nreading and filtering {rate:,.1f} MB/s a worker; peak of a process {peak:,.0f} MB")
    too_slow = options.rate is not None and rate < options.rate
    return int(too_slow or (options.peak_mb is not None and peak > options.peak_mb))


if __name__ == "__main__":
    sys.exit(main())
