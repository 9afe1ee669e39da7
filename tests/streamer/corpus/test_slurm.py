"""Builds on a real Slurm of one node, which the tests start for themselves."""

import contextlib
import errno
import getpass
import os
import pickle
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from datatrove.pipeline.base import PipelineStep
from test_restarts import KILLED_IN, Falls, hashes, wait_until

from streamer import Catalog
from streamer.corpus import slurm
from streamer.corpus.executors import Execution, run_stage
from streamer.corpus.parts.report import CorpusReport
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe
from streamer.corpus.work_folder import PLACE, WorkFolder
from streamer.errors import CorpusError

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
ARRAYS_OF = 4  # one fewer than there are tasks
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
MaxArraySize={arrays_of}
KillWait=5
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
SlurmdParameters=config_overrides
"""


def two_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A Slurm with room for four jobs at once. Gives its configuration."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found; apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        folder.chmod(0o711)  # munged wants its socket to be reached by all
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "key").touch(0o600)
        (folder / "key").write_bytes(secrets.token_bytes(64))
        configuration = folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname(), ports=two_ports(), user=getpass.getuser(), folder=folder, arrays_of=ARRAYS_OF
            )
        )

        def start(*command: str) -> None:
            with (folder / f"{command[0]}.log").open("w") as log:
                process = subprocess.Popen(
                    command, stdout=log, stderr=log, env={**os.environ, "PATH": PATH, "SLURM_CONF": str(configuration)}
                )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        places = [f"--{name}-file={folder}/{name}" for name in ("key", "pid", "log", "seed")]
        start("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places)
        wait_until((folder / "munge.socket").exists)
        start("slurmctld", "-D", "-i", "-f", str(configuration))
        start("slurmd", "-D", "-f", str(configuration), "-N", "node")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(configuration))
            try:
                wait_until(lambda: said("sinfo", "--noheader", "--format=%T").strip() == "idle")
            except AssertionError as error:
                raise AssertionError("".join(log.read_text() for log in folder.glob("*.log"))) from error
            yield configuration
            subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=True)
            wait_until(lambda: not jobs())


@pytest.fixture
def quick(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that Slurm, for a builder that waits for shorter times."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    monkeypatch.setattr(slurm, "SETTLE_S", 1.0)


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def jobs() -> list[str]:
    return said("squeue", "--noheader", "--array", "--format=%i %j %T").splitlines()


SLEEPING = """
import sys
from pathlib import Path
from test_restarts import Sleeps
from streamer.corpus import slurm
from streamer.corpus.executors import Execution, run_stage

slurm.BEAT_S = float(sys.argv[2])
run_stage([Sleeps(Path(sys.argv[1]))], Path(sys.argv[1]), "sleep", Execution(tasks=3, workers=2, executor="slurm"))
"""


def start_sleeping(folder: Path, beat_s: float) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A builder with two tasks that run and one that waits. Gives the processes of the two, too."""
    (folder / "sleeping.py").write_text(SLEEPING)
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    work = folder / "root" / PLACE
    work.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "sleeping.py", str(work), str(beat_s)], cwd=folder, env=paths, stderr=subprocess.DEVNULL
    )
    notes = [work / "pid0", work / "pid1"]
    wait_until(lambda: all(note.exists() and note.read_text() for note in notes))
    return process, [int(note.read_text()) for note in notes]


@pytest.mark.usefixtures("quick")
def test_slurm_gives_the_same_bytes_after_kills_of_the_builder_and_keeps_no_job(
    whole: tuple[Catalog, CorpusReport], recipe: Recipe, tmp_path: Path
) -> None:
    given = msgspec.structs.replace(recipe, workers=2)
    (tmp_path / "recipe.json").write_bytes(msgspec.json.encode(given))
    (tmp_path / "killed_in.py").write_text(KILLED_IN)
    for stage in ("read", "pack"):
        arguments = ["killed_in.py", "recipe.json", "root", "5", stage, "1", "slurm"]
        ended = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")
    steps: dict[str, int] = {}
    catalog = Catalog(tmp_path / "root")
    report = build(
        catalog, given, tasks=5, executor="slurm", progress=lambda step, done, total: steps.update({step: max(done, total)})
    )
    assert hashes(catalog) == hashes(whole[0])
    assert (report.dropped, report.files, report.languages) == (whole[1].dropped, whole[1].files, whole[1].languages)
    assert steps["pack"] == report.documents
    assert not (tmp_path / "root" / PLACE).exists()
    assert jobs() == []


@pytest.mark.usefixtures("quick")
def test_jobs_of_a_killed_builder_end_by_themselves(tmp_path: Path) -> None:
    process, tasks = start_sleeping(tmp_path, 0.2)
    assert len(jobs()) == 3
    process.kill()
    process.wait()
    wait_until(lambda: not jobs())
    assert not any(Path(f"/proc/{task}").exists() for task in tasks)
    assert not (tmp_path / "root" / PLACE / "pid2").exists()


@pytest.mark.usefixtures("quick")
def test_the_next_start_ends_what_a_killed_builder_left_before_it_touches_its_folder(tmp_path: Path) -> None:
    process, tasks = start_sleeping(tmp_path, 60.0)
    process.kill()
    process.wait()
    with WorkFolder(Catalog(tmp_path / "root")) as work:
        assert jobs() == []
        assert not any(Path(f"/proc/{task}").exists() for task in tasks)
        assert not work.resume("of another recipe")
        assert [path.name for path in work.path.iterdir()] == ["key"]


@pytest.mark.usefixtures("quick")
def test_an_interrupt_cancels_the_jobs(tmp_path: Path) -> None:
    process, _ = start_sleeping(tmp_path, 60.0)
    process.send_signal(signal.SIGINT)
    process.wait()
    wait_until(lambda: not jobs())


class Refuses(PipelineStep):  # type: ignore[misc]
    """Its second task raises; the others take longer than the test."""

    name = "refuses"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        if rank == 1:
            raise self.error
        time.sleep(600)
        yield from ()


class TwoPartsError(Exception):
    """Cannot be made again from its message, as pickle would."""

    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}:{line}")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (CorpusError("archive a.zip is torn; give a whole one"), CorpusError, "^archive a.zip is torn; give a whole one$"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), OSError, r"^\[Errno 28\] No space left on device: '/x'"),
    ],
)
def test_what_a_task_raises_reaches_the_builder_and_cancels_the_others(
    raised: Exception, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message) as found:
        run_stage([Refuses(raised)], tmp_path, "refuse", Execution(tasks=3, workers=3, executor="slurm"))
    notes = "".join(getattr(found.value, "__notes__", []))
    assert ("raise self.error" in notes) is (kind is OSError)
    wait_until(lambda: not jobs())


def test_an_error_that_cannot_be_pickled_becomes_one_line() -> None:
    with pytest.raises(CorpusError, match="^TwoPartsError: a.py:3$"):
        raise pickle.loads(slurm.pickled(TwoPartsError("a.py", 3)))


def test_an_empty_heartbeat_is_one_that_says_nothing(tmp_path: Path) -> None:
    (tmp_path / slurm.BEAT).write_text("")
    assert slurm.Heard(tmp_path / "folder")._look() == ""


@pytest.mark.usefixtures("quick")
def test_a_killed_task_is_named_with_its_state_and_the_next_start_does_what_is_left(tmp_path: Path) -> None:
    how = Execution(tasks=4, workers=2, executor="slurm")
    with pytest.raises(
        CorpusError, match=r"task 1 of phasemix-fall-\w+ ended before it was done \(FAILED.*run the same command"
    ):
        run_stage([Falls(tmp_path)], tmp_path, "fall", how)
    assert run_stage([Falls(tmp_path)], tmp_path, "fall", how) == {"tasks": 4}
    assert (tmp_path / "ran0").read_text() == "once "


@pytest.mark.usefixtures("quick")
def test_what_sbatch_refuses_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    with pytest.raises(
        CorpusError, match=r"Slurm does not take a job \(invalid partition specified: nowhere; .*SBATCH_PARTITION"
    ):
        run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=1, workers=1, executor="slurm"))


def test_without_slurm_the_executor_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="^sbatch is not installed here, .* from which jobs are submitted to Slurm$"):
        run_stage([Falls(tmp_path)], tmp_path, "fall", Execution(tasks=1, workers=1, executor="slurm"))
    assert not (tmp_path / "logs" / "fall" / slurm.PLACE).exists()
