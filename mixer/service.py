"""The mixer over HTTP: stateless routes over the store. No sample passes through it.

Always holds: writes come as `application/json` with this service's own Host and Origin, and with the token where one is
set; a request's mistake is answered by 4xx with the one line that the command would print.
"""

import ipaddress
import secrets
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from mixer import pool
from mixer.errors import MixerError, RunEnded, StepError, WaitError
from mixer.journal import Journal
from mixer.mixtures import Mixtures
from mixer.runs import Runs
from streamer.catalog import Catalog
from streamer.errors import PhasemixError

DASHBOARD = Path(__file__).parent / "dashboard"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def create_app(root: str | Path, redis_url: str | None = None, token: str | None = None) -> FastAPI:
    """The application over a root. `token` is asked of every write when it is set."""
    app = FastAPI(title="phasemix mixer", version="1", docs_url=None, redoc_url=None)
    catalog = Catalog(root)
    journals: dict[str, tuple[Journal, threading.Lock]] = {}

    def locked_journal(name: str) -> tuple[Journal, threading.Lock]:
        """A run's journal, kept, so that a request takes in only what is new; one request at a time may use it."""
        if name not in journals:
            journals.setdefault(name, (Journal(catalog, name), threading.Lock()))
        return journals[name]

    @app.middleware("http")
    async def guard(request: Request, go_on: Any) -> Response:
        refused = refusal(request, token) if request.method not in ("GET", "HEAD") else None
        response: Response = await go_on(request) if refused is None else refused
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.exception_handler(PhasemixError)
    def mistake(request: Request, error: PhasemixError) -> JSONResponse:
        status = 409 if isinstance(error, StepError | RunEnded | WaitError) else 400
        return JSONResponse({"error": str(error), "kind": type(error).__name__}, status)

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/streams")
    def streams() -> Any:
        return msgspec.to_builtins(catalog.streams())

    @app.get("/api/mixtures")
    def mixtures() -> list[dict[str, Any]]:
        return [{"name": name, "versions": versions} for name, versions in Mixtures(catalog).list()]

    @app.post("/api/mixtures")
    def apply(body: dict[str, str]) -> dict[str, str]:
        return {"mixture": Mixtures(catalog).apply(text_of(body, "toml"))}

    @app.get("/api/runs")
    def runs() -> Any:
        return [run_row(name) for name in (info.name for info in Runs(catalog).list())]

    @app.get("/api/runs/{name}")
    def run(name: str) -> Any:
        return run_row(name)

    @app.post("/api/runs/{name}/switch")
    def switch(name: str, body: dict[str, Any]) -> dict[str, int]:
        at_step = None if body.get("at_step") is None else number_of(body, "at_step")
        return {"from_step": Runs(catalog).switch(name, text_of(body, "mixture"), at_step)}

    @app.get("/api/runs/{name}/ledger")
    def ledger(name: str, start: int = 0) -> Any:
        """The ledger's bodies from entry `start`."""
        locked_journal(name)
        return catalog.log(f"runs/{name}/ledger").read()[max(start, 0) :]

    @app.post("/api/runs/{name}/segments")
    def segments(name: str, body: dict[str, Any]) -> Any:
        """Has the ledger cover `step`; answers its bodies from entry `start`. Every rank gets the same."""
        step, start = number_of(body, "step", default=0), number_of(body, "start", default=0)
        journal, lock = locked_journal(name)
        with lock:
            journal.ensure(step)
        return catalog.log(f"runs/{name}/ledger").read()[max(start, 0) :]

    @app.get("/api/pool")
    def show_pool() -> dict[str, Any]:
        state = pool.read_state(redis_url)
        return {"wanted": pool.wanted(catalog), "state": None if state is None else msgspec.to_builtins(state)}

    @app.post("/api/pool")
    def scale(body: dict[str, int]) -> dict[str, int]:
        if "workers" not in body:
            raise MixerError('the body needs "workers", a number from 0')
        pool.set_wanted(catalog, body["workers"])
        return {"wanted": pool.wanted(catalog)}

    def run_row(name: str) -> dict[str, Any]:
        found = Runs(catalog)
        row: dict[str, Any] = msgspec.to_builtins(found.show(name))
        return {**row, "use": msgspec.to_builtins(list(found.use(name)))}

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(DASHBOARD / "index.html")

    app.mount("/", StaticFiles(directory=DASHBOARD))
    return app


def text_of(body: dict[str, Any], key: str) -> str:
    """A text of a request's body. Raises: MixerError when it is absent."""
    value = body.get(key)
    if not isinstance(value, str):
        raise MixerError(f'the body needs "{key}", a text')
    return value


def number_of(body: dict[str, Any], key: str, default: int | None = None) -> int:
    """A whole number of a request's body. Raises: MixerError when it is none."""
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MixerError(f'the body needs "{key}", a whole number; it is {value!r}')
    return value


def is_own_host(request: Request) -> bool:
    """Whether the Host is an address or the server's own name: any other name may be somebody's page made to lead here."""
    found = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return found in ("localhost", request.scope["server"][0])
    return True


def refusal(request: Request, token: str | None) -> JSONResponse | None:
    """Why a write is refused, or None."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        return JSONResponse({"error": "writes need Content-Type: application/json"}, 415)
    if token is None and not is_own_host(request):
        return JSONResponse({"error": f"host {request.headers.get('host')} is not this service; use its address"}, 403)
    origin = request.headers.get("origin")
    if origin is not None and origin.split("://")[-1] != request.headers.get("host"):
        return JSONResponse({"error": f"origin {origin} is not this service"}, 403)
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token is not None and not secrets.compare_digest(given.encode(), token.encode()):
        return JSONResponse({"error": "writes need the service's token: Authorization: Bearer ..."}, 401)
    return None
