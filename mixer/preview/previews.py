"""Mixtures with what they would give: previews of versions and texts against the catalog now, and in a run.

Always holds: a preview writes nothing.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

from mixer.errors import MixtureError
from mixer.mixture.file import Parsed
from mixer.mixture.places import shown
from mixer.mixture.resolution import resolve_exactly
from mixer.mixture.versions import Versions
from mixer.preview.preview import Preview, forecast
from mixer.preview.stocks import stocks_of
from streamer.catalog.growth import speeds_of

MOST_TOKENS = 10**18


class Mixtures(Versions):
    """The mixtures under a root: their versions, and what these would give."""

    def preview(
        self,
        reference: str,
        *,
        settings: Mapping[str, Any] = {},
        tokens: int = 0,
        run: str | None = None,
        tokens_per_s: float | None = None,
    ) -> Preview:
        """What a version, or it with some settings changed, would give over `tokens` from now; writes nothing.

        With a `run`, passes and caps go on from where its ledger ends; `tokens_per_s` is how fast training goes, by default
        as the run went. Raises: MixtureError, RunError.
        """
        return self._preview(self.changed(reference, settings), self.load(reference)[0], tokens, run, tokens_per_s)

    def preview_text(
        self, text: str, *, tokens: int = 0, run: str | None = None, tokens_per_s: float | None = None, name: str = "mixture"
    ) -> Preview:
        """The same of a TOML text. Raises: MixtureError."""
        parsed = self.parse(text, name)
        return self._preview(parsed, parsed.mixture.name, tokens, run, tokens_per_s)

    def _preview(self, parsed: Parsed, reference: str, tokens: int, run: str | None, tokens_per_s: float | None) -> Preview:
        if tokens_per_s is not None and not 0 < tokens_per_s < math.inf:
            raise MixtureError(f"mixture {reference}: {tokens_per_s!r} tokens a second is no speed; give a number above 0")
        if not 0 <= tokens <= MOST_TOKENS:
            raise MixtureError(f"mixture {reference}: a horizon of {shown(tokens)} tokens is outside 0 to {MOST_TOKENS:,}")
        streams = self._streams()
        plan, shares = resolve_exactly(parsed.mixture, reference, streams, parsed.places)
        found = {snapshot.name: snapshot for snapshot in streams}
        taken = [found[name] for name in plan.streams]
        growth = speeds_of(self.catalog, taken, time.time())
        stocks, measured = stocks_of(self.catalog, plan, taken, growth, run)
        pins = {component.label: component.pin for component in parsed.mixture.component}
        return forecast(
            plan, shares, parsed.mixture.seq_len, stocks, tokens, pins=pins, tokens_per_s=tokens_per_s or measured
        )
