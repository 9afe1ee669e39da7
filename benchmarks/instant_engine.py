"""An OpenAI-compatible engine that answers at once, with files of real functions: for what the pool itself costs.

    python -m benchmarks.instant_engine PORT

The same request gets the same answer; another one gets another choice of functions, some 3 KB of them.
"""

import ast
import random
import sys
import sysconfig
from pathlib import Path
from typing import Any

import msgspec
import xxhash
from aiohttp import web

MODEL = "instant"
FILE_CHARACTERS = 3000
SMALLEST, LARGEST = 300, 1500  # characters of a function


def real_functions() -> list[str]:
    """Functions of the standard library, each with the text as it stands there."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")) + sorted(
        Path(sysconfig.get_path("stdlib")).glob("[a-l]*/*.py")
    ):
        text = path.read_text(errors="replace")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                piece = ast.get_source_segment(text, node) or ""
                if SMALLEST <= len(piece) <= LARGEST:
                    found.append(piece)
    return found


def write(functions: list[str], key: bytes) -> str:
    chance, pieces = random.Random(xxhash.xxh3_64_intdigest(key)), list[str]()
    while sum(map(len, pieces)) < FILE_CHARACTERS:
        pieces.append(functions[chance.randrange(len(functions))])
    return "\n\n\n".join(pieces)


def create_app() -> web.Application:
    functions = real_functions()

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": MODEL}]})

    async def complete(request: web.Request) -> web.Response:
        data = await request.read()
        message = {"role": "assistant", "content": f"```python\n{write(functions, data)}\n```"}
        answer: dict[str, Any] = {
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": len(data) // 4, "completion_tokens": len(message["content"]) // 4},
        }
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", complete)])
    return app


if __name__ == "__main__":
    web.run_app(create_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
