"""What a program may use, and how it ended."""

from enum import StrEnum
from typing import Annotated

import msgspec

Size = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one program and all that it starts may use together.

    Attributes:
        wall_s: Seconds from its start to its end.
        cpu_s: Seconds of processor time.
        memory_bytes: Resident memory; a process alone may reserve twice as much of addresses.
        processes: Processes and threads at once.
        disk_bytes: Of its folder, which lies in memory.
        files: In its folder.
        output_bytes: Of standard output, and of standard error.
    """

    wall_s: Seconds = 10.0
    cpu_s: Seconds = 10.0
    memory_bytes: Size = 1 << 30
    processes: Size = 64
    disk_bytes: Size = 64 << 20
    files: Size = 10_000
    output_bytes: Size = 1 << 20


class End(StrEnum):
    """How a program ended: by itself, by a signal of its own or of the kernel, or stopped at a limit."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    OUT_OF_TIME = "out_of_time"
    OUT_OF_CPU = "out_of_cpu"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_MANY_PROCESSES = "too_many_processes"
    TOO_MANY_FILES = "too_many_files"
    TOO_MUCH_OUTPUT = "too_much_output"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended, and what it wrote.

    `exit_code` is None unless it exited, `signal` unless one ended it; as in a shell, a code from 129 to 192 tells a signal.
    `cpu_s` and `memory_bytes` are the most that was seen, by looks every `LOOK_S`; a short program may have had more.
    """

    end: End
    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    wall_s: float
    cpu_s: float
    memory_bytes: int

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0
