"""A random history of a pool: whatever is killed, wiped, frozen or answers badly, orders are filled exactly.

The history is drawn from PHASEMIX_FAULT_SEED (0 by default); PHASEMIX_KILLS times as many events and files are tried.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from engines.moody_engine import MOODS
from pool_processes import Pool

from deploy.command_line import main
from deploy.local import processes
from deploy.local.redis_server import does_redis_answer, find_redis, redis_address, redis_argv
from generators.planning.orders import load_orders, place_order
from generators.publishing.published_files import AllPublished
from generators.publishing.publisher import FILES
from generators.queue.redis_job_queue import queue_of
from generators.recipes.recipe import add_recipe, parse_recipe, recipes_of, set_shares
from streamer import Catalog
from streamer.catalog.part_files import read_parquet
from streamer.catalog.parts import check_hash, read_sidecar
from streamer.catalog.shard_rows import local_copy

TIMES = int(os.environ.get("PHASEMIX_KILLS", "1"))
SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))
EVENTS, FILES_WANTED, ORDERS = 40 * TIMES, 600 * TIMES, 6
STREAM = "synthetic/python"
PATIENCE_S = 120.0 + 60 * TIMES
ENGINE = Path(__file__).parent / "engines" / "moody_engine.py"
RECIPE = (
    'name = "short"\nversion = 1\nmost_per_seed = 1000000\nseed_characters = 400\nprompt = "{language} {variation} {seed}"\n'
)


class History:
    """A pool of five roles, an engine and a Redis, and what happens to them. Whoever ended is started again."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.random, self.folder, self.catalog = random.Random(SEED), folder, Catalog(root)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.pool = Pool(root, redis_address(folder), self.port)
        self.mood = folder / "mood"
        self.mood.write_text("good")
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.starts: dict[str, Callable[[], subprocess.Popen[bytes]]] = {
            "redis": lambda: self._start("redis", *redis_argv(find_redis(), folder)),
            "engine": lambda: self._start("engine", sys.executable, str(ENGINE), str(self.port), str(self.mood)),
            "planner": lambda: self.pool.start("plan"),
            **{f"worker-{name}": lambda name=name: self._worker(f"worker-{name}") for name in "ab"},  # type: ignore[misc]
            **{f"publisher-{name}": lambda name=name: self._publisher(f"publisher-{name}") for name in "ab"},  # type: ignore[misc]
        }
        self.happened: Counter[str] = Counter()

    def _start(self, name: str, *argv: str) -> "subprocess.Popen[bytes]":
        process = processes.start(argv, log=self.folder / f"{name}.log")
        self.pool.started.append(process)
        return process

    def _worker(self, name: str) -> "subprocess.Popen[bytes]":
        return self.pool.worker(name, "--concurrency", "16", "--silent", "4", "--timeout", "3")

    def _publisher(self, name: str) -> "subprocess.Popen[bytes]":
        return self.pool.start("publish", "--name", name, "--max-wait", "0.5", "--silent", "4")

    def tend(self) -> None:
        """Starts what does not run, as a supervisor would."""
        for name, start in self.starts.items():
            if name not in self.running or self.running[name].poll() is not None:
                self.running[name] = start()
                if name == "redis":
                    wait_for(lambda: does_redis_answer(self.pool.redis_url))

    def happen(self) -> None:
        """One event."""
        kills = [f"kill {name}" for name in self.starts]
        event = self.random.choice([*kills, "wipe", "wipe", "freeze", "memory", *(f"mood {mood}" for mood in MOODS)])
        self.happened[event] += 1
        what, _, which = event.partition(" ")
        pause_s = 0.2 + 0.6 * self.random.random()
        if what == "kill":
            self.running[which].kill()
            self.running[which].wait()
        elif what == "freeze":
            self.running["redis"].send_signal(signal.SIGSTOP)
            time.sleep(1)
            self.running["redis"].send_signal(signal.SIGCONT)
        elif what == "mood":
            self.mood.write_text(which)
            time.sleep(pause_s)
            self.mood.write_text("good")
        else:
            with redis.Redis.from_url(self.pool.redis_url) as client:
                if what == "wipe":
                    client.flushall()
                else:
                    client.config_set("maxmemory", 1)
                    time.sleep(pause_s)
                    client.config_set("maxmemory", 0)
        self.tend()
        time.sleep(pause_s)

    def missing(self) -> dict[str, int]:
        """How many files each order is short of, or below 0 over."""
        published = AllPublished(self.catalog)
        published.refresh()
        return {
            order.purpose: short
            for order in load_orders(self.catalog)
            if (short := order.files - published.count(order.purpose))
        }


class Watcher(threading.Thread):
    """Reads every part of the stream again and again while the pool works; what it saw must stay as it was."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.catalog, self.stop = Catalog(root), threading.Event()
        self.seen: dict[int, tuple[str, ...]] = {}
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.stop.wait(0.3):
            try:
                self.look()
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def look(self, *, all_parts: bool = False) -> None:
        if not self.catalog.stream_log(STREAM).read():
            return
        parts = self.catalog.stream(STREAM).parts
        chosen = parts if all_parts else [*parts[-3:], *random.sample(parts, min(3, len(parts)))]
        for part in chosen:
            for shard in part.shards:
                with local_copy(self.catalog.store, f"{part.folder}/{shard.name}") as path:
                    check_hash(path, shard)
            read_sidecar(self.catalog.store, part)
            found = tuple(shard.xxh3 for shard in part.shards)
            if self.seen.setdefault(part.number, found) != found:
                self.faults.append(f"part {part.number} has changed")


def wait_for(holds: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s
        meanwhile()
        time.sleep(0.1)


@pytest.fixture
def history(seeded: Catalog, root: Path) -> Iterator[History]:
    add_recipe(seeded, parse_recipe(RECIPE, name="short"))
    set_shares(seeded, {recipe.name: float(recipe.name == "short") for recipe in recipes_of(seeded)})
    with tempfile.TemporaryDirectory(prefix="pm") as folder:
        found = History(root, Path(folder))
        yield found
        for process in found.pool.started:
            process.kill()
            process.wait()


def test_every_file_is_published_once_and_every_order_filled_exactly(history: History, root: Path) -> None:
    history.tend()
    watcher = Watcher(root)
    watcher.start()
    placed = 0
    for turn in range(EVENTS):
        while placed < ORDERS and turn >= placed * EVENTS // (ORDERS + 1):
            glob, language = [("scored/*", None), ("documents/*", "python")][placed % 2]
            place_order(history.catalog, glob, files=FILES_WANTED // ORDERS, language=language)
            placed += 1
        history.happen()
    queue = queue_of(history.catalog, history.pool.redis_url)
    wait_for(lambda: not history.missing(), meanwhile=history.tend)
    wait_for(lambda: not sum(queue.depth()), meanwhile=history.tend)
    watcher.stop.set()
    watcher.join()
    watcher.look(all_parts=True)
    assert watcher.faults == []
    assert history.missing() == {}, history.happened
    published = history.pool.published()
    assert set(published.values()) == {1}
    assert sum(published.values()) == FILES_WANTED // ORDERS * ORDERS
    rows = [
        row
        for part in history.catalog.stream(STREAM).parts
        for row in read_parquet(history.catalog.store, part, FILES, ["document"])["document"].to_pylist()
    ]
    assert Counter(rows) == published
    assert main(["streams", "verify", "--root", str(root), "--json"]) == 0
