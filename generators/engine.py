"""Completions from one or more OpenAI-compatible endpoints, through the `openai` library.

Always holds: an endpoint that does not answer is tried again with back-off by the library, then named in one line.
"""

import itertools
from typing import Any

from generators.errors import EngineError
from generators.job import Completion, Job
from generators.prompt import write_prompt

TIMEOUT_S = 600.0
ATTEMPTS = 3


class Engine:
    """Asks endpoints in turn. `model` is the first that the first endpoint serves, unless it is given."""

    def __init__(self, endpoints: list[str], *, model: str | None = None, max_tokens: int = 1024) -> None:
        from openai import AsyncOpenAI

        self.endpoints, self._model, self._max_tokens = endpoints, model, max_tokens
        # Local servers ask for no key, but the library wants one.
        made: list[Any] = [
            AsyncOpenAI(base_url=url, api_key="none", timeout=TIMEOUT_S, max_retries=ATTEMPTS) for url in endpoints
        ]
        self._clients, self._turn = made, itertools.cycle(range(len(made)))

    async def model(self) -> str:
        """The model's name. Raises: EngineError when the endpoint does not answer or serves none."""
        from openai import OpenAIError

        if self._model is None:
            try:
                served = (await self._clients[0].models.list()).data
            except OpenAIError as error:
                raise EngineError(f"engine {self.endpoints[0]} does not answer: {type(error).__name__}; start it") from error
            if not served:
                raise EngineError(f"engine {self.endpoints[0]} serves no model; start it with one")
            self._model = str(served[0].id)
        return self._model

    async def complete(self, job: Job) -> Completion:
        """What the engine writes for a job. Raises: EngineError."""
        from openai import OpenAIError

        place = next(self._turn)
        try:
            answer = await self._clients[place].chat.completions.create(
                model=await self.model(),
                messages=[{"role": "user", "content": write_prompt(job)}],
                max_tokens=self._max_tokens,
                temperature=0.8,
                seed=job.index,
            )
        except OpenAIError as error:
            raise EngineError(f"engine {self.endpoints[place]} failed: {type(error).__name__}; see its log") from error
        choice = answer.choices[0]
        tokens = answer.usage.completion_tokens if answer.usage else 0
        return Completion(text=choice.message.content or "", finish_reason=choice.finish_reason or "length", tokens=tokens)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
