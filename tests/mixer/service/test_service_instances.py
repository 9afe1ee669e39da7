"""Two instances of the service on one root, and 64 clients that race: one order, and nothing is lost."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import serving

from mixer import MixerError, Mixtures, RunReader, Runs
from mixer.client.client import MixerClient
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "raw/*"\nshare = 1\n'
CLIENTS, ASKED = 64, 6
SEEDS = range(3)


class Racer:
    """One client: what it took in of the run's ledger, and the versions it made."""

    def __init__(self, address: str, number: int, seed: int) -> None:
        self.client, self.random = MixerClient(address), random.Random(seed * CLIENTS + number)
        self.number, self.ledger, self.made = number, list[dict[str, Any]](), dict[str, float]()
        self.refused: list[str] = []

    def race(self) -> None:
        for turn in range(ASKED):
            ask = self.random.choice([self.segments, self.segments, self.switch, self.apply, self.poll])
            try:
                ask(turn)
            except MixerError as error:
                self.refused.append(str(error))

    def segments(self, turn: int) -> None:
        step = sum(body.get("batches", 0) for body in self.ledger) + self.random.randrange(12)
        self.ledger += self.client.segments("a", step, len(self.ledger))

    def poll(self, turn: int) -> None:
        self.ledger += self.client.ledger("a", len(self.ledger))
        assert self.client.run("a").end_step >= sum(body.get("batches", 0) for body in self.ledger)

    def switch(self, turn: int) -> None:
        self.client.switch("a", "m", why=f"client {self.number}")

    def apply(self, turn: int) -> None:
        share = (1 + self.number * ASKED + turn) / 1000
        self.made[self.client.apply_edit("m", {"all.pin.python": share}, why=f"client {self.number}")] = share


@pytest.mark.parametrize("seed", SEEDS)
def test_racing_clients_of_two_instances_see_one_order(root: Path, fill: Callable[..., Catalog], seed: int) -> None:
    fill("raw/python", 300)
    fill("raw/go", 300)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=seed, global_batch=4, segment_batches=4)
    with serving(root) as one, serving(root) as two:
        addresses = [f"http://127.0.0.1:{port}" for port in (one, two)]
        racers = [Racer(addresses[number % 2], number, seed) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as threads:
            for raced in [threads.submit(racer.race) for racer in racers]:
                raced.result()
        log = Catalog(root).log("runs/a/ledger").read()
        readers = [RunReader(root, "a", service=address) for address in addresses]
        library = RunReader(root, "a", read_only=True)
        for step in range(library.settings.segment_batches * 6):
            batches = [reader.read(step) for reader in (*readers, RunReader(root, "a"))]
            assert all((batch.tokens == batches[0].tokens).all() for batch in batches)
    assert not [said for racer in racers for said in racer.refused]
    assert all(racer.ledger == log[: len(racer.ledger)] for racer in racers)
    ends = [0]
    for body in log:
        if body["event"] == "segment":
            assert body["start"] == ends[-1]
            ends.append(body["start"] + body["batches"])
    assert sum(body["event"] == "switched" for body in log) > 0
    made = {reference: share for racer in racers for reference, share in racer.made.items()}
    versions = Mixtures(root).versions("m")
    assert [version.mixture for version in versions] == [f"m@{number}" for number in range(1, len(made) + 2)]
    for reference, share in made.items():
        assert Mixtures(root).load(reference)[1].component[0].pin == {"python": share}
    assert {version.why for version in versions[1:]} <= {f"client {number}" for number in range(CLIENTS)}
