"""The shares nearest to those of a plan that caps can keep over a horizon.

Always holds: they sum to 1 and none is above what its stream can give, or there are none; a pin moves only when the
component's keys without one have no room left.
"""

import math
from collections.abc import Collection, Iterable, Mapping

from mixer.mixture.plan import Plan
from mixer.order.shares import ONE

Pins = Mapping[str, Collection[str]]  # of a component, the keys and streams whose share is pinned


def nearest_shares(plan: Plan, most: list[float], pins: Pins) -> list[float]:
    """Shares that sum to 1, none above its `most`; empty when there are none.

    What a stream cannot take goes to the others of its key, then to the component's keys without a pin, then to those with
    one, then to the other components, each time in proportion.
    """
    shares = [share / ONE for share in plan.shares]
    usable = [limit if share else 0.0 for share, limit in zip(shares, most, strict=True)]
    components: dict[str, dict[str, list[int]]] = {}
    for place, (stream, component) in enumerate(zip(plan.streams, plan.component, strict=True)):
        group = stream if stream in pins.get(component, ()) else stream.split("/")[1]
        components.setdefault(component, {}).setdefault(group, []).append(place)

    def sums(values: list[float], groups: Iterable[list[int]]) -> list[float]:
        return [math.fsum(values[place] for place in places) for places in groups]

    whole = [[place for places in groups.values() for place in places] for groups in components.values()]
    found = [0.0] * len(shares)
    for part, (name, groups) in zip(pour(1.0, sums(shares, whole), sums(usable, whole)), components.items(), strict=True):
        pinned = [group in pins.get(name, ()) for group in groups]
        amounts = pour_around(part, sums(shares, groups.values()), sums(usable, groups.values()), pinned)
        for amount, places in zip(amounts, groups.values(), strict=True):
            given = pour(amount, [shares[place] for place in places], [usable[place] for place in places])
            for place, one in zip(places, given, strict=True):
                found[place] = one
    return found if abs(math.fsum(found) - 1) < 1e-9 else []


def pour_around(amount: float, weights: list[float], most: list[float], pinned: list[bool]) -> list[float]:
    """As `pour`, but what is pinned keeps its part of `amount` while the others have room."""
    total = math.fsum(weights)
    if not total:
        return [0.0] * len(weights)
    found = [min(amount * w / total, m) if pin else 0.0 for w, m, pin in zip(weights, most, pinned, strict=True)]
    for of_pinned in (False, True):
        chosen = [w if pin == of_pinned else 0.0 for w, pin in zip(weights, pinned, strict=True)]
        room = [m - f for m, f in zip(most, found, strict=True)]
        more = pour(amount - math.fsum(found), chosen, room)
        found = [one + added for one, added in zip(found, more, strict=True)]
    return found


def pour(amount: float, weights: list[float], most: list[float]) -> list[float]:
    """`amount` in proportion to weights, none above its `most`; less than `amount` in all when there is no more room."""
    found, open_places = [0.0] * len(weights), [place for place, weight in enumerate(weights) if weight > 0]
    while open_places and amount > 0:
        whole = math.fsum(weights[place] for place in open_places)
        full = [place for place in open_places if amount * weights[place] / whole >= most[place]]
        for place in full or open_places:
            found[place] = most[place] if full else amount * weights[place] / whole
        if not full:
            break
        amount -= math.fsum(most[place] for place in full)
        open_places = [place for place in open_places if place not in set(full)]
    return found
