"""Mixtures of a catalog: named, versioned, immutable. Version n is entry n-1 of the log `mixtures/NAME`.

Always holds: a refused apply leaves nothing; of two people who apply at once each gets a version of its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mixer.errors import MixtureError
from mixer.mixture.file import Parsed, change, check_document, parse_assignment, parse_mixture
from mixer.mixture.mixture import NEWER_KEYS, Mixture, document_of, split_reference, text_of
from mixer.mixture.places import Places, did_you_mean, shown
from mixer.mixture.plan import Plan, ShareChange, Shares, compare_shares
from mixer.mixture.resolution import resolve, resolve_exactly
from mixer.order.shares import ONE
from streamer.catalog.catalog import Catalog
from streamer.catalog.export import export_shares
from streamer.catalog.manifest import Snapshot
from streamer.store.log import Body
from streamer.store.store import Store

FORMAT = "mixture/1"
LONGEST_NOTE = 1000
NEWER_FORMAT = "mixture/2"  # of a version that says what mixture/1 cannot


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version: by whom, why, of which other one, and when by the writer's clock, which is for people only."""

    mixture: str
    by: str | None = None
    why: str | None = None
    extends: str | None = None
    at_s: float


class Versions:
    """The versions of the mixtures under a root."""

    def __init__(self, root: "str | Path | Store | Catalog") -> None:
        self.catalog = root if isinstance(root, Catalog) else Catalog(root)

    # making versions

    def apply(self, text: str, *, by: str | None = None, why: str | None = None, name: str = "mixture") -> str:
        """Makes a version of a TOML text, unless the newest one says the same; returns `name@version`.

        `name` is what errors call the file. Raises: MixtureError for what is malformed or does not resolve against the
        catalog now; nothing is then written.
        """
        return self._apply(self.parse(text, name), by, why)

    def apply_edit(
        self, reference: str, settings: Mapping[str, Any], *, by: str | None = None, why: str | None = None
    ) -> str:
        """Makes a version from another one with settings such as {"synthetic.pin.python": 0.35}; None removes one.

        Raises: MixtureError.
        """
        return self._apply(self.changed(reference, settings), by, why)

    def edit(self, name: str, assignments: Sequence[str], *, by: str | None = None, why: str | None = None) -> str:
        """`apply_edit` of the newest version with `COMPONENT.KEY=VALUE` texts. Raises: MixtureError."""
        return self.apply_edit(name, dict(map(parse_assignment, assignments)), by=by, why=why)

    def _apply(self, parsed: Parsed, by: str | None, why: str | None) -> str:
        mixture = parsed.mixture
        check_note("by", by)
        check_note("why", why)
        resolve(mixture, mixture.name, self._streams(), parsed.places)
        document = msgspec.to_builtins(mixture)
        newer = any(key in component for component in document["component"] for key in NEWER_KEYS)
        body: Body = {"format": NEWER_FORMAT if newer else FORMAT, "mixture": document}
        body |= {key: said for key, said in (("by", by), ("why", why), ("extends", parsed.extends)) if said is not None}
        number = 0

        def decide(bodies: list[Body]) -> Body | None:
            nonlocal number
            check_formats(mixture.name, bodies)
            same = bool(bodies) and bodies[-1]["mixture"] == document
            number = len(bodies) + (not same)
            return None if same else body

        self.catalog.register("mixtures", mixture.name)
        self._log(mixture.name).append(decide)
        return f"{mixture.name}@{number}"

    def parse(self, text: str, name: str) -> Parsed:
        return parse_mixture(text, lambda reference: document_of(self.load(reference)[1]), name)

    def changed(self, reference: str, settings: Mapping[str, Any]) -> Parsed:
        reference, mixture = self.load(reference)
        if not settings:
            return Parsed(mixture, Places(f"mixture {reference}", document_of(mixture)), None)
        said = f"mixture {reference}, set"
        document = change(document_of(mixture), dict(settings), said)
        places = Places(said, document)
        return Parsed(check_document(document, places), places, reference)

    # reading them

    def load(self, reference: str) -> tuple[str, Mixture]:
        """(`name@version`, mixture); a bare name is its newest version. Raises: MixtureError."""
        version, body = self._find(reference)
        return version, msgspec.convert(body["mixture"], Mixture)

    def text(self, reference: str) -> str:
        """A version in TOML. Raises: MixtureError."""
        reference, body = self._find(reference)
        comments = [reference, *([f"extends {body['extends']}"] if "extends" in body else [])]
        return text_of(msgspec.convert(body["mixture"], Mixture), comments)

    def document(self, reference: str) -> dict[str, Any]:
        """A version as its file would say it, without defaults. Raises: MixtureError."""
        return document_of(self.load(reference)[1])

    def list(self) -> list[tuple[str, int]]:
        """(name, versions) of every mixture that has one; whoever was killed before the first left only a name."""
        found = [(name, len(self._log(name).read())) for name in self.catalog.names("mixtures")]
        return [(name, versions) for name, versions in found if versions]

    def versions(self, name: str) -> Sequence[Version]:
        """Every version of a mixture, the oldest first. Raises: MixtureError when there is none."""
        name = name.partition("@")[0]
        self._find(name)
        log = self._log(name)
        return [
            Version(
                mixture=f"{name}@{place + 1}",
                at_s=log.written_at_s(place),
                **{key: body[key] for key in ("by", "why", "extends") if key in body},
            )
            for place, body in enumerate(self._read(name))
        ]

    # what they mean

    def resolve(self, reference: str) -> Plan:
        """What a version means against the catalog now. Raises: MixtureError."""
        reference, mixture = self.load(reference)
        return resolve(mixture, reference, self._streams())

    def compare(self, before: str, after: str) -> Sequence[ShareChange]:
        """The streams whose resolved shares differ between two versions, against the catalog now. Raises: MixtureError."""
        return compare_shares(self._shares(self.changed(before, {})), self._shares(self.changed(after, {})))

    def compare_text(self, before: str | None, text: str, name: str = "mixture") -> Sequence[ShareChange]:
        """The same of a version, or of nothing, and a TOML text. Raises: MixtureError."""
        after = self._shares(self.parse(text, name))
        return compare_shares(self._shares(self.changed(before, {})) if before else {}, after)

    def export(self, reference: str, *, cache: str | None = None) -> Sequence[dict[str, Any]]:
        """Arguments of stock `streaming.Stream` that train on about a version's shares: see `streamer.catalog.export`.

        `cache`: where stock streaming keeps shards of an object store. Raises: MixtureError, StreamError.
        """
        plan = self.resolve(reference)
        snapshots = (self.catalog.stream(name) for name in plan.streams)
        shares = (share / ONE for share in plan.shares)
        return export_shares(self.catalog, [*zip(snapshots, shares, plan.limit, strict=True)], cache=cache)

    def _shares(self, parsed: Parsed) -> Shares:
        plan, shares = resolve_exactly(parsed.mixture, parsed.mixture.name, self._streams(), parsed.places)
        return dict(zip(plan.streams, shares, strict=True))

    def _streams(self) -> "Sequence[Snapshot]":
        return self.catalog.match("*")

    def _find(self, reference: str) -> tuple[str, Body]:
        name, version = split_reference(reference)
        bodies = self._read(name)
        if not bodies or (version or 1) > len(bodies):
            there = dict(self.list())
            have = ", ".join(f"{n}@{versions}" for n, versions in there.items()) or "none yet"
            raise MixtureError(
                f"mixture {reference} does not exist; newest versions: {have}; see phasemix mixtures apply"
                + did_you_mean(name, [one for one in there if one != name])
            )
        version = version or len(bodies)
        return f"{name}@{version}", bodies[version - 1]

    def _read(self, name: str) -> Sequence[Body]:
        bodies: Sequence[Body] = self._log(name).read()
        check_formats(name, bodies)
        return bodies

    def _log(self, name: str) -> Any:
        return self.catalog.log(f"mixtures/{name}")


def check_note(key: str, note: str | None) -> None:
    """Raises: MixtureError for a note that is too long or no text."""
    if note is not None and (len(note) > LONGEST_NOTE or not note.isprintable()):
        raise MixtureError(
            f"{key} = {shown(note)}: it must be one line of at most {LONGEST_NOTE} printable characters; shorten it"
        )


def check_formats(name: str, bodies: Sequence[Body]) -> None:
    """Raises: MixtureError for another format."""
    for number, body in enumerate(bodies, start=1):
        if body["format"] not in (FORMAT, NEWER_FORMAT):
            raise MixtureError(
                f"mixture {name}@{number} has format {body['format']}; this version reads up to "
                f"{NEWER_FORMAT}: update phasemix"
            )
