"""The versions of the mixtures of a catalog: immutable. Version n is entry n-1 of the log `mixtures/NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mixer.errors import MixtureError
from mixer.faults import Fault
from mixer.mixture.mixture import Mixture, document_of, say, split_reference
from mixer.mixture.plan import Plan
from mixer.mixture.resolution import resolve
from streamer.catalog.catalog import Catalog
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body, Log
from streamer.store.store import Store
from streamer.wording import did_you_mean, listed

FORMAT = "mixture/1"
SINCE = {"mixture/2": {"temperature", "best_share", "like"}, "mixture/3": {"curve"}}  # keys that older formats cannot say


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

    def load(self, reference: str) -> tuple[str, Mixture]:
        """(`name@version`, mixture); a bare name is its newest version. Raises: MixtureError."""
        version, mixture, _ = self.find(reference)
        return version, mixture

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
        self.find(name)
        log = self._log(name)
        return [
            Version(
                mixture=f"{name}@{place + 1}",
                at_s=log.written_at_s(place),
                **{key: body[key] for key in ("by", "why", "extends") if key in body},
            )
            for place, body in enumerate(self._read(name))
        ]

    def resolve(self, reference: str) -> Plan:
        """What a version means against the catalog now. Raises: MixtureError."""
        reference, mixture = self.load(reference)
        try:
            return resolve(mixture, reference, self.catalog.match("*"))[0]
        except Fault as fault:
            raise MixtureError(f"mixture {reference}: {say(fault, document_of(mixture))}") from fault

    def find(self, reference: str) -> tuple[str, Mixture, Body]:
        """(`name@version`, mixture, its entry). Raises: MixtureError."""
        name, version = split_reference(reference)
        bodies = self._read(name)
        if not bodies or (version or 1) > len(bodies):
            there = dict(self.list())
            have = listed(f"{n}@{versions}" for n, versions in there.items()) or "none yet"
            raise MixtureError(
                f"mixture {reference} does not exist; newest versions: {have}; see phasemix mixtures apply"
                + did_you_mean(name, [one for one in there if one != name])
            )
        version = version or len(bodies)
        with bodies.understood(version - 1):
            body = bodies[version - 1]
            return f"{name}@{version}", msgspec.convert(body["mixture"], Mixture), body

    def _read(self, name: str) -> Bodies:
        bodies = self._log(name).read()
        check_formats(name, bodies)
        return bodies

    def _log(self, name: str) -> Log:
        return self.catalog.log(f"mixtures/{name}")


def check_formats(name: str, bodies: Bodies) -> None:
    """Raises: MixtureError for another format."""
    for number, written in enumerate(bodies.read_each(lambda body: body["format"]), start=1):
        check_format(MixtureError, f"mixture {name}@{number}", written, FORMAT, *SINCE)


def format_of(document: dict[str, Any]) -> str:
    """The oldest format that can say a mixture."""
    said = {key for component in document["component"] for key in component}
    return next((newer for newer in reversed(SINCE) if said & SINCE[newer]), FORMAT)
