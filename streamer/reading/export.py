"""Arguments of stock `streaming.Stream`: what mosaicml-streaming needs to train from parts of a catalog.

Always holds: each folder of parts is one Stream, in place on a local disk; the proportions of the folders of a stream add
up to its share, each by its samples.

What is lost: StreamingDataset draws its own order, so shares are near and not exact, `max_passes` and `when_dry` are not
kept, a switch is unknown, and what is published later is in the next export only. A part that `best_tokens` cuts is given
whole, with the share of its best samples. Publishers of synthetic files merge small parts and delete the folders that they
have left, under whoever reads an export of `synthetic/*` meanwhile.
"""

from collections.abc import Sequence
from typing import Any

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.catalog.references import place_of
from streamer.errors import StreamError

SCHEMES = {"s3://": "s3://", "gs://": "gs://", "az://": "azure://", "azure://": "azure://"}  # ours to streaming's


def export_glob(catalog: Catalog, glob: str, *, cache: str | None = None) -> list[dict[str, Any]]:
    """Arguments for every part that a glob matches now; every sample once an epoch. Raises: StreamError."""
    snapshots = [snapshot for snapshot in catalog.match(glob) if snapshot.kind == "tokens" and snapshot.samples]
    if not snapshots:
        raise StreamError(f"no stream with samples matches {glob} under {catalog.store.url}; see phasemix streams list")
    for snapshot in snapshots:
        refuse_redacted(catalog, snapshot)
    places = {part.folder: part for snapshot in snapshots for part in snapshot.parts}
    return [arguments_of(catalog, part, cache) for part in places.values()]


def export_shares(
    catalog: Catalog, streams: Sequence[tuple[Snapshot, float, int | None]], *, cache: str | None = None
) -> list[dict[str, Any]]:
    """Arguments for streams with a share each, and how many of their first samples they may give (None: all).

    `cache`: the folder that parts of an object store are fetched into. Raises: StreamError for a share of an empty stream.
    """
    arguments: list[dict[str, Any]] = []
    for snapshot, share, limit in streams:
        if not share:
            continue
        refuse_redacted(catalog, snapshot)
        places: dict[str, dict[str, Any]] = {}
        left = usable = snapshot.samples if limit is None else min(limit, snapshot.samples)
        if not usable:
            raise StreamError(f"stream {snapshot.name} has a share of {share:.4f} and no samples; publish a part first")
        for part in snapshot.parts:
            samples = min(left, part.samples)
            if samples:
                place = places.setdefault(part.folder, {**arguments_of(catalog, part, cache), "proportion": 0.0})
                place["proportion"] += share * samples / usable
            left -= samples
        arguments += places.values()
    return arguments


def refuse_redacted(catalog: Catalog, snapshot: Snapshot) -> None:
    """Raises: StreamError for a stream whose shards still have something that is redacted."""
    if snapshot.redacted_by and catalog.manifest(snapshot.name).in_files(snapshot.number):
        raise StreamError(
            f"stream {snapshot.name} has redacted documents, which stock streaming would read from its shards; read it with "
            f"phasemix, or write its parts anew without them: phasemix streams compact {snapshot.name}"
        )


def arguments_of(catalog: Catalog, part: PartInfo, cache: str | None) -> dict[str, Any]:
    """Where a part lies: `local` alone on a local disk, else `remote` and a folder of `cache`."""
    store, folder = place_of(catalog.store, part)
    folder = folder.rstrip("/")
    path, url = store.local_path(folder or "."), store.url
    if path is not None:
        return {"remote": None, "local": str(path)}
    scheme = next((scheme for scheme in SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        raise StreamError(f"stock streaming cannot read {url}; export from a directory or one of {', '.join(SCHEMES)}")
    if cache is None:
        raise StreamError(f"{url} is an object store; name the folder that its shards are fetched into, with --cache")
    remote = f"{SCHEMES[scheme]}{url[len(scheme) :]}/{folder}".rstrip("/")
    return {"remote": remote, "local": f"{cache}/{part.folder}"}
