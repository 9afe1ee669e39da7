"""A tiny HTTP proxy in front of a loopback server, which fails requests as it is told.

Always holds: each fault that is put on `faults` meets one request that `meets` chooses, after the first `skip` of them;
without a fault everything passes.

Faults: "500" and "drop" (the connection closed) before the server sees the request; "late 500" and "reset" after it has done
what was asked; "cut" in the middle of the answer; "stall" never passes the request on, "slow" passes it on when the client
has given up; "twice" delivers it twice and hands on the second answer.
"""

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

BEFORE, AFTER = ("500", "drop"), ("late 500", "reset", "cut", "slow", "twice")
FAULTS = BEFORE + AFTER


def is_get_of_a_shard(method: str, path: str) -> bool:
    return method == "GET" and ".mds" in path


class FaultyProxy(http.server.ThreadingHTTPServer):
    """`for_ever` is a fault that meets every request which `meets` chooses; `num_met` counts them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = urlsplit(target).netloc
        self.faults: deque[str] = deque()
        self.for_ever = ""
        self.meets: Callable[[str, str], bool] = is_get_of_a_shard
        self.skip = self.num_met = 0
        self.stall_s, self.slow_s = 30.0, 0.5
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self, method: str, path: str) -> str:
        if not self.meets(method, path):
            return ""
        with self.lock:
            self.num_met += 1
            if self.skip:
                self.skip -= 1
                return ""
            return self.faults.popleft() if self.faults else self.for_ever

    def handle_error(self, *_: object) -> None:
        """Clients that gave up are what the tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyProxy

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.next_fault(self.command, self.path)
        if fault == "500":
            return self.answer_500()
        if fault == "drop":
            return self.reset()
        if fault == "stall":
            time.sleep(self.server.stall_s)
            self.close_connection = True
            return None
        if fault == "slow":
            time.sleep(self.server.slow_s)
        if fault == "twice":
            self.pass_on(body)
        answer, data = self.pass_on(body)
        if fault == "late 500":
            return self.answer_500()
        if fault == "reset":
            return self.reset()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            time.sleep(0.05)
            return self.reset()
        self.wfile.write(data)
        return None

    def pass_on(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def answer_500(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_request

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextlib.contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
