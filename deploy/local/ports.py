"""At which port the mixer of a root listens: the same one each time, so that a bookmark of the dashboard stays right.

Always holds:
- a port that was asked for is taken or refused, never replaced;
- without one a root gets the port that it had last, at first 7427; where another process listens there it gets the next
  free one, and has that the next time.

How: one small file for each root and user under XDG_STATE_HOME, which outlives a restart of the machine. Losing it costs
nothing but the address. Two roots that began with the same port get two the first time that both are up, and keep them.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import xxhash

from deploy.local.services import LOOPBACK, SupervisorError

DEFAULT_PORT = 7427  # docs/service.md says why
MOST_TRIED = 100
HIGHEST_PORT = 65_535
BACKLOG = 1024  # connections that wait for the mixer


class Listener(NamedTuple):
    """A socket that listens, its port, and the port that was wanted where another process has that one."""

    socket: socket.socket
    port: int
    taken: int | None = None


def listen_for(root: str, host: str, port: int | None) -> Listener:
    """Listens at `port` (0: any that is free), else at the root's own port or the next free one. Raises: SupervisorError."""
    if port is not None:
        found = bind(port, host)
        return Listener(found, port_of(found))
    first = remembered(root) or DEFAULT_PORT
    last = min(first + MOST_TRIED, HIGHEST_PORT)
    for number in range(first, last):
        try:
            return Listener(bind(number, host), number, None if number == first else first)
        except PortTakenError:
            continue
    raise SupervisorError(
        f"the ports {first} to {last - 1} of {host} are all taken; choose another with --port, or 0 for any that is free"
    )


class PortTakenError(SupervisorError):
    """Another process listens at this port."""


def bind(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket that listens at a port of a host's address; 0 takes a free one. Raises: SupervisorError, PortTakenError."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        found.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {port} of {host} is taken by another process; choose another with --port, or 0 for any that is free"
            ) from error
        raise SupervisorError(
            f"cannot listen at port {port} of {host} ({error}); choose another with --port, 0 for any that is free, or an "
            "address of this machine with --host"
        ) from error
    return found


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with bind(0) as found:
        return port_of(found)


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def remembered(root: str) -> int | None:
    """The port at which the root's mixer listened last, or None when that is not known."""
    try:
        text = memory_of(root).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() and 0 < int(text) <= HIGHEST_PORT else None


def remember(root: str, port: int) -> None:
    """Notes the port of a root. Says so in one line where that cannot be written; the mixer runs all the same."""
    path = memory_of(root)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(f"{port}\n", encoding="ascii")
        aside.replace(path)
    except OSError as error:
        print(f"phasemix: port {port} cannot be remembered in {path.parent}: {error.strerror}", file=sys.stderr)


def memory_of(root: str) -> Path:
    """The file that holds the port of a root."""
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path("~/.local/state").expanduser()
    return base / "phasemix" / "ports" / xxhash.xxh3_64_hexdigest(root.encode())
