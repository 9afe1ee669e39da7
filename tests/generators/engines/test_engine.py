"""The engine's client against a real HTTP server over loopback that answers as it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from generators.engines import endpoint as endpoints
from generators.engines.endpoint import Endpoint, Load, next_limit, read_load
from generators.engines.engine import MOST_FAILURES, Engine
from generators.errors import (
    AwayError,
    BusyError,
    EngineAwayError,
    JobRefusedError,
    NoCompletionError,
    WrongError,
)
from generators.queue.job import Job
from tests.generators.engines.scripted_engine import Respond, Server, good, serving


def job(index: int = 0, *, model: str = "m", text: str = "def f(value):\n    return value\n") -> Job:
    return Job(
        language="python",
        seed_document="s",
        recipe="file/1",
        model=model,
        index=index,
        text=text,
        purpose="order/0",
        prompt="Write a {language} file, variation {variation}, from: {seed}",
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(endpoints, "LONGEST_WAIT_S", 0.04)


def ask(*servers: Server, then: Callable[[Engine], Awaitable[Any]], **words: Any) -> Any:
    """What `then` returns of an engine that has looked at these servers."""

    async def run() -> Any:
        async with serving(*servers):
            engine = Engine([server.url for server in servers], **words)
            try:
                await engine.check()
                return await then(engine)
            finally:
                await engine.close()

    return asyncio.run(run())


def test_a_completion_comes_whole_with_its_counts() -> None:
    found = ask(Server(), then=lambda engine: engine.complete(job()))
    assert (found.text, found.reasoning, found.finish_reason) == ("hello", "hm", "stop")
    assert (found.tokens, found.prompt_tokens, found.model) == (7, 5, "m")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: web.Response(status=500, text="EngineCore died"), AwayError),
        (lambda _: web.Response(status=502), AwayError),
        (lambda _: web.Response(status=429, headers={"Retry-After": "0.01"}), BusyError),
        (lambda _: web.Response(status=503), BusyError),
        (lambda _: web.Response(status=401), WrongError),
        (lambda _: web.Response(status=404), WrongError),
        (lambda _: web.Response(status=400, text='{"error": {"message": "no"}}'), JobRefusedError),
        (lambda _: web.Response(status=422), JobRefusedError),
        (lambda _: web.json_response({"choices": []}), NoCompletionError),
        (lambda _: web.json_response({"error": "out of luck"}), NoCompletionError),
        (lambda _: web.json_response([1]), NoCompletionError),
        (lambda _: web.Response(text="<html>"), NoCompletionError),
        (lambda _: web.Response(body=b'{"choices": [{"message": {"content": "\xff"}}]}'), NoCompletionError),
        (lambda _: web.Response(text='{"choices": [{"message": {"con'), NoCompletionError),
        (lambda _: web.Response(text="[" * 100_000), NoCompletionError),
    ],
)
def test_every_answer_is_one_of_the_outcomes(answer: Respond, error: type[Exception]) -> None:
    async def run() -> None:
        server = Server()
        server.respond = answer
        async with serving(server):
            engine = Engine([server.url])
            try:
                await engine.check()
                (endpoint,) = engine.endpoints
                with pytest.raises(error) as raised:
                    await endpoint.complete(engine._get_session(), {"model": "m"})
                assert type(raised.value) is error
                assert "\n" not in str(raised.value)
                assert endpoint.name in str(raised.value)
                assert (endpoint.wait_s > 0) == (error is not JobRefusedError)
            finally:
                await engine.close()

    asyncio.run(run())


@pytest.mark.parametrize("status", [500, 429, 401])
def test_another_endpoint_does_the_work_of_one_that_is_broken(status: int) -> None:
    broken, whole = Server(), Server()
    broken.respond = lambda _: web.Response(status=status)

    async def many(engine: Engine) -> None:
        for index in range(40):
            assert (await engine.complete(job(index))).text == "hello"

    ask(broken, whole, then=many)
    assert len(whole.asked) == 40
    assert len(broken.asked) < 40


def test_one_that_is_broken_is_asked_by_one_request_at_a_time_and_works_again_when_it_is_mended() -> None:
    server = Server()
    server.respond = lambda _: web.Response(status=500, text="broken")

    async def twenty(engine: Engine) -> int:
        for _ in range(2):
            found = await asyncio.gather(*(engine.complete(job(index)) for index in range(10)), return_exceptions=True)
            assert {type(error) for error in found} == {EngineAwayError}
            assert "answers 500: broken" in str(found[0])
            while engine.wait_s:
                await asyncio.sleep(0.005)
        asked = len(server.asked)
        server.respond = good
        await engine.check()
        assert engine.room == 1
        await engine.complete(job())
        assert engine.room > 1
        assert not engine.problems
        return asked

    assert ask(server, then=twenty) == 10 + 1


def test_a_job_at_which_alone_the_engine_breaks_is_refused_and_the_others_go_on() -> None:
    server = Server()
    server.respond = lambda asked: web.Response(status=500) if asked["seed"] == 3 else good(asked)

    async def many(engine: Engine) -> None:
        said: list[str] = []
        while not said:
            while engine.wait_s:
                await asyncio.sleep(0.005)
            await engine.complete(job(len(server.asked) % 3))
            try:
                await engine.complete(job(3))
            except EngineAwayError:
                continue
            except JobRefusedError as error:
                said.append(str(error))
        assert f"{MOST_FAILURES} times for this job alone" in said[0]
        assert [asked["seed"] for asked in server.asked].count(3) == MOST_FAILURES

    ask(server, then=many)


def test_a_dead_engine_ends_no_job_however_often_it_is_asked() -> None:
    server = Server()
    server.respond = lambda _: web.Response(status=500)

    async def often(engine: Engine) -> None:
        for _ in range(8):
            with pytest.raises(EngineAwayError):
                await engine.complete(job())
            while engine.wait_s:
                await asyncio.sleep(0.005)

    ask(server, then=often)


def test_an_engine_that_comes_back_with_another_model_is_known_by_it() -> None:
    server = Server()

    async def change(engine: Engine) -> None:
        await engine.complete(job())
        server.models = ["n"]
        with pytest.raises(EngineAwayError, match=r"`m` does not exist"):
            await engine.complete(job())
        assert not engine.serves("m")
        while engine.wait_s:
            await asyncio.sleep(0.005)
        await engine.check()
        assert engine.model == "n"
        assert (await engine.complete(job(model="n"))).model == "n"

    ask(server, then=change)


@pytest.mark.parametrize("at_first", [[], ["n"]])
def test_an_endpoint_that_serves_the_model_later_gets_jobs_while_others_work(at_first: list[str]) -> None:
    first, second = Server(), Server()
    second.models = at_first

    async def follow(engine: Engine) -> int:
        assert len(engine.problems) > 0
        second.models = ["m"]
        while engine.endpoints[1].models != ["m"]:
            await engine.follow()
            await asyncio.sleep(0.005)
        await asyncio.gather(*(engine.complete(job(index)) for index in range(4)))
        return len(second.asked)

    assert ask(first, second, then=follow, model="m", concurrency=2) > 0


def test_an_answer_of_another_model_than_was_asked_is_not_taken() -> None:
    server = Server()
    server.respond = lambda asked: good(asked, model="swapped")

    async def once(engine: Engine) -> None:
        with pytest.raises(EngineAwayError, match="answers as swapped and not as m"):
            await engine.complete(job())

    ask(server, then=once)


def test_of_several_models_the_one_that_is_named_is_asked() -> None:
    server = Server()
    server.models = ["base", "lora"]

    async def model(engine: Engine) -> str:
        return engine.model

    assert ask(server, then=model) == "base"
    assert ask(server, then=model, model="lora") == "lora"
    with pytest.raises(EngineAwayError, match=r"serves base, lora and not other"):
        ask(server, then=model, model="other")


def test_a_key_is_sent_and_its_absence_is_said() -> None:
    server = Server()
    server.key = "sesame"
    assert ask(server, then=lambda engine: engine.complete(job()), key="sesame").text == "hello"
    with pytest.raises(EngineAwayError, match=r"answers 401: Unauthorized; put its key into OPENAI_API_KEY"):
        ask(server, then=lambda engine: engine.complete(job()))


def test_a_prompt_that_does_not_fit_is_cut_and_one_that_never_fits_is_refused() -> None:
    server = Server()

    def respond(asked: dict[str, Any]) -> web.Response:
        if len(asked["messages"][0]["content"]) > server_takes:
            text = "This model's maximum context length is 400 tokens. However, you requested more."
            return web.json_response({"message": text}, status=400)
        return good(asked)

    server.respond = respond
    server_takes = 2000
    assert ask(server, then=lambda engine: engine.complete(job(text="x = 1\n" * 900))).text == "hello"
    assert len(server.asked) > 1
    server_takes = 10
    with pytest.raises(JobRefusedError, match="maximum context length is 400 tokens"):
        ask(server, then=lambda engine: engine.complete(job()))


def test_the_answer_gets_what_the_prompt_leaves_of_a_short_context_and_at_least_half() -> None:
    server = Server()
    ask(server, then=lambda engine: engine.complete(job()))
    server.context = 1000
    ask(server, then=lambda engine: engine.complete(job()))
    ask(server, then=lambda engine: engine.complete(job(text="x = 1\n" * 900)))
    whole, left, half = (asked["max_tokens"] for asked in server.asked)
    assert whole == 2048
    assert left == 1000 - len(server.asked[1]["messages"][0]["content"]) // 3 > 800
    assert half == 500


def test_an_answer_that_does_not_come_ends_the_request() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server = Server()
    server.complete = silent  # type: ignore[method-assign]
    with pytest.raises(EngineAwayError, match=r"did not answer within 0\.1 s"):
        ask(server, then=lambda engine: engine.complete(job()), timeout_s=0.1)


def test_without_any_endpoint_the_engine_is_named_without_its_password() -> None:
    async def check() -> None:
        engine = Engine(["http://someone:secret@127.0.0.1:1/v1"])
        try:
            await engine.check()
        finally:
            await engine.close()

    with pytest.raises(EngineAwayError, match=r"http://127\.0\.0\.1:1/v1 does not answer") as raised:
        asyncio.run(check())
    assert "secret" not in str(raised.value)


def test_requests_on_their_way_follow_what_waits_at_the_engine() -> None:
    server = Server()

    async def follow(engine: Engine) -> list[int]:
        (endpoint,) = engine.endpoints
        found = [endpoint.limit]
        for waiting in (0, 0, 30, 0):
            endpoint.running = endpoint.limit
            server.metrics = (
                f'vllm:num_requests_running{{model_name="m",engine="0"}} 8.0\n'
                f'vllm:num_requests_waiting{{model_name="m",engine="0"}} {waiting}.0\n'
                f'vllm:num_requests_waiting_by_reason{{reason="x"}} 99.0\n'
            )
            await engine.follow()
            found.append(endpoint.limit)
        endpoint.running = 0
        return found

    first, up, more, down, again = ask(server, then=follow)
    assert first < up < more
    assert 1 <= down < more
    assert down < again
    assert ask(Server(), then=follow, concurrency=5)[1] == 5  # the metrics are read from the second look on


def test_an_engine_without_metrics_gets_as_many_as_are_allowed() -> None:
    async def follow(engine: Engine) -> int:
        await engine.follow()
        return engine.room

    assert ask(Server(), then=follow, concurrency=200) == 200


def test_metrics_that_an_engine_does_not_give_yet_are_asked_for_again() -> None:
    server = Server()
    server.metrics_status = 503

    async def follow(engine: Engine) -> list[int]:
        found = []
        for metrics in ("", 'vllm:num_requests_running{engine="0"} 0.0\n'):
            server.metrics = metrics
            await engine.follow()
            found.append(engine.room)
        return found

    assert ask(server, then=follow, concurrency=200) == [endpoints.FIRST_LIMIT, endpoints.FIRST_LIMIT]


def test_the_metrics_of_an_engine_that_was_away_are_asked_for_again() -> None:
    server = Server()

    async def follow(engine: Engine) -> list[int]:
        (endpoint,) = engine.endpoints
        await engine.follow()  # none: what answers in the place of an engine that starts knows none
        found = [endpoint.limit]
        server.metrics = 'vllm:num_requests_running{engine="0"} 8.0\nvllm:num_requests_waiting{engine="0"} 90.0\n'
        for is_away in (False, True):
            if is_away:
                endpoint.failed(AwayError("died"))
            endpoint.running = 98
            await engine.follow()
            endpoint.running = 0
            found.append(endpoint.limit)
        return found

    before, still, after = ask(server, then=follow, concurrency=200)
    assert (before, still) == (200, 200)
    assert after < 98


def test_limits_stay_within_their_bounds_and_give_way() -> None:
    assert next_limit(1, 1, Load(100, 500), 64) == 1
    assert next_limit(1, 1, Load(100, 500), 64, gives_way=True) == 0
    assert next_limit(0, 0, Load(3, 0), 64, gives_way=True) == 1
    assert next_limit(64, 64, Load(64, 0), 64) == 64
    assert next_limit(10, 4, Load(4, 0), 64) == 10  # what is not used does not grow
    assert read_load(b"") is None
    assert read_load(b'vllm:num_requests_running{a="b"} 2.0\nvllm:num_requests_running{a="c"} 1e1\n') == Load(12, 0)
    assert read_load(b'vllm:num_requests_running{a="b"} 1.2.3\nvllm:num_requests_waiting{a="b"} e+\n') is None


def test_no_more_are_on_their_way_than_the_limit_says() -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1/", most=4, timeout_s=1)
    assert (endpoint.room, endpoint.url) == (4, "http://127.0.0.1:1/v1")
    endpoint.running = 4
    assert endpoint.room == 0
    assert endpoint.may_be_asked
