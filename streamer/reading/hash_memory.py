"""What was hashed already on this node, for all of its processes.

Always holds: a file is known only if a process of this node hashed a file of the same part, shard, size, modification
time and inode, and found the hash that is asked for.

The memory is a file of lines that only grows, each the digest of those facts, written by one short append. A line that a
kill tore, or a full disk refused, merely costs hashing again.
"""

import contextlib
import os
import threading
from pathlib import Path

import xxhash

MAX_BYTES = 256 << 20  # about eight million shards; then it begins anew


def describe(part_id: str, shard: str, xxh3: str, stat: os.stat_result) -> bytes:
    """One line: which bytes, in which file, are known to have which hash."""
    facts = f"{part_id} {shard} {xxh3} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
    return xxhash.xxh3_128_hexdigest(facts.encode()).encode()


class HashMemory:
    """Lines of one file, read once and then as far as it has grown; without a file the memory of this process alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: set[bytes] = set()
        self._read_bytes = 0
        self._lock = threading.Lock()

    def knows(self, line: bytes) -> bool:
        return line in self._lines or (self._refresh() and line in self._lines)

    def add(self, line: bytes) -> None:
        self._lines.add(line)
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, b"\n%s\n" % line)  # the first newline ends a line that a kill tore
            finally:
                os.close(descriptor)

    def _refresh(self) -> bool:
        """Reads what others have added; False when that is nothing."""
        if self._path is None:
            return False
        with self._lock:
            try:
                size = self._path.stat().st_size
                if size == self._read_bytes:
                    return False
                if size > MAX_BYTES:
                    os.truncate(self._path, 0)
                if size < self._read_bytes or size > MAX_BYTES:
                    self._read_bytes = 0  # somebody began it anew
                with self._path.open("rb") as file:
                    file.seek(self._read_bytes)
                    tail = file.read()
            except OSError:
                return False
            end = tail.rfind(b"\n") + 1
            self._lines.update(tail[:end].split(b"\n"))
            self._read_bytes += end
            return True
