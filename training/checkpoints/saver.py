"""Saves the checkpoints of a training beside its steps: written and sent by a thread, from a copy of the state in memory.

Always holds:
- what is saved is the state after the step for which `save` was called, for the copy is made before `save` returns;
- at most one checkpoint is on its way: the next `save`, and the end of the training, wait for it;
- what went wrong with it ends the training on all ranks, at the next `save` or at the end, with one line. If it could not be
  sent, the next checkpoint is still written to the folder first. Another error that ends the training waits for it too.

How: ranks that wait ask each other every `POLL_S` seconds, so that no time limit between them counts, however long an upload
takes. An interrupt behind the last step waits for what is on its way, and a Control-C after it for nothing.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec
import torch
from torch.utils._pytree import tree_leaves

from streamer import background
from streamer.errors import PhasemixError, StoreError
from streamer.reading.locks import hold, let_go, try_exclusive
from streamer.wording import one_line
from training.checkpoints import files, record
from training.checkpoints.place import Place
from training.errors import CheckpointError
from training.phases.job import Job
from training.processes import ranks
from training.processes.interrupts import ignore_sigterm

POLL_S, POLLS_BEFORE_WORD, LOCK_S = 0.1, 10, 10.0
BLOCK_BYTES = 32 << 20
State = dict[str, Any]


class Saver:
    """Every rank has one and calls the same methods; the first rank writes."""

    def __init__(self, job: Job) -> None:
        self._job, self._place = job, Place(Path(job.save_folder), job.save_url)
        self._keep = job.recipe.checkpoints.keep
        self._folder: int | None = None  # open and locked
        self._state: State | None = None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._what = ""
        self._sends = self._is_awaited = self._is_said = False

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._end(kind)
        finally:
            if self._folder is not None:
                let_go(self._folder)

    def _end(self, kind: type[BaseException] | None) -> None:
        if kind is None:
            with self.completed():
                self.finish()
        elif issubclass(kind, Exception):  # and no Control-C
            if self._thread is not None:
                self._thread.join()
            if self._error is not None and not self._is_said:
                ranks.say(one_line(self._error))
            if self._sends:
                self._what = "what the training logged"
                try:
                    self._send()
                except PhasemixError as fault:
                    ranks.say(one_line(fault))

    @contextlib.contextmanager
    def completed(self) -> Iterator[None]:
        """Behind the last step: an interrupt waits until what this rank has on its way is where it belongs.

        It asks no other rank, which the signal may not have come to. After it only Control-C interrupts.
        """
        try:
            yield
        except KeyboardInterrupt:
            ignore_sigterm()
            if self._thread is not None and self._thread.is_alive():
                ranks.say(f"interrupted: waiting until {self._what} is in {self._place}; Control-C stops at once")
                self._thread.join()
            if self._error is not None and not self._is_said:
                ranks.say(one_line(self._error))
            raise

    def lock(self) -> None:
        """Takes the folder for this training alone, as soon as the ranks have met.

        Raises: CheckpointError when another training writes there, after `LOCK_S` seconds in which a killed one may end.
        """
        refused = None
        if ranks.rank() == 0:
            self._folder = os.open(self._place.folder, os.O_RDONLY)
            hold(self._folder)  # by this process alone, and none that it forks
            deadline_s = time.monotonic() + LOCK_S
            while not is_locked(self._folder) and refused is None:
                time.sleep(POLL_S)
                if time.monotonic() >= deadline_s:
                    refused = (
                        f"another training writes to {self._place.folder}; let it end, or give this one another --run or "
                        "--save-folder"
                    )
        refused = next(filter(None, ranks.gather(refused)), None)
        if refused is not None:
            raise CheckpointError(refused)

    def begin(self) -> None:
        """When the ranks have met: removes what a killed training left, and fetches what it had logged and sent.

        Checkpoints that were passed over get another name. Raises: CheckpointError when the ranks chose different
        checkpoints; StoreError.
        """
        check_choice(self._job)
        if ranks.rank() == 0:
            files.remove_unfinished(self._place.folder)
            if self._job.resume is not None:
                for path in files.pass_over_later(self._place.folder, self._job.resume_step):
                    ranks.say(f"a checkpoint that was passed over is now called {path}; remove it if you do not need it")
            source = self._place
            if self._job.resume is not None and Path(self._job.resume).parent != source.folder:
                source = source.beside(Path(self._job.resume).parent.name)
            self._place.take_logs(source, self._job.resume_step)
            self._sends = self._place.url is not None

    def save(self, step: int, collect: Callable[[], State]) -> None:
        """Saves what `collect` returns, which is called on every rank, as the checkpoint after `step` steps.

        Raises: CheckpointError for the checkpoint before, or when there is no room for this one.
        """
        before, refused = self._settle(), None
        state = collect()
        if ranks.rank() == 0:
            size_bytes = sum(tensor.nbytes for tensor in distinct(state).values())
            if shutil.disk_usage(self._place.folder).free < size_bytes:
                refused = str(files.no_room(self._place.folder))
            else:
                self._state = snapshot(state)
                self._start(f"the checkpoint after step {step:,}", partial(self._write, step))
        refused = next(filter(None, ranks.gather(refused)), None)
        if before is not None and refused is None:
            refused = self._settle()
        if refused or before:
            raise CheckpointError(". Then ".join(filter(None, (before, refused))))

    def finish(self) -> None:
        """Returns once all is written and sent. Raises: CheckpointError."""
        fault = self._settle()
        if fault is None and self._sends:
            self._start("what the training wrote", self._send)
        fault = fault or self._settle()
        if fault is not None:
            raise CheckpointError(fault)

    def _start(self, what: str, work: Callable[[], None]) -> None:
        self._what = what
        self._thread = background.start(partial(self._attempt, work), name="phasemix-saver")
        if self._thread is None:
            self._attempt(work)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except background.Stopped:
            raise
        except Exception as error:
            background.check()  # torch makes a RuntimeError of Stopped
            self._error, self._sends, self._is_said = error, False, not self._is_awaited
            if self._is_said:
                ranks.say(f"the training ends at its next checkpoint: {one_line(error)}")

    def _write(self, step: int) -> None:
        """Writes the copy, makes it the checkpoint and sends it."""
        target = files.path_of(self._place.folder, step)
        aside, shape = target.with_name(f".{target.name}"), msgspec.to_builtins(self._job.recipe.model)
        with files.plain_refusals(self._place.folder):
            with aside.open("wb") as file:
                torch.save(self._state, Stoppable(file))  # type: ignore[arg-type]
            self._state = None
            files.publish(aside, target, run=self._job.run, step=step, model=shape, keep=self._keep)
        if self._sends:
            self._send(step)

    def _send(self, step: int | None = None) -> None:
        try:
            self._place.send(keep=self._keep, written=step)
        except StoreError as error:
            raise CheckpointError(
                f"{self._what} could not be sent: {error}. It is kept in {self._place.folder}, and --resume goes "
                "on from there"
            ) from error

    def _settle(self) -> str | None:
        """Waits until nothing is on its way. Returns: what went wrong with it, the same on all ranks."""
        polls, self._is_awaited = 0, True
        try:
            while ranks.any_rank(self._thread is not None and self._thread.is_alive()):
                polls += 1
                if polls == POLLS_BEFORE_WORD:
                    ranks.say(f"waiting until {self._what} is in {self._place}")
                if self._thread is None:
                    time.sleep(POLL_S)
                else:
                    self._thread.join(POLL_S)
        finally:
            self._is_awaited = False
        error, self._error = self._error, None
        found = ranks.gather(None if error is None else one_line(error))
        if error is not None and not isinstance(error, PhasemixError):
            raise error
        return next(filter(None, found), None)


def is_locked(folder: int) -> bool:
    """Whether this process has a folder for itself now, or its file system has no locks."""
    try:
        return try_exclusive(folder)
    except OSError:
        return True


class Stoppable:
    """A file whose `write` stops between blocks when the process ends, so that no tensors are read after that."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.flush = file, file.flush

    def write(self, data: bytes) -> int:
        for start in range(0, len(data), BLOCK_BYTES):
            background.check()
            self._file.write(memoryview(data)[start : start + BLOCK_BYTES])
        return len(data)


def check_choice(job: Job) -> None:
    """Raises: CheckpointError when the ranks, each of which chose by its own node's folder, begin with different steps."""
    path = job.resume or job.weights
    name = None if path is None else Path(path).name
    found = ranks.gather((job.resume_step, name, f"{path or 'no checkpoint'} on {socket.gethostname()}"))
    if len({chosen[:2] for chosen in found}) > 1:
        listed = ", ".join(dict.fromkeys(called for *_, called in found))
        raise CheckpointError(
            f"the ranks would begin with different checkpoints: {listed}. Copy the one that is meant, and "
            f"{record.NAME} beside it, to that folder on every node, or move away what only some nodes have"
        )


def distinct(state: State) -> dict[Any, torch.Tensor]:
    """The tensors of a state by their places in memory: tied weights are one."""
    leaves = (leaf for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor))
    return {place_in_memory(tensor): tensor for tensor in leaves}


def snapshot(state: State) -> State:
    """A copy in the host's memory; what shares its memory does so in the copy too."""
    copies = {place: tensor.detach().to("cpu", copy=True) for place, tensor in distinct(state).items()}
    leaves = (leaf for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor))
    return copy.deepcopy(state, {id(tensor): copies[place_in_memory(tensor)] for tensor in leaves})


def place_in_memory(tensor: torch.Tensor) -> Any:
    address = tensor.untyped_storage().data_ptr()
    return address, tensor.device, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
