"""A root of two streams with a run, documents to take out of it, and what its batches must then be."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mixer import Mixtures, RunReader, Runs
from streamer import Batch, Catalog, Document
from streamer.catalog.redaction import Rule
from streamer.documents.document import document_id
from streamer.errors import StoreError
from streamer.packing import tokenizer as tokenizers
from streamer.packing.packing import pack, sidecar_rows
from streamer.publishing.redacting import redact, search
from streamer.store.directory_store import DirectoryStore

SEQ_LEN, DOCUMENTS, SIZE = 32, 120, 8
TOKENIZER = str(tokenizers.train(["def f(x):\n    return x + 1\n"] * 20, vocabulary=300).to_str())
END = tokenizers.end_of_document_id(tokenizers.parse(TOKENIZER))
LICENCES = ("MIT", "GPL-3.0-only", "BSD-3-Clause")


def documents_of(key: str, count: int, *, first: int = 0) -> list[Document]:
    """Documents of four repositories; the text is as long as the number says."""
    found = []
    for number in range(first, first + count):
        repository, path, text = f"r{number % 4}", f"{key}/{number}.py", f"{key} {number} " + "x" * (number % 50)
        name = document_id(repository, path, text)
        about = {"repository": repository, "path": path, "license": LICENCES[number % 3], "document": name}
        found.append(Document(text=text, language=key, score=float(number), **about))
    return found


def publish(catalog: Catalog, name: str, documents: Sequence[Document], *, seed: int = 0) -> None:
    draw = np.random.default_rng(seed)
    ids = [draw.integers(1, 200, len(document.text)) for document in documents]
    packed = pack(ids, seq_len=SEQ_LEN, dtype="uint16", end_of_document_id=END)
    catalog.append(
        name,
        packed.rows,
        seq_len=SEQ_LEN,
        tokenizer=catalog.put_tokenizer(TOKENIZER),
        documents=sidecar_rows(packed, list(documents)),
    )


def make_root(folder: Path, **settings: int) -> Catalog:
    catalog = Catalog(folder)
    for place, key in enumerate(("python", "go")):
        for part in range(3):
            publish(catalog, f"raw/{key}", documents_of(key, DOCUMENTS, first=part * DOCUMENTS), seed=10 * place + part)
    Mixtures(catalog).apply(f'name = "m"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1.0\n')
    Runs(catalog).create("r", mixture="m", seed=3, global_batch=SIZE, segment_batches=4, **settings)
    return catalog


def take_out(catalog: Catalog, rule: Rule) -> None:
    redact(catalog, rule, list(search(catalog, rule)), by="operator", why="asked for", at_s=1.0)


def read(catalog: Catalog, steps: range, *, run: str = "r", ranks: int = 1) -> list[Batch]:
    """Global batches, put together from what the ranks read."""
    readers = [RunReader(catalog.store.url, run, rank, ranks) for rank in range(ranks)]
    found = []
    for step in steps:
        mine = [reader.read(step) for reader in readers]
        masks = [np.zeros(one.tokens.shape, bool) if one.redacted is None else one.redacted for one in mine]
        tokens, origin = np.concatenate([one.tokens for one in mine]), np.concatenate([one.origin for one in mine])
        found.append(Batch(tokens, origin, redacted=np.concatenate(masks)))
    return found


def expected(catalog: Catalog, whole: Batch, rule: Rule) -> Batch:
    """By the sidecars, row by row."""
    streams, tokens = ["raw/go", "raw/python"], whole.tokens.copy()
    mask = np.zeros(tokens.shape, bool)
    for place, (stream, number, row) in enumerate(whole.origin.tolist()):
        part = next(part for part in catalog.stream(streams[stream]).parts if part.number == number)
        for span in sidecars(catalog, part.folder).get(row, []):
            if rule.matches(span):
                tokens[place, span["start"] : span["end"]] = END
                mask[place, span["start"] : span["end"]] = True
    return Batch(tokens, whole.origin, redacted=mask)


def sidecars(catalog: Catalog, folder: str) -> dict[int, list[dict[str, object]]]:
    import pyarrow.parquet as pq

    place = catalog.store.local_path(folder)
    assert place is not None
    found: dict[int, list[dict[str, object]]] = {}
    for row in pq.read_table(next(place.glob("*.parquet"))).to_pylist():
        found.setdefault(row["sample"], []).append(row)
    return found


def assert_same(found: list[Batch], wanted: list[Batch]) -> None:
    for step, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert np.array_equal(one.origin, other.origin), step
        assert np.array_equal(one.tokens, other.tokens), step
        masks = [np.zeros(one.tokens.shape, bool) if batch.redacted is None else batch.redacted for batch in (one, other)]
        assert np.array_equal(*masks)


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> Iterator[None]:
    """After so many objects were written, one is refused."""
    put_file, put, puts = DirectoryStore.put_file, DirectoryStore.put_if_absent, list[int]()

    def count() -> None:
        puts.append(1)
        if len(puts) == after + 1:
            raise StoreError("the disk is full")

    def counted_file(store: DirectoryStore, key: str, path: Path) -> None:
        count()
        put_file(store, key, path)

    def counted(store: DirectoryStore, key: str, data: bytes) -> bytes:
        count()
        return put(store, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "put_file", counted_file)
        patch.setattr(DirectoryStore, "put_if_absent", counted)
        yield
