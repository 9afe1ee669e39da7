"""A reader behind the service reads what a reader beside the store reads, also while the service is away."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from mixer import Mixtures, RunEnded, RunError, RunReader, Runs, StepError
from mixer.service import create_app
from mixer.service_journal import ServiceJournal
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'


@pytest.fixture
def server(root: Path, fill: Callable[..., Catalog]) -> Iterator[tuple[str, uvicorn.Server]]:
    fill("raw/python", 300)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(create_app(root), log_level="error"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", running
    running.should_exit = True
    thread.join()


def test_service_and_library_give_the_same_batches(server: tuple[str, uvicorn.Server], root: Path) -> None:
    remote = RunReader(root, "a", service=server[0])
    steps = [0, 40, 7, 90]
    assert all((remote.read(step).tokens == RunReader(root, "a").read(step).tokens).all() for step in steps)


def test_mistakes_come_through_by_name(server: tuple[str, uvicorn.Server], root: Path) -> None:
    remote = RunReader(root, "a", service=server[0])
    with pytest.raises(StepError, match="furthest"):
        remote.read(10_000)
    remote.read(250)
    with pytest.raises(RunEnded, match="max_passes"):
        remote.read(300)


def test_segments_in_hand_outlive_the_service_and_then_the_error_names_it(
    server: tuple[str, uvicorn.Server], root: Path
) -> None:
    remote = RunReader(root, "a", service=server[0])
    remote.read(0)
    server[1].should_exit = True
    time.sleep(0.3)
    assert remote.read(31).tokens.shape == (4, 8)
    with pytest.raises(RunError, match="is away"):
        ServiceJournal(server[0], "a", patience_s=0.5)
