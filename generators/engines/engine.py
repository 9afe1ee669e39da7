"""Completions from one or more OpenAI-compatible endpoints, through the `openai` library.

Always holds: an endpoint that does not answer is left alone for a while and the others are asked; only when none answers
is the engine away.
"""

import time
from typing import Any

from generators.engines.prompt import write_prompt
from generators.errors import EngineAwayError, EngineError
from generators.queue.job import Completion, Job

TIMEOUT_S = 600.0
LEFT_ALONE_S = 10.0


class Engine:
    """Asks endpoints in turn. `model` is the first that an endpoint serves, unless it is given."""

    def __init__(self, endpoints: list[str], *, model: str | None = None, max_tokens: int = 1024) -> None:
        from openai import AsyncOpenAI

        self.endpoints, self._model, self._max_tokens = endpoints, model, max_tokens
        # Local servers ask for no key, but the library wants one.
        made: list[Any] = [AsyncOpenAI(base_url=url, api_key="none", timeout=TIMEOUT_S, max_retries=1) for url in endpoints]
        self._clients, self._turn = made, 0
        self._ask_again_at_s = [0.0] * len(made)

    @property
    def model_name(self) -> str:
        """The model's name; empty before it is known."""
        return self._model or ""

    async def model(self) -> str:
        """The model's name. Raises: EngineError when no endpoint answers or none serves a model."""
        if self._model is None:
            await self.check()
        assert self._model is not None
        return self._model

    async def check(self) -> None:
        """Asks the endpoints what they serve until one answers. Raises: EngineError."""
        self._ask_again_at_s = [0.0] * len(self._clients)
        served = (await self._ask(lambda client: client.models.list())).data
        if not served:
            raise EngineError(f"engine {', '.join(self.endpoints)} serves no model; start it with one")
        if self._model is None:
            self._model = str(served[0].id)

    async def complete(self, job: Job) -> Completion:
        """What the engine writes. Raises: EngineAwayError when no endpoint answers, EngineError when one refuses."""
        model = await self.model()
        answer = await self._ask(
            lambda client: client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": write_prompt(job)}],
                max_tokens=self._max_tokens,
                temperature=0.8,
                seed=job.index,
            )
        )
        choice = answer.choices[0]
        tokens = answer.usage.completion_tokens if answer.usage else 0
        return Completion(text=choice.message.content or "", finish_reason=choice.finish_reason or "length", tokens=tokens)

    async def _ask(self, call: Any) -> Any:
        """One answer from the endpoints in turn, those left alone skipped."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        why = "was just found away"
        for _ in self._clients:
            place, self._turn = self._turn, (self._turn + 1) % len(self._clients)
            if time.monotonic() < self._ask_again_at_s[place]:
                continue
            try:
                return await call(self._clients[place])
            except OpenAIError as error:
                away = isinstance(error, APIConnectionError) or (
                    isinstance(error, APIStatusError) and error.status_code in (429, 502, 503, 504)
                )
                if not away:
                    raise EngineError(f"engine {self.endpoints[place]} refused: {one_line(error)}; see its log") from error
                self._ask_again_at_s[place] = time.monotonic() + LEFT_ALONE_S
                why = f"does not answer: {one_line(error)}"
        raise EngineAwayError(f"engine {', '.join(self.endpoints)} {why}; start it, or name its address up to /v1")

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
