"""On an object store the ledger grows in a thread: whoever reads waits for no answer of the store."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.store.object_store import ObjectStore

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
REQUESTS = ("get", "put_if_absent", "numbers", "list")


@pytest.fixture
def runs(s3_store: Callable[..., ObjectStore]) -> Runs:
    store = s3_store()
    for name, samples in (("raw/python", 700), ("raw/go", 300)):
        Catalog(store).append(name, np.arange(samples * 8, dtype=np.uint16).reshape(-1, 8), seq_len=8)
    runs = Runs(store)
    runs.create("a", mixture=Mixtures(store).apply(MIXTURE), seed=7, global_batch=4, segment_batches=8)
    return runs


def read_on(reader: RunReader, first: int, end: int) -> list[Any]:
    """The rows of batches, at the pace of a training that is slower than the store."""
    found = []
    for step in range(first, end):
        found.append(reader.read(step).origin.tolist())
        while reader._ahead is not None and reader._ahead.is_busy:
            time.sleep(0.001)
    return found


def test_after_its_first_batch_a_reader_asks_the_store_for_nothing_itself(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = RunReader(runs.catalog.store, "a")
    found = read_on(reader, 0, 1)
    asked: list[str] = []
    others: list[str] = []
    for name in REQUESTS:
        method = getattr(ObjectStore, name)

        def request(store: ObjectStore, *arguments: Any, _method: Any = method, **named: Any) -> Any:
            (asked if threading.current_thread() is threading.main_thread() else others).append(arguments[0])
            return _method(store, *arguments, **named)

        monkeypatch.setattr(ObjectStore, name, request)
    found += read_on(reader, 1, 200)
    assert not asked
    assert "runs/a/ledger/00000005" in "\n".join(others)
    assert found == read_on(RunReader(runs.catalog.store, "a", read_only=True), 0, 200)


def test_two_readers_and_a_switch_agree(runs: Runs) -> None:
    one, two = (RunReader(runs.catalog.store, "a") for _ in range(2))
    found = read_on(one, 0, 60)
    found += read_on(two, 60, 90)
    assert read_on(one, 60, 90) == found[60:]
    runs.switch("a", Mixtures(runs.catalog).apply(f"{MIXTURE}within = 'equal'\n"))
    found += read_on(two, 90, 200)
    assert read_on(one, 90, 200) == found[90:]
    assert read_on(RunReader(runs.catalog.store, "a"), 0, 200) == found


def test_a_reader_that_is_faster_than_the_store_waits_for_what_is_being_written(runs: Runs) -> None:
    reader = RunReader(runs.catalog.store, "a")
    found = [reader.read(step).origin.tolist() for step in range(200)]
    assert found == read_on(RunReader(runs.catalog.store, "a", read_only=True), 0, 200)


def test_a_closed_reader_and_one_that_was_interrupted_read_on(runs: Runs) -> None:
    reader = RunReader(runs.catalog.store, "a")
    whole = read_on(RunReader(runs.catalog.store, "a", read_only=True), 0, 60)
    for step in range(60):
        if reader._is_ahead and step % 3 == 0:
            reader.close()
        elif reader._is_ahead:
            reader._is_torn = True  # as an interrupt leaves it
        assert reader.read(step).origin.tolist() == whole[step]
