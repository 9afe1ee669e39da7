"""A tiny HTTP proxy in front of a loopback server, which fails gets of shards as it is told.

Always holds: each fault that is put on `faults` meets one get of a shard; without one everything passes.
"""

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from urllib.parse import urlsplit


class FaultyProxy(http.server.ThreadingHTTPServer):
    """`faults` holds "500", "stall" or "reset" (in mid-body); `for_ever` is one that meets every get."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = urlsplit(target).netloc
        self.faults: deque[str] = deque()
        self.for_ever = ""
        self.num_gets = 0
        self.stall_s = 30.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Clients that gave up are what the tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = ""
        if self.command == "GET" and ".mds" in self.path:
            self.server.num_gets += 1
            fault = self.server.faults.popleft() if self.server.faults else self.server.for_ever
        if fault == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if fault == "stall":
            time.sleep(self.server.stall_s)
            self.close_connection = True
            return None
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        if fault == "reset":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            time.sleep(0.05)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return self.connection.close()
        self.wfile.write(data)
        return None

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextlib.contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
