"""Control-C at any line of an act: nothing that an entry names is lost, and an act that is repeated is done once.

PHASEMIX_KILLS times as many moments are tried; they are drawn from PHASEMIX_FAULT_SEED (0 by default).
"""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from acts import ACTS, World, repeat

from streamer import Catalog
from streamer.store.directory_store import DirectoryStore
from streamer.store.log import Log

TRIES = 42 * int(os.environ.get("PHASEMIX_KILLS", "1"))  # of each act
SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))
REPOSITORY = Path(__file__).parents[2]
DECISIVE = ("append", "put_if_absent", "_aside", "sync_folder", "_publish")
PLACES = tuple(f"{REPOSITORY}/{package}/" for package in ("streamer", "mixer", "generators"))


class Interrupter:
    """Counts the lines that product code goes through, and raises KeyboardInterrupt at the `at`-th, once.

    With `functions` only lines of those count: the code that writes an entry, or cleans up where none was written.
    """

    def __init__(self, at: int | None, functions: Sequence[str] = ()) -> None:
        self.lines, self.at, self.functions = 0, at, functions

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PLACES):
            return None
        if event == "line" and (not self.functions or frame.f_code.co_name in self.functions):
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self.trace

    @contextmanager
    def at_work(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            yield
        finally:
            sys.settrace(before)


@pytest.fixture
def world(tmp_path: Path) -> World:
    root = tmp_path / "root"
    return World(DirectoryStore(root), lambda: DirectoryStore(root), tmp_path)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # an interrupt may come right after a file was opened
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
@pytest.mark.parametrize("name", ACTS)
def test_an_interrupted_act_loses_nothing_and_is_done_once_when_repeated(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[str] = []
    append = Log.append

    def noted(log: Log, *arguments: Any, **named: Any) -> Any:
        found = append(log, *arguments, **named)
        returned.append(log.name)
        return found

    chance = random.Random(f"{SEED} {name}")
    world.act(name, 1)()
    everywhere, at_the_end = Interrupter(None), Interrupter(None, DECISIVE)
    for number, counter in enumerate((everywhere, at_the_end), start=2):
        act = world.act(name, number)
        with counter.at_work():
            act()
    monkeypatch.setattr(Log, "append", noted)
    interrupters = [Interrupter(chance.randint(1, everywhere.lines)) for _ in range(TRIES // 2)]
    last = range(at_the_end.lines - 40, at_the_end.lines + 1)  # of the act's last append, which is the one that counts
    interrupters += [Interrupter(chance.choice(last), DECISIVE) for _ in range(TRIES - len(interrupters))]
    decided = 0  # interrupts of which whoever meets them cannot know whether the entry stands
    for number, interrupter in enumerate(interrupters, start=4):
        act, moment = world.act(name, number), (interrupter.at, interrupter.functions)
        returned.clear()
        try:
            with interrupter.at_work():
                act()
        except KeyboardInterrupt:
            pass
        has_returned = bool(returned) and returned[-1].endswith(("/_log", "/ledger"))
        stood = world.times(name, number)[number]
        assert stood <= 1, moment
        world.check(name)
        decided += stood and not has_returned
        if not (stood and has_returned):
            repeat(act, stood)
        assert world.times(name, number)[number] == 1, (moment, stood)
    assert decided
    world.check()


def end(child: int, number: signal.Signals) -> None:
    """Signals a child until it has ended: Python drops an interrupt that comes while an object is being finalized."""
    while True:
        os.kill(child, number)
        again_s = time.monotonic() + 10
        while time.monotonic() < again_s:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_signalled_while_it_appends_leaves_whole_parts(world: World, number: signal.Signals) -> None:
    chance = random.Random(f"{SEED} {number}")
    for turn in range(TRIES // 5):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell that started pytest may ignore it
                world.act("append", 65_535)()
                os.write(writing, b"!")
                for act in range(100 * turn, 100 * turn + 10_000):
                    world.act("append", act % 65_535)()
            finally:
                os._exit(1)
        os.read(reading, 1)  # it has appended once and goes on
        time.sleep(chance.random() * 0.03)
        end(child, number)
        os.close(reading)
        os.close(writing)
        world.check("append")
    catalog = Catalog(world.straight())
    for part_id in catalog.garbage("raw/go"):
        assert catalog.remove_garbage("raw/go", part_id)
    world.check("append")
