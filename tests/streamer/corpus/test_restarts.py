"""A build that is killed, in every stage, by SIGKILL; a worker that is killed; what lies in the working folder."""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from datatrove.pipeline.base import PipelineStep

from streamer import Catalog
from streamer.commands.corpus import INGEST
from streamer.corpus.executors import Execution, run_stage
from streamer.corpus.parts.report import CorpusReport
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe, Source
from streamer.corpus.spool import SpoolWriter
from streamer.corpus.work_folder import PLACE, WorkFolder, key_of
from streamer.errors import CorpusError

KILLED_IN = """
import os, signal, sys
from pathlib import Path
import msgspec
from streamer import Catalog
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe, Source

def progress(step, done, total):
    if step == sys.argv[4] and done >= int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    recipe = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Recipe)
    build(Catalog(sys.argv[2]), recipe, tasks=int(sys.argv[3]), progress=progress, executor=sys.argv[6])
"""


def hashes(catalog: Catalog) -> dict[str, list[str]]:
    return {
        found.name: [shard.xxh3 for part in catalog.stream(found.name).parts for shard in part.shards]
        for found in catalog.streams()
    }


@pytest.mark.parametrize(
    ("tasks", "workers", "stages"),
    [(2, 1, [stage.name for stage in INGEST]), (5, 2, ["read", "deduplicate", "score", "pack"])],
)
def test_a_build_killed_in_every_stage_gives_the_same_bytes(
    whole: tuple[Catalog, CorpusReport], recipe: Recipe, tmp_path: Path, tasks: int, workers: int, stages: list[str]
) -> None:
    from train_process import Forked, forks  # not at the top: Ray's workers import this file, and have no path to that one

    given = msgspec.structs.replace(recipe, workers=workers)
    (tmp_path / "recipe.json").write_bytes(msgspec.json.encode(given))
    (tmp_path / "killed_in.py").write_text(KILLED_IN)
    before = set(Path(tempfile.gettempdir()).glob("phasemix-corpus*"))
    for stage in stages:
        arguments = ["recipe.json", "root", str(tasks), stage, str(int(stage == "publish")), "local"]
        killed = Forked(forks("streamer.corpus.pipeline", "streaming"), tmp_path / "killed_in.py", arguments, tmp_path)
        assert killed.poll(timeout=300) == -signal.SIGKILL, killed.output()
        assert killed.output() == ""
    catalog = Catalog(tmp_path / "root")
    report = build(catalog, given, tasks=tasks)
    assert hashes(catalog) == hashes(whole[0])
    assert (report.dropped, report.files, report.languages) == (whole[1].dropped, whole[1].files, whole[1].languages)
    assert not (tmp_path / "root" / PLACE).exists()
    assert set(Path(tempfile.gettempdir()).glob("phasemix-corpus*")) == before


class Falls(PipelineStep):  # type: ignore[misc]
    """Counts its tasks; the second one's process is killed, once, when the first one is noted as complete."""

    name = "falls"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        if rank == 1 and not (self.folder / "fell").exists():
            wait_until(lambda: any(self.folder.glob("logs/*/completions/00000")))
            (self.folder / "fell").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / f"ran{rank}").open("a") as file:
            file.write("once ")
        self.stat_update("tasks")
        yield from ()


def test_a_killed_worker_is_named_and_the_next_start_does_what_is_left(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="a worker process ended in the middle .* run the same command again"):
        run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=4, workers=2))
    assert run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=4, workers=2)) == {"tasks": 4}
    assert [(tmp_path / f"ran{rank}").read_text() for rank in (0, 1)] == ["once "] * 2


class Sleeps(PipelineStep):  # type: ignore[misc]
    """Says which process it runs in, and takes longer than the test."""

    name = "sleeps"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        (self.folder / f"pid{rank}").write_text(str(os.getpid()))
        time.sleep(600)
        yield from ()


SLEEPING = """
import sys
from pathlib import Path
from test_restarts import Sleeps
from streamer.corpus.executors import Execution, run_stage

if __name__ == "__main__":
    run_stage([Sleeps(Path(sys.argv[1]))], Path(sys.argv[1]), "sleep", Execution(tasks=2, workers=2))
"""


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come")


@pytest.mark.parametrize(
    ("sent", "temporary"), [(signal.SIGKILL, "t"), (signal.SIGINT, "a path too long for a Unix socket".ljust(100, "_"))]
)
def test_workers_end_with_the_process_that_builds(tmp_path: Path, sent: signal.Signals, temporary: str) -> None:
    (tmp_path / "sleeping.py").write_text(SLEEPING)
    (tmp_path / temporary).mkdir()
    paths = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        "TMPDIR": str(tmp_path / temporary),
    }
    process = subprocess.Popen(
        [sys.executable, "sleeping.py", str(tmp_path)], cwd=tmp_path, env=paths, stderr=subprocess.DEVNULL
    )
    wait_until(
        lambda: all((tmp_path / f"pid{rank}").exists() and (tmp_path / f"pid{rank}").read_text() for rank in range(2))
    )
    workers = [int((tmp_path / f"pid{rank}").read_text()) for rank in range(2)]
    process.send_signal(sent)
    process.wait(60)
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_what_lies_in_a_folder_that_is_given_for_work_is_let_alone(recipe: Recipe, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    (mine / "link").symlink_to(tmp_path)
    with WorkFolder(Catalog(tmp_path / "root"), mine) as work:
        work.resume("a")
        (work.path / "kept").mkdir()
    with WorkFolder(Catalog(tmp_path / "root"), mine) as work:
        work.resume("b")
        assert not (work.path / "kept").exists()
        work.remove()
    assert sorted(path.name for path in mine.iterdir()) == ["link", "thesis.txt"]
    assert list((tmp_path / "root").rglob("*")) == [tmp_path / "root" / "corpus"]


def test_a_source_that_changes_while_tasks_read_it_is_said(recipe: Recipe, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(30):
        (source / f"m{number}.py").write_text(f"value_{number} = {number}\n")
    given = msgspec.structs.replace(recipe, sources=(Source(path=str(source)),))

    def change(step: str, done: int, total: int) -> None:
        (source / "late.py").write_text("late = 1\n")

    with pytest.raises(CorpusError, match=r"a source changed while it was read.*--tasks 1"):
        build(Catalog(tmp_path / "root"), given, tasks=2, progress=change)


def test_a_root_in_a_source_is_no_source(recipe: Recipe, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "code").mkdir(parents=True)
    for number in range(40):
        (source / "code" / f"m{number}.py").write_text(f"def area_{number}(w, h):\n    return w * h + {number * 77}\n" * 9)
    (source / "root" / "kept").mkdir(parents=True)
    (source / "root" / "kept" / "other.py").write_text("other = 1\n")
    given = msgspec.structs.replace(recipe, sources=(Source(path=str(source)),), heldout_share=0.0)
    report = build(Catalog(source / "root"), given, tasks=3)
    assert report.files == 40


def test_numbers_that_were_torn_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "fell").touch()
    run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=2, workers=1))
    (tmp_path / "logs" / "fall" / "stats" / "00001.json").write_text("[{")
    assert run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=2, workers=1)) == {"tasks": 2}
    assert (tmp_path / "ran1").read_text() == "once once "


def test_work_on_other_files_or_another_recipe_is_not_gone_on_with(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "a.py"
    file.write_text("x = 1\n")
    small = msgspec.structs.replace(recipe, sources=(msgspec.structs.replace(recipe.sources[0], path=str(tmp_path / "in")),))
    keys = [key_of(small, 2, None, without=())]
    keys.append(key_of(msgspec.structs.replace(small, seed=99), 2, None, without=()))
    keys.append(key_of(small, 3, None, without=()))
    os.utime(file, ns=(1, 1))
    keys.append(key_of(small, 2, None, without=()))
    assert len(set(keys)) == 4
    assert keys[3] == key_of(msgspec.structs.replace(small, workers=2), 2, None, without=())
    catalog = Catalog(tmp_path / "root")
    for number, (key, is_resumed) in enumerate([(keys[0], False), (keys[0], True), (keys[1], False)]):
        with WorkFolder(catalog) as work:
            assert work.resume(key) is is_resumed
            assert work.once("made", lambda made=number: b"%d" % made) == (b"0" if key == keys[0] else b"2")


def test_a_full_disk_is_said_and_the_next_start_goes_on(
    whole: tuple[Catalog, CorpusReport], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, write, left = Catalog(tmp_path / "root"), SpoolWriter.write, [120]

    def write_until_full(self: SpoolWriter, record: msgspec.Struct) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, record)

    monkeypatch.setattr(SpoolWriter, "write", write_until_full)
    with pytest.raises(CorpusError, match=r"the disk of .*corpus/work is full; free space.*run the same command again"):
        build(catalog, recipe, tasks=3)
    assert 0 < len(list((tmp_path / "root" / PLACE / "logs" / "read" / "completions").iterdir())) < 3
    left[0] = 10**9
    build(catalog, recipe, tasks=3)
    assert hashes(catalog) == hashes(whole[0])


def test_two_builds_do_not_work_in_one_folder(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "root" / PLACE
    folder.mkdir(parents=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CorpusError, match="another process builds a corpus into .*wait for it"):
            build(Catalog(tmp_path / "root"), recipe)


@pytest.fixture
def ray_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray of this test alone, with room for two tasks at once."""
    pytest.importorskip("ray", reason="the ray extra is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [Path(sys.executable).parent / "ray", "start", "--head", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
    command += [f"--port={address.split(':')[1]}", "--include-dashboard=false", "--disable-usage-stats", "--block"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},  # its tasks run steps of this file
    )
    monkeypatch.setenv("RAY_ADDRESS", address)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 1):
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.mark.usefixtures("ray_cluster")
def test_ray_gives_the_same_bytes_and_goes_on_after_a_killed_worker(
    whole: tuple[Catalog, CorpusReport], recipe: Recipe, tmp_path: Path
) -> None:
    catalog = Catalog(tmp_path / "root")
    build(catalog, msgspec.structs.replace(recipe, workers=2), tasks=3, executor="ray")
    assert hashes(catalog) == hashes(whole[0])
    assert run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=3, workers=2, executor="ray")) == {"tasks": 3}


def test_without_a_cluster_ray_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(CorpusError, match=r"no Ray cluster answers at 127.0.0.1:9; start one with ray start --head"):
        run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=1, workers=1, executor="ray"))
