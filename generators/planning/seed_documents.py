"""Picks seed documents: the best-scored documents of the streams that a glob names, repositories in turn.

Always holds: nothing that is held out, redacted or synthetic becomes a seed document; the same streams give the same seed
documents in the same order; what is cut ends between functions and classes, where the language's parser finds any.
"""

import heapq
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from generators.errors import OrderError
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.catalog.names import kind_of
from streamer.catalog.parts import read_sidecar
from streamer.documents.notebooks import NOTEBOOK
from streamer.errors import CorpusError
from streamer.gates.syntax import parser

NEVER = ("heldout", "synthetic")
MOST_SEEDS = 10_000  # of a language
MOST_CHARACTERS = 24_000  # that are kept of each


class SeedDocument(NamedTuple):
    """A document to write from, or its beginning."""

    language: str
    document: str
    text: str
    repository: str
    license: str

    def passage(self, number: int, characters: int) -> str:
        """The passage that the n-th file is written from: the next functions and classes, and after the last the first."""
        found = passages(self.text, self.language, characters)
        return found[number % len(found)]


def seed_streams(catalog: Catalog, glob: str, language: str | None = None) -> list[Snapshot]:
    """The streams that a glob names for seed documents. Raises: OrderError when there is none."""
    found = [snapshot for snapshot in catalog.match(glob) if kind_of(snapshot.name) not in NEVER and snapshot.samples]
    chosen = [snapshot for snapshot in found if language in (None, snapshot.key)]
    if not chosen:
        have = ", ".join(sorted({snapshot.key for snapshot in found})) or "none"
        of_language = f" of language {language}" if language is not None else ""
        raise OrderError(
            f"no stream with documents{of_language} matches {glob!r} (languages there: {have}; heldout/* and synthetic/* "
            "are never seed documents); name another glob, see phasemix streams list"
        )
    for key in sorted({snapshot.key for snapshot in chosen}):
        texts = [s for s in chosen if s.key == key and s.kind == "documents"] or catalog.match(f"documents/{key}")
        if not any(s.kind == "documents" and s.samples for s in texts):
            raise OrderError(
                f"{glob!r} names samples of {key}, whose texts would lie in documents/{key}, which is empty; ingest a "
                f"corpus, or phasemix streams publish documents/{key} FILE"
            )
    return chosen


def load_seed_documents(catalog: Catalog, glob: str, language: str | None = None) -> list[SeedDocument]:
    """The best documents first, languages in turn. Raises: OrderError, and PartError for a stream without sidecars."""
    wanted: dict[str, set[str] | None] = {}  # language -> ids, or None for all
    for snapshot in seed_streams(catalog, glob, language):
        if snapshot.kind == "documents":
            wanted[snapshot.key] = None
            continue
        ids = wanted.setdefault(snapshot.key, set())
        for part in snapshot.parts:
            if ids is not None:
                ids.update(read_sidecar(catalog.store, part).column("document").to_pylist())
    ranked = [rank(catalog, key, ids) for key, ids in sorted(wanted.items())]
    longest = max(len(found) for found in ranked)
    return [found[place] for place in range(longest) for found in ranked if place < len(found)]


def rank(catalog: Catalog, language: str, ids: set[str] | None) -> list[SeedDocument]:
    """The best documents of a language: the best one of every repository, best first, then the second ones, and so on.

    Documents without a score come last in their repository.
    """
    scored = (
        (
            document.score if document.score is not None else float("-inf"),
            document.document,
            SeedDocument(
                language, document.document, document.text[:MOST_CHARACTERS], document.repository, document.license
            ),
        )
        for document in catalog.documents(f"documents/{language}")
        if ids is None or document.document in ids
    )
    best = heapq.nlargest(MOST_SEEDS, scored)
    before: Counter[str] = Counter()
    turns = []
    for place, (_, _, seed) in enumerate(best):
        turns.append((before[seed.repository], place))
        before[seed.repository] += 1
    return [best[place][2] for _, place in sorted(turns)]


def find_seed_document(catalog: Catalog, document: str) -> SeedDocument:
    """The document of an id, in any stream of documents. Raises: OrderError when there is none."""
    for snapshot in catalog.match("documents/*"):
        for found in catalog.documents(snapshot.name):
            if found.document == document:
                text = found.text[:MOST_CHARACTERS]
                return SeedDocument(snapshot.key, document, text, found.repository, found.license)
    raise OrderError(
        f"no stream of documents under {catalog.store.url} has document {document}; ids are shown by "
        "phasemix runs trace RUN --batch 0"
    )


@lru_cache(maxsize=256)
def passages(text: str, language: str, characters: int) -> list[str]:
    """A text in passages of at most so many characters that end where a function, a class or the like does.

    What is longer by itself is cut at the end of a line.
    """
    if len(text) <= characters:
        return [text]
    data = text.encode("utf-8", "replace")
    try:
        pieces = parser("python" if language == NOTEBOOK else language).parse(data).root_node.named_children
    except CorpusError:  # a language without a parser
        pieces = []
    ends = [data.find(b"\n", child.end_byte) + 1 or len(data) for child in pieces]
    found, begin, end = [], 0, 0
    for stop in sorted({*ends, len(data)}):
        if stop - begin > characters and end > begin:
            found.append(data[begin:end])
            begin = end
        end = max(end, stop)
    found.append(data[begin:end])
    return [cut(piece.decode("utf-8", "replace"), characters) for piece in found if piece.strip()] or [cut(text, characters)]


def cut(text: str, characters: int) -> str:
    """At most so many characters of a text, up to the end of a line where there is one."""
    if len(text) <= characters:
        return text
    return text[: text.rfind("\n", 0, characters) + 1 or characters]
