"""What stands before every route: limits of a request, who may ask, the headers of every answer.

Always holds: a request is refused before a route sees it, in one line; a body reaches a route whole and in time, or not
at all; writes are `application/json` from this service's own pages; a page of another site can neither read nor write.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mixer.service.access import Token, find_token
from mixer.service.limits import Limits
from mixer.service.metrics import Metrics

READING_POSTS = ("/api/v1/mixtures/preview",)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """A request that no route gets to see: its status and one line."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Guard:
    """The application behind the guard. `is_open`: reads need no token, as on loopback."""

    def __init__(
        self, inner: Application, tokens: Sequence[Token], metrics: Metrics, limits: Limits, *, is_open: bool
    ) -> None:
        self._inner, self._tokens, self._metrics, self._limits, self._is_open = inner, tokens, metrics, limits, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in HEADERS if pair[0] not in given)]
            await send(message)

        try:
            body = await self._admit(scope, receive)
            await self._inner(scope, receive if body is None else replay(body, receive), answer)
        except Refused as refused:
            await refuse(refused, answer)
        except ConnectionResetError:
            return
        finally:
            self._metrics.note(scope.get("asked", "other"), scope["method"], status, time.perf_counter() - began_s)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body of a request that may go on; None when it has none to read. Raises: Refused."""
        limits = self._limits
        if len(scope["query_string"]) > limits.query_bytes or len(scope["raw_path"] or b"") > limits.path_bytes:
            raise Refused(414, f"a path has at most {limits.path_bytes} bytes, a query {limits.query_bytes}; ask for less")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.head_bytes:
            raise Refused(400, f"a head has at most {limits.head_bytes} bytes; send fewer or shorter headers")
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        is_read = scope["method"] in ("GET", "HEAD")
        scope["token"] = self._check_access(scope, headers, is_read or scope["path"] in READING_POSTS)
        if is_read:
            return None
        if headers.get(b"content-type", "").split(";")[0].strip().lower() != "application/json":
            raise Refused(415, "writes need Content-Type: application/json")
        length = headers.get(b"content-length", "")
        if length.isdigit() and int(length) > limits.body_bytes:
            raise Refused(413, f"the body has {length[:20]} bytes; at most {limits.body_bytes} are read")
        return await read_whole(receive, limits)

    def _check_access(self, scope: Scope, headers: dict[bytes, str], is_read: bool) -> Token | None:
        """The token that a request comes with. Raises: Refused when it may not go on."""
        path = scope["path"]
        if not (path.startswith("/api/") or path == "/metrics"):
            return None
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, f"origin {origin[:80]} is not this service, {host[:80]}; use its own page")
        scheme, _, given = headers.get(b"authorization", "").partition(" ")
        token = find_token(self._tokens, given.strip()) if scheme.lower() == "bearer" else None
        if scheme and token is None and self._tokens:
            raise Refused(401, "this token is not known here; give one of the service: Authorization: Bearer ...")
        needed = "read" if is_read else "write"
        if token is None and self._tokens and not (is_read and self._is_open):
            raise Refused(401, f"this needs a token of role {needed}: Authorization: Bearer ...")
        if token is not None and not is_read and token.role != "write":
            raise Refused(403, f"token {token.name} may read, not write; use one of role write")
        if token is None and not is_own_host(host, scope):
            raise Refused(403, f"host {host[:80]} is not this service; use its address")
        return token


def is_own_host(host: str, scope: Scope) -> bool:
    """Whether the Host is an address or the server's own name: any other name may be somebody's page made to lead here."""
    try:
        found = urlsplit(f"//{host}").hostname or ""
        ipaddress.ip_address(found)
    except ValueError:
        return host.rsplit(":", 1)[0] in ("localhost", (scope.get("server") or ("",))[0])
    return True


async def read_whole(receive: Receive, limits: Limits) -> bytes:
    """A body, however it is cut up. Raises: Refused when it is too large or late, ConnectionResetError."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limits.body_bytes:
                    raise Refused(413, f"the body has more than {limits.body_bytes} bytes; send less")
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError:
        raise Refused(408, f"the body was not here after {limits.body_s:g} s; send it at once") from None


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def refuse(refused: Refused, send: Send) -> None:
    """Answers in one line; what is left of the request is not read, so the connection ends."""
    body = msgspec.json.encode({"error": str(refused), "kind": "RequestError"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status in (408, 413, 414):
        headers.append((b"connection", b"close"))
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
