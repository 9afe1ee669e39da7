"""The server of an application: uvicorn, and what a connection may hold up.

Always holds: a connection that has not sent a whole head, or taken its answer, in time is closed; so is, when there are
too many, the one that has been idle longest, never one whose request is being answered.

How: uvicorn's protocol class is inherited, since none of its options does this. `timeout_keep_alive` runs only from the
end of an answer to the next request, so who connects and sends nothing, sends a head byte by byte, or reads no answer is
never closed; `limit_concurrency` answers 503 to newcomers while idle connections stay. Each is shown in
tests/contracts/test_service_limits.py.
"""

import asyncio
import resource
import socket
import sys
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mixer.service.limits import Limits

SPARE_FILES = 128  # of the process's limit, for the store
BACKLOG = 1024
SWITCH_S = 0.0002  # a thread that plans gives way to an answer so soon
NO_HTTP = b'{"error":"no HTTP request that is read here: its head is malformed or too large","kind":"RequestError"}'


class Connection(H11Protocol):
    """One connection, with a time by which what it does must be done."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        found = transport.get_extra_info("socket")
        if found is not None and found.family != socket.AF_UNIX:  # asyncio does not where a listener's protocol is 0
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timer: asyncio.TimerHandle | None = None
        self._answers = False
        self.idle_since_s = self.loop.time()
        self._limit(self.limits.head_s)
        if len(self.connections) > most_connections(self.limits.connections):
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._timer is None:
            self._limit(self.limits.head_s)
        super().data_received(data)
        if not (self._answers or self.is_idle):
            self._answers = True
            self._limit(self.limits.answer_s)

    def on_response_complete(self) -> None:
        self._answers, self.idle_since_s = False, self.loop.time()
        self._limit(None)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit(None)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP as every mistake is answered."""
        headers = [("content-type", "application/json"), ("content-length", str(len(NO_HTTP))), ("connection", "close")]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=NO_HTTP), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @property
    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _limit(self, seconds: float | None) -> None:
        """Ends the connection after so long, in place of what was set before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    def _make_room(self) -> None:
        """Ends the connection that has been idle longest; this one where none is."""
        others = (other for other in self.connections if isinstance(other, Connection) and other.is_idle)
        min(others, key=lambda other: other.idle_since_s, default=self).transport.abort()


def most_connections(wanted: int) -> int:
    """As many as wanted, if the process's open files allow."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(wanted, soft - SPARE_FILES))


def make_server(app: Any, limits: Limits = Connection.limits) -> uvicorn.Server:
    """A server of the application; `run(sockets=[...])` serves on sockets that are bound already."""
    config = uvicorn.Config(
        app,
        http=type("LimitedConnection", (Connection,), {"limits": limits}),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.head_bytes,
        timeout_keep_alive=limits.idle_s,
        timeout_graceful_shutdown=5,
        backlog=BACKLOG,
    )
    return uvicorn.Server(config)


def serve(app: Any, listener: socket.socket, limits: Limits = Connection.limits) -> None:
    """Serves on a socket that is bound already, until told to end; for a process that does nothing else."""
    sys.setswitchinterval(SWITCH_S)
    make_server(app, limits).run(sockets=[listener])
