"""Threads that get shards ready before they are asked for.

Always holds: a key is worked on by one thread at a time, and what was made for it lives while it is held; a thread ends when
nothing is left to do, and never keeps a process alive.

An error in a thread is kept by nobody: whoever asks for that key tries again and meets it.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Make = Callable[[], Value]


class Task(Generic[Value]):
    """One key that is held: to do, under way, or done with its value (None after an error)."""

    __slots__ = ("is_done", "is_started", "make", "value")

    def __init__(self, make: Make[Value], value: Value | None) -> None:
        self.make, self.value = make, value
        self.is_started = self.is_done = value is not None


class ReadAhead(Generic[Key, Value]):
    """Holds values by key, made in the order given by up to `num_threads` threads."""

    def __init__(self, num_threads: int, expected: tuple[type[Exception], ...]) -> None:
        self._num_threads, self._expected = num_threads, expected
        self._tasks: dict[Key, Task[Value]] = {}
        self._to_do: deque[Task[Value]] = deque()
        self._changed = threading.Condition()
        self._working = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._tasks

    def hold(self, wanted: Sequence[tuple[Key, Make[Value]]], there: Mapping[Key, Value]) -> None:
        """Replaces what is held; what is `there`, or was made or begun for an earlier call, is not made again."""
        with self._changed:
            before, tasks = self._tasks, {}
            for key, make in wanted:
                task = before.get(key)
                if task is None or (task.is_done and task.value is None):
                    task = Task(make, there.get(key))
                tasks[key] = task
            self._tasks = tasks
            self._to_do = deque(task for task in tasks.values() if not task.is_started)
            while self._working < min(self._num_threads, len(self._to_do)):
                self._working += 1
                threading.Thread(target=self._work, name="phasemix-read-ahead", daemon=True).start()

    def take(self, key: Key, make: Make[Value]) -> Value:
        """What was made of the key, after waiting for a thread that is at it; made here when none is or it failed."""
        with self._changed:
            task = self._tasks.get(key)
            if task is not None and task.is_started:
                self._changed.wait_for(lambda: task.is_done)
                if task.value is not None:
                    return task.value
            elif task is not None:
                task.is_started = True
        if task is None:
            return make()
        return self._run(task, make)

    def close(self) -> None:
        """Drops what is held and lets the threads end after what they are doing."""
        with self._changed:
            self._tasks, self._to_do = {}, deque()

    def _run(self, task: Task[Value], make: Make[Value]) -> Value:
        value = None
        try:
            value = make()
            return value
        finally:
            with self._changed:
                task.value, task.is_done = value, True
                self._changed.notify_all()

    def _next(self) -> Task[Value] | None:
        with self._changed:
            while self._to_do:
                task = self._to_do.popleft()
                if not task.is_started:
                    task.is_started = True
                    return task
            self._working -= 1
        return None

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                with contextlib.suppress(*self._expected):  # met again by whoever asks for it
                    self._run(task, task.make)
        except BaseException:
            with self._changed:
                self._working -= 1
            raise
