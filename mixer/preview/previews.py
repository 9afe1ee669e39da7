"""What can be done with mixtures: preview a version, a text or an edit against the catalog now, compare it, apply it.

Always holds: only `apply` and its kin write; what they refuse leaves nothing; of two people who apply at once each gets a
version of its own.
"""

import math
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from mixer.errors import MixtureError
from mixer.mixture.file import Parsed, change, check_document, parse_assignment, parse_mixture, text_of
from mixer.mixture.mixture import document_of
from mixer.mixture.places import Places
from mixer.mixture.plan import Plan, ShareChange, Shares, compare_shares
from mixer.mixture.resolution import resolve
from mixer.mixture.versions import Versions, check_formats, format_of
from mixer.mixture.wanted import settings_for
from mixer.order.shares import ONE
from mixer.preview.preview import Preview, forecast
from mixer.preview.stocks import rest_of, stocks_of
from streamer.catalog.growth import speeds_of
from streamer.reading.export import export_shares
from streamer.store.log import Bodies, Body
from streamer.wording import shown

LONGEST_NOTE = 1000
MOST_TOKENS = 10**18


class Mixtures(Versions):
    """The mixtures under a root: what can be done with them."""

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

    def set_shares(
        self, reference: str, wanted: Mapping[str, str | float], *, by: str | None = None, why: str | None = None
    ) -> str:
        """`apply_edit` with shares by component or language, such as {"synthetic": "40%", "python": 0.5}.

        What is not named keeps its proportions. Raises: MixtureError.
        """
        return self.apply_edit(reference, self.settings_for(reference, wanted), by=by, why=why)

    def settings_for(self, reference: str, wanted: Mapping[str, str | float]) -> dict[str, Any]:
        """The settings that give a version these shares against the catalog now, for `preview` and `apply_edit`.

        Raises: MixtureError.
        """
        reference, mixture = self.load(reference)
        plan, exact = self.resolve_parsed(self.changed(reference, {}), reference)
        try:
            return settings_for(mixture, plan, exact, wanted)
        except MixtureError as error:
            raise MixtureError(f"mixture {reference}, set: {error}") from error

    def _apply(self, parsed: Parsed, by: str | None, why: str | None) -> str:
        mixture = parsed.mixture
        check_note("by", by)
        check_note("why", why)
        self.resolve_parsed(parsed, mixture.name)
        document = msgspec.to_builtins(mixture)
        body: Body = {"format": format_of(document), "mixture": document}
        body |= {key: said for key, said in (("by", by), ("why", why), ("extends", parsed.extends)) if said is not None}
        number = 0

        def decide(bodies: Bodies) -> Body | None:
            nonlocal number
            check_formats(mixture.name, bodies)
            same = bool(bodies) and bodies[-1]["mixture"] == document
            number = len(bodies) + (not same)
            return None if same else body

        self.catalog.register("mixtures", mixture.name)
        self.catalog.log(f"mixtures/{mixture.name}").append(decide)
        return f"{mixture.name}@{number}"

    def parse(self, text: str, name: str) -> Parsed:
        return parse_mixture(text, lambda reference: document_of(self.load(reference)[1]), name)

    def changed(self, reference: str, settings: Mapping[str, Any]) -> Parsed:
        reference, mixture = self.load(reference)
        if not settings:
            return Parsed(mixture, Places(f"mixture {reference}", document_of(mixture)), None)
        before = document_of(mixture)
        with Places(f"mixture {reference}", before).named():
            document = change(before, dict(settings))
        places = Places(f"mixture {reference}, set", document)
        with places.named():
            return Parsed(check_document(document), places, reference)

    def text(self, reference: str) -> str:
        """A version in TOML. Raises: MixtureError."""
        reference, mixture, body = self.find(reference)
        comments = [reference, *([f"extends {body['extends']}"] if "extends" in body else [])]
        return text_of(mixture, comments)

    def preview(
        self,
        reference: str,
        *,
        settings: Mapping[str, Any] = {},
        tokens: int | None = 0,
        run: str | None = None,
        tokens_per_s: float | None = None,
    ) -> Preview:
        """What a version, or it with some settings changed, would give over `tokens` from now; writes nothing.

        With None the horizon is what is left of the `run`, or else one pass over what the streams hold. With a `run`,
        passes and caps go on from where its ledger ends; `tokens_per_s` is how fast training goes, by default as the run
        went. Raises: MixtureError, RunError.
        """
        return self._preview(self.changed(reference, settings), self.load(reference)[0], tokens, run, tokens_per_s)

    def preview_text(
        self,
        text: str,
        *,
        tokens: int | None = 0,
        run: str | None = None,
        tokens_per_s: float | None = None,
        name: str = "mixture",
    ) -> Preview:
        """The same of a TOML text. Raises: MixtureError."""
        parsed = self.parse(text, name)
        return self._preview(parsed, parsed.mixture.name, tokens, run, tokens_per_s)

    def compare(self, before: str, after: str) -> Sequence[ShareChange]:
        """The streams whose resolved shares differ between two versions, against the catalog now. Raises: MixtureError."""
        return compare_shares(self._shares(self.changed(before, {})), self._shares(self.changed(after, {})))

    def compare_settings(self, before: str, settings: Mapping[str, Any]) -> Sequence[ShareChange]:
        """The same of a version and of it with some settings changed. Raises: MixtureError."""
        return compare_shares(self._shares(self.changed(before, {})), self._shares(self.changed(before, settings)))

    def compare_text(self, before: str | None, text: str, name: str = "mixture") -> Sequence[ShareChange]:
        """The same of a version, or of nothing, and a TOML text. Raises: MixtureError."""
        after = self._shares(self.parse(text, name))
        return compare_shares(self._shares(self.changed(before, {})) if before else {}, after)

    def export(self, reference: str, *, cache: str | None = None) -> Sequence[dict[str, Any]]:
        """Arguments of stock `streaming.Stream` that train on about a version's shares: see `streamer.reading.export`.

        `cache`: where stock streaming keeps shards of an object store. Raises: MixtureError, StreamError.
        """
        plan = self.resolve(reference)
        snapshots = (self.catalog.stream(name) for name in plan.streams)
        shares = (share / ONE for share in plan.shares)
        return export_shares(self.catalog, [*zip(snapshots, shares, plan.limit, strict=True)], cache=cache)

    def _preview(
        self, parsed: Parsed, reference: str, tokens: int | None, run: str | None, tokens_per_s: float | None
    ) -> Preview:
        if tokens_per_s is not None and not 0 < tokens_per_s < math.inf:
            raise MixtureError(
                f"mixture {reference}: tokens a second must be a finite number above 0 (got {tokens_per_s!r})"
            )
        if tokens is not None and not 0 <= tokens <= MOST_TOKENS:
            raise MixtureError(f"mixture {reference}: a horizon of {shown(tokens)} tokens is outside 0 to {MOST_TOKENS:,}")
        plan, shares = self.resolve_parsed(parsed, reference)
        taken = self.catalog.snapshots(plan.streams)
        growth = speeds_of(self.catalog, taken, time.time())
        stocks, measured = stocks_of(self.catalog, plan, taken, growth, run)
        if tokens is None:
            tokens = rest_of(self.catalog, run)
        if tokens is None:
            tokens = min(MOST_TOKENS, sum(stock.samples for stock in stocks) * parsed.mixture.seq_len)
        pins = {component.label: component.pin for component in parsed.mixture.component}
        return forecast(
            plan, shares, parsed.mixture.seq_len, stocks, tokens, pins=pins, tokens_per_s=tokens_per_s or measured
        )

    def resolve_parsed(self, parsed: Parsed, reference: str) -> tuple[Plan, Sequence[Fraction]]:
        """What a mixture means against the catalog now, and its exact shares. Raises: MixtureError."""
        with parsed.places.named():
            return resolve(parsed.mixture, reference, self.catalog.match("*"))

    def _shares(self, parsed: Parsed) -> Shares:
        plan, shares = self.resolve_parsed(parsed, parsed.mixture.name)
        return dict(zip(plan.streams, shares, strict=True))


def check_note(key: str, note: str | None) -> None:
    """Raises: MixtureError for a note that is too long or no text."""
    if note is not None and (len(note) > LONGEST_NOTE or not note.isprintable()):
        raise MixtureError(
            f"{key} = {shown(note)}: it must be one line of at most {LONGEST_NOTE} printable characters; shorten it"
        )
