"""Threads that get shards ready before they are asked for.

Always holds:
- a key is worked on by one thread at a time, and what was made for it lives while it is held;
- a thread ends when nothing is left to do, when the owner of `make` is gone, and when the process ends
  (streamer/background.py);
- nobody waits without a bound for anything but a thread that is alive and at work. An interrupt (Control-C) at any moment
  leaves nothing that a later call would wait for.

Nobody keeps an error that a thread met: whoever asks for that key tries again and meets it.
"""

import contextlib
import enum
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from streamer import background

Key = TypeVar("Key")
Item = TypeVar("Item")
Value = TypeVar("Value")
POLL_S = 0.1  # a wake-up that an interrupt swallowed costs this much


class Stage(enum.Enum):
    """How far a task is. `TAKEN`: its caller makes the value itself, and nobody waits for that."""

    TO_DO = enum.auto()
    UNDER_WAY = enum.auto()
    TAKEN = enum.auto()
    DONE = enum.auto()


class Task(Generic[Item, Value]):
    """One key that is held. `value` is None until it is done, and after an error."""

    __slots__ = ("ended", "item", "stage", "value")

    def __init__(self, item: Item, value: Value | None) -> None:
        self.item, self.value = item, value
        self.stage = Stage.TO_DO if value is None else Stage.DONE
        self.ended = threading.Lock()  # held while under way; a lock and no Condition, which an interrupt can leave locked


class ReadAhead(Generic[Key, Item, Value]):
    """Holds values by key, made from items in the order given, by up to `num_threads` threads.

    `make` is held weakly, so that an owner that is dropped is not kept by what was to be made for it; `expected` are the
    errors that it may raise.
    """

    def __init__(self, make: Callable[[Item], Value], *, num_threads: int, expected: tuple[type[Exception], ...]) -> None:
        self._make = weakref.WeakMethod(make)
        self._num_threads, self._expected = num_threads, expected
        self._tasks: dict[Key, Task[Item, Value]] = {}
        self._to_do: deque[Task[Item, Value]] = deque()
        self._lock = threading.Lock()
        self._workers: set[object] = set()

    def __contains__(self, key: Key) -> bool:
        return key in self._tasks

    def hold(self, wanted: Sequence[tuple[Key, Item]], there: Mapping[Key, Value]) -> None:
        """Replaces what is held. What is `there`, or was made or begun for an earlier call, is not made again."""
        with self._lock:
            before, tasks = self._tasks, {}
            for key, item in wanted:
                task = before.get(key)
                if task is None or task.stage is Stage.TAKEN or (task.stage is Stage.DONE and task.value is None):
                    task = Task(item, there.get(key))
                tasks[key] = task
            self._tasks = tasks
            self._to_do = deque(task for task in tasks.values() if task.stage is Stage.TO_DO)
            missing = min(self._num_threads, len(self._to_do)) - len(self._workers)
        for _ in range(missing):
            background.start(self._work, name="phasemix-read-ahead")

    def take(self, key: Key) -> Value | None:
        """What was made for the key, after waiting for a thread that is at it. None: the caller has to make it."""
        task = self._tasks.get(key)
        if task is None:
            return None
        with self._lock:
            if task.stage is Stage.TO_DO:
                task.stage = Stage.TAKEN
        while task.stage is Stage.UNDER_WAY:
            if task.ended.acquire(timeout=POLL_S):
                task.ended.release()
        return task.value

    def close(self) -> None:
        """Drops what is held. The threads end after what they are doing. Takes no lock."""
        self._tasks, self._to_do = {}, deque()

    def _work(self) -> None:
        worker = object()
        with self._lock:
            if len(self._workers) >= self._num_threads:
                return
            self._workers.add(worker)
        try:
            while (task := self._next(worker)) is not None:
                try:
                    background.check()
                    make = self._make()
                    if make is None:
                        return
                    with contextlib.suppress(*self._expected):  # met again by whoever asks for it
                        task.value = make(task.item)
                    del make
                finally:
                    task.stage = Stage.DONE
                    task.ended.release()
        finally:
            self._workers.discard(worker)

    def _next(self, worker: object) -> Task[Item, Value] | None:
        with self._lock:
            while self._to_do:
                task = self._to_do.popleft()
                if task.stage is Stage.TO_DO:
                    task.ended.acquire()
                    task.stage = Stage.UNDER_WAY
                    return task
            self._workers.discard(worker)  # under the lock, so that `hold` counts right
        return None
