"""The synthetic tokens that live runs still need, by language.

Always holds: a run whose plans never named a synthetic stream costs one look at its log, so that asking again is cheap
however many runs there are.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mixer.errors import MixtureError
from mixer.journal.journal import Forecast
from mixer.mixture.mixture import globs
from mixer.mixture.versions import Versions
from mixer.order.closing import SLACK
from mixer.order.shares import ONE
from mixer.planning.standing import Standing, standing_in
from mixer.runs.lineage import standings_in
from mixer.steering.binding import Bound
from streamer.catalog.catalog import Catalog
from streamer.store.log import Body
from streamer.store.store import Store

HORIZON_STEPS = 256  # how far ahead a run without num_steps is provided for
KIND = "synthetic/"


class Need(NamedTuple):
    """What a run that has not ended will draw of a synthetic stream.

    `missing_tokens`: beyond what is published; `left_samples`: so many draws are left of what is published, and each sample
    that is added gives `draws_per_sample` (without a cap each is counted once); `samples_per_step`: of a global batch;
    `end_step`: its ledger's end; `last_step`: its horizon, None without one.
    """

    run: str
    language: str
    missing_tokens: int
    left_samples: int
    draws_per_sample: int
    samples_per_step: float
    seq_len: int
    end_step: int
    last_step: int | None

    def starves_in_s(self, steps_per_s: float, tokens_per_s: float) -> float | None:
        """When nothing is left, at its own pace and that of the stream; None where that is never, or behind its horizon."""
        if self.left_samples <= 0:
            return 0.0
        drawn = self.samples_per_step * steps_per_s
        loss = drawn - self.draws_per_sample * tokens_per_s / self.seq_len
        if loss <= 0:
            return None
        seconds = self.left_samples / loss
        is_behind = self.last_step is not None and seconds * steps_per_s >= self.last_step - self.end_step
        return None if is_behind else seconds


class Demand:
    """What the runs of a catalog need. Asked again, only what is new in their logs is read."""

    def __init__(self, root: "str | Path | Store | Catalog") -> None:
        self._catalog = root if isinstance(root, Catalog) else Catalog(root)
        self._mixtures = Versions(self._catalog)
        self._drawing: dict[str, Forecast] = {}
        self._seen: dict[str, int] = {}  # entries of the other runs, in which nothing synthetic is named

    def tokens(self) -> dict[str, int]:
        """Tokens of `synthetic/LANGUAGE` that runs which have not ended will draw beyond what is published.

        A run is looked at to its `num_steps`, else 256 steps past its ledger, with what its schedule comes to until then; a
        stream may give each sample `max_passes` times.
        """
        return tokens_of(self.needs())

    def needs(self) -> list[Need]:
        """Of each run that has not ended, and each synthetic stream of which it will draw more than is published."""
        if not any(name.startswith(KIND) for name in self._catalog.names("streams")):
            return []
        journals = map(self._open, self._catalog.names("runs"))
        live = (journal for journal in journals if journal is not None and journal.ledger.ended is None)
        return [need for journal in live for need in self._of(journal) if need.missing_tokens > 0]

    def _open(self, name: str) -> Forecast | None:
        """A run's journal, with what was written since; None for one that draws nothing synthetic."""
        if name in self._drawing:
            self._drawing[name].refresh()
        else:
            bodies = self._catalog.log(f"runs/{name}/ledger").read()
            if not any(self._may_draw(body) for body in bodies[self._seen.get(name, 0) :]):
                self._seen[name] = len(bodies)
                return None
            self._drawing[name] = Forecast(self._catalog, name)
        return self._drawing[name]

    def _may_draw(self, body: Body) -> bool:
        """Whether an entry of a run's log lets it draw synthetic samples: by its plan, or by the mixtures of a schedule."""
        if body["event"] == "segment":
            return False
        points = (body.get("policy") or {}).get("points", [])
        mixtures = [self._mixtures.load(point["mixture"])[1] for point in points]
        patterns = [glob for mixture in mixtures for component in mixture.component for glob in globs(component.streams)]
        return any(name.startswith(KIND) for name in body.get("plan", {}).get("streams", [])) or any(
            map(may_match, patterns)
        )

    def _of(self, journal: Forecast) -> list[Need]:
        """Of each synthetic stream that a run draws from."""
        ledger = journal.ledger
        settings, end = ledger.settings, ledger.end
        horizon = end + HORIZON_STEPS if ledger.last_step is None else ledger.last_step
        bound = Bound.of(ledger, end)
        plan = bound.plan
        with suppress(MixtureError):  # of a schedule that the catalog no longer fits; the run then keeps its shares
            plan = bound.mean(self._mixtures, end, horizon)
        if not any(stream.startswith(KIND) for stream in plan.streams):
            return []
        standings, waits, found = standings_in(journal), journal.waits_for(), list[Need]()
        for stream, share, cap in zip(plan.streams, plan.shares, plan.max_passes, strict=True):
            if stream.startswith(KIND):
                standing = standing_in(standings, stream)
                asked = standing.owed + share * (horizon - end) * settings.global_batch
                left, more = stock(standing, self._catalog.stream(stream).samples, cap)
                missing = -(-(-((SLACK - asked) // ONE) - left) // more)
                found.append(
                    Need(
                        run=journal.run,
                        language=stream.split("/")[1],
                        missing_tokens=max(missing, int(stream == waits)) * settings.seq_len,
                        left_samples=0 if stream == waits else left,
                        draws_per_sample=more,
                        samples_per_step=share * settings.global_batch / ONE,
                        seq_len=settings.seq_len,
                        end_step=end,
                        last_step=ledger.last_step,
                    )
                )
        return found


def stock(standing: Standing, samples: int, max_passes: int | None) -> tuple[int, int]:
    """How many draws a stream with `samples` of them has left, and how many more it has for a sample more.

    One that joins in a pass is drawn in this and in later passes only; without a cap each is to be drawn once.
    """
    left, more = (standing.left(total, max_passes) for total in (samples, samples + 1))
    return (samples - standing.drawn, 1) if left is None or more is None else (left, max(1, more - left))


def tokens_of(needs: Iterable[Need]) -> dict[str, int]:
    """The tokens that are missing of each language: as many as the run that lacks most."""
    wanted: dict[str, int] = {}
    for need in needs:
        wanted[need.language] = max(wanted.get(need.language, 0), need.missing_tokens)
    return wanted


def may_match(glob: str) -> bool:
    """Whether a glob could match a synthetic stream, one that does not exist yet too: its beginning decides."""
    fixed = re.split(r"[*?\[]", glob)[0]
    return KIND.startswith(fixed) or fixed.startswith(KIND)


def demand(root: "str | Path | Store | Catalog") -> dict[str, int]:
    """As `Demand.tokens`, once."""
    return Demand(root).tokens()
