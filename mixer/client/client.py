"""The mixer's service from Python: a method a route, over one connection that is kept.

Always holds: an error of the service is raised here by its name; a service that is away is a `ServiceAwayError`; a
connection is used by the process that opened it, so a client may be forked. Neither FastAPI nor Redis is loaded.
"""

import http.client
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from mixer import errors as mixer_errors
from mixer.client.answers import MixturePage, MixtureRow, MixtureText, PoolPage, RunPage, Session, StreamRow
from mixer.errors import RunError, ServiceAwayError
from mixer.ledger.history import Event
from mixer.ledger.reports import Report
from mixer.mixture.plan import ShareChange
from mixer.pool.files import PoolFile
from mixer.preview.preview import Preview
from mixer.runs.runs import RunInfo
from mixer.runs.series import Series
from streamer import errors as streamer_errors
from streamer.catalog.growth import Grown

VARIABLE = "PHASEMIX_TOKEN"
TIMEOUT_S = 10.0
KEPT_S = 20.0  # how long an idle connection is used again; the service ends it after 30
Body = dict[str, Any]
T = TypeVar("T")


class MixerClient:
    """A service. Its threads take turns. Raises: the service's errors by their names, ServiceAwayError."""

    def __init__(self, service: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.service, self._timeout_s = service.rstrip("/"), timeout_s
        self._token = os.environ.get(VARIABLE) if token is None else token
        address = urlsplit(self.service)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise RunError(f"{service!r} is no address of a mixer service; write it like http://127.0.0.1:8000")
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

    # what there is

    def session(self) -> Session:
        return self.get("session", Session)

    def streams(self) -> list[StreamRow]:
        return self.get("streams", list[StreamRow])

    def growth(self, stream: str) -> list[Grown]:
        return self.get("growth", list[Grown], stream=stream)

    # mixtures

    def mixtures(self) -> list[MixtureRow]:
        return self.get("mixtures", list[MixtureRow])

    def mixture_schema(self) -> Body:
        return self.get("mixtures/schema", Body)

    def versions(self, mixture: str) -> MixturePage:
        return self.get(f"mixtures/{word(mixture)}", MixturePage)

    def mixture(self, reference: str) -> MixtureText:
        name, _, version = reference.partition("@")
        return self.get(f"mixtures/{word(name)}/{word(version)}", MixtureText)

    def compare(self, before: str, after: str) -> list[ShareChange]:
        return self.get("difference", list[ShareChange], before=before, after=after)

    def apply(self, toml: str, *, why: str | None = None) -> str:
        return str(self.post("mixtures", Body, {"toml": toml, "why": why})["mixture"])

    def apply_edit(self, mixture: str, settings: Mapping[str, Any], *, why: str | None = None) -> str:
        return str(self.post("mixtures", Body, {"mixture": mixture, "settings": settings, "why": why})["mixture"])

    def preview(
        self, mixture: str, *, settings: Mapping[str, Any] | None = None, tokens: int = 0, run: str | None = None
    ) -> Preview:
        body = {"mixture": mixture, "settings": settings or {}, "tokens": tokens, "run": run}
        return self.post("mixtures/preview", Preview, body)

    def preview_text(self, toml: str, *, tokens: int = 0) -> Preview:
        return self.post("mixtures/preview", Preview, {"toml": toml, "tokens": tokens})

    # runs

    def runs(self) -> list[RunInfo]:
        return self.get("runs", list[RunInfo])

    def run(self, run: str) -> RunPage:
        return self.get(f"runs/{word(run)}", RunPage)

    def create(self, name: str, *, mixture: str | None = None, seed: int, global_batch: int, **more: Any) -> RunInfo:
        """`more`: as `Runs.create` takes it; a `schedule` or `policy` as the route does."""
        body = {"name": name, "mixture": mixture, "seed": seed, "global_batch": global_batch, **more}
        return self.post("runs", RunInfo, body)

    def ledger(self, run: str, start: int = 0) -> list[Body]:
        return self.get(f"runs/{word(run)}/ledger", list[Body], start=start)

    def segments(self, run: str, step: int, start: int = 0) -> list[Body]:
        return self.post(f"runs/{word(run)}/segments", list[Body], {"step": step, "start": start})

    def history(self, run: str) -> list[Event]:
        return self.get(f"runs/{word(run)}/history", list[Event])

    def reports(self, run: str) -> list[Report]:
        return self.get(f"runs/{word(run)}/reports", list[Report])

    def report(self, run: str, report: Report) -> None:
        self.post(f"runs/{word(run)}/reports", Body, msgspec.to_builtins(report))

    def series(self, run: str, *, by: str = "key", points: int = 200) -> Series:
        return self.get(f"runs/{word(run)}/series", Series, by=by, points=points)

    def switch(
        self, run: str, mixture: str | None = None, at_step: int | None = None, *, why: str | None = None, **more: Any
    ) -> int:
        """`more`: a `schedule` or `policy`, as the route takes it. Returns the first step of the new shares."""
        body = {"mixture": mixture, "at_step": at_step, "why": why, **more}
        return int(self.post(f"runs/{word(run)}/switch", Body, body)["from_step"])

    def fork(self, run: str, name: str, *, at_step: int, **more: Any) -> RunInfo:
        """`more`: as `Runs.fork` takes it."""
        return self.post(f"runs/{word(run)}/fork", RunInfo, {"name": name, "at_step": at_step, **more})

    def skip(self, run: str, start_step: int, batches: int, *, why: str | None = None) -> RunInfo:
        body = {"start_step": start_step, "batches": batches, "why": why}
        return self.post(f"runs/{word(run)}/skip", RunInfo, body)

    def pause(self, run: str, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/pause", RunInfo, {"why": why})

    def resume(self, run: str, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/resume", RunInfo, {"why": why})

    def end(self, run: str, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/end", RunInfo, {"why": why})

    def note(self, run: str, text: str) -> list[Event]:
        return self.post(f"runs/{word(run)}/notes", list[Event], {"text": text})

    # the pool

    def pool(self) -> PoolPage:
        return self.get("pool", PoolPage)

    def scale(self, workers: int) -> int:
        return int(self.post("pool", Body, {"workers": workers})["wanted"])

    def pool_files(self, verdict: str = "accepted", limit: int = 20) -> list[PoolFile]:
        return self.get("pool/files", list[PoolFile], verdict=verdict, limit=limit)

    # calls

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
        if status >= 500:
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
                if not (was_kept and (method == "GET" or path.endswith("/segments"))):
                    raise ServiceAwayError(
                        f"mixer service {self.service} is away ({type(error).__name__}); start it with phasemix up, or "
                        "name another address"
                    ) from error
                continue
            self._used_s = time.monotonic()
            return found

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def word(text: str) -> str:
    """A name as one word of a path."""
    return quote(text, safe="")


def error_named(kind: str) -> type[Exception]:
    """The class of a service's error; RunError for one that is not known here."""
    found = getattr(mixer_errors, kind, None) or getattr(streamer_errors, kind, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else RunError
