"""The client says what the library says, and a reader behind the service reads what one beside the store reads."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_proxy import faulty_proxy
from serving import serving

from mixer import MixtureError, Mixtures, RunEnded, RunError, RunReader, Runs, StepError, WaitError
from mixer.client.client import MixerClient
from mixer.errors import ServiceAwayError
from mixer.ledger.reports import Report
from streamer import Catalog
from streamer.errors import UnknownOutcomeError

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'


@pytest.fixture
def service(root: Path, fill: Callable[..., Catalog]) -> Iterator[str]:
    fill("raw/python", 300)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    with serving(root) as port:
        yield f"http://127.0.0.1:{port}"


def test_service_and_library_give_the_same_batches(service: str, root: Path) -> None:
    remote = RunReader(root, "a", service=service)
    steps = [0, 40, 7, 90]
    assert all((remote.read(step).tokens == RunReader(root, "a").read(step).tokens).all() for step in steps)


def test_mistakes_come_through_by_name(service: str, root: Path) -> None:
    remote = RunReader(root, "a", service=service)
    with pytest.raises(StepError, match="furthest"):
        remote.read(10_000)
    remote.read(250)
    with pytest.raises(RunEnded, match="max_passes"):
        remote.read(300)
    with pytest.raises(RunError, match="does not exist"):
        RunReader(root, "none", service=service)
    with pytest.raises(MixtureError):
        MixerClient(service).apply("name = 1")


def test_a_fork_is_read_through_the_service_as_from_the_store(service: str, root: Path) -> None:
    RunReader(root, "a").read(60)
    Runs(root).fork("a", "b", at_step=40, skip=3)
    Runs(root).fork("b", "c", at_step=20, global_batch=8)
    for run in ("b", "c"):
        remote, local = RunReader(root, run, service=service), RunReader(root, run)
        for step in (0, 19, 20, 39, 43, 70):
            assert (remote.read(step).tokens == local.read(step).tokens).all()
            assert remote.ledger_digest(step) == local.ledger_digest(step)
    remote = RunReader(root, "b", service=service)
    assert (remote.next_step(40), remote.behind(0, 41 * 4)) == (43, 44)
    with pytest.raises(StepError, match="skipped"):
        remote.read(41)
    Runs(root).pause("b", why="lunch")
    with pytest.raises(WaitError, match="lunch"):
        remote.read(Runs(root).show("b").end_step)


def test_a_method_a_route_gives_what_the_library_gives(service: str, root: Path) -> None:
    client, runs, mixtures = MixerClient(service), Runs(root), Mixtures(root)
    assert client.session().role == "write"
    assert [row.name for row in client.streams()] == ["raw/python"]
    assert client.growth("raw/python")[-1].tokens == 2400
    assert client.apply(MIXTURE) == "m@1"
    assert client.apply_edit("m", {"raw.max_passes": 5}, why="longer") == "m@2"
    assert client.mixture("m@2").toml == mixtures.text("m@2")
    assert client.versions("m").versions == list(mixtures.versions("m"))
    assert [row.mixture for row in client.mixtures()] == ["m@2"]
    assert client.compare("m@1", "m@2") == list(mixtures.compare("m@1", "m@2"))
    assert client.preview("m", tokens=8000) == mixtures.preview("m", tokens=8000)
    assert client.preview_text(MIXTURE, tokens=8000) == mixtures.preview_text(MIXTURE, tokens=8000)
    assert client.mixture_schema()
    created = client.create("b", mixture="m@2", seed=3, global_batch=8, why="second")
    assert created == runs.show("b")
    assert client.segments("b", 0) == client.ledger("b")[:2]
    assert client.switch("b", "m@1", 200, why="back") == 200
    client.report("b", Report(start_step=0, end_step=2, streams=["raw/python"], samples=[16], loss=[1.5]))
    assert client.reports("b")[0].loss == [1.5]
    assert client.series("b", by="stream").loss[0] == [1.5]
    assert client.pause("b", why="lunch").paused is not None
    assert client.resume("b").paused is None
    assert client.skip("b", 150, 2).skipped == [(150, 2)]
    assert client.fork("b", "c", at_step=10, seed=4).parent_step == 10
    assert client.note("b", "hello")[-1].why == "hello"
    assert client.end("b", why="enough").ended is not None
    assert client.history("b") == list(runs.history("b"))
    assert {run.name for run in client.runs()} == {"a", "b", "c"}
    assert client.archive("b", why="done")
    assert ({run.name for run in client.runs()}, client.runs(archived=True)[0].name) == ({"a", "c"}, "b")
    assert not client.archive("b", undo=True)
    assert client.run("c").use == list(runs.use("c"))
    assert client.scale(2) == 2
    assert client.pool().wanted == 2
    assert client.pool_files() == []


def test_a_forked_client_opens_a_connection_of_its_own(service: str) -> None:
    client = MixerClient(service)
    assert client.streams()
    child = os.fork()
    if not child:
        os._exit(0 if client.streams() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert client.streams()


@pytest.mark.parametrize("fault", ["drop", "reset"])
def test_a_change_whose_answer_was_lost_has_an_unknown_outcome_and_is_not_sent_again(
    service: str, root: Path, fault: str
) -> None:
    with faulty_proxy(service) as proxy:
        client, proxy.meets = MixerClient(proxy.url), lambda method, path: method == "POST"
        client.runs()  # the connection is kept
        proxy.faults.append(fault)
        with pytest.raises(UnknownOutcomeError, match="look before you ask again"):
            client.note("a", "once")
        assert proxy.num_met == 1
        client.runs()
        proxy.faults.append(fault)
        assert client.segments("a", 0)  # which may be repeated
        client.close()
    noted = [event for event in Runs(root).history("a") if event.event == "noted"]
    assert len(noted) == (fault == "reset")


def test_a_service_that_is_away_is_named(root: Path) -> None:
    with pytest.raises(ServiceAwayError, match=r"cannot reach .*127.0.0.1:9 \(ConnectionRefusedError\)"):
        MixerClient("http://127.0.0.1:9").streams()
    with pytest.raises(RunError, match="cannot be the address"):
        MixerClient("127.0.0.1:8000")
