"""A judge labels documents by a rubric: what it says is kept once, its noise shows, and its nonsense is no label."""

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.command_line import main
from generators.engines.engine import Engine
from generators.errors import EngineAwayError, RubricError
from generators.judging.judge import NONSENSE, REFUSED, Judged, judge_documents
from generators.judging.rubric import built_in, find_rubric, parse_rubric
from streamer import Catalog, Document
from streamer.errors import CorpusError
from streamer.publishing.publication import publish_path
from streamer.scoring.labels import Label, agreement_of, append_labels, load_labels
from tests.generators.engines.scripted_engine import Server, good, serving

EDU, NOISE = built_in()["edu"], 0.3
DOCUMENTS = [Document(text=f"x{n} = {n}\n" * (1 + n), path=f"{n}.py", repository="r", language="python", license="MIT",
                      document=f"{n:032x}") for n in range(120)]  # fmt: skip


def points(asked: dict[str, Any]) -> int:
    """What a document deserves: 1 to 4, by its number."""
    prompt = asked["messages"][0]["content"]
    return 1 + int(prompt.rpartition(" = ")[2].split()[0]) % 4


def noisy(asked: dict[str, Any]) -> web.Response:
    """A judge that is one point off for a share of NOISE, another one in each run."""
    chance = random.Random(f"{asked['seed']} {asked['messages'][0]['content']}")
    off = chance.choice((-1, 1)) if chance.random() < NOISE else 0
    return said(asked, f'<think>{{"edu": 9}}</think> It teaches {{loops}}.\n{{"edu": {points(asked) + off}}}')


def said(asked: dict[str, Any], text: str) -> web.Response:
    return good(asked, choices=[{"message": {"content": text}, "finish_reason": "stop"}])


def judge(
    root: Path, server: Server, *, runs: int = 1, away_s: float = 5.0, documents: list[Document] = DOCUMENTS
) -> Judged:
    async def act() -> Judged:
        async with serving(server):
            engine = Engine([server.url])
            try:
                return await judge_documents(Catalog(root), EDU, documents, engine, runs=runs, away_s=away_s)
            finally:
                await engine.close()

    return asyncio.run(act())


@contextmanager
def in_background(server: Server) -> Iterator[None]:
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def act() -> None:
        async with serving(server):
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(act()))
    thread.start()
    started.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_a_judge_of_known_noise_agrees_with_itself_as_far_as_its_noise_lets_it(root: Path) -> None:
    server = Server()
    server.respond = noisy
    assert judge(root, server, runs=2).labels == 240
    found = load_labels(Catalog(root), "edu")
    off = [abs(label.score - 1 - int(label.document, 16) % 4) for label in found]
    assert set(off) == {0, 1}
    assert 0.2 < sum(off) / len(off) < 0.4
    agreement = agreement_of(found)
    assert agreement is not None
    assert agreement.documents == 120
    assert abs(agreement.equal - (0.7**2 + 0.3**2 / 2)) < 0.12
    assert agreement.within_one > 0.9
    assert 0.6 < agreement.kappa < 0.95
    assert len({label.prompt for label in found}) == 120
    assert {label.model for label in found} == {"m"}


def test_a_judge_without_noise_agrees_fully(root: Path) -> None:
    server = Server()
    server.respond = lambda asked: said(asked, f'{{"edu": {points(asked)}}}')
    judge(root, server, runs=2)
    agreement = agreement_of(load_labels(Catalog(root), "edu"))
    assert agreement is not None
    assert (agreement.equal, agreement.within_one, agreement.kappa) == (1, 1, 1)
    assert agreement_of([label for label in load_labels(Catalog(root), "edu") if label.run == 0]) is None


def test_what_is_labelled_is_never_asked_again(root: Path) -> None:
    server = Server()
    server.respond = noisy
    judge(root, server, documents=DOCUMENTS[:50])
    found = judge(root, server, runs=2, documents=DOCUMENTS[:60])
    assert (found.before, found.labels, len(server.asked)) == (50, 70, 120)
    server.models = ["another"]
    assert judge(root, server, documents=DOCUMENTS[:10]).labels == 10
    labels = load_labels(Catalog(root), "edu")
    assert append_labels(Catalog(root), "edu", labels[:20]) == 0


def test_a_judge_that_dies_half_way_leaves_what_it_said(root: Path) -> None:
    server = Server()

    def tired(asked: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=503) if len(server.asked) > 40 else noisy(asked)

    server.respond = tired
    with pytest.raises(EngineAwayError):
        judge(root, server, away_s=0.6)
    kept = load_labels(Catalog(root), "edu")
    assert 30 <= len(kept) <= 40
    server.respond = noisy
    assert judge(root, server).labels == 120 - len(kept)


def test_nonsense_and_refusals_are_no_labels_and_are_counted(root: Path) -> None:
    server, kinds = Server(), Callable[[dict[str, Any]], web.Response]
    answers: list[kinds] = [
        lambda asked: said(asked, "I like it."),
        lambda asked: said(asked, '{"edu": 6}'),
        lambda asked: said(asked, '{"edu": true}'),
        lambda asked: said(asked, '{"edu": "4"}'),
        lambda asked: said(asked, '{"other": 4}'),
        lambda asked: said(asked, '{"edu": NaN}'),
        lambda asked: said(asked, ""),
        lambda asked: web.json_response({"error": {"message": "this text is not allowed"}}, status=400),
        lambda asked: web.Response(text="<html>"),
    ]
    server.respond = lambda asked: answers[int(asked["messages"][0]["content"].rpartition(" = ")[2].split()[0]) % 9](asked)
    found = judge(root, server, documents=DOCUMENTS[:18], away_s=30.0)
    assert found.labels == 0
    assert found.without == {NONSENSE: 16, REFUSED: 2}
    assert load_labels(Catalog(root), "edu") == []


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ('First {"edu": 1}, then\n{"edu": 4.5}', 4.5),
        ('```json\n{"edu": 2, "why": "short"}\n```', 2),
        ('{"edu": 3} and {"note": 1}', 3),
        ('{"edu": 1}' + " " * 10**6 + '{"edu": 0}', 0),
        ("{" * 10**5, None),
        ('{"edu": -1}', None),
        ('{"edu": ' + "9" * 400 + "}", None),
        ('{"edu": null}', None),
    ],
)
def test_the_last_object_with_all_criteria_counts(answer: str, wanted: float | None) -> None:
    assert EDU.read(answer) == (None if wanted is None else {"edu": wanted})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("versoin = 1\n", "versoin"),
        ("version = 0\n", "version"),
        ('version = 1\nprompt = "no places"\ncriteria = {a = "b"}\n', "{file}"),
        ('version = 1\nlowest = 3\nhighest = 3\nprompt = "{language}{file}"\ncriteria = {a = "b"}\n', "scale that rises"),
        ('version = 1\nprompt = "{language}{file}"\ncriteria = {}\n', "criteria"),
    ],
)
def test_a_rubric_that_cannot_be_is_refused_by_its_key(change: str, said: str) -> None:
    with pytest.raises(RubricError, match=said.replace("{", r"\{")) as error:
        parse_rubric(f'name = "mine"\n{change}', name="mine.toml")
    assert "\n" not in str(error.value)


def test_rubrics_that_come_along_ask_for_what_they_read() -> None:
    assert list(built_in()) == ["edu", "quality"]
    for rubric in built_in().values():
        answer = json.dumps(dict.fromkeys(rubric.criteria, rubric.highest))
        assert rubric.read(answer) == dict.fromkeys(rubric.criteria, rubric.highest)
        assert all(f'"{name}"' in rubric.prompt for name in rubric.criteria)
    with pytest.raises(RubricError, match="did you mean 'edu'"):
        find_rubric("edo")


def test_the_command_labels_random_documents_and_says_what_came_of_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"text": one.text, "path": one.path, "repository": "r"} for one in DOCUMENTS]
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    publish_path(Catalog(root), "documents/python", tmp_path / "documents.jsonl")
    server = Server()
    server.respond = noisy
    words = ["annotator", "judge", "edu", "--files", "30", "--runs", "2", "--root", str(root), "--json", "--engine"]
    with in_background(server):
        assert main([*words, server.url]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["documents"], row["labels"], row["judged_twice"]) == (30, 60, 30)
        assert main([*words, server.url]) == 0
        assert len(server.asked) == 60
        server.respond = lambda asked: said(asked, "no")
        assert main([*words, server.url, "--seed", "5"]) == 0
        assert "have no label: no label in the answer" in capsys.readouterr().err
    assert main(["annotator", "labels", "edu", "--root", str(root)]) == 0
    assert "edu/1" in capsys.readouterr().out
    assert main([*words[:3], "--root", str(root), "--engine", "http://127.0.0.1:9/v1"]) == 2
    assert "127.0.0.1:9" in capsys.readouterr().err
    assert main(["annotator", "rubrics"]) == 0


def test_labels_of_another_version_or_format_are_kept_apart(root: Path) -> None:
    catalog = Catalog(root)
    label = Label(rubric="edu/1", model="m", document="d", language="go", run=0, prompt="p", values={"edu": 3.0})
    append_labels(catalog, "edu", [label])
    other = Label(rubric="edu/2", model="m", document="d", language="go", run=0, prompt="p", values={"edu": 4.0})
    assert append_labels(catalog, "edu", [other]) == 1
    assert load_labels(catalog, "edu") == [label, other]
    catalog.log("labels/edu").append(lambda _: {"format": "labels/2"})
    with pytest.raises(CorpusError, match="labels/2"):
        load_labels(catalog, "edu")
