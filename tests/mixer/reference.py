"""The order of samples once more, a draw at a time, in plain Python: slow and obvious. Shares no code with the mixer.

A segment is (batches, plan, rows of each stream from then on, streams whose waiting rows join, seed, size). Its plan has of
each stream (share in 1/2^40, component, max_passes or None, when_dry)."""

import functools

from reference_counts import ask

MASK, PHI, ONE = 2**64 - 1, 0x9E3779B97F4A7C15, 2**40


def scramble(word):
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def fold(*words):
    key = 0x243F6A8885A308D3
    for word in words:
        key = scramble((key ^ word) * PHI & MASK)
    return key


def keyed(key, word):
    return scramble(word * PHI + key & MASK)


def permute(key, size, place):
    """Where a place goes in a permutation of range(size)."""
    if size < 256:
        return shuffle(key, size)[place]
    bits = (size - 1).bit_length()
    low_bits = bits - bits // 2
    while True:
        high, low = place >> low_bits, place % 2**low_bits
        for number in range(0, 6, 2):
            high ^= half(low, key, number) % 2 ** (bits - low_bits)
            low ^= half(high, key, number + 1) % 2**low_bits
        place = high << low_bits | low
        if place < size:
            return place


@functools.lru_cache
def shuffle(key, size):
    return sorted(range(size), key=lambda index: (keyed(key, index) >> 8, index))


def half(word, key, number):
    word = (word + key + number * PHI) * 0xBF58476D1CE4E5B9 & MASK
    return ((word ^ word >> 32) * 0x94D049BB133111EB & MASK) >> 32


class Range:
    """Rows [low, high) of a stream in one pass, lane by lane. `shards`: (first row, rows) of all its shards."""

    def __init__(self, seed, stream, low, high, pass_index, shards, nodes):
        hashes = [keyed(fold(seed, 2, stream), index) for index in range(len(shards))]
        self.rows = [
            row
            for index in sorted(range(len(shards)), key=lambda index: (hashes[index], index))
            for row in range(max(low, shards[index][0]), min(high, shards[index][0] + shards[index][1]))
        ]
        size = len(self.rows)
        self.laned = nodes > 1 and size >= 256 * nodes
        lanes = nodes if self.laned else 1
        self.left = [(lane + 1) * size // lanes - lane * size // lanes for lane in range(lanes)]
        self.lengths, self.taken = list(self.left), 0
        self.key, self.pass_index = fold(seed, 4, stream, low), pass_index

    def take(self):
        self.taken += 1
        return self, self.taken - 1

    def draw(self, node, offset):
        """The row of the draw that was taken as number `offset`; with lanes the next of the node's own, or another's."""
        lane = 0
        if self.laned:
            lane = node
            if not self.left[node]:
                around = [(node + 1 + step) % len(self.left) for step in range(len(self.left))]
                lane = next(other for other in around if self.left[other] * len(self.left) >= sum(self.left))
            offset = self.lengths[lane] - self.left[lane]
            self.left[lane] -= 1
        length = self.lengths[lane]
        body = length - min(2**11, length // 8) * self.laned
        blocks = max(2, -(-body // 2**14))
        edges = [number * body // blocks for number in range(blocks + 1)] + [length] * self.laned
        block = max(number for number, edge in enumerate(edges[:-1]) if edge <= offset)
        low, high = edges[block], edges[block + 1]
        key = scramble(self.key ^ scramble(scramble(self.pass_index << 32 | lane) + block & MASK))
        start = lane * len(self.rows) // len(self.left)
        return self.rows[start + low + permute(key, high - low, offset - low)]


class Stream:
    """One stream: `queue` says of which range each draw still to come in this pass is."""

    def __init__(self, seed, index, shards, nodes):
        self.make = lambda low, high: Range(seed, index, low, high, self.pass_index, shards, nodes)
        self.pass_index, self.total, self.waiting, self.joins, self.queue = -1, 0, 0, 0, []

    def grow(self, total):
        if total > self.total:
            self.waiting, self.total = self.waiting + total - self.total, total
            if self.joins < 32 or self.waiting * 32 >= len(self.queue):
                self.join()

    def join(self):
        if self.pass_index >= 0:
            new, old = self.make(self.total - self.waiting, self.total), iter(self.queue)
            both = len(self.queue) + self.waiting
            share = [(2 * place * self.waiting + both) // (2 * both) for place in range(both + 1)]
            self.queue = [new if share[place + 1] > share[place] else next(old) for place in range(both)]
            self.waiting, self.joins = 0, self.joins + 1

    def left(self, max_passes):
        """Draws until its last pass ends, with the rows that wait for it; None without a limit."""
        if max_passes is None:
            return None if self.total else 0
        later = max(0, max_passes - self.pass_index - 1)
        now = self.waiting * (self.pass_index >= 0) * (not later) + len(self.queue)
        return now + later * self.total if self.pass_index < max_passes else 0

    def take(self):
        if not self.queue:
            self.pass_index, self.joins, self.waiting = self.pass_index + 1, 0, 0
            self.queue = [self.make(0, self.total)] * self.total
        return self.queue.pop(0).take()


def order(seed, nodes, shards, segments):
    """Every batch as a list of (stream, row), then why no more come. `shards`: each stream's (first row, rows)."""
    streams = [Stream(seed, index, found, nodes) for index, found in enumerate(shards)]
    owed, drawn = [0] * len(shards), [0] * len(shards)
    for batches, plan, totals, late, own_seed, size in segments:
        hashes = [keyed(fold(own_seed, 1), index) for index in range(len(shards))]
        for stream, total in zip(streams, totals, strict=True):
            stream.grow(total)
        for index in late:
            streams[index].join()
        for _ in range(batches):
            left = [stream.left(row[2]) for stream, row in zip(streams, plan, strict=True)]
            found = ask(plan, size, owed, left, totals)
            if isinstance(found, str):
                yield found
                return
            slots = []
            for index, (share, number) in enumerate(zip(*found, strict=True)):
                for draw in range(drawn[index], drawn[index] + number):
                    slots.append((hashes[index] + draw * PHI & MASK, index, streams[index].take()))
                drawn[index] += number
                owed[index] += share * size - number * ONE
            slots.sort(key=lambda slot: slot[:2])
            yield [
                (index, found.draw(place * nodes // size, offset)) for place, (_, index, (found, offset)) in enumerate(slots)
            ]
