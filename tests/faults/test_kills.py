"""`kill -9` at random moments: what was handed out before and after is the run's one order, nothing lost or repeated.

The moments are drawn from PHASEMIX_FAULT_SEED (0 by default); PHASEMIX_KILLS times as many are tried.
"""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nursery import KILLED, Moment, Nursery
from roles import FINISHED, WORKER_DIED, digest, read_lines

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog

KILLS = int(os.environ.get("PHASEMIX_KILLS", "1"))
SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))
SEQ_LEN, GLOBAL_BATCH, INTERVAL = 4, 12, 7
ASIDE = re.compile(r"\.(?P<name>[^/]+)\.[0-9a-f]{12}")


class World:
    """A run of three streams that grows and switches while it is read; `lines`: what was handed out."""

    def __init__(self, folder: Path, nursery: Nursery, *, nodes: int, seed: int) -> None:
        self.root, self.lines, self.nursery = folder / "catalog", folder / "lines", nursery
        self.random, self._first_id = random.Random(seed), 0
        for name, samples in (("raw/python", 90), ("raw/go", 600), ("raw/c", 7)):
            self.publish(name, samples)
        Mixtures(self.root).apply(mixture(python=5, go=3, c=1))
        Runs(self.root).create(
            "a", mixture="m@1", seed=seed, global_batch=GLOBAL_BATCH, canonical_nodes=nodes, segment_batches=3, write_ahead=9
        )

    def moment(self, calls: int, **where: Any) -> Moment:
        """Up to so many calls away, more often soon."""
        return Moment(1 + int(calls * self.random.random() ** 2), **where)

    def publish(self, name: str, samples: int) -> None:
        rows = np.arange(samples * SEQ_LEN, dtype=np.uint16).reshape(samples, SEQ_LEN) + np.uint16(self._first_id)
        self._first_id += rows.size
        Catalog(self.root).append(name, rows, seq_len=SEQ_LEN)

    def change(self, turn: int) -> None:
        """What goes on beside the readers: parts, switches, and publishers and switchers that are killed too."""
        match turn % 4:
            case 0:
                self.publish("raw/python", 11 + turn % 7)
            case 1:
                reference = Mixtures(self.root).apply(mixture(python=1 + turn % 3, go=turn % 5, c=1 + turn % 2))
                Runs(self.root).switch("a", reference)
            case 2:
                self.nursery.start(self.moment(600), "publish", self.root, "raw/go", 30, SEQ_LEN)
            case 3:
                self.nursery.start(self.moment(300), "switch", self.root, "a", "m@1")

    def check(self) -> None:
        """What was noted is what three ranks read now, from the start, with whatever the killed left behind."""
        found = read_lines(self.lines)
        assert [step for step, _ in found] == list(range(len(found)))
        readers = [RunReader(self.root, "a", rank, 3) for rank in range(3)]
        for step, noted in found:
            batches = [reader.read(step) for reader in readers]
            tokens = b"".join(batch.tokens.tobytes() for batch in batches)
            assert digest(tokens, b"".join(batch.origin.tobytes() for batch in batches)) == noted, step
        bodies = Catalog(self.root).log("runs/a/ledger").read()
        drawn = [body for body in bodies if body["event"] == "segment" and body["start"] < len(found)]
        assert len({body["plan"] for body in drawn}) > 1
        assert sum(len(body.get("joins", [])) for body in drawn[1:]) > 1

    def check_files(self) -> None:
        """A file aside, or a probe, of a killed writer is all that is left over; without them the run is the same."""
        for path in [path for path in self.root.rglob("*") if path.is_file()]:
            if path.name.startswith("."):
                assert ASIDE.fullmatch(path.name), path
                path.unlink()
            elif path.parent.name == "probes":
                path.unlink()
            elif "_parts" in path.parts:
                assert path.suffix in (".mds", ".json"), path
            else:
                assert path.name.isdigit(), path
        self.check()


def mixture(**weights: int) -> str:
    within = ", ".join(f"{key} = {weight}" for key, weight in weights.items())
    return f'name = "m"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\nwithin = {{ {within} }}\n'


@pytest.fixture
def nursery(request: pytest.FixtureRequest, no_memory_is_left: None) -> Iterator[Nursery]:
    """Processes to kill; afterwards none runs any more and none has left shared memory behind."""
    with Nursery(request.param, interval=INTERVAL) as found:
        yield found
        assert found.close() == []


@pytest.mark.parametrize("nursery", [["mixer"]], indirect=True)
@pytest.mark.parametrize("nodes", [1, 2])
def test_readers_that_are_killed_hand_out_every_batch_once(nursery: Nursery, tmp_path: Path, nodes: int) -> None:
    """12 kills each, every second of them while an object is put: a probe, a segment or a state."""
    world = World(tmp_path, nursery, nodes=nodes, seed=SEED + nodes)
    for turn in range(12 * KILLS):
        moment = world.moment(400, function="put_if_absent") if turn % 2 else world.moment(40_000)
        pid = nursery.start(moment, "read", world.root, "a", world.lines, None)
        world.change(turn)
        assert nursery.wait(pid) == (pid, KILLED), moment
    pid = nursery.start(None, "read", world.root, "a", world.lines, len(read_lines(world.lines)) + 20)
    assert nursery.wait(pid) == (pid, FINISHED)
    world.check()
    world.check_files()


@pytest.mark.parametrize("nursery", [["training.loading.loader"]], indirect=True)
def test_loaders_that_are_killed_or_whose_workers_are_hand_out_every_batch_once(nursery: Nursery, tmp_path: Path) -> None:
    """12 kills, of the loader and of its worker processes in turn; what it orphans ends by itself."""
    world = World(tmp_path, nursery, nodes=1, seed=SEED)
    for turn in range(12 * KILLS):
        moment = world.moment(12_000, worker=turn % 2 == 1)
        pid = nursery.start(moment, "load", world.root, "a", world.lines, None)
        world.change(turn)
        assert nursery.wait(pid) == (pid, WORKER_DIED if moment.worker else KILLED), moment
    pid = nursery.start(None, "load", world.root, "a", world.lines, len(read_lines(world.lines)) + 20)
    assert nursery.wait(pid) == (pid, FINISHED)
    world.check()


@pytest.mark.parametrize("nursery", [["mixer.service", "uvicorn", "httpx"]], indirect=True)
def test_services_and_the_readers_behind_them_are_killed_and_every_batch_is_handed_out_once(
    nursery: Nursery, tmp_path: Path
) -> None:
    """14 kills, of the service and of the reader in turn, and each time of the other too, as when a machine fails."""
    world = World(tmp_path, nursery, nodes=1, seed=SEED)
    address = f"http://127.0.0.1:{nursery.port}"
    for turn in range(14 * KILLS):
        doomed, moment = turn % 2, world.moment(10_000)
        service = nursery.start(None if doomed else moment, "serve", world.root)
        reader = nursery.start(moment if doomed else None, "read", world.root, "a", world.lines, None, address)
        world.change(turn)
        pids = [service, reader]
        assert nursery.wait(*pids) == (pids[doomed], KILLED), moment
        nursery.kill(pids[1 - doomed])
    service = nursery.start(None, "serve", world.root)
    reader = nursery.start(None, "read", world.root, "a", world.lines, len(read_lines(world.lines)) + 20, address)
    assert nursery.wait(service, reader) == (reader, FINISHED)
    nursery.kill(service)
    world.check()
