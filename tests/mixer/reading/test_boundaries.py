"""Where documents begin in a batch's rows: what the sidecars say, recorded in the run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog, PhasemixError
from streamer.catalog.parts import read_sidecar

SEQ_LEN = 32
HEAD = f'name = "m"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def publish(root: Path, name: str, samples: int, seed: int, *, padded: bool) -> None:
    """Samples of one to six documents each, the last one padded if asked."""
    random, documents = np.random.default_rng(seed), list[dict[str, Any]]()
    for sample in range(samples):
        ends = [*sorted(random.choice(np.arange(1, SEQ_LEN), random.integers(0, 6), replace=False).tolist()), SEQ_LEN]
        if padded and sample == samples - 1:
            ends = [SEQ_LEN // 2]
        for start, end in zip([0, *ends], ends, strict=False):
            documents.append({"sample": sample, "start": start, "end": end, "document": f"{name}-{len(documents)}"})
    random.shuffle(documents)
    rows = np.zeros((samples, SEQ_LEN), np.uint16)
    Catalog(root).append(name, rows, seq_len=SEQ_LEN, documents=documents)


@pytest.fixture
def run(root: Path) -> Path:
    for seed, (name, samples) in enumerate([("raw/a", 40), ("raw/a", 17), ("raw/b", 25)]):
        publish(root, name, samples, seed, padded=seed != 1)
    Runs(root).create("a", mixture=Mixtures(root).apply(HEAD), seed=3, global_batch=12, boundaries=True)
    return root


def expected(root: Path, streams: list[str], origin: Any) -> list[list[int]]:
    found = []
    for stream, part, row in origin.tolist():
        (info,) = (one for one in Catalog(root).stream(streams[stream]).parts if one.number == part)
        pieces = read_sidecar(Catalog(root).store, info).to_pylist()
        ends = sorted(piece["end"] for piece in pieces if piece["sample"] == row)
        found.append([0, *ends, *([] if ends[-1] == SEQ_LEN else [SEQ_LEN])])
    return found


@pytest.mark.parametrize("world_size", [1, 3])
def test_boundaries_are_the_ends_that_the_sidecars_tell_with_padding_as_a_document(run: Path, world_size: int) -> None:
    for rank in range(world_size):
        with RunReader(run, "a", rank, world_size) as reader:
            for step in range(12):
                batch = reader.read(step)
                assert batch.boundaries is not None
                assert batch.boundaries.dtype == np.int32
                for row, ends in zip(batch.boundaries.tolist(), expected(run, reader.streams, batch.origin), strict=True):
                    assert row[: len(ends)] == ends
                    assert set(row[len(ends) :]) <= {SEQ_LEN}


def test_a_reader_may_ask_for_boundaries_or_do_without(run: Path) -> None:
    Runs(run).create("plain", mixture="m", seed=3, global_batch=12)
    assert RunReader(run, "plain").read(0).boundaries is None
    assert RunReader(run, "a", boundaries=False).read(0).boundaries is None
    asked = RunReader(run, "plain", boundaries=True).read(0).boundaries
    assert asked is not None
    assert (asked == RunReader(run, "a").read(0).boundaries).all()


def test_a_sample_of_a_part_without_a_sidecar_is_one_document(run: Path) -> None:
    Catalog(run).append("raw/c", np.zeros((30, SEQ_LEN), np.uint16), seq_len=SEQ_LEN)
    Runs(run).create("b", mixture="m", seed=3, global_batch=24, boundaries=True)
    reader = RunReader(run, "b")
    batch = reader.read(0)
    assert batch.boundaries is not None
    plain = batch.boundaries[batch.origin["stream"] == reader.streams.index("raw/c")]
    assert len(plain)
    assert (plain[:, 0] == 0).all()
    assert (plain[:, 1:] == SEQ_LEN).all()


def test_a_sidecar_that_is_gone_is_named(run: Path) -> None:
    for path in run.rglob("documents.parquet"):
        path.unlink()
    with pytest.raises(PhasemixError, match="documents.parquet is missing"):
        RunReader(run, "a").read(0)
