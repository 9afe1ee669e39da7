"""Who may ask: tokens of two roles, and no page of another site.

Always holds: what is refused no route sees; without a token a request is answered only under an address or the server's
own name, since another site's page may be made to lead here by any other.
"""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mixer.service.access import Token, find_token
from mixer.service.guard import refusal

READING_POSTS = ("/api/v1/mixtures/preview",)


class Callers:
    """Puts the token that a request comes with into its scope, or refuses it. `is_open`: reads need none, as on loopback."""

    def __init__(self, inner: ASGIApp, tokens: Sequence[Token], *, is_open: bool) -> None:
        self._inner, self._tokens, self._is_open = inner, tokens, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_guarded = scope["type"] == "http" and (path.startswith("/api/") or path == "/metrics")
        answer = (self._refuse(scope) if is_guarded else None) or self._inner
        await answer(scope, receive, send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers, tokens = Headers(scope=scope), self._tokens
        is_read = scope["method"] in ("GET", "HEAD") or scope["path"] in READING_POSTS
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return refusal(403, f"origin {origin[:80]} is not this service, {host[:80]}; use its own page")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        token = scope["token"] = find_token(tokens, given.strip()) if scheme.lower() == "bearer" else None
        if scheme and token is None and tokens:
            return refusal(401, "this token is not known here; give one of the service: Authorization: Bearer ...")
        if token is None and tokens and not (is_read and self._is_open):
            return refusal(401, f"this needs a token of role {'read' if is_read else 'write'}: Authorization: Bearer ...")
        if token is not None and not is_read and token.role != "write":
            return refusal(403, f"token {token.name} may read, not write; use one of role write")
        if token is None and not is_own_host(host, scope):
            return refusal(403, f"host {host[:80]} is not this service; use its address")
        return None


def is_own_host(host: str, scope: Scope) -> bool:
    """Whether the Host is an address or the server's own name: any other name may be somebody's page made to lead here."""
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return host.rsplit(":", 1)[0] in ("localhost", (scope.get("server") or ("",))[0])
    return True
