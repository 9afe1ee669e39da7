"""What near-duplicate detection finds of 300 planted copies of real files, and how long it takes beside datasketch.

    python -m benchmarks.near_duplicates SOURCE... [--seed N]

Of the different files of the sources 300 get a copy, 50 of each of six kinds; 50 each of two more kinds are reported without
a target. Both programs use 256 values and a threshold of 0.7. Timed is every eighth file, until it is known which ones are
duplicates: phasemix from their texts on, datasketch from their runs of five words on, which it is given, by `update` as its
documents show it, and by the quicker `update_batch`.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH

from benchmarks.decontamination import read_ordinary
from benchmarks.planted_copies import COPIES, FAR_COPIES, Change
from benchmarks.report import Report, show
from streamer.corpus.steps.reading import BATCH_DOCUMENTS
from streamer.likeness.clusters import SignatureFiles, find_duplicates
from streamer.likeness.code_words import code_words, shingle_hashes
from streamer.likeness.near_duplicates import USUAL, digest, sign

EACH, LEAST_RUNS, MOST_CHARACTERS = 50, 100, 40_000
RECALL, TIMES = 0.95, 15.0
EVERY = 8  # of the files that are timed
Flags = npt.NDArray[np.bool_]


class File(NamedTuple):
    """A source file; `copy_of` names the kind of a planted one."""

    language: str
    text: str
    copy_of: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folders, archives and Parquet files of real files")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    return show(measure(args.sources, random.Random(args.seed)), as_json=args.json)


def measure(sources: list[str], chance: random.Random) -> Report:
    files = [File(language, text) for _, language, text in read_ordinary(sources)]
    is_new = ~ours(files)
    hosts = [file for file, new in zip(files, is_new, strict=True) if new and is_host(file)]
    chosen = chance.sample(hosts, min(len(hosts), EACH * (len(COPIES) + len(FAR_COPIES))))
    copies = list(planted(chosen, chance))
    found = ours([*files, *copies])[len(files) :]
    their_found = theirs([*files, *copies], [*map(runs_of, files), *map(runs_of, copies)], update_batch)[len(files) :]
    kinds = np.array([copy.copy_of for copy in copies])
    rows = [
        {
            "copies": kind,
            "files": int((kinds == kind).sum()),
            "found": float(found[kinds == kind].mean()),
            "by datasketch": float(their_found[kinds == kind].mean()),
        }
        for kind in dict.fromkeys(kinds)
    ]
    figures: dict[str, Any] = {"files": len(files), "near_duplicates": int((~is_new).sum())}
    figures |= timed(files[::EVERY])
    figures["least_recall"] = min(row["found"] for row in rows if row["copies"] in COPIES)
    seconds = ", ".join(f"{figures[name]:.1f} s {name}" for name in figures if name.endswith("_s"))
    title = f"Near-duplicates among {len(files):,} files; every {EVERY}th of them took {seconds}"
    return Report(title, rows, figures, {"least_recall": (">=", RECALL), "times_datasketch": (">=", TIMES)})


def timed(files: list[File]) -> dict[str, float]:
    runs = [runs_of(file) for file in files]
    ways: dict[str, Callable[[], object]] = {
        "phasemix": lambda: ours(files),
        "datasketch": lambda: theirs(files, runs, update_each),
        "datasketch_batch": lambda: theirs(files, runs, update_batch),
    }
    seconds = {}
    for name, work in ways.items():
        start_s = time.process_time()
        work()
        seconds[name] = time.process_time() - start_s
    return {f"{name}_s": found for name, found in seconds.items()} | {
        "times_datasketch": seconds["datasketch"] / seconds["phasemix"],
        "times_datasketch_batch": seconds["datasketch_batch"] / seconds["phasemix"],
    }


def is_host(file: File) -> bool:
    return len(file.text) <= MOST_CHARACTERS and len(runs_of(file)) >= LEAST_RUNS


def runs_of(file: File) -> list[bytes]:
    """The different runs of five code words."""
    words = code_words(file.text, file.language)
    return [number.tobytes() for number in np.unique(shingle_hashes(words.numbers, USUAL.shingle))]


def planted(hosts: list[File], chance: random.Random) -> Iterator[File]:
    changes: list[tuple[str, Change]] = [*COPIES.items(), *FAR_COPIES.items()]
    for number, host in enumerate(hosts):
        kind, change = changes[number % len(changes)]
        yield host._replace(text=change(host.text, host.language, chance), copy_of=kind)


def ours(files: list[File]) -> Flags:
    """(files,) which of them are duplicates of earlier ones, as an ingest finds them."""
    places = defaultdict(list)
    for place, file in enumerate(files):
        places[file.language].append(place)
    dropped = np.zeros(len(files), np.bool_)
    for language, here in places.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "signatures")
            with path.open("wb") as signatures:
                for first in range(0, len(here), BATCH_DOCUMENTS):
                    texts = [files[place].text for place in here[first : first + BATCH_DOCUMENTS]]
                    signatures.write(sign(texts, [language] * len(texts)).tobytes())
            digests = [digest(files[place].text, language) for place in here]
            both = find_duplicates(
                digests, SignatureFiles([path], USUAL), np.arange(len(here)), language, USUAL, Path(folder)
            )
            dropped[here] = np.maximum(*both) >= 0
    return dropped


def theirs(files: list[File], runs: list[list[bytes]], update: Callable[[MinHash, list[bytes]], None]) -> Flags:
    """(files,) the same by datasketch, one index a language."""
    languages = {file.language for file in files}
    indexes = {name: MinHashLSH(threshold=USUAL.threshold, num_perm=USUAL.permutations) for name in languages}
    dropped = np.zeros(len(files), np.bool_)
    for place, (file, words) in enumerate(zip(files, runs, strict=True)):
        signature = MinHash(num_perm=USUAL.permutations)
        update(signature, words)
        dropped[place] = bool(indexes[file.language].query(signature))
        if not dropped[place]:
            indexes[file.language].insert(place, signature)
    return dropped


def update_each(signature: MinHash, words: list[bytes]) -> None:
    for word in words:
        signature.update(word)


def update_batch(signature: MinHash, words: list[bytes]) -> None:
    signature.update_batch(words)


if __name__ == "__main__":
    sys.exit(main())
