"""One model behind one or more endpoints.

Always holds: a job is asked of the endpoint that has the most room among those that serve its model and may be asked; what
goes wrong at an endpoint costs a request there and not the job. That ends when it is refused or its answer is no completion.
"""

import asyncio
from collections import Counter, OrderedDict
from typing import Any

import msgspec
import xxhash

from generators.engines.endpoint import LIST_TIMEOUT_S, TOO_LONG, Endpoint
from generators.errors import AwayError, EngineAwayError, EngineError, JobRefusedError, NoCompletionError, WrongError
from generators.queue.job import Completion, Job
from generators.recipes.recipe import write_prompt

API_KEY = "OPENAI_API_KEY"  # in the environment
TIMEOUT_S = 600.0
MOST_FAILURES = 3  # of one job, at engines that answer others
MOST_NOTED = 4096  # jobs whose failures are remembered
CHARACTERS_A_TOKEN = 3  # at least, of a prompt of code
SHORTEST_SEED = 200  # characters, below which a prompt is not cut


class Engine:
    """Args: model, the one that is wanted, None for the one that most endpoints serve; concurrency, requests on their way to
    one endpoint at most; key, sent as a bearer token; gives_way, whether the engine's other users come first.
    """

    def __init__(
        self,
        urls: list[str],
        *,
        model: str | None = None,
        max_tokens: int = 1 << 20,
        concurrency: int = 256,
        timeout_s: float = TIMEOUT_S,
        key: str | None = None,
        gives_way: bool = False,
    ) -> None:
        self.endpoints = [Endpoint(url, most=concurrency, timeout_s=timeout_s, key=key, gives_way=gives_way) for url in urls]
        self._wanted, self.max_tokens = model, max_tokens
        self.model = model or ""  # empty before it is known
        self._session: Any = None
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()  # by identity, with what was answered then

    @property
    def room(self) -> int:
        """How many jobs more should be asked for now."""
        return sum(max(0, endpoint.room) for endpoint in self._serving(self.model))

    @property
    def wait_s(self) -> float:
        """How long until an endpoint may be asked again."""
        return min(endpoint.wait_s for endpoint in self.endpoints)

    @property
    def problems(self) -> str:
        """What keeps endpoints from being asked; empty when nothing does."""
        found = []
        for endpoint in self.endpoints:
            if endpoint.problem:
                found.append(endpoint.problem)
            elif self.model and self.model not in endpoint.models:
                found.append(f"{endpoint.name} serves {', '.join(endpoint.models)} and not {self.model}")
        return "; ".join(found)

    async def check(self) -> None:
        """Asks those endpoints what they serve that may be asked, and settles the model.

        Raises: EngineAwayError when none of them can be used.
        """
        due = [endpoint for endpoint in self.endpoints if not endpoint.wait_s]
        session = self._get_session()
        await asyncio.gather(*(endpoint.look(session) for endpoint in due))
        if self._wanted is None:
            served = Counter(model for endpoint in self.endpoints for model in endpoint.models[:1])
            if not any(self.model in endpoint.models for endpoint in self.endpoints) and served:
                self.model = served.most_common(1)[0][0]
        if not any(endpoint.may_be_asked for endpoint in self._serving(self.model)):
            raise EngineAwayError(self._away())

    async def follow(self) -> None:
        """Reads the metrics of all endpoints, and asks those that do not serve the model what they serve now."""
        session = self._get_session()
        others = [one for one in self.endpoints if self.model not in one.models and not one.wait_s]
        await asyncio.gather(
            *(endpoint.look(session) for endpoint in others), *(endpoint.follow(session) for endpoint in self.endpoints)
        )

    async def complete(self, job: Job) -> Completion:
        """What an engine writes.

        Raises: JobRefusedError, NoCompletionError; EngineAwayError when no endpoint may be asked.
        """
        seed = job.text
        while True:
            open_ones = [endpoint for endpoint in self._serving(job.model) if endpoint.may_be_asked]
            if not open_ones:
                raise EngineAwayError(self._away())
            endpoint = max(open_ones, key=lambda each: each.room)
            prompt = write_prompt(job.prompt, language=job.language, seed=seed, variation=job.index + 1)
            try:
                found = await endpoint.complete(self._get_session(), self._request(job, prompt, endpoint))
            except JobRefusedError as error:
                if TOO_LONG.search(str(error)) is None or len(seed) // 2 < SHORTEST_SEED:
                    raise
                seed = seed[: len(seed) // 2]  # the prompt does not fit the context
                continue
            except NoCompletionError:
                raise
            except AwayError as error:
                if error.status is not None:
                    self._note_failure(job, error)
                continue
            except WrongError as error:
                if error.is_of_model:
                    endpoint.models = []  # `follow` asks what it serves
                continue
            except EngineError:
                continue
            if found.model and found.model != job.model:
                endpoint.models = []
                endpoint.failed(WrongError(f"{endpoint.name} answers as {found.model} and not as {job.model}"))
                continue
            self._failures.pop(job.identity, None)
            return msgspec.structs.replace(found, prompt=xxhash.xxh3_128_hexdigest(prompt.encode("utf-8", "replace")))

    def serves(self, model: str) -> bool:
        """Whether an endpoint serves a model, as far as is known."""
        return bool(self._serving(model))

    def _serving(self, model: str) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if model in endpoint.models]

    def _away(self) -> str:
        return self.problems or f"{', '.join(endpoint.name for endpoint in self.endpoints)}: left alone for a while"

    def _note_failure(self, job: Job, error: AwayError) -> None:
        """Counts an answer that says the engine is broken. Raises: JobRefusedError when others are answered all the time."""
        answered = sum(endpoint.answered for endpoint in self.endpoints)
        count, before = self._failures.pop(job.identity, (0, -1))
        count += answered > before
        self._failures[job.identity] = count, answered
        if len(self._failures) > MOST_NOTED:
            self._failures.popitem(last=False)
        if count >= MOST_FAILURES and answered:
            raise JobRefusedError(f"{error}, {count} times for this job alone")

    def _request(self, job: Job, prompt: str, endpoint: Endpoint) -> dict[str, Any]:
        """What is sent. The answer gets what the prompt leaves of the context, at least half of it."""
        context = endpoint.contexts.get(job.model, 1 << 30)
        room = max(context // 2, context - len(prompt) // CHARACTERS_A_TOKEN)
        sampling = job.sampling
        thinking = {} if sampling.thinking is None else {"chat_template_kwargs": {"enable_thinking": sampling.thinking}}
        return {
            "model": job.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": min(sampling.max_tokens, self.max_tokens, max(1, room)),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": job.index,
            **thinking,
        }

    def _get_session(self) -> Any:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=LIST_TIMEOUT_S)
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
