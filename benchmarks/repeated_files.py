"""A corpus of any size out of a smaller one: its files again and again, each time changed, as Parquet.

Always holds: the same files, size and seed give the same bytes.

How: the first round is the files as they are, in a random order. In each further one a twentieth of them are equal copies, a
tenth are near-duplicates by one of the planted changes, and the others have other names: each name that is rare in its
language becomes another one of as many letters from the same corpus, by a hash with the round's number, so that sizes and
vocabulary stay, keywords too, and hardly a run of five words is left.
"""

import random
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.planted_copies import COPIES, NAME
from streamer.corpus.sources.raw_file import RawFile

EQUAL, NEAR = 0.05, 0.15  # of a round: below the first an equal copy, below the second a near-duplicate
COMMON = 0.03  # a name in a larger share of a language's files is a keyword or as good as one
SAMPLED, MOST_NAMES = 4000, 200_000
FILE_BYTES, COLUMNS = 32_000_000, ("content", "path", "repo_name", "language", "license")
Pools = dict[int, list[str]]


def write_repeated(files: Sequence[RawFile], folder: Path, size_bytes: int, seed: int) -> int:
    """Writes Parquet files with about so many bytes of text below `folder`. Returns: how many files they hold."""
    folder.mkdir(parents=True)
    rows: list[tuple[str, ...]] = []
    written, batch_bytes, numbers = 0, 0, count()
    for row in repeated(files, size_bytes, random.Random(seed)):
        rows.append(row)
        batch_bytes += len(row[0].encode())
        if batch_bytes >= FILE_BYTES:
            write_rows(rows, folder / f"{next(numbers):05d}.parquet")
            rows, batch_bytes = [], 0
        written += 1
    if rows:
        write_rows(rows, folder / f"{next(numbers):05d}.parquet")
    return written


def write_rows(rows: Sequence[Sequence[str]], path: Path) -> None:
    """Writes texts in the columns that an ingest knows."""
    pq.write_table(pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))), path, row_group_size=256)


def repeated(files: Sequence[RawFile], size_bytes: int, chance: random.Random) -> Iterator[tuple[str, ...]]:
    order = [file for file in files if file.data]
    chance.shuffle(order)
    kept, pools = common_names(order), pools_of(order[:SAMPLED])
    for number in count():
        for file in order:
            text, language = file.data.decode("utf-8", "replace"), file.language or ""
            if number:
                text = changed(text, language, number, kept[language], pools, chance)
            yield text, file.path, f"{file.repository}-{number}" if number else file.repository, language, file.license
            size_bytes -= len(text.encode())
            if size_bytes <= 0:
                return


def changed(text: str, language: str, number: int, kept: frozenset[str], pools: Pools, chance: random.Random) -> str:
    drawn = chance.random()
    if drawn < EQUAL:
        return text
    if drawn < NEAR:
        return chance.choice(list(COPIES.values()))(text, language, chance)
    known: dict[str, str] = {}

    def other(name: str) -> str:
        pool = pools.get(len(name))
        return name if name in kept or not pool else pool[zlib.crc32(f"{number} {name}".encode()) % len(pool)]

    def replace(found: "re.Match[str]") -> str:
        name = found[0]
        if name not in known:
            known[name] = other(name)
        return known[name]

    return NAME.sub(replace, text)


def common_names(files: Sequence[RawFile]) -> dict[str, frozenset[str]]:
    """By language, the names that many of its files have."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    totals = Counter[str]()
    for file in files:
        language = file.language or ""
        if totals[language] < SAMPLED:
            totals[language] += 1
            seen[language].update(set(NAME.findall(file.data.decode("utf-8", "replace"))))
    return {
        language: frozenset(name for name, files in found.items() if files > COMMON * totals[language])
        for language, found in seen.items()
    }


def pools_of(files: Sequence[RawFile]) -> Pools:
    """The names of files by their lengths."""
    names = sorted({name for file in files for name in NAME.findall(file.data.decode("utf-8", "replace"))})
    pools: Pools = defaultdict(list)
    for name in names[:: 1 + len(names) // MOST_NAMES]:
        pools[len(name)].append(name)
    return dict(pools)
