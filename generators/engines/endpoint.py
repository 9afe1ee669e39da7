"""One OpenAI-compatible endpoint: what it serves, how much it may be asked, and what each of its answers means.

Always holds: every request ends as a completion or as one of the errors below `EngineError`; after a failure the endpoint is
left alone for a time that grows with each one, and is then tried with a single request; `room` asks for no more requests
than its limit allows. Jobs that another endpoint failed at may come on top.

How: the limit follows the engine's own metrics, where it has them. vLLM says how many requests wait to be computed: none
may wait long, and while none waits more are sent.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from generators.errors import AwayError, BusyError, EngineError, JobRefusedError, NoCompletionError, WrongError
from generators.queue.job import Completion
from streamer.store.backoff import Backoff
from streamer.wording import one_line, without_secrets

if TYPE_CHECKING:
    from aiohttp import ClientSession

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # after a failure
LONGEST_ASKED_WAIT_S = 300.0  # of what Retry-After may ask for
LIST_TIMEOUT_S = 10.0
FIRST_LIMIT = 16  # requests on their way to an engine with metrics, before they are read
WAITING_SHARE, MOST_WAITING = 0.1, 2.0  # so many may wait: a share of those that are computed, or two
LARGEST_ANSWER = 32 << 20  # bytes
MOST_SHOWN = 4096  # characters of an answer that is no completion
METRICS = "metrics"
METRIC = re.compile(
    r"^vllm:num_requests_(running|waiting)\{[^}\n]{0,500}\} (\d{1,15}(?:\.\d{1,15})?(?:e\+?\d{1,2})?)$", re.MULTILINE
)
HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
TOO_LONG = re.compile(r"maximum context length is (\d{1,9}) tokens", re.IGNORECASE)


class Served(msgspec.Struct):
    id: str
    max_model_len: Any = None  # vLLM says how long prompt and answer may be together


class ServedList(msgspec.Struct):
    data: list[Served]


class Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(msgspec.Struct):
    message: Message
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Answer(msgspec.Struct):
    choices: list[Choice]
    model: str | None = None
    usage: Usage | None = None


ANSWER, SERVED = msgspec.json.Decoder(Answer), msgspec.json.Decoder(ServedList)


class Endpoint:
    """One address up to `/v1`.

    Args: most, requests on their way at most; timeout_s, of one request; gives_way, whether requests of others that wait at
        the engine come first.
    """

    def __init__(
        self,
        url: str,
        *,
        most: int,
        timeout_s: float,
        key: str | None = None,
        gives_way: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url, self.name = url.rstrip("/"), without_secrets(url.rstrip("/"))
        self.models: list[str] = []
        self.contexts: dict[str, int] = {}  # tokens of prompt and answer together, of those models where it says so
        self.running, self.limit, self.answered = 0, min(FIRST_LIMIT, most), 0
        self.problem = ""  # why it is left alone
        self._most, self._timeout_s, self._gives_way, self._clock = most, timeout_s, gives_way, clock
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._ask_at_s = 0.0
        self._backoff: Backoff | None = None
        self._has_metrics = True

    @property
    def wait_s(self) -> float:
        """How long it is left alone yet."""
        return max(0.0, self._ask_at_s - self._clock())

    @property
    def may_be_asked(self) -> bool:
        return not self.wait_s and (self._backoff is None or not self.running)

    @property
    def room(self) -> int:
        """How many requests more should be sent to it now; below 0 after the limit has fallen."""
        if not self.may_be_asked:
            return 0
        return 1 if self._backoff else self.limit - self.running

    async def look(self, session: "ClientSession") -> None:
        """Learns what it serves, or what is wrong with it."""
        try:
            status, body, headers = await self._send(session, "GET", "models", None, LIST_TIMEOUT_S)
            if status != 200:
                raise self._refusal(status, body, headers)
            served = read_models(body, self.name)
            self.models = [one.id for one in served]
            self.contexts = {one.id: one.max_model_len for one in served if isinstance(one.max_model_len, int)}
        except EngineError as error:
            self.failed(error)

    async def complete(self, session: "ClientSession", request: dict[str, Any]) -> Completion:
        """What it writes, of the model that it says wrote it. Raises: EngineError."""
        self.running += 1
        asked_at_s = time.time()
        try:
            status, body, headers = await self._send(session, "POST", "chat/completions", request, self._timeout_s)
            if status != 200:
                raise self._refusal(status, body, headers)
            found = read_answer(body, self.name)
        except EngineError as error:
            raise self.failed(error) from None
        finally:
            self.running -= 1
        self.answered += 1
        self._backoff, self.problem = None, ""
        return msgspec.structs.replace(
            found, engine=self.name, asked_at_s=round(asked_at_s, 3), answered_at_s=round(time.time(), 3)
        )

    def failed(self, error: EngineError) -> EngineError:
        """Leaves the endpoint alone for a time, unless the fault is the job's. Returns the error."""
        if not isinstance(error, JobRefusedError):
            self._has_metrics |= isinstance(error, AwayError)  # another engine may come back
            if self._backoff is None:
                self._backoff = Backoff(first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S)
            if not self.wait_s:  # requests that were on their way together fail together, and count once
                wait_s = self._backoff.next_wait_s() or LONGEST_WAIT_S
                if isinstance(error, BusyError) and error.wait_s is not None:
                    wait_s = max(wait_s, min(error.wait_s, LONGEST_ASKED_WAIT_S))
                self._ask_at_s = self._clock() + wait_s
            self.problem = str(error)
        return error

    async def follow(self, session: "ClientSession") -> None:
        """Reads the engine's metrics and moves the limit. Without metrics it stays where it is."""
        if not self._has_metrics:
            return
        try:
            status, body, _ = await self._send(session, "GET", METRICS, None, LIST_TIMEOUT_S)
        except EngineError:
            return
        if status >= 500:  # it starts or is broken, and may have metrics later
            return
        load = read_load(body) if status == 200 else None
        if load is None:
            self._has_metrics, self.limit = False, self._most
            return
        self.limit = next_limit(self.limit, self.running, load, self._most, gives_way=self._gives_way)

    async def _send(
        self, session: "ClientSession", method: str, path: str, request: Any, timeout_s: float
    ) -> tuple[int, bytes, Any]:
        import aiohttp

        try:
            async with asyncio.timeout(timeout_s):
                data = None if request is None else msgspec.json.encode(request)
                headers = {**self._headers, "Content-Type": "application/json"}
                url = f"{self.url}/{path}" if path != METRICS else f"{self.url.removesuffix('/v1')}/{METRICS}"
                async with session.request(method, url, data=data, headers=headers) as answer:
                    body = await read_bounded(answer.content)
                    return answer.status, body, answer.headers
        except TimeoutError as error:
            raise AwayError(f"{self.name} did not answer within {timeout_s:g} s") from error
        except aiohttp.InvalidURL as error:
            raise WrongError(f"{self.name} is not an address of HTTP; name it up to /v1") from error
        except (aiohttp.ClientError, OSError) as error:
            raise AwayError(
                f"{self.name} does not answer: {said_by(error)}; start it, or name its address up to /v1"
            ) from error

    def _refusal(self, status: int, body: bytes, headers: Any) -> EngineError:
        """What a status other than 200 means."""
        said = f"{self.name} answers {status}: {said_in(body)}"
        if status in (429, 503):
            return BusyError(said, seconds_of(headers.get("Retry-After")))
        if status >= 500:
            return AwayError(said, status)
        if status in (400, 413, 422):
            return JobRefusedError(said)
        if status in (401, 403):
            return WrongError(f"{said}; put its key into OPENAI_API_KEY")
        return WrongError(said, is_of_model=status == 404)


async def read_bounded(content: Any) -> bytes:
    """The whole of an answer, up to a limit; what is beyond is left out, and then it is no completion."""
    pieces, size = [], 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_ANSWER:
            break
    return b"".join(pieces)


def read_models(body: bytes, name: str) -> list[Served]:
    """Raises: WrongError."""
    try:
        served = SERVED.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WrongError(f"{name} does not list its models; name its address up to /v1") from error
    if not served.data:
        raise WrongError(f"{name} serves no model; start it with one")
    return served.data


def read_answer(body: bytes, name: str) -> Completion:
    """Raises: NoCompletionError."""
    try:
        answer = decode_answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise no_completion(name, one_line(error), body) from None
    if not answer.choices:
        raise no_completion(name, "it has no choices", body)
    choice, usage = answer.choices[0], answer.usage or Usage()
    return Completion(
        text=choice.message.content or "",
        reasoning=choice.message.reasoning_content or choice.message.reasoning or "",
        finish_reason=choice.finish_reason or "length",
        tokens=usage.completion_tokens,
        prompt_tokens=usage.prompt_tokens,
        model=answer.model or "",
    )


def decode_answer(body: bytes) -> Answer:
    """Raises: msgspec.DecodeError, UnicodeDecodeError, RecursionError."""
    try:
        return ANSWER.decode(body)
    except msgspec.DecodeError:
        if not HALF_CHARACTER.search(body):
            raise
        try:
            return msgspec.convert(json.loads(body), Answer)  # has half characters, which the gates refuse by name
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from None


def no_completion(name: str, why: str, body: bytes) -> NoCompletionError:
    return NoCompletionError(f"{name} answers what is no completion ({why})", body[:MOST_SHOWN].decode(errors="replace"))


class Load(NamedTuple):
    """The requests of an engine, ours or not: those that are computed, and those that wait for it."""

    computed: float
    waiting: float


def read_load(body: bytes) -> Load | None:
    """None where the metrics do not say."""
    found: Counter[str] = Counter()
    for word, count in METRIC.findall(body.decode(errors="replace")):
        found[word] += float(count)  # type: ignore[assignment]  # an engine of several ranks has a line for each
    return Load(found["running"], found["waiting"]) if found else None


def next_limit(limit: int, running: int, load: Load, most: int, *, gives_way: bool = False) -> int:
    """How many requests may be on their way.

    Too many wait: our share of these fewer, down to 1, or to 0 where others come first. None waits, and all that are
    allowed are on their way: a quarter more.
    """
    computed, waiting = load
    allowed = 0.0 if gives_way else max(MOST_WAITING, WAITING_SHARE * computed)
    if waiting > allowed:
        share = min(1.0, running / max(1.0, computed + waiting))
        fewer = max(1, round((waiting - allowed) * share))
        return max(0 if gives_way else 1, min(limit, running) - fewer)
    if waiting == 0 and running >= limit:
        return min(most, limit + max(1, limit // 4))
    return limit


def seconds_of(text: str | None) -> float | None:
    """What a Retry-After asks for, where it is a number of seconds."""
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def said_in(body: bytes) -> str:
    """What an engine says of an error, on one line."""
    text = body[:MOST_SHOWN].decode(errors="replace")
    try:
        found = msgspec.json.decode(body, strict=False)
        error = found.get("error", found)
        text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        pass
    return one_line(" ".join(text.split())[:300]) or "nothing"


def said_by(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {str(error)[:200]}".removesuffix(": "))
