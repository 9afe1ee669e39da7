"""An engine that speaks the OpenAI API and writes by rules: for machines where no model can be had.

Always holds: it says "rule-based, not a model" as its model's name, and so wherever that shows.
"""

import argparse
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from generators.engines.rule_based import write_file

LABEL = "rule-based, not a model"
CHARACTERS_PER_TOKEN = 4


class Message(BaseModel):
    """One message of a chat."""

    role: str
    content: str


class ChatRequest(BaseModel):
    """What is read of a chat request."""

    model: str
    messages: list[Message]
    max_tokens: int | None = None


def create_app() -> FastAPI:
    """The application: /health, /v1/models, /v1/chat/completions."""
    app = FastAPI(title=f"phasemix offline engine ({LABEL})", docs_url=None, redoc_url=None)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": LABEL, "object": "model", "created": 0, "owned_by": "phasemix"}]}

    @app.post("/v1/chat/completions")
    def complete(request: ChatRequest) -> dict[str, Any]:
        prompt = "\n".join(message.content for message in request.messages)
        text = f"```\n{write_file(prompt)}```"
        limit = (request.max_tokens or len(text)) * CHARACTERS_PER_TOKEN
        cut = len(text) > limit
        usage = {"prompt_tokens": len(prompt) // CHARACTERS_PER_TOKEN, "completion_tokens": min(len(text), limit) // 4}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text[:limit]},
            "finish_reason": "length" if cut else "stop",
        }
        return {"id": "0", "object": "chat.completion", "created": 0, "model": LABEL, "choices": [choice], "usage": usage}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=f"an OpenAI-compatible engine, {LABEL}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    uvicorn.run(create_app(), host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
