"""Stretches that are planned beyond the ledger's end, and what later entries change of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def begin(root: Path, fill: Callable[..., Catalog], **settings: int) -> Runs:
    fill("raw/python", 700, 300)
    fill("raw/go", 90)
    runs = Runs(root)
    runs.create("a", mixture=Mixtures(root).apply(MIXTURE), seed=7, global_batch=8, **settings)
    return runs


def rows(reader: RunReader, first: int, end: int) -> list[list[tuple[int, int, int]]]:
    return [reader.read(step).origin.tolist() for step in range(first, end)]


@pytest.mark.parametrize("nodes", [1, 4])
def test_a_reader_that_goes_on_reads_what_a_new_one_reads(root: Path, fill: Callable[..., Catalog], nodes: int) -> None:
    runs, mixtures = begin(root, fill, canonical_nodes=nodes), Mixtures(root)
    ahead, behind = RunReader(root, "a"), RunReader(root, "a")
    found = rows(ahead, 0, 300)
    fill("raw/go", 40)
    found += rows(ahead, 300, 500)
    runs.switch("a", mixtures.apply(f"{MIXTURE}within = 'equal'\n"))
    found += rows(ahead, 500, 650)
    runs.switch("a", mixtures.apply(MIXTURE), at_step=700)
    found += rows(ahead, 650, 900)
    assert rows(behind, 0, 900) == found
    assert rows(RunReader(root, "a", read_only=True), 0, 900) == found
    ends = np.array([segment.end for segment in ahead._journal.ledger.segments])
    assert len(ends) == 4  # what was planned beyond them did not hold


def test_a_seek_behind_what_was_planned_ahead_sees_what_came_between(root: Path, fill: Callable[..., Catalog]) -> None:
    runs = begin(root, fill)
    reader = RunReader(root, "a")
    rows(reader, 0, 200)
    runs.switch("a", Mixtures(root).apply(f"{MIXTURE}within = 'equal'\n"))
    assert rows(reader, 400, 420) == rows(RunReader(root, "a"), 400, 420)
    assert rows(reader, 190, 230) == rows(RunReader(root, "a"), 190, 230)


def test_what_a_caller_does_to_a_batch_is_not_seen_by_the_next_read(root: Path, fill: Callable[..., Catalog]) -> None:
    begin(root, fill)
    reader = RunReader(root, "a")
    first = reader.read(5)
    tokens, origin = first.tokens.copy(), first.origin.copy()
    first.tokens[:], first.origin["row"] = 0, -1
    again = reader.read(5)
    assert (again.tokens == tokens).all()
    assert (again.origin == origin).all()


def test_reading_on_writes_no_more_than_the_segment_that_is_read(root: Path, fill: Callable[..., Catalog]) -> None:
    begin(root, fill)
    reader = RunReader(root, "a")
    for step in (0, 31, 32, 95, 96):
        reader.read(step)
        assert RunReader(root, "a", read_only=True).is_forecast(step // 32 * 32 + 32)


@pytest.mark.parametrize("at", [2, 7, 24])
def test_batches_that_are_skipped_up_to_the_end_of_what_was_planned(
    root: Path, fill: Callable[..., Catalog], at: int
) -> None:
    """Given skips of every length a little behind the ledger's end, while a reader has planned some way beyond it."""
    runs = begin(root, fill)
    for batches in range(1, 70):
        name = f"skips-{at}-{batches}"
        runs.create(name, mixture="m", seed=7, global_batch=8, segment_batches=8)
        reader = RunReader(root, name)
        before = rows(reader, 0, at)
        start = reader._journal.ledger.end + 3
        runs.skip(name, start, batches)
        steps = [*range(at, start), *range(start + batches, start + batches + 40)]
        found = before + [reader.read(step).origin.tolist() for step in steps]
        fresh = RunReader(root, name)
        assert found == [fresh.read(step).origin.tolist() for step in [*range(at), *steps]], batches
