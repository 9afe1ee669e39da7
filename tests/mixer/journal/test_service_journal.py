"""A trainer behind a service: it holds segments for five minutes, and an absent service changes no sample of it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import serving

from mixer import Mixtures, RunError, RunReader, Runs, StepError
from mixer.journal.service_journal import Pace, ServiceJournal, choose_ahead
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
SEGMENT, WRITE_AHEAD = 8, 256


class World:
    """A clock that only moves when somebody sleeps or works, and what is to happen at its times."""

    def __init__(self) -> None:
        self.now_s, self.said = 0.0, list[str]()
        self.events: list[tuple[float, Callable[[], object]]] = []

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for event in [event for event in self.events if event[0] <= self.now_s]:
            self.events.remove(event)
            event[1]()


@pytest.fixture
def filled(root: Path, fill: Callable[..., Catalog]) -> Path:
    fill("raw/python", 300)
    mixture = Mixtures(root).apply(MIXTURE)
    Runs(root).create("a", mixture=mixture, seed=1, global_batch=4, segment_batches=SEGMENT, write_ahead=WRITE_AHEAD)
    return root


class Switchable:
    """A service that can be stopped and started at one port."""

    def __init__(self, root: Path) -> None:
        self._root, self._serving, self.port = root, serving(root), 0
        self.start()

    def start(self) -> None:
        self._serving = serving(self._root, port=self.port)
        self.port = self._serving.__enter__()

    def stop(self) -> None:
        self._serving.__exit__(None, None, None)


@pytest.fixture
def service(filled: Path) -> Iterator[Switchable]:
    found = Switchable(filled)
    yield found
    found.stop()


def journal(service: Switchable, world: World, **more: float) -> ServiceJournal:
    return ServiceJournal(
        f"http://127.0.0.1:{service.port}", "a", clock=world.clock, sleep=world.sleep, say=world.said.append, **more
    )


def train(found: ServiceJournal, world: World, steps: range, step_s: float) -> float:
    """Goes through steps at a pace; the longest that it stood still."""
    longest_s = 0.0
    for step in steps:
        before_s = world.now_s
        found.ensure(step)
        found.settle()
        longest_s = max(longest_s, world.now_s - before_s)
        world.sleep(step_s)
    return longest_s


@pytest.mark.parametrize("step_s", [0.3, 1.5, 4.0, 30.0])
def test_with_the_service_stopped_for_five_minutes_a_trainer_does_not_stand_still(
    service: Switchable, filled: Path, step_s: float
) -> None:
    world = World()
    found = journal(service, world)
    before = int(120 / step_s) + SEGMENT
    train(found, world, range(before), step_s)
    service.stop()
    steps = int(300 / step_s)
    assert train(found, world, range(before, before + steps), step_s) == 0.0
    service.start()
    assert train(found, world, range(before + steps, before + steps + 20), step_s) == 0.0
    assert world.said == []
    log = Catalog(filled).log("runs/a/ledger").read()
    assert found.ledger.digest(found.written) == ledger_of(filled).digest(found.written)
    assert log[-1]["start"] + log[-1]["batches"] <= before + 2 * steps + 20 + 3 * SEGMENT


def ledger_of(root: Path) -> object:
    return RunReader(root, "a", read_only=True)._journal.ledger


def test_what_is_held_goes_on_behind_batches_that_are_skipped(service: Switchable, filled: Path) -> None:
    Runs(filled).skip("a", 16, 100)
    found, world = journal(service, World()), World()
    train(found, world, range(12, 14), 1.0)
    assert found.ledger.skips.next(16) == 116 < found.written


def test_a_reader_that_needs_a_segment_waits_and_says_so_until_the_service_is_back(service: Switchable) -> None:
    world = World()
    found = journal(service, world)
    found.ensure(0)
    found.settle()
    held = found.written
    service.stop()
    world.events.append((300.0, service.start))
    found.ensure(held + 2 * SEGMENT)
    assert found.written > held + 2 * SEGMENT
    assert 300.0 <= world.now_s < 310.0
    assert len(world.said) >= 10
    assert "waits, " in world.said[0]
    assert "cannot reach" in world.said[0]


def test_after_its_patience_the_error_names_the_service(service: Switchable) -> None:
    world = World()
    found = journal(service, world, patience_s=60.0)
    service.stop()
    with pytest.raises(RunError, match=r"cannot reach .*127.0.0.1.*waited for 60 s"):
        found.ensure(200)
    assert world.now_s <= 60.0
    service.start()
    found.ensure(200)
    assert found.written > 200


def test_a_batch_is_the_same_before_while_and_after_the_service_is_away(service: Switchable, filled: Path) -> None:
    remote = RunReader(filled, "a", service=f"http://127.0.0.1:{service.port}")
    local = RunReader(filled, "a", read_only=True)
    tokens = [remote.read(step).tokens for step in range(4)]
    service.stop()
    wakes = threading.Timer(1.0, service.start)
    wakes.start()
    tokens += [remote.read(step).tokens for step in range(4, 60)]
    wakes.join()
    assert all((found == local.read(step).tokens).all() for step, found in enumerate(tokens))


def test_the_ledger_is_written_no_further_than_five_minutes_and_five_times_write_ahead() -> None:
    assert choose_ahead(0.0, 300.0, 32, 256) == 32
    assert choose_ahead(0.1, 300.0, 32, 256) == 62
    assert choose_ahead(100.0, 300.0, 32, 256) == 5 * 256 - 32
    assert choose_ahead(1.0, 300.0, 64, 32) == 96


def test_a_pace_is_that_of_the_last_two_minutes_and_begins_anew_when_a_trainer_goes_back() -> None:
    pace = Pace()
    for second in range(300):
        pace.note(float(second), second * 2 if second < 150 else 300 + (second - 150) * 4)
    assert pace.steps_per_s == pytest.approx(4.0)
    pace.note(300.0, 10)
    assert pace.steps_per_s == 0.0
    pace.note(302.0, 12)
    assert pace.steps_per_s == 0.0


def test_a_step_below_0_is_refused_without_asking(service: Switchable) -> None:
    found = journal(service, World())
    service.stop()
    with pytest.raises(StepError, match="below 0"):
        found.ensure(-1)
    service.start()
