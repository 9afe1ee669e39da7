"""What people and processes do to a root, each act telling by its number whether it was done, and how often.

Always holds: an act can be repeated by whoever did not hear of its end; `World.times` says how often it stands in the logs,
`World.check` that whatever an entry names is there and whole.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from generators.publishing.publisher import FILES, Publisher
from generators.queue.job import AcceptedFile, Origin
from mixer import Mixtures, Runs
from mixer.journal.journal import Journal
from streamer import Catalog, Document
from streamer.catalog import parts
from streamer.catalog.manifest import PartInfo
from streamer.catalog.shard_rows import local_copy
from streamer.errors import PhasemixError
from streamer.mds import layout as mds
from streamer.publishing.publication import publish_path
from streamer.store.store import Store

SEQ_LEN, SAMPLES = 4, 6
RUN, GLOBAL_BATCH = "a", 4
FAR = 100_000  # the first step that is skipped, which no segment comes to
ACTS = ("append", "publish", "documents", "generate", "switch", "fork", "skip", "note")
Act = Callable[[], Any]


class World:
    """A root with streams and a run. `store` is where acts are done, `straight` reads the same root without faults."""

    def __init__(self, store: Store, straight: Callable[[], Store], folder: Path) -> None:
        self.straight, self.folder = straight, folder
        catalog = Catalog(straight())
        catalog.append("raw/python", np.zeros((40, SEQ_LEN), np.uint16), seq_len=SEQ_LEN)
        fingerprint = catalog.put_tokenizer(byte_tokenizer().to_str())
        catalog.create_stream("synthetic/python", seq_len=SEQ_LEN, tokenizer=fingerprint)
        for passes in (100_000, 200_000):
            component = f'[[component]]\nstreams = "raw/python"\nshare = 1\nmax_passes = {passes}\n'
            Mixtures(catalog).apply(f'name = "m"\nseq_len = {SEQ_LEN}\n{component}')
        runs = Runs(catalog)
        runs.create(RUN, mixture="m@1", seed=1, global_batch=GLOBAL_BATCH)
        runs.extend(RUN, 8)
        self.reopen(store)

    def reopen(self, store: Store) -> None:
        """Begins as a new process would, with nothing read."""
        self.catalog = Catalog(store)
        self.runs = Runs(self.catalog)

    def act(self, name: str, number: int) -> Act:
        """The act of that name and number, which may be called again."""
        ids = np.full((SAMPLES, SEQ_LEN), number, np.uint16)
        if name == "append":
            return lambda: self.catalog.append("raw/go", ids, seq_len=SEQ_LEN, documents=[], extra={"act": number})
        if name == "publish":
            folder = self.folder / f"part-{number}"
            folder.mkdir()
            mds.write_shards(ids, folder)
            return lambda: self.catalog.publish_directory("raw/c", folder, extra={"act": number})
        if name == "documents":
            path = self.folder / f"{number}.jsonl"
            path.write_text(f'{{"text": "{number}", "path": "{number}.py"}}\n')
            return lambda: publish_path(self.catalog, "documents/python", path)
        if name == "generate":
            document = Document(text="x " * 7, path=f"{number}.py", repository="s", language="python", license="s",
                                document=f"{number:032x}")  # fmt: skip
            file = AcceptedFile(
                identity=f"{number:032x}", purpose="order/0", document=document, origin=Origin(seed_document="s")
            )
            return lambda: Publisher(self.catalog, "synthetic/python").publish([file], overdue=True)
        if name == "switch":
            return lambda: self.runs.switch(RUN, f"m@{1 + number % 2}", by="ann", why=str(number))
        if name == "fork":
            return lambda: self.runs.fork(RUN, f"fork-{number}", at_step=4)
        if name == "skip":
            return lambda: self.runs.skip(RUN, FAR + 2 * number, 1)
        assert name == "note"
        return lambda: self.runs.note(RUN, str(number), by="ann")

    def times(self, name: str, *numbers: int) -> dict[int, int]:
        """How often each of some acts stands in the logs, read anew."""
        catalog, found = Catalog(self.straight()), Counter[int]()
        for part in self.parts(catalog, name):
            found.update(numbers_of(catalog, part, name))
        for body in catalog.log(f"runs/{RUN}/ledger").read():
            if (name, body["event"]) in (("switch", "switched"), ("note", "noted")):
                found[int(body["why"])] += 1
            elif (name, body["event"]) == ("skip", "skipped"):
                found[(body["start"] - FAR) // 2] += 1
        if name == "fork":
            for number in numbers:
                found[number] += len(catalog.log(f"runs/fork-{number}/ledger").read())
        return {number: found[number] for number in numbers}

    def parts(self, catalog: Catalog, name: str) -> list[PartInfo]:
        """The parts that acts of that name have published."""
        streams = {"append": "raw/go", "publish": "raw/c", "documents": "documents/python", "generate": "synthetic/python"}
        if name not in streams or not catalog.stream_log(streams[name]).read():
            return []
        return list(catalog.stream(streams[name]).parts)

    def check(self, *names: str) -> None:
        """Everything that entries name is there and whole, and the run can be planned on."""
        catalog = Catalog(self.straight())
        for name in names or ACTS:
            for part in self.parts(catalog, name):
                for shard in part.shards:
                    with local_copy(catalog.store, f"{part.folder}/{shard.name}") as path:
                        parts.check_hash(path, shard)
                if part.sidecar is not None:
                    parts.read_sidecar(catalog.store, part)
                if name == "generate":
                    assert catalog.store.get(f"{part.folder}/{FILES}") is not None
        Journal(catalog, RUN)


def numbers_of(catalog: Catalog, part: PartInfo, name: str) -> list[int]:
    """The numbers of the acts that published a part."""
    if name == "generate":
        return [int(identity, 16) for identity in part.extra["jobs"]]
    if name == "documents":
        with local_copy(catalog.store, f"{part.folder}/{part.shards[0].name}") as path:
            return [int(str(row["text"])) for row in mds.iterate_rows(path.read_bytes(), name=str(path))]
    return [part.extra["act"]]


def repeat(act: Act, stood: int) -> None:
    """Does an act again, as whoever did not hear of its end would. What stands already may be refused, nothing else."""
    try:
        act()
    except PhasemixError:
        if not stood:
            raise


def byte_tokenizer() -> Tokenizer:
    """A token for each byte, without training."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({"<|endoftext|>": 0, **{sign: 1 + place for place, sign in enumerate(alphabet)}}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer
