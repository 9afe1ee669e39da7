"""Lanes: which part of a range a canonical node draws from, so that each node fetches its own shards.

Always holds: in a pass every index of every lane is drawn exactly once; a draw takes its node's own lane while that has
some left, else the next lane around the ring that has at least the mean of what is left: so a node that is through early
stays with one other lane for long, and meets few of its shards.

How: the rows of a range, in keyed order, are cut into one lane a canonical node. A slot's place in the batch names its
node. Within a pass the draws of a range go lane by lane in the order of batches and slots.
"""

import numpy as np

from mixer.order.permutation import Ints

MIN_LANE_ROWS = 256  # a range with fewer rows for each node is read by all


def bounds(size: int, nodes: int) -> Ints:
    """Where the lanes of a range of `size` rows begin, and its end: (nodes + 1,)."""
    return np.arange(nodes + 1) * size // nodes


def take(used: Ints, sizes: Ints, which: Ints, nodes: Ints) -> tuple[Ints, Ints]:
    """The lane of each draw and its index in that lane. Adds what is drawn to `used`.

    Args: used and sizes (ranges, lanes); which range each draw is of and its node, (n,), in the order of the draws.
    """
    slot = which * sizes.shape[1] + nodes
    order = np.argsort(slot.astype(np.uint16) if sizes.size < 1 << 16 else slot, kind="stable")
    counts = np.bincount(slot, minlength=sizes.size)
    index = np.empty(len(slot), np.int64)
    index[order] = np.arange(len(slot)) - np.repeat(np.cumsum(counts) - counts - used.ravel(), counts)
    lanes, after = nodes.copy(), used + counts.reshape(used.shape)
    for row in np.flatnonzero((after > sizes).any(axis=1)).tolist():
        draws = np.flatnonzero(which == row)
        first = int(np.argmax(index[draws] >= sizes[row, nodes[draws]]))
        left = sizes[row] - used[row] - np.bincount(nodes[draws[:first]], minlength=sizes.shape[1])
        for draw in draws[first:].tolist():
            lane = int(nodes[draw])
            if not left[lane]:
                lane = next_lane(lane, left)
            lanes[draw], index[draw] = lane, sizes[row, lane] - left[lane]
            left[lane] -= 1
        after[row] = sizes[row] - left
    used[:] = after
    return lanes, index


def next_lane(lane: int, left: Ints) -> int:
    """The first lane after an empty one, around the ring, that has at least the mean of what all have left."""
    full = np.flatnonzero(left * len(left) >= left.sum())
    return int(full[np.searchsorted(full, lane) % len(full)])
