"""A written file is compared with the corpus and with the files accepted before, by an index that may be lost."""

import fcntl
import gc
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from streaming import MDSWriter
from tokenizers import Tokenizer

from generators.publishing import known_files
from generators.publishing.known_files import KnownFiles
from generators.publishing.published_files import find_file
from generators.publishing.publisher import Publisher
from generators.publishing.publishing import Publishing
from generators.queue.job import AcceptedFile, Job, Origin, Reason, accepted_file
from generators.queue.memory_job_queue import MemoryJobQueue
from streamer import Catalog, Document
from streamer.catalog.redaction import Rule
from streamer.corpus.parts.publication import BUILDS, FORMAT, duplicates_rule
from streamer.errors import StoreError
from streamer.likeness.known_signatures import HEAD, RECORD, SignatureWriter, read_known
from streamer.likeness.near_duplicates import USUAL, Duplicates, RecentSignatures, band_keys
from streamer.packing.packing import pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id
from streamer.publishing.redacting import redact, search

LONG_AGO = -1.0  # a time of the clock that is over, so that one batch a call is worked on


def text_of(number: int) -> str:
    chance = random.Random(number)
    words = [f"{chance.choice('abcdefgh')}{chance.randrange(10**6)}" for _ in range(40)]
    return "".join(f"def {name}({other}): return {name} + {other} * {number}\n" for name, other in pairwise(words))


def near(text: str) -> str:
    return f"# another comment\n{text}done = True\n"


def document(number: int, repository: str = "own/code", language: str = "python") -> Document:
    return Document(
        text=text_of(number), path=f"{number}.py", repository=repository, language=language, license="MIT",
        document=hashlib.sha256(str(number).encode()).hexdigest()[:32],
    )  # fmt: skip


def publish_documents(
    catalog: Catalog, folder: Path, documents: list[Document], extra: dict[str, str] | None = None
) -> None:
    names = ("text", "path", "repository", "language", "license", "document")
    columns = dict.fromkeys(names, "str") | {"score": "float64"}
    with MDSWriter(out=str(folder), columns=columns) as writer:
        for one in documents:
            writer.write({name: getattr(one, name) for name in names} | {"score": 0.0})
    catalog.publish_directory(f"documents/{documents[0].language}", folder, extra=extra)


def accept(catalog: Catalog, *numbers: int) -> None:
    """Publishes files as another publisher would."""
    files = [
        AcceptedFile(identity=one.document, purpose="order/0", document=one, origin=Origin(seed_document="s"))
        for one in map(document, numbers)
    ]
    assert len(Publisher(catalog, "synthetic/python").publish(files, overdue=True)) == len(numbers)


@pytest.fixture
def catalog(root: Path, tokenizer: Tokenizer) -> Catalog:
    made = Catalog(root)
    made.create_stream("synthetic/python", seq_len=64, tokenizer=made.put_tokenizer(tokenizer.to_str()))
    return made


@pytest.fixture
def corpus(catalog: Catalog, tmp_path: Path) -> Catalog:
    """200 documents."""
    publish_documents(catalog, tmp_path / "mds", [document(number) for number in range(200)])
    return catalog


@pytest.fixture
def known(corpus: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KnownFiles]:
    """What a publisher that starts now knows, with an index on disk whatever is beyond 50 files."""
    monkeypatch.setattr(known_files, "MOST_RECENT", 50)

    def make(rule: Duplicates = USUAL, *, is_ready: bool = True, said: list[str] | None = None) -> KnownFiles:
        say = (lambda line: None) if said is None else said.append
        made = KnownFiles(Catalog(corpus.store.url), "python", rule, tmp_path / "index", say=say)
        while is_ready and not made.is_ready(LONG_AGO):
            pass
        return made

    return make


def twin(known: KnownFiles, text: str) -> str | None:
    (signed,) = known.sign([Document(text=text, path="", repository="", language="python", license="", document="new")])
    return known.nearest(signed).twin


def test_a_file_is_compared_with_documents_and_with_accepted_files(
    known: Callable[..., KnownFiles], corpus: Catalog
) -> None:
    accept(corpus, 1000, 1001)
    found = known()
    for number in (0, 1, 64, 199, 1000, 1001):
        assert twin(found, near(text_of(number))) == document(number).document
        assert known_itself(found, document(number))
    assert twin(found, near(text_of(500))) is None
    accept(corpus, 500)
    assert found.is_ready(LONG_AGO)
    assert twin(found, near(text_of(500))) == document(500).document


def test_files_let_through_leave_the_memory_once_they_are_on_disk(known: Callable[..., KnownFiles], corpus: Catalog) -> None:
    found = known()
    for one in found.sign([document(number) for number in range(1000, 1060)]):
        found.add(one)
    assert twin(found, near(text_of(1059))) == document(1059).document
    accept(corpus, *range(1000, 1059))
    while not found.is_ready(LONG_AGO):
        pass
    assert [name for _, name in found._recent] == [document(1059).document]
    for number in (1000, 1058, 1059):
        assert twin(found, near(text_of(number))) == document(number).document
        assert known_itself(found, document(number))


def known_itself(known: KnownFiles, one: Document) -> bool:
    """Whether a file that is known is no twin of itself."""
    (signed,) = known.sign([one])
    return known.nearest(signed).twin is None


def test_the_index_is_read_again_and_extended(known: Callable[..., KnownFiles], corpus: Catalog) -> None:
    said: list[str] = []
    known(said=said)
    assert said == ["reading about 200 files of python, to tell near-duplicates of them", "200 files of python are known"]
    assert twin(known(said=said), near(text_of(3))) == document(3).document
    assert len(said) == 2
    for first in range(1000, 1080, 20):
        accept(corpus, *range(first, first + 20))
    found = known(said=said)
    assert said[2:] == ["reading about 80 files of python, to tell near-duplicates of them", "280 files of python are known"]
    for number in (3, 1000, 1079):
        assert twin(found, near(text_of(number))) == document(number).document


def test_an_index_that_is_damaged_or_of_another_rule_is_made_anew(known: Callable[..., KnownFiles], tmp_path: Path) -> None:
    known()
    folder = tmp_path / "index" / "python"
    for name in (HEAD, "*.records", "*.signatures", "*.run"):
        (path,) = folder.glob(name)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        said: list[str] = []
        assert twin(known(said=said), near(text_of(150))) == document(150).document
        assert said, name
    said = []
    assert twin(known(Duplicates(threshold=0.8, permutations=128), said=said), near(text_of(150))) == document(150).document
    assert said
    assert len(list(folder.iterdir())) == 5  # lock, head, records, signatures and one run: nothing is left over


def test_an_index_of_another_streams_entries_is_made_anew(
    known: Callable[..., KnownFiles], corpus: Catalog, tmp_path: Path
) -> None:
    known()
    head = tmp_path / "index" / "python" / HEAD
    for change in ([9, "0"], [1, "0"]):  # more entries than there are, and other parts
        data = json.loads(head.read_bytes())
        data["done"]["documents/python"] = change
        head.write_text(json.dumps(data))
        said: list[str] = []
        assert twin(known(said=said), near(text_of(150))) == document(150).document
        assert said[-1] == "200 files of python are known"


def test_what_was_broken_off_leaves_no_trace(known: Callable[..., KnownFiles], tmp_path: Path, corpus: Catalog) -> None:
    half = known(is_ready=False)
    assert not half.is_ready(LONG_AGO)
    assert not (tmp_path / "index" / "python" / HEAD).exists()
    del half  # and with it its lock, as with a process that is killed
    gc.collect()
    known()
    for first in range(1000, 1080, 20):
        accept(corpus, *range(first, first + 20))
    half = known(is_ready=False)
    assert not half.is_ready(LONG_AGO)
    del half
    gc.collect()
    found = known()
    assert len(list((tmp_path / "index" / "python").iterdir())) <= 6
    for number in (3, 1000, 1079):
        assert twin(found, near(text_of(number))) == document(number).document


def test_one_publisher_builds_and_others_wait(known: Callable[..., KnownFiles], tmp_path: Path) -> None:
    second = known(is_ready=False)
    with (tmp_path / "index" / "python" / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not any(second.is_ready(LONG_AGO) for _ in range(5))
    said: list[str] = []
    known(said=said)
    assert said
    while not second.is_ready(LONG_AGO):
        pass
    assert twin(second, near(text_of(7))) == document(7).document


def test_redacted_documents_and_builds_that_were_given_up_do_not_count(
    known: Callable[..., KnownFiles], corpus: Catalog, tmp_path: Path
) -> None:
    publish_documents(
        corpus, tmp_path / "more", [document(number, "gone/too") for number in range(300, 303)], {"build": "b"}
    )
    accept(corpus, 1000, 1001)
    found = known()
    assert twin(found, near(text_of(301))) == document(301).document
    body = {"format": FORMAT, "event": "given up", "build": "b", "tokenizer": None}
    corpus.log(BUILDS).append(lambda _: body)
    rule = Rule(documents=(document(5).document, document(1000).document))
    redact(corpus, rule, list(search(corpus, rule)), by=None, why=None, at_s=1.0)
    for each in (found, known()):
        assert each.is_ready(LONG_AGO)
        assert [twin(each, near(text_of(number))) for number in (5, 301, 1000)] == [None] * 3
        assert twin(each, near(text_of(6))) == document(6).document
        assert twin(each, near(text_of(1001))) == document(1001).document


def test_held_out_documents_are_known(catalog: Catalog, tokenizer: Tokenizer, known: Callable[..., KnownFiles]) -> None:
    ids = [tokenizer.encode(text_of(number)).ids for number in (700, 701)]
    packed = pack(ids, seq_len=64, dtype="uint16", end_of_document_id=end_of_document_id(tokenizer))
    catalog.append(
        "heldout/python", packed.rows, seq_len=64, tokenizer=catalog.put_tokenizer(tokenizer.to_str()),
        documents=sidecar_rows(packed, [document(700), document(701)]),
    )  # fmt: skip
    assert twin(known(), near(text_of(701))) == document(701).document


def test_a_part_that_cannot_be_read_stops_nothing(known: Callable[..., KnownFiles], corpus: Catalog, tmp_path: Path) -> None:
    publish_documents(corpus, tmp_path / "more", [document(number) for number in range(300, 303)])
    (part, _) = corpus.stream("documents/python").parts
    place = corpus.store.local_path(part.folder)
    assert place is not None
    shutil.rmtree(place)
    said: list[str] = []
    found = known(said=said)
    assert any("is missing" in line for line in said)
    assert twin(found, near(text_of(0))) is None


def deliver(queue: MemoryJobQueue, text: str, *, language: str = "python", index: int = 0) -> Job:
    job = Job(language=language, seed_document="a" * 32, recipe="r", model="m", index=index, text="", purpose="order/0")
    assert queue.add(job)
    (claim,) = queue.claim("worker", count=1, silent_ms=10_000)
    queue.deliver(claim, accepted_file(job, text))
    return job


def test_a_near_duplicate_is_rejected_by_name_and_others_are_published(corpus: Catalog) -> None:
    queue = MemoryJobQueue()
    deliver(queue, near(text_of(8)), index=0)
    first = deliver(queue, text_of(2000), index=1)
    deliver(queue, near(text_of(2000)), index=2)
    assert Publishing(corpus, queue, max_wait_s=0).tick() == 1
    assert queue.rejections() == {Reason.NEAR_DUPLICATE: 2}
    refused = [file.values for file in queue.rejected_files()]
    assert [values["of"] for values in refused] == [first.identity, document(8).document]
    assert all(values["likeness"] >= values["max_likeness"] == 0.7 for values in refused)
    values = find_file(corpus, first.identity)["origin"]["values"]
    assert values["likeness"] < values["max_likeness"] == 0.7


def test_a_file_whose_seed_is_redacted_does_not_count(corpus: Catalog) -> None:
    queue = MemoryJobQueue()
    publishing = Publishing(corpus, queue, max_wait_s=1000)
    text = "def one(): return 1\n"  # so short that it waits for others
    job = deliver(queue, text)
    assert publishing.tick() == 0
    (known,) = publishing._known.values()
    assert twin(known, text) == job.identity
    rule = Rule(documents=("a" * 32,))
    redact(corpus, rule, list(search(corpus, rule)), by=None, why=None, at_s=1.0)
    assert publishing.tick() == 0
    assert queue.rejections() == {Reason.REDACTED: 1}
    assert twin(known, text) is None


def test_a_language_whose_documents_are_being_read_keeps_no_other_waiting(
    corpus: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_files, "MOST_RECENT", 50)
    queue = MemoryJobQueue()
    deliver(queue, near(text_of(8)), index=0)
    deliver(queue, text_of(2000), index=1)
    deliver(queue, "package main\n\nfunc main() {\n}\n", language="go", index=2)
    publishing = Publishing(corpus, queue, max_wait_s=0, slice_s=-1.0)
    assert publishing.tick() == 1
    assert corpus.stream("synthetic/go").samples
    assert queue.depth().unpublished == 2
    published = 0
    while queue.depth().unpublished:
        published += publishing.tick()
    assert published == 1
    assert queue.rejections() == {Reason.NEAR_DUPLICATE: 1}


def test_the_rule_is_that_of_the_last_ingest(catalog: Catalog) -> None:
    assert duplicates_rule(catalog) == USUAL
    for report in ({}, {"duplicates": {"threshold": 0.9}}):
        catalog.log(BUILDS).append(
            lambda _, report=report: {"format": FORMAT, "event": "done", "build": "b", "report": report}
        )
    assert duplicates_rule(catalog) == Duplicates(threshold=0.9)


@pytest.mark.parametrize("seed", range(3))
def test_the_index_on_disk_finds_what_the_one_in_memory_finds(tmp_path: Path, seed: int) -> None:
    """Families of signatures at every distance, written in many chunks and merged runs."""
    random_numbers = np.random.default_rng(seed)
    width = USUAL.permutations + 128
    heads = random_numbers.integers(0, 2**32, (40, width), dtype=np.uint32)
    rows = heads[random_numbers.integers(0, 40, 900)]
    changed = random_numbers.random(rows.shape) < random_numbers.random((900, 1)) * 0.6
    rows = np.where(changed, random_numbers.integers(0, 2**32, rows.shape, dtype=np.uint32), rows)
    recent, keys = RecentSignatures(USUAL), band_keys(rows, "go", USUAL).tolist()
    stored = None
    for first in range(0, 800, 50):
        writer = SignatureWriter(tmp_path / "index", stored, USUAL, "go")
        writer.add(np.zeros(50, RECORD), rows[first : first + 50])
        stored = writer.commit({})
        for place in range(first, first + 50):
            recent.add(rows[place], keys[place])
    stored = read_known(tmp_path / "index", USUAL)
    assert stored is not None
    assert len(stored.head.runs) < 8
    found = stored.find(rows[800:], "go", np.zeros(800, np.bool_))
    pairs = list(zip(found.asked.tolist(), found.known.tolist(), strict=True))
    in_memory = [recent.near(rows[place], keys[place]) for place in range(800, 900)]
    assert pairs == [(place, near) for place, one in enumerate(in_memory) for near in one.places]
    assert found.likeness.tolist() == [one.likeness for one in in_memory]
    assert len(pairs) > 100


def test_a_cache_that_cannot_be_written_is_said(corpus: Catalog, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used: Not a directory; make it a folder of your own"):
        KnownFiles(corpus, "python", USUAL, tmp_path / "file" / "index")
