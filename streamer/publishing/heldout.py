"""Which repositories are held out: they go to `heldout/*` and into no other stream, seed or annotator.

Always holds: the choice depends on the repository's name and the key alone, so a corpus that grows, or is built again
from other sources, holds out the same repositories; a larger share holds out those of a smaller one too. A root has one
choice, which its first corpus or publication of documents notes, and everything that is published later is held to it.
"""

from typing import Any

import msgspec
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.errors import StreamError
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

SHARE, KEY = 0.02, "phasemix"
LOG, FORMAT = "heldout", "heldout/1"


class HoldOut(msgspec.Struct, frozen=True, kw_only=True):
    """The `share` (0 to 1) of all repositories that is held out, and the `key` that the choice depends on."""

    share: float = SHARE
    key: str = KEY

    def has(self, repository: str) -> bool:
        return is_held_out(repository, share=self.share, key=self.key)


def read_choice(catalog: Catalog) -> HoldOut | None:
    """The choice of a root; None where nothing noted one. Raises: StreamError for a format that is not known, LogError."""
    bodies = catalog.log(LOG).read()
    return read_body(bodies) if bodies else None


def choice_of(catalog: Catalog) -> HoldOut:
    """The choice of a root, the usual one where nothing noted another."""
    return read_choice(catalog) or HoldOut()


def check_choice(catalog: Catalog, wanted: HoldOut) -> None:
    """Raises: StreamError when the root has another choice."""
    refuse_other(catalog, read_choice(catalog), wanted)


def note_choice(catalog: Catalog, wanted: HoldOut) -> None:
    """Makes it the root's choice. Raises: StreamError when the root has another one."""

    def decide(bodies: Bodies) -> Body | None:
        if bodies:
            refuse_other(catalog, read_body(bodies), wanted)
            return None
        found: dict[str, Any] = msgspec.to_builtins(wanted)
        return {"format": FORMAT, **found}

    catalog.log(LOG).append(decide)


def read_body(bodies: Bodies) -> HoldOut:
    with bodies.understood(0):
        check_format(StreamError, f"log {LOG}", bodies[0]["format"], FORMAT)
        return msgspec.convert({"share": bodies[0]["share"], "key": bodies[0]["key"]}, HoldOut)


def refuse_other(catalog: Catalog, found: HoldOut | None, wanted: HoldOut) -> None:
    if found not in (None, wanted):
        assert found is not None
        raise StreamError(
            f"root {catalog.store.url} holds out a share of {found.share} of the repositories by the key {found.key!r}, "
            f"the recipe {wanted.share} by {wanted.key!r}: what is held out would be trained on. Set heldout_share = "
            f"{found.share} and heldout_key = {found.key!r}, or build into another root"
        )


def is_held_out(repository: str, *, share: float = SHARE, key: str = KEY) -> bool:
    """Whether the repository is among the `share` (0 to 1) of all repositories that are held out."""
    return number_of(repository, key) < int(share * 2**64)


def place_of(repository: str, key: str = KEY) -> float:
    """From 0 to 1: whatever share is larger holds the repository out."""
    return number_of(repository, key) / 2**64


def number_of(repository: str, key: str) -> int:
    return xxhash.xxh3_64_intdigest(f"heldout\0{key}\0{repository}".encode("utf-8", "surrogateescape"))
