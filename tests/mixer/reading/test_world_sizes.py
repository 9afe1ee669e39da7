"""The same global batches for every world size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog

STEPS = 40
MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@pytest.fixture(params=[1, 4])
def run(root: Path, fill: Callable[..., Catalog], request: pytest.FixtureRequest) -> Path:
    """A run of 48 rows a batch that grew and switched on its way, without and with lanes."""
    fill("raw/python", 1100)
    fill("raw/go", 70)
    mixtures, runs = Mixtures(root), Runs(root)
    settings = {"seed": 7, "global_batch": 48, "canonical_nodes": request.param, "segment_batches": 8}
    runs.create("a", mixture=mixtures.apply(MIXTURE), **settings)
    reader = RunReader(root, "a")
    reader.read(10)
    fill("raw/go", 40)
    reader.read(18)
    runs.switch("a", mixtures.apply(f"{MIXTURE}within = 'equal'\n"))
    reader.read(STEPS - 1)
    return root


@pytest.mark.parametrize("world_size", [2, 3, 8, 6, 16])
def test_a_world_size_reads_the_global_batches_of_every_other(run: Path, world_size: int) -> None:
    whole, ranks = RunReader(run, "a"), [RunReader(run, "a", rank, world_size) for rank in range(world_size)]
    for step in range(STEPS):
        expected, found = whole.read(step), [reader.read(step) for reader in ranks]
        assert (np.concatenate([batch.tokens for batch in found]) == expected.tokens).all()
        assert np.concatenate([batch.origin for batch in found]).tolist() == expected.origin.tolist()
