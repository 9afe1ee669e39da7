"""The second stage, one task a language: drop what was compiled and what is there twice, then hold repositories out.

Always holds: of documents that are duplicates of each other the best one is kept: a source before the output of a build or
a copy in another project's tree, then the one with the most stars, then the earliest, as far as a source states these, else
the first by repository, path and id. A document counts how many files it stands for.
Documents are written in the order of the sources.
"""

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.catalog.redaction import Rule
from streamer.corpus.progress import Tally
from streamer.corpus.recipe import Recipe
from streamer.corpus.rejected import merge_records
from streamer.corpus.spool import SIGNATURES, SPOOL, Kept, SpoolWriter, read_spool
from streamer.corpus.steps.counted_filter import rejected
from streamer.corpus.steps.old_documents import OLD
from streamer.documents.document import Document
from streamer.documents.text import DropReason
from streamer.gates.origin import OUT_FOLDERS, OUTPUT_LANGUAGES, Sources, output_mark
from streamer.gates.subject import Refusal, Subject
from streamer.likeness.clusters import SignatureFiles, find_duplicates
from streamer.likeness.near_duplicates import digest
from streamer.privacy.replacing import read_counts
from streamer.publishing.heldout import is_held_out

OLD_RANK, SOURCE_RANK, COPY_RANK = range(3)  # the lowest is kept
BUILT = frozenset(OUT_FOLDERS) - {"lib", "types"}


class Judged(msgspec.Struct):
    """What is known of a language's documents, by their place in its spools: why one is dropped, and for which one."""

    names: list[tuple[int, int, float, str, str, str]]
    refusals: dict[int, Refusal]
    kept_for: dict[int, int]


class LanguageDeduplicator(PipelineStep):  # type: ignore[misc]
    """`kept/LANG/*` to `corpus/LANG.spool` and `heldout/LANG.spool`; task r of R takes every R-th language."""

    type, name = "🫂 - DEDUP", "languages"

    def __init__(self, folder: Path, recipe: Recipe, redacted: Rule) -> None:
        super().__init__()
        self.folder, self.recipe, self.redacted = folder, recipe, redacted

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        folders = sorted((self.folder / "kept").iterdir())
        with Tally(self.folder / "tallies" / "deduplicate", rank) as tally:
            for folder in folders[rank::world_size]:
                judged = self.judge(folder)
                self.write(folder, judged, tally)
        yield from ()

    def judge(self, folder: Path) -> Judged:
        """Reads all documents of a language once and decides. What the root has already comes first, and is not written."""
        language, judged = folder.name, Judged([], {}, {})
        news = sum(1 for path in new_spools(folder) for _ in read_spool(path))
        digests: list[bytes] = []
        sources = self.sources(language)
        for place, kept in enumerate(kept_in(folder)):
            document = kept.document
            subject = Subject(document.text, language=language, path=document.path, repository=document.repository)
            is_old = place >= news
            source = "" if is_old else sources.source_of(subject)
            if not is_old and self.redacted.matches(msgspec.structs.asdict(document)):
                judged.refusals[place] = Refusal(reason=DropReason.REDACTED)
            elif source:
                judged.refusals[place] = Refusal(reason=DropReason.BUILD_OUTPUT, values={"source": source})
            digests.append(digest(document.text, language))
            rank = OLD_RANK if is_old else COPY_RANK if is_copy(subject, document) else SOURCE_RANK
            stars, date_s = kept.standing
            judged.names.append((rank, -stars, date_s, document.repository, document.path, document.document))
        places = [place for place in range(len(digests)) if place not in judged.refusals]
        places.sort(key=judged.names.__getitem__)
        rule = self.recipe.duplicates
        signatures = SignatureFiles([path.with_suffix(SIGNATURES) for path in spools_of(folder)], rule)
        found = find_duplicates(digests, signatures, np.array(places, np.int64), language, rule, folder)
        for reason, dropped_for in zip((DropReason.EXACT_DUPLICATE, DropReason.NEAR_DUPLICATE), found, strict=True):
            for place in np.flatnonzero(dropped_for >= 0).tolist():
                judged.kept_for[place] = best = int(dropped_for[place])
                *_, repository, path, _ = judged.names[best]
                judged.refusals[place] = Refusal(reason=reason, values={"of": f"{repository}: {path}"})
        return judged

    def sources(self, language: str) -> Sources:
        if not self.recipe.filters.build_output.on or language not in OUTPUT_LANGUAGES:
            return Sources(())
        languages = ("typescript",) if language == "javascript" else sorted(OUTPUT_LANGUAGES)
        kept = (kept.document for name in languages for kept in kept_in(self.folder / "kept" / name))
        refused = merge_records(self.folder / "rejected") if language == "typescript" else iter(())
        return Sources(
            chain(((file.repository, file.path) for file in kept), ((file.repository, file.path) for file in refused))
        )

    def write(self, folder: Path, judged: Judged, tally: Tally) -> None:
        """Reads the documents again, in the order of the sources, and writes each to where it belongs."""
        copies = count_copies(judged.kept_for)
        writers: dict[str, SpoolWriter] = {}
        left = 1e6 * self.recipe.heldout_mb
        with ExitStack() as stack:
            dropped = stack.enter_context(SpoolWriter(self.folder / "rejected" / f"duplicates-{folder.name}.rejected"))
            for place, kept in in_order(folder):
                tally.add()
                document, size = kept.document, len(kept.document.text.encode())
                refusal = judged.refusals.get(place)
                held_out = is_held_out(document.repository, share=self.recipe.heldout_share, key=self.recipe.heldout_key)
                if held_out and refusal is None and left <= 0:
                    refusal = Refusal(reason=DropReason.HELD_OUT, values={"heldout_mb": self.recipe.heldout_mb})
                if refusal is not None:
                    self.stat_update(f"dropped_{refusal.reason}")
                    dropped.write(rejected(Passed(text=document.text, id="", metadata={"kept": kept}), refusal))
                    continue
                kind = "heldout" if held_out else "corpus"
                left -= size if held_out else 0
                if kind not in writers:
                    writers[kind] = stack.enter_context(SpoolWriter(self.folder / kind / f"{folder.name}{SPOOL}"))
                counted = msgspec.structs.replace(document, copies=copies.get(place, 1))
                writers[kind].write(Kept(order=kept.order, document=counted))
                self.stat_update(f"{kind}_documents")
                self.stat_update("text_bytes", value=size)
                for private, count in read_counts(document.replaced).items():
                    self.stat_update(f"replaced_{private}", value=count)


def kept_in(folder: Path) -> Iterator[Kept]:
    """The documents of all tasks, one task after the other: the order of the signatures."""
    for path in spools_of(folder):
        yield from read_spool(path)


def spools_of(folder: Path) -> list[Path]:
    """All spools of a language; what the root has already comes last."""
    return [*new_spools(folder), *folder.glob(f"{OLD}{SPOOL}")]


def new_spools(folder: Path) -> list[Path]:
    """The spools of this build's own documents."""
    return sorted(path for path in folder.glob(f"*{SPOOL}") if path.stem != OLD)


def in_order(folder: Path) -> Iterator[tuple[int, Kept]]:
    """This build's own documents in the order of the sources, each with its place in `kept_in`."""
    spools, place = [], 0
    for path in new_spools(folder):
        count = sum(1 for _ in read_spool(path))
        spools.append(zip(range(place, place + count), read_spool(path), strict=True))
        place += count
    return heapq.merge(*spools, key=lambda pair: pair[1].order)


def is_copy(subject: Subject, document: Document) -> bool:
    """Whether another file is probably the original: what a build wrote, or what lies in a vendored tree."""
    return "vendored" in document.flags.split() or bool(output_mark(subject)) or bool(BUILT.intersection(subject.folders))


def count_copies(kept_for: dict[int, int]) -> dict[int, int]:
    """How many files each document stands for, itself included, by place; those that stand for one alone are left out."""
    copies: dict[int, int] = {}
    for best in kept_for.values():
        while best in kept_for:
            best = kept_for[best]
        copies[best] = copies.get(best, 1) + 1
    return copies
