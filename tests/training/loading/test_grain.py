"""A run through grain: its exact batches, over two processes that are killed and one that goes on from their position."""

import json
import os
import pickle
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train_process import Forked, forks

from mixer import Mixtures, RunReader, Runs
from mixer.errors import RunError
from training import RunSource

PROGRAM = Path(__file__).with_name("grain_process.py")
MIXTURE = 'name = "code"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 8\n'
BATCHES, SKIPPED = 120, range(30, 33)


@pytest.fixture
def run(fill: Callable[..., Any], root: Path) -> Path:
    """120 batches of 12 samples in a run's ledger, and three that are skipped."""
    fill("raw/python", 300)
    fill("raw/go", 200)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=12, segment_batches=8)
    Runs(root).skip("a", SKIPPED.start, len(SKIPPED))
    Runs(root).extend("a", BATCHES + len(SKIPPED))
    return root


def expected(root: Path) -> list[np.ndarray[Any, Any]]:
    with RunReader(root, "a", read_only=True) as reader:
        end = Runs(root).show("a").end_step
        return [reader.read(step).tokens for step in range(end) if step not in SKIPPED]


def test_elements_are_the_batches_that_the_run_hands_out(run: Path) -> None:
    """Given ranks, threads and a copy in another process's hands, then each has its rows, in any order of asking."""
    wanted = expected(run)
    order = random.Random(1).sample(range(len(wanted)), 60)
    for rank in range(3):
        source = pickle.loads(pickle.dumps(RunSource(run, "a", rank=rank, world_size=3)))
        assert len(source) == len(wanted)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(source.__getitem__, order))
        for index, element in zip(order, found, strict=True):
            np.testing.assert_array_equal(element["input_ids"], wanted[index][rank * 4 : rank * 4 + 4])
            assert element["step"] == index + (len(SKIPPED) if index >= SKIPPED.start else 0)
    samples = RunSource(run, "a", samples=True, num_batches=40)
    assert len(samples) == 40 * 12
    assert not any(samples[n]["ignored"].any() for n in range(480))  # there whether or not anything is redacted
    np.testing.assert_array_equal([samples[n]["input_ids"] for n in range(480)], np.concatenate(wanted[:40]))


def test_what_the_ledger_does_not_hold_is_refused(run: Path) -> None:
    end = Runs(run).show("a").end_step
    with pytest.raises(RunError, match=rf"holds {end - 3} batches, not 500; .*phasemix runs extend a --to 503$"):
        RunSource(run, "a", num_batches=500)
    with pytest.raises(IndexError, match="none at 5"):
        RunSource(run, "a", num_batches=5)[5]
    with pytest.raises(RunError, match="world size 5"):
        RunSource(run, "a", world_size=5)
    assert Runs(run).show("a").end_step == end


def test_grain_goes_on_exactly_with_other_ranks_than_those_that_were_killed(run: Path, tmp_path: Path) -> None:
    """Given two ranks killed at a random batch, then one rank goes on behind the position that they saved last."""
    pytest.importorskip("grain", reason="the extra [grain] is not installed")
    server, chance, position = forks("grain", "training.loading.grain_source"), random.Random(), tmp_path / "position.json"

    def start(rank: int, world_size: int, name: str) -> Forked:
        asked = [run, "a", rank, world_size, BATCHES, tmp_path / name, position]
        return Forked(server, PROGRAM, [*map(str, asked)], tmp_path)

    ranks = [start(rank, 2, f"two.{rank}") for rank in range(2)]
    until = chance.randrange(5, 60)
    while ranks[0].poll() is None and len(lines(tmp_path / "two.0")) < until:
        time.sleep(0.005)
    for rank in ranks:
        assert rank.poll() is None, rank.output()
        os.kill(rank.pid, signal.SIGKILL)
        assert rank.poll(timeout=60) == -signal.SIGKILL
    saved = json.loads(position.read_text())["next_index"]
    one = start(0, 1, "one")
    assert one.poll(timeout=100) == 0, one.output()

    wanted = [batch.tolist() for batch in expected(run)][:BATCHES]
    for rank in range(2):
        found = lines(tmp_path / f"two.{rank}")
        assert found == [batch[rank * 6 : rank * 6 + 6] for batch in wanted[: len(found)]]
    assert 0 < saved < BATCHES
    assert lines(tmp_path / "one") == wanted[saved:]


def lines(path: Path) -> list[Any]:
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in whole]
