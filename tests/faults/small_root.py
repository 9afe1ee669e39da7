"""A small root in memory with objects of every kind, and everything that is read from it.

`build` makes the same root each time, but for random ids; `observe` reads it as readers, traces, pages and commands do.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from streaming import MDSWriter

from generators.planning.orders import load_orders, place_order
from mixer import Mixtures, RunReader, Runs, Trace
from mixer.ledger.reports import Report, Reports
from mixer.pool import pool
from streamer import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.catalog.part_files import read_parquet
from streamer.documents.document import COLUMNS, Document, document_id
from streamer.mds import layout as mds
from streamer.packing.tokenizer import train
from streamer.publishing.publication import document_row
from streamer.store.store import MemoryStore

SEQ_LEN, INTERVAL = 4, 16
END = {"a": 70, "lanes": 40, "fork": 60, "lineage": 20, "packed": 6}  # batches of each run that are in its ledger
STEPS = {"a": (69, 40, 3), "lanes": (37, 5), "fork": (59, 33, 2), "lineage": (19,), "packed": (5, 0)}  # late ones first
MIXTURE = """
name = "m"
seq_len = 4
[[component]]
streams = "raw/*"
share = 1
within = {{ s0 = {s0}, s1 = {s1} }}
"""
PACKED = 'name = "packed"\nseq_len = 4\n[[component]]\nstreams = "packed/*"\nshare = 1\n'


class Held(MemoryStore):
    """Objects that can be had and set. `seen`: keys that were read, and folders, with a slash, whose numbers were."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self.objects = self._objects = dict(objects or {})
        self.seen: set[str] = set()

    def get(self, key: str) -> bytes | None:
        self.seen.add(key)
        return super().get(key)

    def numbers(self, folder: str, after: int) -> tuple[list[int], bool]:
        self.seen.add(f"{folder}/")
        return super().numbers(folder, after)


def build(folder: Path, *, other: int = 0) -> Held:
    """The root. `folder`: for files that are published; `other`: above 0 another root with the same names and sizes."""
    store = Held()
    (folder / "documents").mkdir(parents=True)
    catalog = Catalog(store)
    tokenizer = catalog.put_tokenizer(train([text.text for text in texts()], vocabulary=300).to_str())
    for index in range(2):
        for part, samples in enumerate((300, 120)):
            first = 5000 * other + 2000 * index + 300 * part
            rows = np.arange(first * SEQ_LEN, (first + samples) * SEQ_LEN, dtype=np.uint16).reshape(samples, SEQ_LEN)
            documents = spans(samples, first)
            catalog.append(f"raw/s{index}", rows, seq_len=SEQ_LEN, tokenizer=tokenizer, documents=documents)
    mds.write_rows(map(document_row, texts()), COLUMNS, folder / "documents")
    catalog.publish_directory("documents/go", folder / "documents")
    pq.write_table(pa.Table.from_pylist(msgspec.to_builtins(texts())), folder / "files.parquet")
    catalog.append_when(
        "synthetic/go",
        np.ones((2, SEQ_LEN), np.uint16),
        seq_len=SEQ_LEN,
        tokenizer=tokenizer,
        documents=spans(2, 0),
        files={"files.parquet": folder / "files.parquet"},
        decide=lambda _: {"jobs": [text.document for text in texts()], "files": "files.parquet"},
    )
    mixtures, runs = Mixtures(catalog), Runs(catalog)
    mixtures.apply(MIXTURE.format(s0=1, s1=3))
    mixtures.apply(MIXTURE.format(s0=3, s1=1))
    runs.create("a", mixture="m@1", seed=1 + other, global_batch=8, segment_batches=4, boundaries=True)
    read(store, "a", 40)
    runs.switch("a", "m@2")
    read(store, "a", END["a"])
    runs.create("lanes", mixture="m@2", seed=2 + other, global_batch=8, segment_batches=8, canonical_nodes=2)
    read(store, "lanes", END["lanes"])
    runs.fork("a", "fork", at_step=35, seed=3 + other)
    read(store, "fork", END["fork"])
    runs.create("lineage", mixture="m@2", seed=4 + other, global_batch=8, parent="a", parent_step=50)
    read(store, "lineage", END["lineage"])
    pack(folder / "packed", rows)
    catalog.publish_directory("packed/go", folder / "packed")
    mixtures.apply(PACKED)
    runs.create("packed", mixture="packed@1", seed=5 + other, global_batch=8)
    read(store, "packed", END["packed"])
    for start in range(0, 60, 20):
        report = Report(start_step=start, end_step=start + 20, streams=["raw/s0"], samples=[9], loss=[2.5])
        Reports(catalog, "a").append(report)
    pool.set_wanted(catalog, 3)
    pool.set_wanted(catalog, 5)
    place_order(catalog, "documents/*", files=5, language="go")
    return store


def pack(folder: Path, rows: npt.NDArray[np.uint16]) -> None:
    """Compressed shards of a few samples."""
    with MDSWriter(
        out=str(folder), columns={"tokens": f"ndarray:uint16:{SEQ_LEN}"}, compression="zstd:3", size_limit=600
    ) as writer:
        for row in rows:
            writer.write({"tokens": row})


def read(store: MemoryStore, run: str, end: int) -> None:
    with RunReader(store, run) as reader:
        for step in range(end):
            reader.read(step)


def spans(samples: int, first: int) -> list[dict[str, Any]]:
    """Two documents of uneven length in each sample."""
    said = {"repository": "r", "license": "mit", "language": "python", "score": 0.5}
    found = []
    for sample in range(samples):
        cut = 1 + sample % (SEQ_LEN - 1)
        for start, end in ((0, cut), (cut, SEQ_LEN)):
            name = f"d{first + sample}-{start}"
            found.append({"sample": sample, "start": start, "end": end, "document": name, "path": f"{name}.py", **said})
    return found


def texts() -> list[Document]:
    found = []
    for number in range(3):
        text, path = f"package p{number}\n", f"p{number}.go"
        document = document_id("example", path, text)
        found.append(
            Document(text=text, path=path, repository="example", language="go", license="MIT", document=document, score=None)
        )
    return found


def views() -> dict[str, Callable[[MemoryStore], Any]]:
    """What is read, by name."""
    found: dict[str, Callable[[MemoryStore], Any]] = {}
    for run, steps in STEPS.items():
        found[f"batches of {run}"] = lambda store, run=run, steps=steps: batches(store, run, steps)
    return {
        **found,
        "trace": lambda store: [msgspec.to_builtins(row) for row in Trace(store, "a").batch(39)],
        "positions": lambda store: len(Trace(store, "a").document("d3-0")),
        "runs": lambda store: msgspec.to_builtins(Runs(store).list()),
        "history": lambda store: [event.event for event in Runs(store).history("a")],
        "reports": lambda store: msgspec.to_builtins(Reports(Catalog(store), "a").read()),
        "streams": lambda store: msgspec.to_builtins(Catalog(store).streams()),
        "documents": lambda store: msgspec.to_builtins(list(Catalog(store).documents("documents/go"))),
        "files": lambda store: [read_parquet(store, part, "files.parquet", None).to_pylist() for part in parts(store)],
        "tokenizer": lambda store: Catalog(store).load_tokenizer(fingerprint(store)).to_str(),
        "mixtures": lambda store: [Mixtures(store).text(f"m@{version}") for version in (1, 2)],
        "pool": lambda store: pool.wanted(Catalog(store)),
        "orders": lambda store: msgspec.to_builtins(load_orders(Catalog(store))),
    }


def parts(store: MemoryStore) -> list[PartInfo]:
    return list(Catalog(store).stream("synthetic/go").parts)


def fingerprint(store: MemoryStore) -> str | None:
    return Catalog(store).stream("raw/s0").tokenizer


def batches(store: MemoryStore, run: str, steps: tuple[int, ...]) -> list[bytes]:
    found = []
    with RunReader(store, run) as reader:
        for step in steps:
            batch = reader.read(step)
            boundaries = b"" if batch.boundaries is None else batch.boundaries.tobytes()
            found.append(batch.tokens.tobytes() + batch.origin.tobytes() + boundaries)
    return found
