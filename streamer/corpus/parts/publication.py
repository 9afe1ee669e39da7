"""Puts a build's parts under a root, once.

Always holds: each part is published by one entry, whole; a build that was interrupted publishes, when the same recipe
is run again over the same files, only the parts that are missing; a later build adds parts of the same shape and tokenizer.

How: the log `corpus/builds` says which build began and whether it is done or given up; every part's entry names its build.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.corpus.parts.part_manifest import read_manifests, read_sidecar
from streamer.corpus.parts.report import CorpusReport
from streamer.corpus.progress import Progress
from streamer.errors import CorpusError
from streamer.likeness.contamination import Contamination
from streamer.likeness.contamination_file import read_index
from streamer.likeness.near_duplicates import USUAL, Duplicates
from streamer.publishing.heldout import HoldOut, note_choice, read_choice
from streamer.publishing.redacting import redact_build
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

BUILDS = "corpus/builds"
FORMAT = "corpus/1"
TIER = re.compile("q[0-9]{2}")
KINDS = ("raw", "documents", "scored", "heldout")


def filled_streams(catalog: Catalog) -> list[str]:
    """Names of the corpus's streams that have samples."""
    return [found.name for found in catalog.streams() if found.name.split("/")[0] in KINDS and found.samples]


def pending_build(bodies: Bodies) -> str | None:
    """The build that began and is not done, or None. Raises: CorpusError for a format that is not known."""
    last: Body = bodies[-1] if bodies else {}
    if last:
        check_format(CorpusError, f"log {BUILDS}", last["format"], FORMAT)
    return last["build"] if last.get("event") == "begun" else None


def unfinished_build(catalog: Catalog) -> str | None:
    """The build of a root that began to publish and is neither done nor given up, or None."""
    return pending_build(catalog.log(BUILDS).read())


def given_up(bodies: Bodies) -> list[str]:
    """The builds that were given up."""
    return [body["build"] for body in bodies if body["event"] == "given up"]


def unsettled(catalog: Catalog) -> set[str]:
    """The builds whose parts do not count: one that is not done, and those that were given up."""
    bodies = catalog.log(BUILDS).read()
    return {*given_up(bodies), *filter(None, [pending_build(bodies)])}


def settled_parts(snapshot: Snapshot, without: set[str]) -> list[PartInfo]:
    """The parts of a stream that are of no build among some."""
    return [part for part in snapshot.parts if part.extra.get("build") not in without]


def settled_bins(catalog: Catalog) -> tuple[int, ...] | None:
    """The bounds of the tiers of a root's scored/*; None where no ingest has made any."""
    report = last_report(catalog)
    if report is None:
        return None
    words = (name.rpartition("/")[2] for name in catalog.match_names("scored/*"))
    found = {int(word[1:]) for word in words if TIER.fullmatch(word)}
    return tuple(report.bins) or tuple(sorted(found | {0}, reverse=True))  # an older report does not say them


def check_bins(catalog: Catalog, bins: tuple[int, ...]) -> None:
    """Raises: CorpusError when the tiers of a root's scored/* have other bounds."""
    has = settled_bins(catalog)
    if has is not None and has != bins:
        raise CorpusError(
            f"bins {list(bins)} are not those of scored/* under root {catalog.store.url}, {list(has)}; leave bins out of "
            "the recipe, and cut other tiers beside them with phasemix annotator rank"
        )


def check_root(catalog: Catalog, seq_len: int, dtype: str) -> str | None:
    """The tokenizer of the corpus that a root has, None where it has none.

    Raises: CorpusError, before any work is done, when nothing can be added to the root: its samples are of another shape, or
        no ingest made them.
    """
    there = filled_streams(catalog)
    bodies = catalog.log(BUILDS).read()
    if not there or pending_build(bodies) is not None:
        return last_tokenizer(bodies)
    shapes = sorted({(found.seq_len or 0, found.dtype or "") for found in catalog.streams("raw/*") if found.samples})
    tokenizer = last_tokenizer(bodies)
    is_ours = tokenizer is not None or bool(given_up(bodies))  # one that was given up may have published no tokens yet
    if not is_ours or shapes not in ([], [(seq_len, dtype)]):
        has = ", ".join(f"samples of {length} tokens in {kind}" for length, kind in shapes) or "samples"
        raise CorpusError(
            f"root {catalog.store.url} already has {there[0]} and {len(there) - 1} more corpus streams, {has}, and this "
            f"recipe makes samples of {seq_len} in {dtype}; give the recipe that its corpus was ingested with, build into "
            "another root, or change the length of its samples with phasemix corpus repack"
        )
    return tokenizer


def settled_keys(catalog: Catalog) -> dict[str, Any]:
    """The keys of a recipe that an earlier ingest has settled for a root, with their values; none for a new root."""
    shapes = {(found.seq_len, found.dtype) for found in catalog.streams("raw/*") if found.samples}
    found: dict[str, Any] = dict(zip(("seq_len", "dtype"), shapes.pop(), strict=True)) if len(shapes) == 1 else {}
    bins = settled_bins(catalog)
    found |= {} if bins is None else {"bins": list(bins)}
    choice = read_choice(catalog)
    return found | ({} if choice is None else {"heldout_share": choice.share, "heldout_key": choice.key})


def last_tokenizer(bodies: Bodies) -> str | None:
    """The tokenizer of the last build that is done, or was given up with parts."""
    reports = [body if body["event"] == "given up" else body.get("report", {}) for body in bodies]
    found = [str(report["tokenizer"]) for report in reports if report.get("tokenizer")]
    return found[-1] if found else None


def begin(catalog: Catalog, build: str, held_out: HoldOut) -> None:
    """Notes that a build begins to publish. Raises: CorpusError when the root has parts of another one, StreamError."""

    def decide(bodies: Bodies) -> Body | None:
        pending = pending_build(bodies)
        if pending == build:
            return None
        if pending is not None:
            raise CorpusError(
                f"root {catalog.store.url} has parts of build {pending}, which is not done, and this one is {build}; its "
                "working folder is not here. Give that folder with --work, run the same recipe over the same files to "
                "complete it, or take its parts back: phasemix corpus give-up"
            )
        return {"format": FORMAT, "event": "begun", "build": build}

    note_choice(catalog, held_out)
    catalog.log(BUILDS).append(decide)


def publish(
    catalog: Catalog, folder: Path, *, build: str, tokenizer: str, extra: dict[str, Any], progress: Progress
) -> None:
    """Publishes the parts below `folder` that the root does not have yet."""
    found = list(read_manifests(folder))
    for done, (place, manifest) in enumerate(found, start=1):
        is_there = partial(has_part, number=manifest.number, build=build)
        if not is_there(catalog.stream_log(manifest.stream).read()):
            catalog.publish_directory(
                manifest.stream,
                place,
                tokenizer=tokenizer if manifest.has_sidecar else None,
                documents=read_sidecar(place) if manifest.has_sidecar else None,
                extra={**extra, "build": build, "number": manifest.number},
                unless=is_there,
            )
        progress.report("publish", done, len(found))


def has_part(bodies: Bodies, *, number: int, build: str) -> bool:
    """Whether a stream has that part of the build: another machine may publish the same."""
    wanted = (build, number)
    return any(
        body["event"] == "part" and (body["extra"].get("build"), body["extra"].get("number", 0)) == wanted for body in bodies
    )


def count_builds(catalog: Catalog) -> int:
    """How many builds of a root are done."""
    return sum(body["event"] == "done" for body in catalog.log(BUILDS).read())


def count_ended(catalog: Catalog) -> int:
    """How many builds of a root are done or were given up."""
    return sum(body["event"] != "begun" for body in catalog.log(BUILDS).read())


def finish(catalog: Catalog, report: CorpusReport) -> None:
    """Notes that a build is done, with its report."""
    body: Body = {
        "format": FORMAT,
        "event": "done",
        "build": report.build,
        "report": msgspec.to_builtins(report),
    }
    catalog.log(BUILDS).append(lambda bodies: body)


def abandon(catalog: Catalog, build: str, said: dict[str, Any]) -> int:
    """Takes back the parts of a build that is not done, then notes that it is given up: how many parts it had."""

    found = [(one.tokenizer, redact_build(catalog, one.name, build, said)) for one in catalog.match("*")]
    tokenizer = next((tokenizer for tokenizer, parts in found if parts and tokenizer), None)
    body: Body = {"format": FORMAT, "event": "given up", "build": build, "tokenizer": tokenizer, **said}
    catalog.log(BUILDS).append(lambda bodies: body if pending_build(bodies) == build else None)
    return sum(parts for _, parts in found)


def reports(catalog: Catalog) -> list[CorpusReport]:
    """The reports of the builds that are done."""
    done = (body for body in catalog.log(BUILDS).read() if body["event"] == "done")
    return [msgspec.convert(body["report"], CorpusReport) for body in done]


def last_report(catalog: Catalog) -> CorpusReport | None:
    """The report of the build that filled this root, or None."""
    found = reports(catalog)
    return found[-1] if found else None


def contaminations(catalog: Catalog) -> list[Contamination]:
    """What the files of this root were judged by, for files that are added. Raises: CorpusError, StoreError."""
    reports = [body["report"] for body in catalog.log(BUILDS).read() if body["event"] == "done"]
    names = dict.fromkeys(report.get("contamination", "") for report in reports)
    return [Contamination(read_index(catalog.store, name)) for name in names if name]


def duplicates_rule(catalog: Catalog) -> Duplicates:
    """When files are near-duplicates by the last ingest of this root that is done; the usual rule without one."""
    done = [body["report"] for body in catalog.log(BUILDS).read() if body["event"] == "done"]
    return msgspec.convert(done[-1].get("duplicates", {}), Duplicates) if done else USUAL
