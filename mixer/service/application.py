"""The application over a root: the table of routes, mistakes as one line, the dashboard's files.

Always holds: whatever goes wrong with a request is answered as {"error": one line, "kind": class}; only a store that is
away is answered by 503, everything else of the user's by 4xx.
"""

import inspect
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from mixer.client.answers import Session
from mixer.errors import AccessError, RunEnded, StepError, WaitError
from mixer.service.access import Token
from mixer.service.callers import Callers
from mixer.service.contract import PREFIX, document
from mixer.service.guard import Answers, Bodies, Heads
from mixer.service.limits import Limits
from mixer.service.metrics import Metrics
from mixer.service.requests import read_body, read_query
from mixer.service.route import AbsentError, Question, Route
from mixer.service.routes import catalog, mixtures, pool, runs
from mixer.service.shelf import Shelf
from streamer.catalog.names import check_word
from streamer.errors import LogError, PhasemixError, StoreError
from streamer.store.store import Store

DASHBOARD = Path(__file__).parent.parent / "dashboard"
LIBRARY_AGE_S = 86_400
PUBLIC = {
    "/health": "the process answers",
    "/ready": "the store can be read and written",
    "/metrics": "figures for Prometheus",
}

Routes = Callable[[Shelf], list[Route]]


def create_app(
    root: str | Path | Store,
    redis_url: str | None = None,
    *,
    tokens: Sequence[Token] = (),
    loopback: bool = True,
    limits: Limits | None = None,
    others: Sequence[Routes] = (),
) -> FastAPI:
    """The application over a root. Not on `loopback`, reads need a token too. `others`: routes of packages above this one.

    Raises: AccessError where a token is needed and there is none.
    """
    if not loopback and not tokens:
        raise AccessError("beyond loopback the service needs tokens: give --tokens FILE with lines of: name role token")
    metrics = Metrics()
    shelf = Shelf(root, redis_url, metrics)
    app = FastAPI(title="phasemix mixer", docs_url=None, redoc_url=None)
    session = Route("GET", "/session", "who asks, and what they may do", lambda asked: Session(
        role=asked.role, by=asked.by, token_needed=bool(tokens), version=version("phasemix")
    ), Session)  # fmt: skip
    routes = [session]
    for make_routes in (catalog.routes, mixtures.routes, runs.routes, pool.routes, *others):
        routes += make_routes(shelf)
    described = document(routes, PUBLIC)
    app.openapi = lambda: described  # type: ignore[method-assign]
    anonymous = "read" if tokens else "write"
    for route in routes:
        app.add_route(PREFIX + route.path, endpoint(route, anonymous), [route.method])
    add_files(app, shelf)
    for kind in (PhasemixError, AbsentError, HTTPException):
        app.add_exception_handler(kind, mistake)
    limits = limits or Limits()
    app.add_middleware(Bodies, limits=limits)  # the last one added sees a request first
    app.add_middleware(Callers, tokens=tokens, is_open=loopback)
    app.add_middleware(Heads, limits=limits)
    app.add_middleware(Answers, metrics=metrics)
    return app


def endpoint(route: Route, anonymous: str) -> Any:
    """The function that answers a route's requests."""
    is_quick = inspect.iscoroutinefunction(route.call)

    async def answer(request: Request) -> Response:
        request.scope["asked"] = route.path
        data = await request.body() if route.body is not None else b""
        if is_quick:
            return reply(await route.call(question(request, data)))
        return await run_in_threadpool(work, request, data)

    def work(request: Request, data: bytes) -> Response:
        asked = question(request, data)
        tag = None if route.version is None else f'"{route.version(asked)}"'
        if tag is not None and tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": tag})
        answered = reply(route.call(asked))
        if tag is not None:
            answered.headers["ETag"] = tag
        return answered

    def question(request: Request, data: bytes) -> Question:
        for word, value in request.path_params.items():
            if word != "version":
                check_word(value, what=route.path.split("/")[1].removesuffix("s"))
        token = request.scope.get("token")
        return Question(
            request.path_params,
            read_query(request.scope["query_string"], route.query),
            None if route.body is None else read_body(data, route.body),
            None if token is None else token.name,
            anonymous if token is None else token.role,
        )

    return answer


def reply(answer: Any) -> Response:
    """An answer that is bytes is JSON already."""
    data = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    return Response(data, media_type="application/json")


def mistake(request: Request, error: Exception) -> Response:
    """The one line, and what kind of mistake it is."""
    headers = None
    if isinstance(error, HTTPException):
        said, kind, status, headers = (
            f"{error.detail}: {request.method} {request.url.path[:80]}",
            "RequestError",
            error.status_code,
            error.headers,
        )
    elif isinstance(error, AbsentError):
        said, kind, status = str(error), type(error.error).__name__, 404
    else:
        said, kind, status = str(error), type(error).__name__, status_of(error)
    return JSONResponse({"error": " ".join(said.split()), "kind": kind}, status, headers)


def status_of(error: Exception) -> int:
    if isinstance(error, StoreError) and not isinstance(error, LogError):  # which waiting does not mend
        return 503
    return 409 if isinstance(error, StepError | RunEnded | WaitError | LogError) else 400


def add_files(app: FastAPI, shelf: Shelf) -> None:
    """What is public, or no JSON: health, metrics, the pages and the chart library that they use."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        await run_in_threadpool(shelf.check_ready)
        return JSONResponse({"status": "ok"})

    async def figures(request: Request) -> Response:
        return Response(await run_in_threadpool(shelf.figures), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def library(request: Request) -> Response:
        found = Path(str(files("plotly").joinpath("package_data", "plotly.min.js")))
        return FileResponse(found, headers={"Cache-Control": f"public, max-age={LIBRARY_AGE_S}"})

    async def page(request: Request) -> Response:
        return FileResponse(DASHBOARD / "index.html")

    for path, call in (
        ("/health", health),
        ("/ready", ready),
        ("/metrics", figures),
        ("/library/plotly.min.js", library),
        ("/", page),
    ):
        app.add_route(path, call, ["GET"])
    app.mount("/", StaticFiles(directory=DASHBOARD))
