"""What a build did, in numbers."""

from collections.abc import Iterable

import msgspec

from streamer.corpus.parts.part_manifest import PartManifest
from streamer.likeness.near_duplicates import USUAL, Duplicates
from streamer.scoring.student import Agreement


class LanguageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Documents and tokens (end-of-document tokens included, padding not) of one language."""

    documents: int = 0
    tokens: int = 0
    heldout_documents: int = 0
    heldout_tokens: int = 0


class CorpusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a build. `files` = sum of `dropped` + `documents` + held-out documents.

    `source_bytes`: of all files that could be read, of those of no language their heads alone.
    `streams`: samples of each stream; `padding`: how many tokens fill its parts up to whole samples.
    `bins`: the lower percentiles of the tiers of `scored/*`, empty in older reports.
    `annotator`: the version that scored the documents, NAME@VERSION (in older reports the name of its model, as `embedder`
    now), of which it read `annotated_files` itself. `annotator_auc`: good against random files, each scored by a head that
    had not seen it. `student_correlation`: rank correlation of student and annotator on files new to the student, 1 where
    the annotator read everything; `agreement`: the same by language.
    `contamination`: the name of the index of benchmarks under `corpus/contamination/` that the files were judged by; empty
    without any. `replaced`: places of documents where something private was replaced, by kind.
    `duplicates`: the rule by which near-duplicates were told.
    `seconds`: of each step; steps run beside each other, so they may sum to more than `total`.
    """

    build: str
    files: int
    dropped: dict[str, int]
    documents: int
    heldout_documents: int
    text_bytes: int
    languages: dict[str, LanguageReport]
    streams: dict[str, int]
    padding: dict[str, int] = {}
    tokenizer: str
    vocabulary: int
    annotator: str
    annotated_files: int
    annotator_auc: float
    student_correlation: float
    seconds: dict[str, float]
    embedder: str = ""
    bins: tuple[int, ...] = ()
    agreement: dict[str, Agreement] = {}
    source_bytes: int = 0
    contamination: str = ""
    replaced: dict[str, int] = {}
    duplicates: Duplicates = USUAL


def count_languages(manifests: Iterable[PartManifest]) -> dict[str, LanguageReport]:
    """Documents and tokens of each language, from its bins and its held-out parts."""
    found: dict[str, LanguageReport] = {}
    for manifest in manifests:
        kind, language = manifest.stream.split("/")[:2]
        if kind not in ("scored", "heldout"):
            continue
        before = found.get(language, LanguageReport())
        held_out = kind == "heldout"
        found[language] = msgspec.structs.replace(
            before,
            documents=before.documents + (0 if held_out else manifest.documents),
            tokens=before.tokens + (0 if held_out else manifest.tokens),
            heldout_documents=before.heldout_documents + (manifest.documents if held_out else 0),
            heldout_tokens=before.heldout_tokens + (manifest.tokens if held_out else 0),
        )
    return found


def count_padding(manifests: Iterable[PartManifest], seq_len: int) -> dict[str, int]:
    """Tokens of padding in each stream of tokens."""
    found: dict[str, int] = {}
    for manifest in manifests:
        if manifest.has_sidecar:
            padding = manifest.samples * seq_len - manifest.tokens
            found[manifest.stream] = found.get(manifest.stream, 0) + padding
    return found


def count_samples(manifests: Iterable[PartManifest]) -> dict[str, int]:
    """Samples of each stream, all its parts together."""
    found: dict[str, int] = {}
    for manifest in manifests:
        found[manifest.stream] = found.get(manifest.stream, 0) + manifest.samples
    return found
