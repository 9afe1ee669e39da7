"""Run by a clean installation: a stream is written and a run read; then, unless `base` is asked for, the services of this
machine start, answer and end."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog

PHASEMIX = str(Path(sysconfig.get_path("scripts")) / "phasemix")
MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'


def phasemix(*words: str) -> str:
    done = subprocess.run([PHASEMIX, *words], capture_output=True, text=True, timeout=180)
    if done.returncode:
        sys.exit(f"phasemix {' '.join(words)} exited with {done.returncode}: {done.stderr}")
    return done.stdout


def main(root: str, *only: str) -> None:
    read(root)
    if only != ("base",):
        start_and_end_services(root)
    print("works")


def read(root: str) -> None:
    tokens = np.arange(800, dtype=np.uint16).reshape(100, 8)
    Catalog(root).append("raw/python", tokens, seq_len=8)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    with RunReader(root, "a") as reader:
        drawn = np.concatenate([reader.read(step).tokens for step in range(100)])
    assert all((np.sort(drawn[start : start + 100], axis=0) == tokens).all() for start in range(0, 400, 100))
    assert "raw/python" in phasemix("streams", "list", "--root", root)


def start_and_end_services(root: str) -> None:
    phasemix("up", "--root", root)
    try:
        states = {row["name"]: row["state"] for row in json.loads(phasemix("status", "--root", root, "--json"))}
    finally:
        phasemix("down", "--root", root)
    assert set(states.values()) == {"running"}, states


if __name__ == "__main__":
    main(*sys.argv[1:])
