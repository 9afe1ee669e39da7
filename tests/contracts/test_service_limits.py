"""What is no honest request is refused, and the service answers others meanwhile. Real sockets on a real process."""

import contextlib
import json
import socket
import time
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from serving import serving

from mixer import Mixtures, Runs
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "*/*"\nshare = 1\nmax_passes = 2\n'
JSON = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
POST = f"POST /api/v1/runs/a/segments HTTP/1.1\r\n{JSON}"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One service for all that it is asked here; a file that it must not give away lies beside its root."""
    root = tmp_path_factory.mktemp("service") / "catalog"
    (root.parent / "secret").write_text("secret")
    Catalog(root).append("raw/python", np.zeros((30, 8), np.uint16), seq_len=8)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    with serving(root, head_s=1.0, body_s=1.0, answer_s=3.0, connections=200) as found:
        yield found


def exchange(port: int, sent: bytes) -> bytes:
    """What comes back until the service ends the connection, or has answered once."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while not is_whole(found) and (data := line.recv(1 << 16)):
                found += data
    return found


def is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    lengths = [int(row[15:]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= lengths[0]


def answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/runs/a", timeout=60) as answer:
        return json.load(answer)["name"] == "a"


def is_ended(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def body_of(data: bytes, length: int | None = None) -> bytes:
    return f"{POST}Content-Length: {len(data) if length is None else length}\r\n\r\n".encode() + data


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CHUNKED = f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode()

REFUSED = {
    "a huge body": (body_of(b"", 1 << 40), 413),
    "a huge chunked body": (CHUNKED + chunk(b"x" * (1 << 19)) * 3, 413),
    "a body that never ends": (CHUNKED + chunk(b'{"step":'), 408),
    "a body that does not come": (body_of(b"{", 100), 408),
    "deep JSON": (body_of(b'{"step":' + b"[" * 200_000), 400),
    "deep JSON that ends": (body_of(b'{"step":' + b"[" * 5000 + b"]" * 5000 + b"}"), 400),
    "bad UTF-8": (body_of(b'{"step":"\xff"}'), 400),
    "a NUL in JSON": (body_of(b'{"step":0}\x00'), 400),
    "no JSON": (body_of(b"step=1"), 400),
    "a list": (body_of(b"[]"), 400),
    "a number too large": (body_of(b'{"step":1' + b"0" * 400 + b"}"), 400),
    "a length that is none": (f"{POST}Content-Length: x\r\n\r\n".encode(), 400),
    "two lengths": (f"{POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}".encode(), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
    "a huge head": (b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n", 400),
    "a long path": (b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 414),
    "a long query": (b"GET /api/v1/growth?stream=" + b"a" * 4000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 414),
    "an unknown method": (f"BREW /api/v1/runs HTTP/1.1\r\n{JSON}Content-Length: 2\r\n\r\n{{}}".encode(), 405),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_line_and_the_service_is_unharmed(port: int, what: str) -> None:
    sent, status = REFUSED[what]
    answer = exchange(port, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300]
    found = json.loads(body)
    assert set(found) == {"error", "kind"}
    assert found["error"].count("\n") == 0
    assert len(found["error"]) < 500
    assert answers(port)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs/..%2f..%2fetc", "/api/v1/runs/%2e%2e/ledger", "/api/v1/runs/../../secret", "/api/v1/runs//ledger",
        "/api/v1/runs/a%00/ledger", "/api/v1/runs/A/ledger", "/api/v1/mixtures/%2e%2e/1", "/api/v1/mixtures/m/1%2f..",
        "/api/v1/growth?stream=../../names/runs", "/api/v1/growth?stream=raw/python/../../..", "/api/v1/growth?stream=%00",
        "/api/v1/growth?stream=%ff", "/%2e%2e/service/guard.py", "/..%2fservice%2fguard.py", "//etc/passwd",
        "/library/..%2f..%2fplotly.min.js", "/static/../../access.py",
    ],
)  # fmt: skip
def test_no_path_or_query_reaches_outside_the_catalog(port: int, path: str) -> None:
    answer = exchange(port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"404"), answer[:300]
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "kind"}


def test_a_head_that_comes_slowly_is_given_up(port: int) -> None:
    assert exchange(port, b"GET /api/v1/runs HTTP/1.1\r\nHost: 127") == b""


def test_connections_that_do_nothing_give_way_to_those_that_ask(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(3000)]
    try:
        assert answers(port)
        assert sum(is_ended(line) for line in idle[:2500]) == 2500
    finally:
        for line in idle:
            line.close()
    assert answers(port)


def test_an_answer_that_is_not_taken_is_given_up(port: int) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", port))
        line.sendall(b"GET /library/plotly.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        line.settimeout(60)
        head = line.recv(1024)
        length, taken = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]), len(head)
        with contextlib.suppress(ConnectionResetError):
            for _ in range(100):  # slowly for longer than it may take, then all that was sent
                taken += len(line.recv(1024))
                time.sleep(0.05)
            while piece := line.recv(1 << 16):
                taken += len(piece)
    assert taken < length
    assert answers(port)
