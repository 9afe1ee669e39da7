"""HTTP to the mixer's service: one connection that is kept, JSON in and out, errors by their names.

Always holds:
- an error of the service is raised here by its name; a service that cannot be reached is a `ServiceAwayError`;
- a request that changes something and whose answer was lost is an `UnknownOutcomeError`, and is not sent again, except a
  request for segments, which may be repeated;
- a connection is used by the process that opened it, so its owner may be forked.
"""

import http.client
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from mixer import errors as mixer_errors
from mixer.errors import RunError, ServiceAwayError
from streamer import errors as streamer_errors
from streamer.errors import UnknownOutcomeError

VARIABLE = "PHASEMIX_TOKEN"
TIMEOUT_S = 10.0
KEPT_S = 20.0  # how long an idle connection is used again; the service ends it after 30
Body = dict[str, Any]
T = TypeVar("T")


class Connection:
    """A connection to a service. Its threads take turns. Raises: the service's errors by their names, ServiceAwayError."""

    def __init__(self, service: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.service, self._timeout_s = service.rstrip("/"), timeout_s
        self._token = os.environ.get(VARIABLE) if token is None else token
        address = urlsplit(self.service)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise RunError(f"{service!r} cannot be the address of a mixer service; write it like http://127.0.0.1:8000")
        self._prefix = address.path
        self._kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self._place = address.hostname, address.port
        self._lock, self._process = threading.Lock(), os.getpid()
        self._connection: http.client.HTTPConnection | None = None
        self._used_s = 0.0

    def __getstate__(self) -> tuple[str, str | None, float]:
        return self.service, self._token, self._timeout_s

    def __setstate__(self, state: tuple[str, str | None, float]) -> None:
        self.__init__(state[0], token=state[1], timeout_s=state[2])  # type: ignore[misc]

    def get(self, path: str, kind: type[T], **query: Any) -> T:
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""), None, kind)

    def post(self, path: str, kind: type[T], body: Mapping[str, Any]) -> T:
        return self._ask("POST", path, msgspec.json.encode(body), kind)

    def close(self) -> None:
        """Ends the connection; a later call opens another."""
        with self._lock:
            self._drop()

    def _ask(self, method: str, path: str, body: bytes | None, kind: type[T]) -> T:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._process != os.getpid():  # forked: the connection, and maybe the lock, are the parent's
            self._lock, self._process, self._connection = threading.Lock(), os.getpid(), None
        with self._lock:
            status, data = self._exchange(method, f"{self._prefix}/api/v1/{path}", body, headers)
        if status < 400:
            return msgspec.json.decode(data, type=kind)
        try:
            mistake = msgspec.json.decode(data, type=dict[str, str])
        except msgspec.MsgspecError:
            mistake = {}
        said = mistake.get("error") or f"{self.service}/api/v1/{path} answered {status}; is that a mixer service?"
        if status >= 500 and not (mistake.get("kind") == UnknownOutcomeError.__name__ and not may_repeat(method, path)):
            raise ServiceAwayError(f"mixer service {self.service} answered {status}: {said}")
        raise error_named(mistake.get("kind", ""))(said)

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. Where asking twice is harmless, a kept connection that has ended is opened once more."""
        if self._connection is not None and time.monotonic() - self._used_s > KEPT_S:
            self._drop()
        while True:
            was_kept = self._connection is not None
            if self._connection is None:
                self._connection = self._kind(*self._place, timeout=self._timeout_s)
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                found = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if was_kept and may_repeat(method, path):
                    continue
                if may_repeat(method, path) or isinstance(error, ConnectionRefusedError | socket.gaierror):
                    raise ServiceAwayError(
                        f"cannot reach the mixer service at {self.service} ({type(error).__name__}); start it with "
                        "phasemix up, or name another address"
                    ) from error
                raise UnknownOutcomeError(
                    f"the mixer service at {self.service} gave no answer ({type(error).__name__}). It is not known whether "
                    "it did what was asked: look before you ask again"
                ) from error
            self._used_s = time.monotonic()
            return found

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def may_repeat(method: str, path: str) -> bool:
    """Whether a request that is sent twice does no more than one that is sent once."""
    return method == "GET" or path.endswith("/segments")


def error_named(kind: str) -> type[Exception]:
    """The class of a service's error; RunError for one that is not known here."""
    found = getattr(mixer_errors, kind, None) or getattr(streamer_errors, kind, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else RunError


def word(text: str) -> str:
    """A name as one word of a path."""
    return quote(text, safe="")
