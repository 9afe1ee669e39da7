"""Runs the tasks of a stage as job arrays of Slurm, which the process that builds submits and waits for.

Always holds: no task works for long for a builder that has ended. A task looks at the heartbeat of the builder that
submitted it: it ends at once where another builder has begun, and after a minute in which nothing changed. What an earlier
builder left in Slurm is cancelled and has ended before its folder is touched (`end_left`).

How: builder and tasks meet in the stage's folder for logs, on a disk that all machines see. The jobs' name is made of that
folder's path, so they are found even where their builder was killed before it was told their number. Clocks of different
machines are never compared.
"""

import contextlib
import os
import pickle
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import xxhash

from streamer.corpus.progress import GO_ON
from streamer.errors import CorpusError, PhasemixError

PLACE, BEAT = "slurm", "beat"  # in the stage's folder for logs
MOST_IN_ARRAY = 1000  # Slurm's MaxArraySize is 1001 where a cluster does not say otherwise
TOO_MANY = re.compile("array spec|submit", re.IGNORECASE)  # MaxArraySize, and the limits on jobs that are submitted
BEAT_S, MISSED_BEATS = 5.0, 12
FIRST_LOOK_S, LONGEST_LOOK_S, LOOK_GROWTH = 0.5, 10.0, 1.3
SETTLE_S = 30.0  # until a file of another machine is seen on a shared disk
END_S = 120.0  # for jobs that are cancelled: Slurm kills them after its KillWait, usually 30 s
OUTAGE_S = 600.0  # of Slurm's controller; running tasks go on meanwhile
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"),
}
START = "import sys; from streamer.corpus.slurm import run_task; run_task(sys.argv[1])"


class TaskArray(NamedTuple):
    """What the tasks of an array read: a picklable call, a rank for each of them, how often they look for the builder."""

    call: Callable[[int], None]
    ranks: list[int]
    beat_s: float


def run_array(call: Callable[[int], None], logs: Path, at_once: int, left: Callable[[], list[int]]) -> None:
    """Calls `call(rank)` in jobs until `left()` names no rank any more.

    Args: logs, the stage's folder, which all machines see; at_once, how many jobs run at a time; left, the ranks that are
        not complete. Raises: what a task raised; CorpusError when Slurm takes no jobs or ends one too early. The jobs are
        cancelled then.
    """
    if shutil.which("sbatch") is None:  # before anything is noted that a later start would have to end
        raise missing("sbatch")
    end_left(logs)
    name, most = name_of(logs), MOST_IN_ARRAY
    with Heart(logs) as heart:
        try:
            while ranks := left()[:most]:
                folder = heart.folder / str(len(os.listdir(heart.folder)))
                folder.mkdir()
                (folder / "array.pickle").write_bytes(pickle.dumps(TaskArray(call, ranks, BEAT_S)))
                try:
                    job = submit(folder, name, len(ranks), at_once)
                except subprocess.CalledProcessError as error:
                    if len(ranks) == 1 or not TOO_MANY.search(error.stderr):
                        raise CorpusError(
                            f"Slurm does not take a job ({said_by(error)}); set what your cluster wants in "
                            f"SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT or SBATCH_MEM_PER_CPU, then {GO_ON}"
                        ) from error
                    most = len(ranks) // 2
                else:
                    wait_for(folder, name, job, ranks, left)
        except BaseException:
            with contextlib.suppress(CorpusError, subprocess.CalledProcessError):
                ask("scancel", f"--name={name}")
            raise
    heart.path.unlink()


def submit(folder: Path, name: str, count: int, at_once: int) -> str:
    """Returns the job's number. Raises: CalledProcessError when Slurm does not take it, CorpusError without sbatch."""
    paths = shlex.quote(os.pathsep.join(sys.path))
    script = f"#!/bin/sh\nPYTHONPATH={paths} exec {shlex.join([sys.executable, '-P', '-c', START, str(folder)])}\n"
    options = (f"--job-name={name}", f"--array=0-{count - 1}%{at_once}", f"--output={folder}/%a.out")
    return ask("sbatch", "--parsable", *options, script=script).strip().partition(";")[0]


def wait_for(folder: Path, name: str, job: str, ranks: list[int], left: Callable[[], list[int]]) -> None:
    """Waits until the ranks are complete and their jobs have ended. Raises: what a task raised, CorpusError."""
    look_s, answered_s, lost_s = FIRST_LOOK_S, time.monotonic(), None
    while True:
        time.sleep(look_s)
        look_s = min(look_s * LOOK_GROWTH, LONGEST_LOOK_S)
        for path in sorted(folder.glob("*.error")):
            raise pickle.loads(path.read_bytes())
        now_s = time.monotonic()
        try:
            states = {index: state for number, index, state in jobs_of(name) if number == job}
        except subprocess.CalledProcessError as error:
            if now_s > answered_s + OUTAGE_S:
                raise CorpusError(f"Slurm does not answer for {OUTAGE_S:.0f} s ({said_by(error)}); {GO_ON}") from error
            continue
        answered_s = now_s
        running = {index for index, state in states.items() if state not in ENDED}
        waiting = set(left())
        lost = [index for index, rank in enumerate(ranks) if rank in waiting and str(index) not in running]
        if not running and not waiting.intersection(ranks):
            return
        lost_s = (lost_s or now_s) if lost else None
        if lost_s is not None and now_s > lost_s + SETTLE_S:
            state = states.get(str(lost[0]), "it is not in Slurm's list any more")
            raise lost_task(folder, name, lost[0], ranks[lost[0]], state)


def lost_task(folder: Path, name: str, index: int, rank: int, state: str) -> CorpusError:
    output = folder / f"{index}.out"
    if not output.exists():
        return CorpusError(
            f"task {rank} of {name} ended before it was done ({state}), and its output is not in {folder}; give a folder "
            "that all machines see with --work, or build into a root that they see"
        )
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    said = f"; its last words: {lines[-1]}" if lines else ""
    return CorpusError(
        f"task {rank} of {name} ended before it was done ({state}{said}); if it needs more, set SBATCH_TIMELIMIT or "
        f"SBATCH_MEM_PER_CPU, then {GO_ON}"
    )


def end_left(logs: Path) -> None:
    """Cancels what a builder that has ended left in Slurm, and waits for its end. Raises: CorpusError."""
    beat = logs / PLACE / BEAT
    if not beat.exists():
        return
    name, wait_s, start_s = name_of(logs), 0.1, time.monotonic()
    try:
        ask("scancel", f"--name={name}")
        while running := [number for number, _, state in jobs_of(name) if state not in ENDED]:
            if time.monotonic() > start_s + END_S:
                raise CorpusError(
                    f"job {running[0]} of an earlier start does not end; wait until squeue no longer shows it, then {GO_ON}"
                )
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, 5.0)
    except subprocess.CalledProcessError as error:
        raise CorpusError(
            f"jobs of an earlier start cannot be cancelled ({said_by(error)}); wait until Slurm answers, then {GO_ON}"
        ) from error
    beat.unlink()


def name_of(logs: Path) -> str:
    """What squeue shows: the stage, and a hash of where it works."""
    return f"phasemix-{logs.name}-{xxhash.xxh3_64_hexdigest(str(logs.resolve()))}"


def jobs_of(name: str) -> list[tuple[str, str, str]]:
    """(number of the array, index in it, state) of jobs that run, wait, or ended a short while ago."""
    said = ask("squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%F %K %T")
    return [(number, index, state) for number, index, state in (line.split() for line in said.splitlines())]


def ask(*command: str, script: str = "") -> str:
    """What a command of Slurm says. The terminal does not interrupt it. Raises: CorpusError, CalledProcessError."""
    try:
        return subprocess.run(
            command, input=script, capture_output=True, text=True, errors="replace", check=True, start_new_session=True
        ).stdout
    except FileNotFoundError as error:
        raise missing(command[0]) from error


def missing(command: str) -> CorpusError:
    return CorpusError(
        f"{command} is not installed here, and the executor slurm needs it; start the build on a machine from which jobs "
        "are submitted to Slurm"
    )


def said_by(error: subprocess.CalledProcessError) -> str:
    """In one line."""
    lines = (line.strip().removeprefix(f"{error.cmd[0]}: ") for line in str(error.stderr).splitlines())
    return "; ".join(line.removeprefix("error: ") for line in lines if line) or f"exit code {error.returncode}"


class Heart:
    """Writes the name of the folder of this builder's jobs, and another number every few seconds while the builder lives."""

    def __init__(self, logs: Path) -> None:
        self.path, self.folder = logs / PLACE / BEAT, logs / PLACE / secrets.token_hex(8)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat for jobs", daemon=True)

    def __enter__(self) -> "Heart":
        self.folder.mkdir(parents=True)
        self._write(0)
        self._thread.start()
        return self

    def _beat(self) -> None:
        number = 0
        while not self._ended.wait(BEAT_S):
            number += 1
            with contextlib.suppress(OSError):  # a full disk: tasks say so
                self._write(number)

    def _write(self, number: int) -> None:
        aside = self.path.with_suffix(".part")
        aside.write_text(f"{self.folder.name} {number}")
        aside.replace(self.path)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()


# in a job


def run_task(place: str) -> None:
    """Runs the task of this job; what it raises is kept in a file for the builder."""
    folder, index = Path(place), int(os.environ["SLURM_ARRAY_TASK_ID"])
    heart = Heard(folder.parent)
    array: TaskArray = pickle.loads((folder / "array.pickle").read_bytes())
    threading.Thread(target=heart.watch, args=(array.beat_s,), name="end with the builder", daemon=True).start()
    try:
        array.call(array.ranks[index])
    except Exception as error:
        aside = folder / f"{index}.part"
        aside.write_bytes(pickled(error))
        aside.replace(folder / f"{index}.error")
        raise SystemExit(1) from error


class Heard:
    """The heartbeat of this job's builder. Ends the process where another one beats, or none.

    Counts looks, not seconds: while the disk hangs, nothing ends. A file tells the array's tasks that have not begun.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._beat, self._ended = folder, folder.parent / BEAT, folder / "ended"
        if self._ended.exists():
            self._end()
        self._last = self._look()

    def _look(self) -> str:
        try:
            seen = self._beat.read_text()
        except OSError:
            return ""
        if seen and seen.split()[0] != self._folder.name:  # after a crash of its disk the file may be empty
            self._end()
        return seen

    def watch(self, beat_s: float) -> None:
        missed = 0
        while missed < MISSED_BEATS:
            time.sleep(beat_s)
            seen = self._look()
            missed = 0 if seen not in ("", self._last) else missed + 1
            self._last = seen or self._last
        with contextlib.suppress(OSError):
            self._ended.touch()
        self._end()

    def _end(self) -> None:
        os.write(2, b"the process that builds has ended or does not answer any more\n")
        os._exit(1)


def pickled(error: Exception) -> bytes:
    """An error, with where it came from unless it is a user's; one that cannot be pickled becomes one line."""
    if not isinstance(error, PhasemixError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        return pickle.dumps(CorpusError(f"{type(error).__name__}: {error}"))
    return data
