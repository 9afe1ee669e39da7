"""MixedLoader in any world: ranks of a real process group, and workers that are forked or spawned."""

import itertools
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from train_process import Forked, forks

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from training import MixedLoader

HERE = Path(__file__).parent
MIXTURE = 'name = "code"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@pytest.fixture
def run(fill: Callable[..., Catalog], root: Path) -> Path:
    fill("raw/python", 300)
    fill("raw/go", 70)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=48)
    return root


def train(root: Path, output: Path, position: Path, *, world_size: int, steps: int, workers: int) -> None:
    """A small training in that many processes; each is waited for, or stopped."""
    processes = []
    for rank in range(world_size):
        asked = [root, "a", rank, world_size, steps, workers, output, position]
        server = forks("training.loading.loader", "torch.nn.parallel")
        processes.append(Forked(server, HERE / "ddp_process.py", [*map(str, asked)], GLOO_SOCKET_IFNAME="lo"))
    try:
        for process in processes:
            assert process.poll(timeout=120) == 0, process.output()
    finally:
        for process in processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)


def lines(output: Path, rank: int) -> list[dict]:
    return [json.loads(line) for line in Path(f"{output}.{rank}").read_text().splitlines()]


def test_a_training_of_two_processes_and_of_the_one_that_resumes_it_see_the_runs_batches(run: Path, tmp_path: Path) -> None:
    position = tmp_path / "position.json"
    train(run, tmp_path / "two", position, world_size=2, steps=4, workers=2)
    assert json.loads(position.read_text())["step"] == 4
    train(run, tmp_path / "one", position, world_size=1, steps=3, workers=0)
    ranks = [lines(tmp_path / "two", rank) for rank in range(2)]
    two = [left["tokens"] + right["tokens"] for left, right in zip(*ranks, strict=True)]
    one = [line["tokens"] for line in lines(tmp_path / "one", 0)]
    with RunReader(run, "a") as reader:
        assert two + one == [reader.read(step).tokens.tolist() for step in range(7)]
    assert all(math.isfinite(line["loss"]) for line in lines(tmp_path / "one", 0))


@pytest.mark.parametrize("world_size", [1, 2, 3, 8, 6, 16])
def test_loaders_of_every_world_size_have_the_same_global_batches(run: Path, world_size: int) -> None:
    loaders = [MixedLoader(run, "a", rank=rank, world_size=world_size) for rank in range(world_size)]
    with RunReader(run, "a") as reader:
        for step, batches in enumerate(itertools.islice(zip(*loaders, strict=True), 12)):
            found = np.concatenate([batch["input_ids"].numpy() for batch in batches])
            np.testing.assert_array_equal(found, reader.read(step).tokens)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_hand_out_the_same_batches_however_they_are_started(run: Path, start: str) -> None:
    loader = MixedLoader(run, "a", num_workers=2, start_step=2)
    loader.multiprocessing_context = start
    with RunReader(run, "a") as reader:
        for step, batch in enumerate(itertools.islice(loader, 5), start=2):
            np.testing.assert_array_equal(batch["input_ids"].numpy(), reader.read(step).tokens)
