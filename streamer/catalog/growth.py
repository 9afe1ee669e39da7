"""How a stream has grown, and how fast: tokens over the writers' clocks, for people, charts and previews.

Always holds: nothing of a run's order is decided by it; the speed of a stream that has not grown for an hour costs no read.
"""

from collections.abc import Sequence

import msgspec

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.errors import StreamError
from streamer.store.log import Log

MOST_POINTS = 200
RECENT_S = 3600.0
WINDOW = 8  # entries that a speed is measured over


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a stream since an entry of its log was written."""

    at_s: float
    tokens: int


def growth(catalog: Catalog, stream: str, *, points: int = MOST_POINTS) -> list[Grown]:
    """At most `points` moments, the last being now's. Raises: StreamError for one that is absent."""
    if stream not in catalog.names("streams"):
        raise StreamError(f"stream {stream} does not exist under {catalog.store.url}; see phasemix streams list")
    snapshot = catalog.stream(stream)
    log, seq_len = catalog.stream_log(stream), snapshot.seq_len or 0
    total, sums = 0, []
    for part in snapshot.parts:
        total += part.samples * seq_len
        sums.append((part.number, total))
    every = max(1, -(-len(sums) // points))
    chosen = sums[::-1][::every][::-1]
    return [Grown(at_s=log.written_at_s(number), tokens=tokens) for number, tokens in chosen]


def speeds_of(catalog: Catalog, snapshots: Sequence[Snapshot], now_s: float) -> list[float]:
    """Tokens a second that each stream's last parts brought, from the first of them until now."""
    return [speed(catalog.stream_log(snapshot.name), snapshot, now_s) for snapshot in snapshots]


def speed(log: Log, snapshot: Snapshot, now_s: float) -> float:
    last = snapshot.parts[-WINDOW:]
    if len(last) < 2 or now_s - log.written_at_s(last[-1].number) > RECENT_S:
        return 0.0
    taken = [part for part in last if now_s - log.written_at_s(part.number) <= RECENT_S]
    return rate(sum(part.samples for part in taken[1:]) * (snapshot.seq_len or 0), log, taken[0].number, now_s)


def rate(amount: float, log: Log, number: int, now_s: float) -> float:
    """An amount that came after entry `number`, a second."""
    elapsed = now_s - log.written_at_s(number)
    return amount / elapsed if elapsed > 0 else 0.0
