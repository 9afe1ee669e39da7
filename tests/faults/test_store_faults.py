"""An object store that fails once, or for a while, at any request of an act: it is done once, nothing is lost, nothing torn.

PHASEMIX_KILLS times as many faults are tried; they are drawn from PHASEMIX_FAULT_SEED (0 by default).
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acts import ACTS, World, repeat
from faulty_proxy import FAULTS, FaultyProxy, faulty_proxy

from streamer.errors import StoreError
from streamer.store import object_store
from streamer.store.object_store import ObjectStore

TRIES = 40 * int(os.environ.get("PHASEMIX_KILLS", "1"))  # of each act
SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow soon on each other, and an act makes the same requests whenever it is done."""
    monkeypatch.setattr(object_store, "FRESH_S", 1e9)
    monkeypatch.setattr(object_store, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(object_store, "LONGEST_WAIT_S", 0.1)


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_endpoint) as found:
        found.meets, found.skip = lambda method, path: True, 1 << 30
        yield found


@pytest.fixture
def make_store(proxy: FaultyProxy, s3_store: Callable[..., ObjectStore]) -> Callable[[], ObjectStore]:
    return lambda: s3_store(proxy.url, read_timeout="200ms", timeout="2s")


@pytest.fixture
def world(make_store: Callable[[], ObjectStore], s3_store: Callable[..., ObjectStore], tmp_path: Path) -> World:
    return World(make_store(), s3_store, tmp_path)


def requests_of(world: World, proxy: FaultyProxy, name: str, number: int) -> int:
    """How many requests an act makes."""
    act, proxy.num_met = world.act(name, number), 0
    act()
    return proxy.num_met


@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_meets_a_fault_is_done_once(world: World, proxy: FaultyProxy, name: str) -> None:
    chance, requests = random.Random(f"{SEED} {name}"), requests_of(world, proxy, name, 1)
    requests = requests_of(world, proxy, name, 2)
    met = {number: (chance.choice(FAULTS), chance.randrange(requests)) for number in range(3, 3 + TRIES)}
    for number, (fault, at) in met.items():
        act = world.act(name, number)
        proxy.faults.append(fault)
        proxy.skip = at
        act()
        proxy.skip = 1 << 30
        assert not proxy.faults, (fault, at)
    times = world.times(name, *met)
    assert times == dict.fromkeys(met, 1), {number: met[number] for number in met if times[number] != 1}
    world.check()


@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_the_store_fails_for_long_is_done_once_when_it_is_repeated(
    world: World, proxy: FaultyProxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"{SEED} {name} long")
    requests = requests_of(world, proxy, name, 1)
    requests = requests_of(world, proxy, name, 2)
    for number in range(3, 3 + TRIES // 8):
        fault, at = chance.choice(("500", "drop", "late 500", "reset")), chance.randrange(requests)
        act = world.act(name, number)
        proxy.for_ever, proxy.skip = fault, at
        monkeypatch.setattr(world.catalog.store, "_retry_s", 0.1)
        try:
            with pytest.raises(StoreError):
                act()
        finally:
            proxy.for_ever, proxy.skip = "", 1 << 30
            monkeypatch.setattr(world.catalog.store, "_retry_s", 20.0)
        stood = world.times(name, number)[number]
        assert stood <= 1
        world.check(name)
        repeat(act, stood)
        assert world.times(name, number)[number] == 1, (fault, at, stood)
