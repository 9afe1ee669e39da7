"""What stands before every route: bounds of a request's head and body, and what every answer has.

Always holds: a request is refused before a route sees it, in one line; a body reaches a route whole and in time, or not at
all; every answer is counted and has the headers that keep other sites' pages out. Who may ask: callers.py.
"""

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixer.service.limits import Limits
from mixer.service.metrics import Metrics

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CLOSE = {"connection": "close"}
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def refusal(status: int, said: str) -> JSONResponse:
    """The answer to a request that no route gets to see; what is left of a request that was too much is not read."""
    headers = {408: CLOSE, 413: CLOSE, 414: CLOSE, 401: {"www-authenticate": "Bearer"}}.get(status)
    return JSONResponse({"error": said, "kind": "RequestError"}, status, headers)


class Answers:
    """Gives every answer its headers, and counts it."""

    def __init__(self, inner: ASGIApp, metrics: Metrics) -> None:
        self._inner, self._metrics = inner, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._inner(scope, receive, answer)
        except ClientDisconnect:
            return
        finally:
            self._metrics.note(scope.get("asked", "other"), scope["method"], status, time.perf_counter() - began_s)


class Heads:
    """Refuses a path, query or head that is too long."""

    def __init__(self, inner: ASGIApp, limits: Limits) -> None:
        self._inner, self._limits = inner, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._inner if scope["type"] != "http" else self._refuse(scope) or self._inner
        await answer(scope, receive, send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        limits = self._limits
        if len(scope["query_string"]) > limits.query_bytes or len(scope["raw_path"] or b"") > limits.path_bytes:
            return refusal(414, f"a path has at most {limits.path_bytes} bytes, a query {limits.query_bytes}; ask for less")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.head_bytes:
            return refusal(400, f"a head has at most {limits.head_bytes} bytes; send fewer or shorter headers")
        return None


class Bodies:
    """Reads what a write sends, whole and in time, before anything looks at it."""

    def __init__(self, inner: ASGIApp, limits: Limits) -> None:
        self._inner, self._limits = inner, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._inner(scope, receive, send)
            return
        body = await self._read(Request(scope, receive))
        if isinstance(body, JSONResponse):
            await body(scope, receive, send)
        else:
            await self._inner(scope, replay(body, receive), send)

    async def _read(self, request: Request) -> bytes | JSONResponse:
        """The body, however it is cut up, or why it is refused. Raises: ClientDisconnect."""
        headers, most = Headers(scope=request.scope), self._limits.body_bytes
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return refusal(415, "writes need Content-Type: application/json")
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            return refusal(413, f"the body has {length[:20]} bytes; at most {most} are read")
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for piece in request.stream():
                    pieces.append(piece)
                    size += len(piece)
                    if size > most:
                        return refusal(413, f"the body has more than {most} bytes; send less")
        except TimeoutError:
            return refusal(408, f"the body was not here after {self._limits.body_s:g} s; send it at once")
        return b"".join(pieces)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
