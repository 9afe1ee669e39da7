"""Publishes what a build has packed, and completes or gives up a build that was broken off while it published.

Always holds: what is published depends on the working folder alone, so that a build which began to publish is completed
whatever has become of its recipe and sources; of a build that is given up no token is read any more.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamer.catalog.catalog import Catalog
from streamer.corpus.parts.publication import abandon, begin, finish, publish, unfinished_build
from streamer.corpus.parts.report import CorpusReport
from streamer.corpus.progress import Progress
from streamer.corpus.rejected import publish_rejected
from streamer.corpus.work_folder import WorkFolder
from streamer.errors import CorpusError, StreamError
from streamer.likeness.contamination_file import publish_index
from streamer.privacy.replacing import Privacy
from streamer.publishing.heldout import HoldOut
from streamer.scoring.student import decode_student
from streamer.scoring.students import keep_student
from streamer.scoring.trained import keep

PACKED = "packed"  # a note in the working folder, from when on its parts are whole
PARTS, REJECTED = "parts", "rejected"
BENCHMARKS = "benchmarks"  # their index


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A build whose parts are whole. `recipe`: its recipe's digest; `report`: as it will be, but for the publication;
    `annotator`: the entry of one that it trained; `student`: of one that it fitted.
    """

    recipe: str
    held_out: HoldOut
    privacy: Privacy
    seed: int
    tokenizer_json: str
    annotator: dict[str, Any] | None
    student: bytes | None
    report: CorpusReport


def publish_packed(catalog: Catalog, folder: Path, packed: Packed, progress: Progress) -> CorpusReport:
    """Publishes what is missing of a build. Raises: CorpusError, StreamError, StoreError, PartError."""
    report = packed.report
    tokenizer = catalog.put_tokenizer(packed.tokenizer_json)
    begin(catalog, report.build, packed.held_out)
    if (folder / BENCHMARKS).exists():
        index = publish_index(catalog.store, (folder / BENCHMARKS).read_bytes())
        report = msgspec.structs.replace(report, contamination=index)
    if packed.annotator is not None:
        report = msgspec.structs.replace(report, annotator=keep(catalog, packed.annotator).label)
    if packed.student is not None:
        keep_student(catalog, report.annotator, decode_student(packed.student))
    publish_rejected(catalog.store, report.build, folder / REJECTED, packed.privacy)
    publish(
        catalog,
        folder / PARTS,
        build=report.build,
        tokenizer=tokenizer,
        extra={"annotator": report.annotator, "seed": packed.seed},
        progress=progress,
    )
    return report


def complete(catalog: Catalog, work: WorkFolder, progress: Progress) -> Packed | None:
    """Completes the build that began to publish, from what lies in the working folder; None where there is none.

    Raises: CorpusError when a document of it was redacted meanwhile, when it does not fit its streams, or when another
        version wrote it; StoreError, PartError.
    """
    build = unfinished_build(catalog)
    note = work.path / PACKED
    if build is None or not note.exists():
        return None
    try:
        packed = msgspec.json.decode(note.read_bytes(), type=Packed)
    except msgspec.DecodeError as error:
        raise CorpusError(
            f"{note} cannot be read ({error}), as when another version of phasemix wrote it. Let that version complete "
            f"build {build}, or take back what it has published: phasemix corpus give-up"
        ) from error
    if packed.report.build != build:
        return None
    try:
        packed = msgspec.structs.replace(packed, report=publish_packed(catalog, work.path, packed, progress))
        finish(catalog, packed.report)
    except StreamError as error:
        raise CorpusError(
            f"build {build}, which was broken off while it published, cannot be completed: {error}. Take back what it has "
            "published, then ingest again: phasemix corpus give-up"
        ) from error
    return packed


def give_up(
    catalog: Catalog, work: Path | None = None, *, said: dict[str, Any], clock: Callable[[], float] = time.time
) -> tuple[str, int]:
    """Gives up the build that began to publish and takes back what it has published: its name, and how many parts.

    Args: work, the folder that it worked in, None for the usual one; said, `by` and `why`.
    Raises: CorpusError when every build is done or another process is at work, LogError, PartError, StoreError.
    """
    with WorkFolder(catalog, work) as folder:
        build = unfinished_build(catalog)
        if build is None:
            raise CorpusError(f"every ingest into root {catalog.store.url} is complete; there is none to give up")
        parts = abandon(catalog, build, {"at_s": round(clock(), 3), **said})
        folder.remove()
    return build, parts
