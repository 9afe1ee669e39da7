"""The near-duplicate gate of written files: what it finds of planted copies of a corpus, how quick it is, its memory.

    python -m benchmarks.known_files SOURCE... [--seed N] [--synthetic N]

The different files of the sources become the documents of a root, but for every tenth one. 300 copies, 50 of each of six
kinds, and the files that were left out go through the publisher as written files. The gate alone is timed with files cut to
4 KB, which are signed, looked up and noted as known. Memory is that of a process that opens an index and judges 512 files:
an index of no files, of the documents of the most common language, and of N files with random signatures.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xxhash

from benchmarks.decontamination import read_ordinary
from benchmarks.near_duplicates import EACH, File, is_host, ours, planted
from benchmarks.planted_copies import COPIES, FAR_COPIES
from benchmarks.report import Report, show
from generators.publishing.known_files import BATCH, KnownFiles
from generators.publishing.publishing import Publishing
from generators.queue.job import Job, Reason, accepted_file
from generators.queue.memory_job_queue import MemoryJobQueue
from streamer.catalog.catalog import Catalog
from streamer.documents.document import Document
from streamer.likeness.known_signatures import RECORD, SignatureWriter
from streamer.likeness.near_duplicates import STRUCTURE_VALUES, USUAL
from streamer.mds.layout import write_rows
from streamer.packing.tokenizer import train

RECALL, PRECISION, FILES_PER_S = 0.95, 0.98, 2000
LEFT_OUT, LETTERS, JUDGED = 10, 4096, 512
COMMIT_ROWS = 65_536
MB = 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folders, archives and Parquet files of real files")
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--synthetic", type=int, default=1_000_000, metavar="N", help="files with random signatures")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    files = [File(language, text) for _, language, text in read_ordinary(args.sources)]
    with tempfile.TemporaryDirectory(prefix="phasemix-known-files-") as folder:
        return show(measure(files, Path(folder), random.Random(args.seed), args.synthetic), as_json=args.json)


def measure(files: list[File], folder: Path, chance: random.Random, synthetic: int) -> Report:
    new = [file for file, dropped in zip(files, ours(files), strict=True) if not dropped]
    left_out, documents = new[::LEFT_OUT], [file for place, file in enumerate(new) if place % LEFT_OUT]
    catalog = make_root(folder, documents)
    hosts = [file for file in documents if is_host(file)]
    chosen = chance.sample(hosts, min(len(hosts), EACH * len(COPIES | FAR_COPIES)))
    copies = [copy for copy in planted(chosen, chance) if copy.copy_of in COPIES]
    written = [*copies, *left_out]
    chance.shuffle(written)
    rejected = publish(catalog, written)
    seconds, files_per_s = timed(catalog, left_out, folder / "timed")
    rows: list[dict[str, Any]] = [
        {
            "files": kind or "other real files",
            "written": sum(file.copy_of == kind for file in written),
            "rejected": rejected[kind],
        }
        for kind in [*COPIES, ""]
    ]
    found = sum(rejected[kind] for kind in COPIES)
    figures = {
        "documents": len(documents),
        "index_s": seconds,
        "least_recall": min(row["rejected"] / row["written"] for row in rows[:-1]),
        "precision": found / (found + rejected[""]),
        "files_per_s": files_per_s,
    }
    make_synthetic(folder / "many", synthetic)
    language = Counter(file.language for file in documents).most_common(1)[0][0]
    texts = [file.text[:LETTERS] for file in left_out if file.language == language][:JUDGED]
    for name, place in (("0", "none"), (f"{len(documents):,}", "timed"), (f"{synthetic:,}", "many")):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            url = catalog.store.url if place == "timed" else str(folder / "empty")
            anonymous, mapped = pool.apply(memory, (url, "go" if place == "many" else language, folder / place, texts))
        rows.append({"files": f"publisher that knows {name}: MB of its own", "written": round(anonymous, 1)})
        rows.append({"files": "  and MB of mapped files", "written": round(mapped, 1)})
        figures[f"{place}_mb"], figures[f"{place}_mapped_mb"] = anonymous, mapped
    title = f"Written files against {len(documents):,} documents, whose index took {seconds:.1f} s"
    targets = {"least_recall": (">=", RECALL), "precision": (">=", PRECISION), "files_per_s": (">=", FILES_PER_S)}
    return Report(title, rows, figures, targets)


def make_root(folder: Path, files: list[File]) -> Catalog:
    """A root with these documents, an empty synthetic stream for each language, and a tokenizer."""
    catalog, by_language = Catalog(folder / "root"), defaultdict(list)
    for file in files:
        by_language[file.language].append(file.text)
    tokenizer = catalog.put_tokenizer(train(iter([file.text[:LETTERS] for file in files[:200]]), vocabulary=512).to_str())
    columns = dict.fromkeys(("text", "path", "repository", "language", "license", "document"), "str") | {"score": "float64"}
    for language, texts in by_language.items():
        place = folder / "mds" / language
        place.mkdir(parents=True)
        plain = {"path": "", "repository": "own/code", "language": language, "license": "MIT", "score": 0.0}
        rows = ({**plain, "text": text, "document": xxhash.xxh3_128_hexdigest(text.encode())} for text in texts)
        write_rows(rows, columns, place)
        catalog.publish_directory(f"documents/{language}", place)
        catalog.create_stream(f"synthetic/{language}", seq_len=2048, tokenizer=tokenizer)
    return catalog


def publish(catalog: Catalog, files: list[File]) -> Counter[str]:
    """How many files of each kind the publisher rejects as near-duplicates."""
    queue, kinds = MemoryJobQueue(), {}
    for number, file in enumerate(files):
        job = Job(
            language=file.language,
            seed_document=f"{number:032x}",
            recipe="r",
            model="m",
            index=0,
            text="",
            purpose="order/0",
        )
        kinds[job.identity] = file.copy_of
        queue.add(job)
        (claim,) = queue.claim("worker", count=1, silent_ms=10**9)
        queue.deliver(claim, accepted_file(job, file.text))
    rejected: Counter[str] = Counter()
    reject = queue.reject_file

    def count(waiting, reason, values=None):  # type: ignore[no-untyped-def]
        rejected[kinds[waiting.file.identity]] += reason == Reason.NEAR_DUPLICATE
        reject(waiting, reason, values)

    queue.reject_file = count  # type: ignore[method-assign]
    publishing = Publishing(catalog, queue, max_wait_s=10**6)
    while publishing.tick() or queue.depth().unpublished > len(publishing._held):
        pass
    return rejected


def timed(catalog: Catalog, files: list[File], folder: Path) -> tuple[float, float]:
    """Seconds for the index of all languages, and files of 4 KB a second of one core, the best of three rounds."""
    by_language, index_s, rounds = defaultdict(list), 0.0, []
    plain = Document(text="", path="", repository="", language="", license="", document="")
    for file in files:
        document = msgspec.structs.replace(plain, text=file.text[:LETTERS], language=file.language)
        by_language[file.language].append(document)
    for number in range(3):
        spent_s = 0.0
        for language, documents in by_language.items():
            begin_s = time.process_time()
            known = KnownFiles(catalog, language, USUAL, folder)
            while not known.is_ready(0.0):
                pass
            start_s = time.process_time()
            judge(known, documents)
            spent_s += time.process_time() - start_s
            index_s += start_s - begin_s if number == 0 else 0.0
        rounds.append(len(files) / spent_s)
    return index_s, max(rounds)


def judge(known: KnownFiles, documents: list[Document]) -> None:
    for first in range(0, len(documents), BATCH):
        named = [
            msgspec.structs.replace(one, document=f"{first + place:032x}")
            for place, one in enumerate(documents[first : first + BATCH])
        ]
        for signed in known.sign(named):
            if known.nearest(signed).twin is None:
                known.add(signed)


def make_synthetic(folder: Path, count: int) -> None:
    """An index of files of Go with random signatures."""
    chance, stored = np.random.default_rng(16), None
    width = USUAL.permutations + STRUCTURE_VALUES
    for first in range(0, count, COMMIT_ROWS):
        writer = SignatureWriter(folder / "go", stored, USUAL, "go")
        for begin in range(first, min(count, first + COMMIT_ROWS), 4096):
            rows = min(4096, count - begin)
            writer.add(np.zeros(rows, RECORD), chance.integers(0, 2**32, (rows, width), np.uint32))
        stored = writer.commit({})


def memory(url: str, language: str, folder: Path, texts: list[str]) -> tuple[float, float]:
    """MB that a process has of its own, and of files that it has mapped, when it has judged some texts."""
    known = KnownFiles(Catalog(url), language, USUAL, folder)
    while not known.is_ready(0.0):
        pass
    plain = Document(text="", path="", repository="", language=language, license="", document="")
    judge(known, [msgspec.structs.replace(plain, text=text) for text in texts])
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) * 1024 / MB for name in ("RssAnon", "RssFile"))  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(main())
