"""Clients of a mixer service in one process, over raw connections, so that to measure costs little."""

import asyncio
import json
import sys
import time
from typing import NamedTuple


class Load(NamedTuple):
    """`runs` of `clients` each. `every_s`: how often each asks, all of a run within `within_s`; 0: as fast as it can."""

    port: int
    runs: list[str]
    clients: int
    seconds: float
    every_s: float
    within_s: float
    segment: int


class Client:
    """One keep-alive connection that asks for a segment at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, run: str) -> None:
        self._reader, self._writer, self._run = reader, writer, run
        self.length = 0

    async def ask(self, step: int) -> float:
        """Asks for the segment of a step and what came since the entries known; returns milliseconds."""
        body = b'{"step":%d,"start":%d}' % (step, self.length)
        head = b"POST /api/v1/runs/%s/segments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        began_s = time.perf_counter()
        self._writer.write(head % self._run.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        data = await self._reader.readexactly(length)
        took_ms = (time.perf_counter() - began_s) * 1000
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data.decode())
        self.length += data.count(b'"event"')
        return took_ms


async def measure(load: Load) -> list[float]:
    """Milliseconds of every request."""
    found: list[float] = []
    began_s = time.perf_counter() + 1.0

    async def follow(client: Client, run: int, number: int) -> None:
        late_s = run * load.every_s / len(load.runs) + number * load.within_s / load.clients
        step = 0
        while load.every_s and (at_s := began_s + late_s + step // load.segment * load.every_s) < began_s + load.seconds:
            await asyncio.sleep(max(0.0, at_s - time.perf_counter()))
            found.append(await client.ask(step))
            step += load.segment
        while not load.every_s and time.perf_counter() < began_s + load.seconds:
            found.append(await client.ask(0))

    clients = []
    for run, name in enumerate(load.runs):
        for number in range(load.clients):
            clients.append((Client(*await asyncio.open_connection("127.0.0.1", load.port), name), run, number))
    await asyncio.gather(*(follow(*client) for client in clients))
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Load(**json.loads(sys.argv[1]))))))
