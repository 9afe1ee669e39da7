"""Signatures of the files that are known, in a folder on disk, found by their bands: for millions of files in little memory.

Always holds: `head` is replaced whole, and names everything that belongs to it with sizes and checksums; what a writer that
was killed left behind it is cut off or removed by the next writer. What a reader has mapped is never changed.

How: records and signatures lie in two files that only grow. The band keys lie in runs, files of sorted numbers (32 bits of
the key, then the place of the file), which are merged when a new one has at least a quarter of the size of the one before.
So a file is looked up by a binary search in a few runs. Whoever writes holds a lock that is the caller's.
"""

import mmap
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from streamer.likeness.near_duplicates import STRUCTURE_VALUES, Duplicates, Shares, Signatures, band_keys, compare

FORMAT = "signatures/1"
HEAD = "head"
RECORD = np.dtype(
    [("document", "<u8"), ("repository", "<u8"), ("license", "<u8"), ("stream", "u1"), ("part", "<u4"), ("name", "S64")]
)
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)
RUN_ROWS = 4096
MOST_IN_BAND, MOST_COMPARED = 256, 256  # files that one band of a file brings in, and that it is compared with
BLOCK_BYTES = 1 << 22
SLICES = 256
Records = npt.NDArray[Any]
Places = npt.NDArray[np.int64]
Entries = npt.NDArray[np.uint64]


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """What one writer added: files, and the xxh3-64 of their records and signatures."""

    rows: int
    records: str
    signatures: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A file of sorted entries."""

    name: str
    entries: int
    xxh3: str


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to an index. `done`: what the owner says of where it comes from."""

    format: str
    rule: Duplicates
    stem: str
    done: dict[str, tuple[int, str]]
    chunks: tuple[Chunk, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def rows(self) -> int:
        return sum(chunk.rows for chunk in self.chunks)


class Pairs(NamedTuple):
    """Files that were asked about, each with a known one that may be near it, in order."""

    asked: Places
    known: Places


class Found(NamedTuple):
    """Files that were asked about, each with a known one that is near it, in order.

    `likeness`, (files asked about,): the largest share of words' values that a known one with a band alike has too, else 0.
    """

    asked: Places
    known: Places
    likeness: Shares


class KnownSignatures:
    """The index that lies in a folder, mapped."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder, self.head = folder, head
        self.width = head.rule.permutations + STRUCTURE_VALUES
        self._maps: list[mmap.mmap] = []
        self.records: Records = mapped(folder / f"{head.stem}.records", RECORD, head.rows, self._maps)
        self.signatures: Signatures = mapped(
            folder / f"{head.stem}.signatures", np.dtype("<u4"), head.rows * self.width, self._maps
        ).reshape(-1, self.width)
        self._runs = [mapped(folder / run.name, np.dtype("<u8"), run.entries, self._maps) for run in head.runs]

    def __len__(self) -> int:
        return self.head.rows

    def find(self, signatures: Signatures, language: str, is_out: npt.NDArray[np.bool_]) -> Found:
        """Which known files are near some. `is_out`, (known files,): which of them do not count."""
        asked, known = self._candidates(signatures, language)
        counts = ~is_out[known]
        asked, known = asked[counts], known[counts]
        near, likeness = np.zeros(len(asked), np.bool_), np.zeros(len(signatures))
        for begin in range(0, len(asked), RUN_ROWS):
            block = slice(begin, begin + RUN_ROWS)
            words, near[block] = compare(self.signatures[known[block]], signatures[asked[block]], self.head.rule)
            np.maximum.at(likeness, asked[block], words)
        self.let_go()
        return Found(asked[near], known[near], likeness)

    def let_go(self) -> None:
        """Lets the pages go that were looked at; they stay in the system's cache."""
        for one in self._maps:
            one.madvise(mmap.MADV_DONTNEED)

    def _candidates(self, signatures: Signatures, language: str) -> Pairs:
        """Pairs with a band alike; of a file with very many those that have most bands alike."""
        keys = band_keys(signatures, language, self.head.rule)
        owners = np.repeat(np.arange(len(keys), dtype=np.uint64), keys.shape[1])
        wanted = keys.ravel() & ~LOW
        order = np.argsort(wanted)
        owners, wanted = owners[order], wanted[order]
        found = [np.zeros(0, np.uint64)]
        for run in self._runs:
            first = np.searchsorted(run, wanted)
            hit = np.flatnonzero(run.take(first, mode="clip") & ~LOW == wanted) if len(run) else first[:0]
            first = first[hit]
            counts = np.minimum(np.searchsorted(run, wanted[hit] | LOW, "right") - first, MOST_IN_BAND)
            inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places = run[np.repeat(first, counts) + inside] & LOW
            found.append(np.repeat(owners[hit], counts) << SHIFT | places)
        pairs, bands = np.unique(np.concatenate(found), return_counts=True)
        asked, known = (pairs >> SHIFT).astype(np.int64), (pairs & LOW).astype(np.int64)
        if len(asked) and np.bincount(asked).max() > MOST_COMPARED:
            best = np.lexsort((known, -bands, asked))
            begins = np.searchsorted(asked, asked)  # `asked` is sorted, before and after
            kept = np.sort(best[np.arange(len(best)) - begins < MOST_COMPARED])
            asked, known = asked[kept], known[kept]
        return Pairs(asked, known)


class SignatureWriter:
    """Adds files to the index of a folder, or makes a new one. Nothing counts before `commit`."""

    def __init__(self, folder: Path, base: KnownSignatures | None, rule: Duplicates, language: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._language = folder, language
        self._head = base.head if base else Head(format=FORMAT, rule=rule, stem=token_hex(4), done={})
        self._rows, self._chunk_rows = self._head.rows, 0
        width = 4 * (rule.permutations + STRUCTURE_VALUES)
        sizes = {"records": RECORD.itemsize, "signatures": width}
        self._files = {name: (folder / f"{self._head.stem}.{name}").open("ab") for name in sizes}
        for name, size in sizes.items():
            self._files[name].truncate(self._rows * size)
        self._hashes = {name: xxhash.xxh3_64() for name in sizes}
        self._keys: list[Entries] = []
        self._runs: list[Run] = []

    def add(self, records: Records, signatures: Signatures) -> None:
        """Files with their signatures, a row each."""
        for name, data in (("records", records.tobytes()), ("signatures", signatures.tobytes())):
            self._files[name].write(data)
            self._hashes[name].update(data)
        keys = band_keys(signatures, self._language, self._head.rule)
        places = np.arange(self._rows, self._rows + len(keys), dtype=np.uint64)
        self._keys.append(((keys & ~LOW) | places[:, None]).ravel())
        self._rows += len(keys)
        self._chunk_rows += len(keys)
        if sum(map(len, self._keys)) >= RUN_ROWS * keys.shape[1]:
            self._end_run()

    def commit(self, done: dict[str, tuple[int, str]]) -> KnownSignatures:
        """Makes all that was added part of the index, at once, and removes what belongs to it no longer."""
        self._end_run()
        self.close()
        hashes = {name: one.hexdigest() for name, one in self._hashes.items()}
        chunks = (Chunk(rows=self._chunk_rows, **hashes),) if self._chunk_rows else ()
        runs = merged(self._folder, [*self._head.runs, *self._runs])
        head = msgspec.structs.replace(self._head, done=done, chunks=(*self._head.chunks, *chunks), runs=tuple(runs))
        aside = self._folder / f"{HEAD}.aside"
        aside.write_bytes(msgspec.json.encode(head))
        aside.replace(self._folder / HEAD)
        remove_others(self._folder, head)
        return KnownSignatures(self._folder, head)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _end_run(self) -> None:
        if self._keys:
            self._runs.append(write_run(self._folder, [np.sort(np.concatenate(self._keys))]))
            self._keys = []


def read_known(folder: Path, rule: Duplicates, *, is_checked: bool = False) -> KnownSignatures | None:
    """The index of a folder; None where there is none of that rule, or something of it is damaged.

    `is_checked`: whether this process has compared what lies there with its checksums before.
    """
    try:
        head = msgspec.json.decode((folder / HEAD).read_bytes(), type=Head)
        if (head.format, head.rule) != (FORMAT, rule) or not (is_checked or is_whole(folder, head)):
            return None
        return KnownSignatures(folder, head)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def is_whole(folder: Path, head: Head) -> bool:
    width = 4 * (head.rule.permutations + STRUCTURE_VALUES)
    sizes = [(f"{head.stem}.records", [(one.rows * RECORD.itemsize, one.records) for one in head.chunks])]
    sizes.append((f"{head.stem}.signatures", [(one.rows * width, one.signatures) for one in head.chunks]))
    sizes += [(run.name, [(8 * run.entries, run.xxh3)]) for run in head.runs]
    for name, pieces in sizes:
        with (folder / name).open("rb") as file:
            for size, wanted in pieces:
                found = xxhash.xxh3_64()
                while size and (block := file.read(min(size, BLOCK_BYTES))):
                    found.update(block)
                    size -= len(block)
                if size or found.hexdigest() != wanted:
                    return False
    return True


def mapped(path: Path, dtype: np.dtype[Any], count: int, maps: list[mmap.mmap] | None = None) -> npt.NDArray[Any]:
    """(count,) what a file begins with. `maps`: where the map is noted. Raises: ValueError when it has less, OSError."""
    if not count:
        return np.zeros(0, dtype)
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), count * dtype.itemsize, access=mmap.ACCESS_READ)
    if maps is not None:
        maps.append(data)
    return np.frombuffer(data, dtype)


def write_run(folder: Path, pieces: Iterable[Entries]) -> Run:
    """Writes sorted entries that come in pieces."""
    name, entries, found = f"{token_hex(8)}.run", 0, xxhash.xxh3_64()
    with (folder / name).open("wb") as file:
        for piece in pieces:
            data = piece.tobytes()
            file.write(data)
            found.update(data)
            entries += len(piece)
    return Run(name=name, entries=entries, xxh3=found.hexdigest())


def merged(folder: Path, runs: list[Run]) -> list[Run]:
    """The runs, those at the end together in one as long as the one before has less than four times their size."""
    begin, size = len(runs), 0
    while begin and (not size or runs[begin - 1].entries < 4 * size):
        begin -= 1
        size += runs[begin].entries
    together = runs[begin:]
    if len(together) < 2:
        return runs
    maps = [mapped(folder / run.name, np.dtype("<u8"), run.entries) for run in together]
    bounds = np.arange(1, SLICES, dtype=np.uint64) << np.uint64(56)
    cuts = [[0, *np.searchsorted(one, bounds).tolist(), len(one)] for one in maps]
    pieces = (
        np.sort(np.concatenate([one[cut[place] : cut[place + 1]] for one, cut in zip(maps, cuts, strict=True)]))
        for place in range(SLICES)
    )
    return [*runs[:begin], write_run(folder, pieces)]


def remove_others(folder: Path, head: Head) -> None:
    """Removes what belongs to no index any more; whoever has it mapped keeps it."""
    named = {HEAD, f"{head.stem}.records", f"{head.stem}.signatures", *(run.name for run in head.runs)}
    for path in folder.iterdir():
        if path.name not in named and path.suffix in (".records", ".signatures", ".run", ".aside"):
            with suppress(OSError):
                path.unlink()
