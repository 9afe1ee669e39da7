"""Several processes read, switch, skip in and fork one run at the same time: there is one order, and each sees it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import xxhash

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog

HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def test_processes_that_change_a_run_at_once_see_one_order(root: Path, fill: Callable[..., Catalog]) -> None:
    """Given 3 processes, then their batches agree, no skip is lost or handed out, and each fork has one maker."""
    fill("raw/python", 300)
    fill("raw/java", 500)
    mixtures = Mixtures(root)
    mixtures.apply(HEAD)
    mixtures.edit("m", ["raw.pin.python=0.6"])
    Runs(root).create("a", mixture="m@1", seed=3, global_batch=16, segment_batches=4)
    here = Path(__file__)
    argv = [sys.executable, str(here.with_name("race_process.py")), str(root)]
    racing = [
        subprocess.Popen([*argv, str(number)], cwd=here.parents[3], stdout=subprocess.PIPE, text=True) for number in range(3)
    ]
    found = [json.loads(process.communicate(timeout=200)[0]) for process in racing]
    done = [act for one in found for act in one["done"]]
    skips = sorted((start, batches) for what, start, batches in done if what == "skip")
    assert Runs(root).show("a").skipped == skips
    skipped = {step for start, batches in skips for step in range(start, start + batches)}
    with RunReader(root, "a") as reader:
        for one in found:
            steps = [int(step) for step in one["seen"]]
            assert steps == [step for step in range(steps[-1] + 1) if step not in skipped]
            for step, digest in one["seen"].items():
                assert xxhash.xxh3_64_hexdigest(reader.read(int(step)).origin.tobytes()) == digest
    forks = [name for what, name, _ in done if what == "fork"]
    assert len(forks) == len(set(forks))
    assert {info.name for info in Runs(root).list()} == {"a", *forks}
    assert len([event for event in Runs(root).history("a") if event.event == "switched"]) == sum(
        act[0] == "switch" for act in done
    )
