"""Blocks: the pieces of a lane whose rows are permuted on their own, anew in each pass.

Always holds: in a pass the offsets of a range go to its places one to one, lane by lane and in them block by block;
`offsets_of` undoes `places_of`.

Arguments are arrays over draws: sizes and keys of their ranges, passes, lanes, offsets in the lane. A range without lanes
is one lane, 0.
"""

import numpy as np
import numpy.typing as npt

from mixer.order.lanes import MIN_LANE_ROWS
from mixer.order.permutation import Ints, Tables, Words, permute, scramble, unpermute

BLOCK_ROWS = 1 << 14
TAIL_ROWS = 1 << 11  # at most, of a lane's last block: nodes that are through early meet few shards in it


def has_lanes(sizes: Ints, nodes: int) -> npt.NDArray[np.bool_]:
    """Which ranges are cut into lanes."""
    laned: npt.NDArray[np.bool_] = (sizes >= MIN_LANE_ROWS * nodes) & (nodes > 1)
    return laned


def places_of(sizes: Ints, keys: Words, passes: Ints, lanes: Ints, offsets: Ints, nodes: int, small: Tables) -> Ints:
    """The place of each draw in the keyed order of its range. `small` remembers the permutations of small blocks."""
    first, length, tail = lane_bounds(sizes, lanes, nodes)
    block, low, rows = blocks_of(length, tail, offsets)
    places: Ints = first + low + permute(block_keys(keys, passes, lanes, block), rows, offsets - low, small)
    return places


def offsets_of(sizes: Ints, keys: Words, passes: Ints, places: Ints, nodes: int) -> tuple[Ints, Ints]:
    """The lane of each place of a range, and the offset in that lane at which a pass comes to it."""
    lanes = np.where(has_lanes(sizes, nodes), (places * nodes + nodes - 1) // sizes, 0)
    first, length, tail = lane_bounds(sizes, lanes, nodes)
    block, low, rows = blocks_of(length, tail, places - first)
    inside = unpermute(block_keys(keys, passes, lanes, block), rows, places - first - low)
    return lanes, low + inside


def lane_bounds(sizes: Ints, lanes: Ints, nodes: int) -> tuple[Ints, Ints, Ints]:
    """The first place of each lane, its length, and the rows of its last block (0: as the others)."""
    if nodes == 1:
        return np.zeros_like(sizes), sizes, np.zeros_like(sizes)
    laned = has_lanes(sizes, nodes)
    start = np.where(laned, lanes * sizes // nodes, 0)
    end = np.where(laned, (lanes + 1) * sizes // nodes, sizes)
    return start, end - start, np.where(laned, np.minimum(TAIL_ROWS, (end - start) // 8), 0)


def blocks_of(length: Ints, tail: Ints, offsets: Ints) -> tuple[Ints, Ints, Ints]:
    """The block of each offset of a lane, the block's first offset and its rows."""
    body = length - tail
    blocks = np.maximum(-(-body // BLOCK_ROWS), 2)
    block = (np.minimum(offsets, body - 1) * blocks + blocks - 1) // body
    low = block * body // blocks
    rows = (block + 1) * body // blocks - low
    last = offsets >= body
    return np.where(last, blocks, block), np.where(last, body, low), np.where(last, tail, rows)


def block_keys(keys: Words, passes: Ints, lanes: Ints, block: Ints) -> Words:
    words = scramble((passes << 32 | lanes).astype(np.uint64)) + block.astype(np.uint64)
    return scramble(keys ^ scramble(words))
