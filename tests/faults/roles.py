"""What a process of the fault suite does. A batch that is handed out is noted at once, as a line: its step and digest."""

import contextlib
import itertools
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mixer import RunReader, Runs
from streamer import Catalog

FINISHED, WORKER_DIED = 0, 3
listener: socket.socket | None = None


def digest(tokens: bytes, origin: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(tokens + origin)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(step, digest) of the complete lines."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [(int(step), found) for step, found in (line.decode().split() for line in lines)]


def cut_torn_line(path: Path) -> None:
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def note(path: Path, batches: Iterator[tuple[bytes, bytes]], start: int, end: int | None) -> None:
    """Notes batches from `start` on as they come, up to `end` if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    steps = itertools.count(start) if end is None else range(start, end)
    for step, (tokens, origin) in zip(steps, batches, strict=False):
        line = f"{step} {digest(tokens, origin)}\n".encode()
        os.write(descriptor, line[:9])
        os.write(descriptor, line[9:])


def read(root: Path, run: str, lines: Path, end: int | None, service: str | None = None) -> int:
    """Goes on behind the last complete line with a RunReader, beside the store or behind a service."""
    cut_torn_line(lines)
    start = len(read_lines(lines))
    with RunReader(root, run, service=service) as reader:
        found = (reader.read(step) for step in itertools.count(start))
        note(lines, ((batch.tokens.tobytes(), batch.origin.tobytes()) for batch in found), start, end)
    return FINISHED


def load(root: Path, run: str, lines: Path, end: int | None) -> int:
    """The same with a MixedLoader and two worker processes."""
    try:
        return _load(root, run, lines, end)
    except RuntimeError as error:  # torch's signal handler may speak at any moment, while the first error is handled too
        if "DataLoader worker" not in str(error):
            raise
        return WORKER_DIED


def _load(root: Path, run: str, lines: Path, end: int | None) -> int:
    from training.loading.loader import MixedLoader

    cut_torn_line(lines)
    start = len(read_lines(lines))
    batches: Any = None
    try:
        batches = iter(MixedLoader(root, run, num_workers=2, start_step=start, dtype=None, with_origin=True))
        found = ((batch["input_ids"].numpy().tobytes(), batch["origin"].numpy().tobytes()) for batch in batches)
        note(lines, found, start, end)
    except (
        RuntimeError,
        OSError,
        EOFError,
        AttributeError,
    ):  # as torch meets it: a process, a socket, a pipe or an op is gone
        with contextlib.suppress(RuntimeError):  # torch's signal handler may say it once more
            time.sleep(0.2)  # until it can be waited for
        workers = multiprocessing.active_children()
        if len(workers) == 2 and all(worker.exitcode is None for worker in workers):
            raise
        return WORKER_DIED
    finally:
        found = batches = None  # ends the workers
    return FINISHED


def serve(root: Path) -> int:
    """The mixer service on the socket that its predecessor served on."""
    import uvicorn

    from mixer.service import create_app

    uvicorn.Server(uvicorn.Config(create_app(root), log_level="critical")).run(sockets=[listener])
    return FINISHED


def publish(root: Path, name: str, samples: int, seq_len: int) -> int:
    rows = np.arange(samples * seq_len, dtype=np.uint16).reshape(samples, seq_len)
    Catalog(root).append(name, rows, seq_len=seq_len)
    return FINISHED


def switch(root: Path, run: str, mixture: str) -> int:
    Runs(root).switch(run, mixture)
    return FINISHED
