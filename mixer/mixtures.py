"""Mixtures of a catalog: named, versioned, immutable. Version n is entry n-1 of the log `mixtures/NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mixer.errors import MixtureError
from mixer.mixture import Mixture, check_mixture, edit, parse_mixture, split_reference
from mixer.resolution import Plan, resolve
from mixer.slots import ONE
from streamer.catalog import Catalog
from streamer.export import export_shares
from streamer.log import Body
from streamer.store import Store

FORMAT = "mixture/1"


class Mixtures:
    """The mixtures under a root."""

    def __init__(self, root: "str | Path | Store | Catalog") -> None:
        self.catalog = root if isinstance(root, Catalog) else Catalog(root)

    def apply(self, text: str) -> str:
        """Makes a version of a TOML text, unless the newest one says the same; returns `name@version`.

        Raises: MixtureError for what is malformed or does not resolve against the catalog now; nothing is then written.
        """
        return self._apply(parse_mixture(text))

    def edit(self, name: str, assignments: list[str]) -> str:
        """Applies `COMPONENT.KEY=VALUE` settings to the newest version as a new one. Raises: MixtureError."""
        document: dict[str, Any] = msgspec.to_builtins(self.load(name)[1])
        for assignment in assignments:
            document = edit(document, assignment)
        return self._apply(check_mixture(document))

    def load(self, reference: str) -> tuple[str, Mixture]:
        """(`name@version`, mixture); a bare name is its newest version. Raises: MixtureError."""
        name, version = split_reference(reference)
        bodies = self._read(name)
        if not bodies or (version or 1) > len(bodies):
            have = ", ".join(f"{n}@{len(self._log(n).read())}" for n in self.catalog.names("mixtures")) or "none yet"
            raise MixtureError(f"mixture {reference} does not exist; newest versions: {have}; see phasemix mixtures apply")
        version = version or len(bodies)
        return f"{name}@{version}", msgspec.convert(bodies[version - 1]["mixture"], Mixture)

    def list(self) -> list[tuple[str, int]]:
        """(name, versions) of every mixture."""
        return [(name, len(self._log(name).read())) for name in self.catalog.names("mixtures")]

    def resolve(self, reference: str) -> Plan:
        """What a version means against the catalog now. Raises: MixtureError."""
        reference, mixture = self.load(reference)
        return resolve(mixture, reference, self.catalog.match("*"))

    def export(self, reference: str, *, cache: str | None = None) -> Sequence[dict[str, Any]]:
        """Arguments of stock `streaming.Stream` that train on about a version's shares: see `streamer.export`.

        `cache`: where stock streaming keeps shards of an object store. Raises: MixtureError, StreamError.
        """
        plan = self.resolve(reference)
        snapshots = (self.catalog.stream(name) for name in plan.streams)
        shares = (share / ONE for share in plan.shares)
        return export_shares(self.catalog, [*zip(snapshots, shares, plan.limit, strict=True)], cache=cache)

    def _apply(self, mixture: Mixture) -> str:
        resolve(mixture, mixture.name, self.catalog.match("*"))
        document = msgspec.to_builtins(mixture)

        def decide(bodies: list[Body]) -> Body | None:
            check_formats(mixture.name, bodies)
            same = bodies and bodies[-1]["mixture"] == document
            return None if same else {"format": FORMAT, "mixture": document}

        self.catalog.register("mixtures", mixture.name)
        log = self._log(mixture.name)
        log.append(decide)
        versions = [place for place, body in enumerate(log.read(), start=1) if body["mixture"] == document]
        return f"{mixture.name}@{versions[-1]}"

    def _read(self, name: str) -> Sequence[Body]:
        bodies: Sequence[Body] = self._log(name).read()
        check_formats(name, bodies)
        return bodies

    def _log(self, name: str) -> Any:
        return self.catalog.log(f"mixtures/{name}")


def check_formats(name: str, bodies: Sequence[Body]) -> None:
    """Raises: MixtureError for another format."""
    for number, body in enumerate(bodies, start=1):
        if body["format"] != FORMAT:
            raise MixtureError(
                f"mixture {name}@{number} has format {body['format']}; this version reads {FORMAT}: update phasemix"
            )
