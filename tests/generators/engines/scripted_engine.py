"""An OpenAI-compatible HTTP server, on loopback, whose answers a test sets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Respond = Callable[[dict[str, Any]], web.StreamResponse]


def good(request: dict[str, Any], **changes: Any) -> web.Response:
    choice = {"message": {"content": "hello", "reasoning_content": "hm"}, "finish_reason": "stop"}
    usage = {"completion_tokens": 7, "prompt_tokens": 5}
    return web.json_response({"model": request["model"], "choices": [choice], "usage": usage, **changes})


class Server:
    """An engine whose answers are set from outside; it counts what it is asked."""

    def __init__(self) -> None:
        self.models, self.metrics, self.metrics_status = ["m"], "", 404  # the status where there are none
        self.respond: Respond = good
        self.asked: list[dict[str, Any]] = []
        self.key: str | None = None
        self.context: int | None = None
        self.url = ""

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        return web.json_response({"data": [{"id": name, "max_model_len": self.context} for name in self.models]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(asked)
        if asked["model"] not in self.models:
            return web.json_response({"error": {"message": f"The model `{asked['model']}` does not exist."}}, status=404)
        return self.respond(asked)

    async def measure(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.metrics) if self.metrics else web.Response(status=self.metrics_status)


@asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[None]:
    runners = []
    for server in servers:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/models", server.list_models),
                web.post("/v1/chat/completions", server.complete),
                web.get("/metrics", server.measure),
            ]
        )
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        site = web.TCPSite(runners[-1], "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"  # type: ignore[union-attr]
    try:
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
