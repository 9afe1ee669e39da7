"""Each accepted file is published exactly once, however often its result comes and whoever races."""

import threading
from collections import Counter
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from benchmarks.planted_secrets import plant
from generators.publishing.publisher import FILES, Publisher
from generators.publishing.publishing import Publishing
from generators.queue.job import AcceptedFile, Job, Origin, accepted_file
from generators.queue.memory_job_queue import MemoryJobQueue
from streamer import Catalog, Document
from streamer.catalog.part_files import read_parquet
from streamer.catalog.parts import read_sidecar
from streamer.catalog.redaction import Rule
from streamer.publishing.compacting import compact
from streamer.publishing.redacting import redact, search


@pytest.fixture
def catalog(root: Path, tokenizer: Tokenizer) -> Catalog:
    made = Catalog(root)
    made.create_stream("synthetic/python", seq_len=16, tokenizer=made.put_tokenizer(tokenizer.to_str()))
    return made


def files(*numbers: int) -> list[AcceptedFile]:
    return [
        AcceptedFile(
            identity=f"{number:032x}",
            purpose="order/0",
            origin=Origin(seed_document="s"),
            document=Document(
                text=f"def f{number}(): return {number}\n" * 3, path=f"{number}.py", repository="synthetic",
                language="python", license="synthetic", document=f"{number:032x}",
            ),
        )
        for number in numbers
    ]  # fmt: skip


def published(catalog: Catalog) -> Counter[str]:
    bodies = catalog.stream_log("synthetic/python").read()
    return Counter(identity for body in bodies for identity in body.get("extra", {}).get("jobs", ()))


def test_a_result_that_comes_again_is_published_once(catalog: Catalog, root: Path) -> None:
    publisher = Publisher(catalog, "synthetic/python")
    assert len(publisher.publish(files(1, 2, 2, 3), overdue=True)) == 3
    assert len(Publisher(Catalog(root), "synthetic/python").publish(files(2, 3, 4), overdue=True)) == 3
    assert published(catalog) == {f"{number:032x}": 1 for number in (1, 2, 3, 4)}


def test_files_of_a_part_that_was_compacted_count_once(catalog: Catalog) -> None:
    publisher, rule = Publisher(catalog, "synthetic/python"), Rule(documents=(f"{2:032x}",))
    publisher.publish(files(1, 2, 3), overdue=True)
    publisher.published.refresh()
    before = publisher.published.by_purpose.copy(), publisher.published.tokens
    redact(catalog, rule, list(search(catalog, rule)), by=None, why=None, at_s=1.0)
    assert compact(catalog, "synthetic/python").parts == 1
    publisher.published.refresh()
    assert (publisher.published.by_purpose, publisher.published.tokens) == before
    (part,) = catalog.stream("synthetic/python").parts
    kept = read_parquet(catalog.store, part, FILES, ["document"])["document"].to_pylist()
    assert kept == [f"{1:032x}", f"{3:032x}"]


def test_racing_publishers_publish_each_file_once(catalog: Catalog, root: Path) -> None:
    def publish(first: int) -> None:
        publisher = Publisher(Catalog(root), "synthetic/python")
        for number in range(first, first + 6):
            publisher.publish(files(number, number + 1, number + 2), overdue=True)

    threads = [threading.Thread(target=publish, args=(first,)) for first in (0, 2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = published(catalog)
    assert set(found.values()) == {1}
    assert len(found) == 12
    assert catalog.garbage("synthetic/python") == []


def test_few_files_wait_until_they_are_overdue_and_the_sidecar_tells_padding(catalog: Catalog) -> None:
    publisher = Publisher(catalog, "synthetic/python")
    document = Document(text="x", path="x.py", repository="s", language="python", license="s", document="a")
    short = [AcceptedFile(identity="a", purpose="order/0", document=document, origin=Origin(seed_document="s"))]
    assert publisher.publish(short) == set()
    assert catalog.stream("synthetic/python").samples == 0
    assert publisher.publish(short, overdue=True) == {"a"}
    (part,) = catalog.stream("synthetic/python").parts
    assert part.extra["padding_tokens"] == 14
    assert part.extra["costs"] == {"": [0, 2]}
    assert read_sidecar(catalog.store, part).to_pylist()[0]["end"] == 2
    place = catalog.store.local_path(f"{part.folder}/{FILES}")
    assert place is not None
    assert pq.read_table(place).to_pylist()[0]["text"] == "x"


def test_a_written_file_is_published_without_what_is_private(catalog: Catalog) -> None:
    token, line = plant("GitHub token", Random(9))
    job = Job(language="python", seed_document="a" * 32, recipe="r", model="m", index=0, text="", purpose="order/0")
    queue = MemoryJobQueue()
    assert queue.add(job)
    (claim,) = queue.claim("worker", count=1, silent_ms=10_000)
    queue.deliver(claim, accepted_file(job, f"{line}\nserver = '34.117.59.81'  # ada@corp.net\n"))
    assert Publishing(catalog, queue, max_wait_s=0).tick() == 1
    assert queue.depth() == (0, 0, 0)
    (part,) = catalog.stream("synthetic/python").parts
    place = catalog.store.local_path(f"{part.folder}/{FILES}")
    assert place is not None
    (row,) = pq.read_table(place).to_pylist()
    assert token not in row["text"]
    assert row["text"].endswith("\nserver = '192.0.2.1'  # <EMAIL>\n")
    assert (row["document"], row["replaced"]) == (job.identity, "key=1 email=1 ip_address=1")
    assert Publishing(catalog, queue, max_wait_s=0).tick() == 0
