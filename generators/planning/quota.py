"""What is wanted and what is on its way, to how many jobs to queue now.

Always holds: no purpose has more jobs on their way than files it still wants; the queue never grows beyond its room.
"""

from collections.abc import Mapping, Sequence

import msgspec

TOKENS_PER_FILE = 1000  # before any file was published; measured from then on


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """`files` that a purpose still wants, from seed documents of `glob`, of one language or any."""

    purpose: str
    glob: str
    language: str | None
    files: int


def count_files(tokens: int, *, published_tokens: int, published_files: int) -> int:
    """Files that give `tokens`, at the mean length of those published."""
    per_file = published_tokens / published_files if published_files else TOKENS_PER_FILE
    return -(-tokens // max(1, round(per_file)))


def choose_counts(wants: Sequence[Want], on_the_way: Mapping[str, int], *, room: int) -> list[int]:
    """Jobs to queue for each want, one for each in turn until the room is taken."""
    missing = [max(0, want.files - on_the_way.get(want.purpose, 0)) for want in wants]
    counts = [0] * len(wants)
    while room > 0 and any(missing):
        for place in range(len(wants)):
            if missing[place] and room > 0:
                missing[place] -= 1
                counts[place] += 1
                room -= 1
    return counts
