"""Passages that are looked for in views of texts, as numbers: each by the hash of one window, then by the hash of all of it.

Always holds: a passage of at least `WINDOW` bytes that stands in a view is found, and nothing else is.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from streamer.likeness.code_views import Hashes, window_hashes
from streamer.likeness.slots import Slots

WINDOW = 16


BETWEEN = b"\0"  # views that are looked at together; no passage has it


class Kind(IntEnum):
    """What a passage is of its task: what it says in words, the body of its solution, or all of the function."""

    WORDS = 0
    BODY = 1
    FUNCTION = 2


class Passage(NamedTuple):
    """Some bytes of a view, the task that has them, and what they are of it."""

    data: bytes
    task: int
    kind: Kind


class Found(NamedTuple):
    """A passage that stands in a view."""

    size: int
    task: int
    kind: Kind


class Passages(NamedTuple):
    """(passages,) each: ordered by the hash of the window by which a passage is found.

    `windows`: those hashes; `offsets`: where in the passage the window begins; `sizes`: its bytes; `digests`: their
    hash; `tasks` and `kinds`: of which task it is, and what of it.
    """

    windows: Hashes
    offsets: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int32]
    digests: Hashes
    tasks: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.uint8]


def is_varied(data: bytes) -> bool:
    """Whether a passage is long enough to be found, and no repetition of the same few words."""
    windows = window_hashes(data, WINDOW)
    return len(windows) > 0 and 2 * len(np.unique(windows)) >= len(windows)


def index_passages(passages: Sequence[Passage]) -> Passages:
    """The passages with their rarest windows. Each must have `WINDOW` bytes or more."""
    hashes = [window_hashes(passage.data, WINDOW) for passage in passages]
    known, counts = np.unique(np.concatenate([*hashes, np.zeros(0, np.uint64)]), return_counts=True)
    offsets = np.zeros(len(passages), np.int32)
    for place, own in enumerate(hashes):
        offsets[place] = np.argmin(counts[np.searchsorted(known, own)])
    windows = np.array([own[offset] for own, offset in zip(hashes, offsets, strict=True)], np.uint64)
    order = np.argsort(windows, kind="stable")
    return Passages(
        windows=windows[order],
        offsets=offsets[order],
        sizes=np.array([len(passage.data) for passage in passages], np.int32)[order],
        digests=np.array([xxhash.xxh3_64_intdigest(passage.data) for passage in passages], np.uint64)[order],
        tasks=np.array([passage.task for passage in passages], np.int32)[order],
        kinds=np.array([passage.kind for passage in passages], np.uint8)[order],
    )


class PassageFinder:
    """Finds passages in views."""

    def __init__(self, passages: Passages) -> None:
        self._passages, self._slots = passages, Slots(passages.windows)

    def find_all(self, views: Sequence[bytes]) -> list[list[Found]]:
        """The passages that stand in each view."""
        passages, joined = self._passages, BETWEEN.join(views)
        starts = np.cumsum([0, *(len(view) + 1 for view in views)])
        found: list[list[Found]] = [[] for _ in views]
        for place, row in self._slots.find(window_hashes(joined, WINDOW)):
            start, size = place - int(passages.offsets[row]), int(passages.sizes[row])
            if start < 0 or xxhash.xxh3_64_intdigest(joined[start : start + size]) != int(passages.digests[row]):
                continue
            view = int(np.searchsorted(starts, start, "right")) - 1
            found[view].append(Found(size, int(passages.tasks[row]), Kind(passages.kinds[row])))
        return found
