"""A random history of a pool: whatever is killed, wiped, frozen, cut off, full or answers badly, orders are filled exactly,
and a training that draws meanwhile has the batches that its run says.

The history is drawn from PHASEMIX_FAULT_SEED (0 by default); PHASEMIX_KILLS times as many events and files are tried.
With -s it says what happened.
"""

import asyncio
import contextlib
import os
import random
import resource
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
import xxhash
from cutting_proxy import CuttingProxy
from engines.moody_engine import MOODS
from pool_processes import Pool
from training_process import STORE_FAULT, digest, read_lines

from deploy.command_line import main
from deploy.local import processes
from deploy.local.redis_server import SOCKET, does_redis_answer, find_redis, redis_address, redis_argv
from generators.planning.orders import load_orders, place_order
from generators.publishing.published_files import AllPublished
from generators.publishing.publisher import FILES
from generators.publishing.publishing import create_like_the_others
from generators.queue.redis_job_queue import queue_of
from generators.recipes.recipe import add_recipe, parse_recipe, recipes_of, set_shares
from mixer import Mixtures, RunReader, Runs, Trace
from streamer import Catalog
from streamer.catalog.part_files import read_parquet
from streamer.catalog.parts import read_sidecar
from streamer.catalog.shard_rows import iterate_shard

TIMES = int(os.environ.get("PHASEMIX_KILLS", "1"))
SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))
EVENTS, FILES_WANTED, ORDERS = 26 * TIMES, 480 * TIMES, 6
STREAM, RUN = "synthetic/python", "draws"
MISTAKE = 2  # the exit code of a process that cannot begin, and says why in one line
PATIENCE_S = 120.0 + 60 * TIMES
ENGINE = Path(__file__).parent / "engines" / "moody_engine.py"
TRAINING = Path(__file__).parent / "training_process.py"
DISKS = {"root": 256, "temporary": 64}  # MiB of small disks, where they can be mounted
MIXTURE = """
name = "draws"
seq_len = 64
[[component]]
streams = "synthetic/*"
share = 0.5
within = "like"
like = "scored/*"
when_dry = "wait"
[[component]]
streams = "scored/*"
share = 0.5
"""
RECIPE = (
    'name = "short"\nversion = 1\nmost_per_seed = 1000000\nseed_characters = 400\nprompt = "{language} {variation} {seed}"\n'
)


class History:
    """A pool of five roles, an engine, a Redis, a training, and what happens to them. Whoever ended is started again.

    `disks`: those that can be filled. Pool and Redis meet through a proxy, workers and engine through another.
    """

    def __init__(self, root: Path, folder: Path, disks: list[Path]) -> None:
        self.random, self.folder, self.catalog, self.disks = random.Random(SEED), folder, Catalog(root), disks
        with socket.create_server(("127.0.0.1", 0)) as free:
            engine = free.getsockname()[1]
        self.redis_url = redis_address(folder)
        self.proxies = {
            "redis": CuttingProxy(lambda: asyncio.open_unix_connection(folder / SOCKET)),
            "engine": CuttingProxy(lambda: asyncio.open_connection("127.0.0.1", engine)),
        }
        self.pool = Pool(root, f"redis://127.0.0.1:{self.proxies['redis'].port}", self.proxies["engine"].port)
        self.mood, self.batches = folder / "mood", folder / "batches"
        self.mood.write_text("good")
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        training = (sys.executable, str(TRAINING), str(root), RUN, str(self.batches))
        self.starts: dict[str, Callable[[], subprocess.Popen[bytes]]] = {
            "redis": lambda: self._start("redis", *redis_argv(find_redis(), folder)),
            "engine": lambda: self._start("engine", sys.executable, str(ENGINE), str(engine), str(self.mood)),
            "training": lambda: self._start("training", *training),
            "planner": lambda: self.pool.start("plan"),
            **{f"worker-{name}": lambda name=name: self._worker(f"worker-{name}") for name in "ab"},  # type: ignore[misc]
            **{f"publisher-{name}": lambda name=name: self._publisher(f"publisher-{name}") for name in "ab"},  # type: ignore[misc]
        }
        self.deck: list[str] = []
        self.happened: Counter[str] = Counter()
        self.endings: Counter[tuple[str, int]] = Counter()

    def _start(self, name: str, *argv: str) -> "subprocess.Popen[bytes]":
        process = processes.start(argv, log=self.folder / f"{name}.log")
        self.pool.started.append(process)
        return process

    def _worker(self, name: str) -> "subprocess.Popen[bytes]":
        return self.pool.worker(name, "--concurrency", "4", "--silent", "4", "--timeout", "3")

    def _publisher(self, name: str) -> "subprocess.Popen[bytes]":
        return self.pool.start("publish", "--name", name, "--max-wait", "0.5", "--silent", "4")

    def tend(self) -> None:
        """Starts what does not run, as a supervisor would."""
        for name, start in self.starts.items():
            if name not in self.running or self.running[name].poll() is not None:
                if name in self.running:
                    self.endings[name, self.running[name].returncode] += 1
                self.running[name] = start()
                if name == "redis":
                    wait_for(lambda: does_redis_answer(self.redis_url))

    def happen(self) -> None:
        """One event. Each kind comes once before any comes again."""
        if not self.deck:
            self.deck = [f"kill {name}" for name in self.starts]
            self.deck += [f"{fault} {name}" for fault in ("cut", "stall") for name in self.proxies]
            self.deck += [f"full {disk.name}" for disk in self.disks]
            self.deck += [f"limit {name}" for name in ("planner", "publisher-a")]
            self.deck += [f"mood {mood}" for mood in MOODS]
            self.deck += ["wipe", "wipe", "freeze", "memory"]
            self.random.shuffle(self.deck)
        event = self.deck.pop()
        self.happened[event] += 1
        what, _, which = event.partition(" ")
        pause_s = 0.1 + 0.5 * self.random.random()
        if what == "kill":
            self.running[which].kill()
            self.running[which].wait()
        elif what == "cut":
            self.proxies[which].cut(1)
        elif what == "stall":
            self.proxies[which].stall(self.random.choice([1, 1, 6]))
        elif what == "full":
            self._fill(next(disk for disk in self.disks if disk.name == which), pause_s)
        elif what == "limit":
            self._limit(self.running[which].pid, pause_s)
        elif what == "freeze":
            self.running["redis"].send_signal(signal.SIGSTOP)
            time.sleep(1)
            self.running["redis"].send_signal(signal.SIGCONT)
        elif what == "mood":
            self.mood.write_text(which)
            time.sleep(pause_s)
            self.mood.write_text("good")
        else:
            with redis.Redis.from_url(self.redis_url) as client:
                if what == "wipe":
                    client.flushall()
                else:
                    client.config_set("maxmemory", 1)
                    time.sleep(pause_s)
                    client.config_set("maxmemory", 0)
        self.tend()
        time.sleep(pause_s)

    def _fill(self, disk: Path, pause_s: float) -> None:
        """Fills a disk but for a few kilobytes, for a time."""
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        os.truncate(ballast, max(0, ballast.stat().st_size - (self.random.choice([0, 0, 8, 64]) << 10)))
        time.sleep(1 + pause_s)
        ballast.unlink()

    def _limit(self, pid: int, pause_s: float) -> None:
        """A process may write no file beyond a size, for a time: what it writes fails in the middle, on whatever disk."""
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self.random.choice([2000, 30000]), hard))
            time.sleep(1 + pause_s)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

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
    """Reads parts of the stream again and again while the pool works: their rows stay as they were, wherever they lie."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.catalog, self.stop = Catalog(root), threading.Event()
        self.seen: dict[int, str] = {}
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.stop.wait(0.3):
            try:
                self.catalog.follow([STREAM], self.look)
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def look(self, *, all_parts: bool = False) -> None:
        if not self.catalog.stream_log(STREAM).read():
            return
        parts = self.catalog.stream(STREAM).parts
        chosen = parts if all_parts else [*parts[-3:], *random.sample(parts, min(3, len(parts)))]
        for part in chosen:
            rows = xxhash.xxh3_64()
            for shard in part.shards:
                for row in iterate_shard(self.catalog.store, part, shard):
                    rows.update(row["tokens"].tobytes())
            found = rows.hexdigest()
            read_sidecar(self.catalog.store, part)
            if self.seen.setdefault(part.number, found) != found:
                self.faults.append(f"part {part.number} has changed")


def wait_for(holds: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s
        meanwhile()
        time.sleep(0.1)


@pytest.fixture
def disks(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Folders for the root, and for temporary files and the cache of processes: small disks, where those can be mounted."""
    mounted = []
    for place, size in zip((root, tmp_path / "temporary"), DISKS.values(), strict=True):
        place.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "none", str(place)]
        if not os.getuid() and not subprocess.run(argv, capture_output=True).returncode:
            mounted.append(place)
    for name in ("TMPDIR", "PHASEMIX_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "temporary"))
    yield mounted
    for place in mounted:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def history(disks: list[Path], seeded: Catalog, root: Path) -> Iterator[History]:
    add_recipe(seeded, parse_recipe(RECIPE, name="short"))
    set_shares(seeded, {recipe.name: float(recipe.name == "short") for recipe in recipes_of(seeded)})
    create_like_the_others(seeded, STREAM)
    Mixtures(seeded).apply(MIXTURE)
    Runs(seeded).create(RUN, mixture="draws", seed=SEED, global_batch=8, segment_batches=16)
    with tempfile.TemporaryDirectory(prefix="pm") as folder:
        found = History(root, Path(folder), disks)
        with found.proxies["redis"], found.proxies["engine"]:
            yield found
            for process in found.pool.started:
                process.kill()
                process.wait()


def check_training(history: History, root: Path, published: Counter[str]) -> int:
    """What the training had is what its run gives anew, and what the trace says of it. Returns: batches that it had."""
    lines, trace = read_lines(history.batches), Trace(root, RUN)
    with RunReader(root, RUN) as reader:
        steps = max(step for step, _ in lines) + 1
        batches = [reader.read(step) for step in range(steps)]
        assert set(lines) == set(enumerate(map(digest, batches)))
        written = set[str]()
        for step in range(0, steps, 5):
            rows = trace.batch(step)
            origin = [(reader.streams.index(row.stream), row.part, row.row) for row in rows]
            assert batches[step].origin.tolist() == origin
            written |= {span.document for row in rows if row.stream == STREAM for span in row.documents or ()}
    assert written
    assert written <= published.keys()
    return steps


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
    queue = queue_of(history.catalog, history.redis_url)
    wait_for(lambda: not history.missing(), meanwhile=history.tend)
    history.running["training"].kill()
    history.running["training"].wait()
    history.starts.pop("training")
    wait_for(lambda: not sum(queue.depth()), meanwhile=history.tend)
    watcher.stop.set()
    watcher.join()
    watcher.look(all_parts=True)
    assert watcher.faults == []
    assert history.missing() == {}, history.happened
    published = history.pool.published()
    assert set(published.values()) == {1}
    orders = AllPublished(history.catalog)
    orders.refresh()
    assert orders.count() - orders.count("demand/python") == FILES_WANTED // ORDERS * ORDERS
    rows = [
        row
        for part in history.catalog.stream(STREAM).parts
        for row in read_parquet(history.catalog.store, part, FILES, ["document"])["document"].to_pylist()
    ]
    assert Counter(rows) == published
    steps = check_training(history, root, published)
    parts = len(history.catalog.stream(STREAM).parts)
    print(f"{published.total()} files in {parts} parts, {steps} batches; {history.happened}; {history.endings}")
    assert {code for _, code in history.endings} <= {-signal.SIGKILL, MISTAKE, STORE_FAULT}, history.endings
    assert main(["streams", "verify", "--root", str(root), "--json"]) == 0
