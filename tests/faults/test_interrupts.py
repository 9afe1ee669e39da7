"""A reader that an exception stopped anywhere reads on as if nothing had happened."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.errors import PartError

SEQ_LEN, STEPS, INTERRUPTS = 16, 600, 200
PACKAGES = tuple(str(Path(__file__).parents[2] / name) for name in ("mixer", "streamer"))


def make_run(folder: Path, *, nodes: int) -> Catalog:
    catalog = Catalog(folder)
    rows = np.random.default_rng(0).integers(0, 60000, (4800, SEQ_LEN)).astype(np.uint16)
    for name, parts in (("raw/python", 12), ("raw/go", 5), ("raw/sql", 1)):
        for part in np.array_split(rows, parts):
            catalog.append(name, part, seq_len=SEQ_LEN)
    Mixtures(catalog).apply(f'name = "g"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1.0\n')
    Runs(catalog).create("r", mixture="g", seed=1, global_batch=16, canonical_nodes=nodes, segment_batches=16)
    return catalog


def read_all(reader: RunReader) -> list[tuple[bytes, bytes]]:
    return [taken(reader, step) for step in range(STEPS)]


def taken(reader: RunReader, step: int) -> tuple[bytes, bytes]:
    batch = reader.read(step)
    return batch.tokens.tobytes(), batch.origin.tobytes()


class Interrupter:
    """Raises KeyboardInterrupt at the n-th line that the product's packages run from `arm(n)` on, then never again."""

    def __init__(self) -> None:
        self.left, self.came = 0, 0

    def arm(self, lines: int) -> None:
        self.left = lines

    def trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(PACKAGES):
            return None
        if event == "line" and self.left:
            self.left -= 1
            if not self.left:
                self.came += 1
                raise KeyboardInterrupt
        return self.trace


@pytest.mark.parametrize("nodes", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_interrupted_at_any_line_it_reads_on(tmp_path: Path, nodes: int, seed: int) -> None:
    with RunReader(make_run(tmp_path / "whole", nodes=nodes).store, "r") as reader:
        wanted = read_all(reader)
    root, chance, interrupter = make_run(tmp_path / "root", nodes=nodes).store, random.Random(seed), Interrupter()
    with RunReader(root, "r") as reader:
        step = 0
        try:
            while step < STEPS:
                sys.settrace(interrupter.trace)  # again each time: Python drops a trace function that raised
                if not interrupter.left and interrupter.came < INTERRUPTS and chance.random() < 0.5:
                    interrupter.arm(int(10 ** chance.uniform(0, 4)))
                try:
                    found = taken(reader, reader.next_step(step))
                except KeyboardInterrupt:
                    step = max(0, step - chance.randrange(40))  # as a notebook's cell that is run once more
                    continue
                assert found == wanted[step], step
                step += 1
        finally:
            sys.settrace(None)
        assert interrupter.came == INTERRUPTS
        assert read_all(reader) == wanted


def test_behind_a_damaged_shard_all_others_are_read(tmp_path: Path) -> None:
    """A batch that fails half way through mapping its shards leaves those before it as they were."""
    catalog = Catalog(tmp_path / "root")
    rows = np.random.default_rng(0).integers(0, 60000, (4800, 1024)).astype(np.uint16)  # shards too large for holes
    parts = [catalog.append("raw/go", part, seq_len=1024).parts[-1] for part in np.array_split(rows, 120)]
    Mixtures(catalog).apply('name = "g"\nseq_len = 1024\n[[component]]\nstreams = "raw/*"\nshare = 1.0\n')
    Runs(catalog).create("r", mixture="g", seed=1, global_batch=8)
    with RunReader(catalog.store, "r") as reader:
        wanted = [taken(reader, step) for step in range(STEPS)]
    for part in parts[::17]:
        shard = tmp_path / "root" / part.folder / part.shards[0].name
        shard.write_bytes(shard.read_bytes()[:-2] + b"??")
    refused: set[int] = set()
    with RunReader(catalog.store, "r") as reader:
        for step in range(STEPS):
            try:
                assert taken(reader, step) == wanted[step], step
            except PartError:
                refused.add(step)
                for before in sorted({*range(max(0, step - 20), step)} - refused, reverse=True):
                    assert taken(reader, before) == wanted[before], before
    assert 0 < len(refused) < STEPS
