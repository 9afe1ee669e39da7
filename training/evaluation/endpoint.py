"""A model that an OpenAI-compatible server continues prompts with, such as vLLM.

Always holds: prompts and answers are counted in the tokens of the folder's tokenizer, so a prompt that is too long is never
sent; a request that fails for the server's reasons is sent again for a time.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from streamer.store.backoff import Backoff
from streamer.wording import one_line, without_secrets
from training.errors import EvaluationError
from training.evaluation.answering import ENDED, LENGTH, TOO_LONG, Scored, Written, cut

API_KEY = "OPENAI_API_KEY"  # in the environment
MOST_STOPS = 4  # that every server takes; the others are looked for here
LARGEST_ANSWER = 16 << 20  # bytes
PENALTY = "repetition_penalty"  # 1 does nothing


class Choice(msgspec.Struct):
    text: str
    finish_reason: str | None = None


class Answer(msgspec.Struct):
    choices: list[Choice]


class Served(msgspec.Struct):
    id: str
    max_model_len: Any = None  # vLLM says how long prompt and answer may be together


class ServedList(msgspec.Struct):
    data: list[Served]


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none, since urllib would take the key along to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


class EndpointModel:
    """Args: url, the server's address up to /v1; folder, the model that it serves, for its tokenizer and its context.

    Raises: EvaluationError when the server does not list a model, or the folder cannot be read.
    """

    def __init__(
        self, url: str, folder: Path, *, model: str | None = None, concurrency: int = 32, patience_s: float = 60.0
    ) -> None:
        self.concurrency, self._url, self._patience_s = concurrency, url.rstrip("/"), patience_s
        self._neutral = neutral_settings(folder)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            context = int(json.loads((folder / "config.json").read_bytes())["max_position_embeddings"])
        except Exception as error:  # the tokenizers' library raises no narrower one
            raise EvaluationError(
                f"{folder} must have tokenizer.json and config.json with max_position_embeddings ({one_line(error)}); name "
                "the folder of the model that the engine serves"
            ) from error
        served = self._ask("models", None, ServedList).data
        chosen = next((one for one in served if model in (None, one.id)), None)
        if chosen is None:
            raise EvaluationError(
                f"{without_secrets(url)} serves {', '.join(one.id for one in served) or 'nothing'} and not "
                f"{model or 'a model'}; name another with --served-model"
            )
        self.name, limit = chosen.id, chosen.max_model_len
        self._context = min(context, limit) if type(limit) is int and limit > 0 else context

    def write(self, prompt: str, stops: tuple[str, ...], max_new_tokens: int) -> Written:
        """What the model finds most likely. Raises: EvaluationError when the server does not continue prompts."""
        room = self._context - len(self._tokenizer.encode(prompt).ids)
        if room < 1:
            return Written("", TOO_LONG)
        request = {
            "model": self.name,
            "prompt": prompt,
            "max_tokens": min(max_new_tokens, room),
            "temperature": 0,
            "stop": list(stops[:MOST_STOPS]),
            **self._neutral,
        }
        choices = self._ask("completions", request, Answer).choices
        if not choices:
            raise EvaluationError(
                f"{without_secrets(self._url)} answers without choices; start an engine that completes text"
            )
        text = choices[0].text
        has_ended = choices[0].finish_reason == "stop" or any(stop in text for stop in stops)
        return Written(cut(text, stops), ENDED if has_ended else LENGTH)

    def score(self, prompt: str, continuation: str) -> Scored | None:
        return None

    def _ask(self, path: str, request: Any, kind: type[Any]) -> Any:
        """The server's answer. Raises: EvaluationError when it refuses, or cannot be reached within the patience."""
        key, name = os.environ.get(API_KEY), without_secrets(self._url)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects)
        backoff = Backoff(first_s=0.5, longest_s=20.0, total_s=self._patience_s if request else 0.0)
        while True:
            try:
                data = None if request is None else json.dumps(request).encode()
                asked = urllib.request.Request(f"{self._url}/{path}", data, headers)
                with opener.open(asked, timeout=600) as answer:
                    return msgspec.json.decode(answer.read(LARGEST_ANSWER), type=kind)
            except urllib.error.HTTPError as error:
                said = f"{name}/{path} answers {error.code}: {one_line(error.read(500).decode('utf-8', 'replace'))}"
                if error.code != 429 and error.code < 500:
                    raise EvaluationError(f"{said}; name an OpenAI-compatible engine that completes text") from error
            except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
                raise EvaluationError(
                    f"{name}/{path} does not answer as an OpenAI-compatible engine ({one_line(error)}); name its address up "
                    "to /v1"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                said = f"{name} does not answer: {one_line(error)}"
            if not backoff.wait():
                raise EvaluationError(
                    f"{said}; start it, or name its address up to /v1. What is done is kept: type the same command again"
                )


def neutral_settings(folder: Path) -> dict[str, float]:
    """What undoes the penalties of a model's own generation settings, which vLLM applies to every request.

    Servers that know no such penalty refuse its name, so it is sent for a model that has it alone.
    """
    try:
        settings = json.loads((folder / "generation_config.json").read_bytes())
        return {PENALTY: 1.0} if settings.get(PENALTY, 1.0) != 1.0 else {}
    except (OSError, ValueError, AttributeError):
        return {}
