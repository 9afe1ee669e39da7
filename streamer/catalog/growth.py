"""How a stream has grown: tokens over the writers' clocks, for people and their charts; nothing is decided by it."""

import msgspec

from streamer.catalog.catalog import Catalog
from streamer.errors import StreamError

MOST_POINTS = 200


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
