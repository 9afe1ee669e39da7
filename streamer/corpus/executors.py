"""Runs a stage's steps, task by task, by one of datatrove's executors.

Always holds: a task that is noted as complete is not run again, by whichever executor; a stage's numbers are summed over all
its tasks, those of an earlier start included; nothing of datatrove's own log reaches the terminal; when the process that
builds is killed, its workers end too.

How: datatrove notes each task's numbers and then that it is complete, in the stage's folder. For Ray and Slurm that folder
must lie where all machines see it.
"""

import json
import logging
import multiprocessing
import os
import select
import signal
import socket
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

from datatrove.executor.local import LocalPipelineExecutor
from loguru import logger

from streamer.corpus import slurm
from streamer.corpus.progress import GO_ON
from streamer.errors import CorpusError

LOCAL, RAY, SLURM = "local", "ray", "slurm"
CONNECT_WAIT_S = 10.0
LONGEST_FOLDER = 107 - len("/pymp-12345678/listener-12345678")  # bytes: a Unix socket's path has at most 107


class LocalStage(LocalPipelineExecutor):  # type: ignore[misc]
    """Processes of this machine. Unlike datatrove's own pool it does not wait for ever for a worker that was killed."""

    def run(self) -> None:
        waiting = self.get_incomplete_ranks()
        if self.workers == 1:
            for rank in waiting:
                one = deepcopy(self)
                one._run_for_rank(rank)
            return
        context = multiprocessing.get_context("forkserver")
        start_server()
        before = set(multiprocessing.active_children())
        with ProcessPoolExecutor(self.workers, context, initializer=end_with, initargs=(os.getpid(),)) as pool:
            futures = [pool.submit(run_task, self, rank) for rank in waiting]
            try:
                for future in as_completed(futures):
                    future.result()
            except BrokenProcessPool as error:
                raise CorpusError(
                    f"a worker process ended in the middle of its task (killed, perhaps for lack of memory); {GO_ON}; "
                    "--workers 1 needs the least memory"
                ) from error
            except BaseException:  # an interrupt waits for no task, and neither does an error
                for process in set(multiprocessing.active_children()) - before:
                    process.kill()
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def start_server() -> None:
    """Starts what forks workers. It listens at a Unix socket among the temporary files, in /tmp where TMPDIR is too long."""
    chosen = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        tempfile.tempdir = "/tmp"
    try:
        forkserver.ensure_running()
    finally:
        tempfile.tempdir = chosen


class RayStage(LocalStage):
    """Processes of a Ray cluster: the one at `RAY_ADDRESS`, or the one that runs on this machine."""

    def run(self) -> None:
        ray = connect_ray()
        from ray.exceptions import RayError, RaySystemError, RayTaskError

        task = ray.remote(num_cpus=1)(run_task)
        waiting = self.get_incomplete_ranks()
        running: list[Any] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    running.append(task.remote(self, waiting.pop(0)))
                done, running = ray.wait(running)
                ray.get(done)
        except RayTaskError as error:
            if isinstance(error.cause, RaySystemError):
                said = str(error.cause).splitlines()[0]
                raise CorpusError(
                    f"Ray cannot run a task ({said}); install the same phasemix on all its machines"
                ) from error
            raise error.cause from error
        except RayError as error:
            said = str(error).splitlines()[0]
            raise CorpusError(f"Ray ended a task before it was done ({said}); {GO_ON}") from error
        finally:
            ray.shutdown()


class SlurmStage(LocalStage):
    """Jobs of a Slurm cluster, one for each task."""

    def run(self) -> None:
        slurm.run_array(partial(run_task, self), Path(self.logging_dir.path), self.workers, self.get_incomplete_ranks)


def connect_ray() -> Any:
    """Raises: CorpusError without the package or a cluster."""
    try:
        import ray
    except ImportError as error:
        raise CorpusError("the executor ray needs the extra ray; install phasemix[ray]") from error
    address = os.environ.get("RAY_ADDRESS", "auto")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon:  # Ray itself would ask for minutes
            socket.create_connection((host, int(port)), CONNECT_WAIT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise CorpusError(
            f"no Ray cluster answers at {address}; start one with ray start --head, or name it in RAY_ADDRESS"
        ) from error
    return ray


def run_task(stage: LocalStage, rank: int) -> None:
    with Quiet():
        stage._run_for_rank(rank)


def end_with(builder: int) -> None:
    """Ends this process as soon as the one that builds has ended; an interrupt is for that one alone.

    The parent is a server that forks workers, and lives on while they do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ended = os.pidfd_open(builder)
    except ProcessLookupError:
        os._exit(1)

    def watch() -> None:
        select.select([ended], [], [])
        os._exit(1)

    threading.Thread(target=watch, name="end with the builder", daemon=True).start()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Quiet:
    """Without datatrove's log on the terminal."""

    def __enter__(self) -> None:
        logger.disable("datatrove")

    def __exit__(self, *_: object) -> None:
        logger.enable("datatrove")


class Execution(NamedTuple):
    """How many tasks a stage has, how many of them run at once, and where."""

    tasks: int
    workers: int
    executor: str = LOCAL


def run_stage(steps: list[Any], folder: Path, name: str, how: Execution) -> dict[str, int]:
    """Runs what is left of a stage and returns the totals of its numbers, by name. Raises: CorpusError."""
    logs = folder / "logs" / name
    forget_torn(logs)
    with Quiet():
        STAGES[how.executor](steps, tasks=how.tasks, workers=min(how.workers, how.tasks), logging_dir=str(logs)).run()
    return totals_of(logs)


STAGES = {LOCAL: LocalStage, RAY: RayStage, SLURM: SlurmStage}


def forget_torn(logs: Path) -> None:
    """Lets a task run again whose numbers cannot be read, as after a power cut."""
    for mark in logs.glob("completions/*"):
        try:
            json.loads((logs / "stats" / f"{mark.name}.json").read_bytes())
        except (OSError, ValueError):
            mark.unlink()


def totals_of(logs: Path) -> dict[str, int]:
    totals: dict[str, int] = {}
    for path in sorted(logs.glob("stats/*.json")):
        for step in json.loads(path.read_bytes()):
            for label, metric in step["stats"].items():
                number = metric["total"] if isinstance(metric, dict) else metric
                totals[label] = totals.get(label, 0) + int(number)
    return totals
