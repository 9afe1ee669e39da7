"""Files of the pool as people look at them: accepted ones from the parts, rejected ones from Redis, in tokens."""

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deploy.command_line import main
from generators.publishing.publisher import Publisher
from generators.queue.job import Job, Reason, accepted_file
from generators.queue.redis_job_queue import queue_of
from mixer.pool.files import accepted_files, rejected_files, tokens_of
from streamer import Catalog
from streamer.documents.languages import LANGUAGES


def job(index: int) -> Job:
    return Job(
        language="python", seed_document="seed", recipe="r", model="small", index=index, text="x = 1\n", purpose="order/1"
    )


def test_accepted_files_come_newest_first_from_the_published_parts(seeded: Catalog) -> None:
    catalog = seeded
    seed = catalog.stream("scored/python/q50")
    assert seed.seq_len is not None
    catalog.create_stream("synthetic/python", seq_len=seed.seq_len, dtype=seed.dtype or "", tokenizer=seed.tokenizer)
    publisher = Publisher(catalog, "synthetic/python")
    for start in (0, 3):
        files = [
            accepted_file(job(index), f"def f{index}():\n    return {index}\n", values={"code_size": index})
            for index in range(start, start + 3)
        ]
        publisher.publish(files, overdue=True)
    found = accepted_files(catalog, 4)
    assert [file.id for file in found] == [job(index).identity for index in (5, 4, 3, 2)]
    assert {(file.verdict, file.reason, file.seed, file.model) for file in found} == {("accepted", None, "seed", "small")}
    assert [(file.recipe, file.values) for file in found] == [("r", {"code_size": index}) for index in (5, 4, 3, 2)]
    assert ["k", "def"] in [list(pair) for pair in found[0].tokens]


def test_rejected_files_come_from_redis_and_none_where_there_is_none(seeded: Catalog, redis_url: str) -> None:
    queue = queue_of(seeded, redis_url)
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=1)
    queue.reject_job(claim, Reason.DOES_NOT_PARSE, "<script>alert(1)</script>", {"error_share": 0.5})
    (found,) = rejected_files(redis_url, 20, seeded)
    assert (found.recipe, found.values) == ("r", {"error_share": 0.5})
    assert (found.verdict, found.reason, found.language) == ("rejected", "does_not_parse", "python")
    assert "".join(text for _, text in found.tokens) == "<script>alert(1)</script>"
    assert rejected_files(None, 20, seeded) == rejected_files("unix:///nonexistent/redis.sock", 20, seeded) == []


@given(text=st.text(), language=st.sampled_from([*LANGUAGES, "klingon"]))
def test_the_tokens_of_a_text_are_the_text(text: str, language: str) -> None:
    assert "".join(piece for _, piece in tokens_of(text, language)) == text


def test_rejected_files_are_shown_by_reason(
    seeded: Catalog, root: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = queue_of(seeded, redis_url)
    for index in range(3):
        queue.add(job(index))
    for claim, reason in zip(queue.claim("a", count=3, silent_ms=1), ("empty", "cut_off", "cut_off"), strict=True):
        queue.reject_job(claim, reason, f"text {claim.job.index}\n", {"tokens": 9, "max_tokens": 8})
    words = ["generators", "rejected", "--root", str(root), "--redis", redis_url]
    assert main([*words, "--reason", "cut_off", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [file["text"] for file in found] == ["text 2\n", "text 1\n"]
    assert found[0]["values"] == {"tokens": 9, "max_tokens": 8}
    assert main([*words, "--most", "1"]) == 0
    said = capsys.readouterr().out
    assert "    tokens 9 (at most 8)\n" in said
    assert ("text 2" in said, "text 1" in said, "empty" in said) == (True, False, True)
    assert main([*words, "--reason", "nonsense"]) == 2
    assert "the reasons there are cut_off, empty" in capsys.readouterr().err
