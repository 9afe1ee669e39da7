"""A TCP proxy on loopback, in a thread of its own, whose connections are cut or fall silent when a test says so."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class CuttingProxy:
    """`connect`: opens a connection to the server behind it."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect, self._loop = connect, asyncio.new_event_loop()
        self._flowing, self._writers = asyncio.Event(), set[asyncio.StreamWriter]()
        self._place = bound(0)  # keeps the port while nobody listens there
        self.port: int = self._place.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def cut(self, refused_s: float) -> None:
        """Resets every connection, and refuses new ones for a time."""
        self._do(self._close())
        time.sleep(refused_s)
        self._do(self._open())

    def stall(self, silent_s: float) -> None:
        """Nothing comes through for a time, in neither direction, and nobody is told; afterwards it all comes late."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        time.sleep(silent_s)
        self._loop.call_soon_threadsafe(self._flowing.set)

    def __enter__(self) -> "CuttingProxy":
        self._flowing.set()
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.close()

    def _do(self, what: Awaitable[None]) -> None:
        async def wait() -> None:
            await what

        asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, sock=bound(self.port))

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = [writer]
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                found, other = await self._connect()
                both.append(other)
                self._writers.add(other)
                await asyncio.gather(self._pump(reader, other), self._pump(found, writer))
        finally:
            for one in both:
                one.transport.abort()
                self._writers.discard(one)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        raise ConnectionError  # one side has ended: so does the other


def bound(port: int) -> socket.socket:
    """A socket at a port that others of ours may have too."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    return found
