"""How many samples of each stream the next batch holds, and what is asked of it: slow and obvious, a batch at a time.

Shares no code with the mixer. A plan has of each stream (share in 1/2^40, component, max_passes or None, when_dry)."""

ONE, SLACK = 2**40, 2**28


def ask(plan, size, owed, left, totals):
    """The shares and counts of the next batch, when each stream may still give `left` draws; or "ends" or "waits"."""
    waits = [row[3] == "wait" or (row[3] == "stop" and not total) for row, total in zip(plan, totals, strict=True)]
    present = [stream for stream, row in enumerate(plan) if row[0]]
    capped = [stream for stream in present if left[stream] is not None and not waits[stream]]

    dry, newly = dict[int, int](), True
    while newly:
        fair = even_out(owed, [stream for stream in present if stream not in dry])
        rooms = {stream: left[stream] * ONE - fair[stream] for stream in capped if stream not in dry}
        newly = {stream: 0 for stream, room in rooms.items() if room <= SLACK and not left[stream]}
        dry |= newly
    before = spread(plan, dry)
    if before is None or any(plan[stream][3] == "stop" for stream in dry):
        return "ends"
    shares, kept, short = before, dict(dry), True
    while short and shares:
        short = {s: max(0, -(-rooms[s] // size)) for s in rooms if s not in kept and shares[s] * size > rooms[s] + SLACK}
        kept |= short
        shares = spread(plan, kept)
    ending = [stream for stream in kept if stream not in dry]
    last = [stream for stream in ending if plan[stream][3] == "stop"]
    if not shares or any(before[stream] * size - rooms[stream] > 2 * ONE for stream in last):
        return "ends"
    if last and any((shares[stream] - before[stream]) * size > ONE for stream in present if stream not in ending):
        return "ends"
    counts = close(shares, owed, size, {stream: left[stream] for stream in ending}) if ending else count(shares, owed, size)
    if any(left[stream] is not None and counts[stream] > left[stream] for stream in present):
        return "ends" if last else "waits"
    return shares, counts


def close(shares, owed, size, left):
    """Draws of a batch in which some streams give all that is `left`, and the others what is missing, by the rule."""
    excess = sum(left.values()) - size
    while excess > 0:
        for stream in sorted(stream for stream in left if left[stream])[::-1][:excess]:
            left[stream], excess = left[stream] - 1, excess - 1
    counts, missing = [left.get(stream, 0) for stream in range(len(shares))], max(0, -excess)
    others = [stream for stream, share in enumerate(shares) if share and stream not in left]
    if missing:
        whole = sum(shares[stream] for stream in others)
        alone = [shares[stream] * ONE // whole if stream in others else 0 for stream in range(len(shares))]
        alone[others[0]] += ONE - sum(alone)
        moved = [one + share * size - new * missing for one, share, new in zip(owed, shares, alone, strict=True)]
        counts = [own + more for own, more in zip(counts, count(alone, moved, missing), strict=True)]
    return counts


def spread(plan, kept):
    """Shares when some streams keep only so much of theirs: the others of the component, or all others, take the rest."""
    shares = [row[0] for row in plan]
    others = [stream for stream, share in enumerate(shares) if share and stream not in kept]
    for stream in sorted(kept, key=lambda stream: kept[stream] > shares[stream]):
        more = shares[stream] - kept[stream]
        near = [other for other in others if more > 0 and plan[other][1] == plan[stream][1]] or others
        whole = sum(shares[other] for other in near)
        if not whole:
            return None
        given = [more * shares[other] // whole for other in near]
        given[0] += more - sum(given)
        for other, part in zip(near, given, strict=True):
            shares[other] += part
        shares[stream] = kept[stream]
    return shares


def even_out(owed, present):
    """What each present stream is owed: what the absent hold is taken evenly off them."""
    each, rest = divmod(-sum(owed[stream] for stream in present), max(1, len(present)))
    return {stream: owed[stream] + each + (place < rest) for place, stream in enumerate(present)}


def count(shares, owed, size):
    """Draws of each stream in a batch: those due, then one more each by earliest deadline."""
    present = [stream for stream, share in enumerate(shares) if share]
    if len(present) == 1:
        return [size * (stream in present) for stream in range(len(shares))]
    margin = ONE // (2 * len(present) - 2)
    debt = {stream: value + margin + shares[stream] * size for stream, value in even_out(owed, present).items()}
    counts = [max(0, debt[stream] // ONE) if stream in debt else 0 for stream in range(len(shares))]
    while sum(counts) != size:
        left = {stream: debt[stream] - counts[stream] * ONE for stream in present}
        deadline = {stream: (ONE - left[stream]) // shares[stream] for stream in present}
        more = sum(counts) < size
        key = {s: (left[s] < 2 * margin, deadline[s], s) if more else (-deadline[s], s) for s in present}
        order = sorted((s for s in present if more or counts[s]), key=key.get)
        for stream in order[: abs(size - sum(counts))]:
            counts[stream] += 1 if more else -1
    return counts
