"""Picks seed documents: the best-scored documents of the streams that a glob names.

Always holds: nothing that is held out or synthetic becomes a seed document; the same streams give the same seed documents
in the same order.
"""

import heapq
from typing import NamedTuple

from generators.engines.prompt import SEED_CHARACTERS
from generators.errors import OrderError
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.catalog.names import kind_of
from streamer.catalog.parts import read_sidecar

NEVER = ("heldout", "synthetic")
MOST_SEEDS = 10_000  # of a language; 6,000 characters each


class SeedDocument(NamedTuple):
    """A document to write from; its text is cut to what a prompt takes."""

    language: str
    document: str
    text: str


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
    """The best documents of a language, best first; documents without a score come last."""
    stream = f"documents/{language}"
    scored = (
        (document.score if document.score is not None else float("-inf"), document.document, document.text[:SEED_CHARACTERS])
        for document in catalog.documents(stream)
        if ids is None or document.document in ids
    )
    best = heapq.nlargest(MOST_SEEDS, scored)
    return [SeedDocument(language, document, text) for _, document, text in best]
