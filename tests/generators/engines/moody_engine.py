"""An OpenAI-compatible engine as a process, whose mood stands in a file: good, or what it answers instead.

python moody_engine.py PORT MOOD_FILE
"""

import asyncio
import random
import sys
from pathlib import Path

import xxhash
from aiohttp import web

MODEL = "moody"
MOODS = ("500", "429", "garbage", "hang")
WORDS = 40  # of a file, of which no two have many
WRITING_S = 0.15


def write(key: bytes) -> str:
    chance = random.Random(xxhash.xxh3_64_intdigest(key))
    lines = (f"value_{chance.getrandbits(40):x} = {chance.getrandbits(30)}" for _ in range(WORDS))
    return "```python\n" + "\n".join(lines) + "\n```"


def create_app(mood: Path) -> web.Application:
    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": MODEL}]})

    async def complete(request: web.Request) -> web.Response:
        asked = await request.read()
        await asyncio.sleep(WRITING_S)
        now = mood.read_text()
        if now == "hang":
            await asyncio.sleep(1)
        if now in ("500", "429"):
            return web.Response(status=int(now))
        if now == "garbage":
            return web.Response(body=b'{"choices": [\xff')
        choice = {"message": {"content": write(asked)}, "finish_reason": "stop"}
        return web.json_response({"model": MODEL, "choices": [choice], "usage": {"completion_tokens": 100}})

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", complete)])
    return app


if __name__ == "__main__":
    web.run_app(create_app(Path(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
