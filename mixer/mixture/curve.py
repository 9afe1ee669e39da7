"""Quality curves: how often tokens of a tier are seen beside those of other tiers, and how often at most.

Always holds: weights are exact, and depend on percentiles alone, not on tokens; a table's key that would cut tiers in two is
refused.

How: the last word of a stream's name, such as q95, is the percentile at which its tier begins. The tier ends where the next
one of its language begins, the best at 100.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from msgspec import UNSET

from mixer.faults import Fault, Path
from mixer.mixture.mixture import Component, Curve, Tier
from streamer.wording import listed, shown

TOP = 100  # the percentile at which the best tier ends
DROPPED = 40  # percentiles that `top_heavy` leaves out


class Weighed(NamedTuple):
    """What a curve gives a stream. `max_passes`: the tier's own."""

    weight: Fraction
    max_passes: int | None


def check_curve(component: Component, curve: Curve, path: Path) -> None:
    """Raises: Fault for another key that says the same, for no weight, and for a cap above the component's."""
    others = {"within": component.within, "best_tokens": component.best_tokens, "best_share": component.best_share}
    usual = ("tokens", "like", None, UNSET)
    beside = next((f"{key} = {shown(value)}" for key, value in others.items() if value not in usual), None)
    if beside is not None:
        raise Fault(path, f": {beside} says already how the streams share; leave one of the two out")
    if isinstance(curve, str):
        return
    tiers = {name: weighed(tier) for name, tier in curve.items()}
    if not any(tier.weight for tier in tiers.values()):
        raise Fault(path, ": its weights sum to 0; give one above 0")
    for name, tier in tiers.items():
        if tier.max_passes and component.max_passes and tier.max_passes > component.max_passes:
            said = f"the component's max_passes = {component.max_passes} holds for every tier; lower this one, or raise that"
            raise Fault((*path, name, "max_passes"), f" = {tier.max_passes}: {said}")


def weigh_tiers(path: Path, curve: Curve, streams: Sequence[str], names: Iterable[str]) -> list[Weighed]:
    """What a curve gives each of the component's streams; `names` are those of all streams of the catalog.

    Raises: Fault for a stream without a tier, for a key at which no tier begins, and where nothing is left.
    """
    begins = {name: int(found[1]) for name in names if (found := re.search("/q([0-9]{2})$", name))}
    for stream in streams:
        if stream not in begins:
            said = "has no tier in its name, such as q95 in scored/go/q95; exclude it, or leave curve out"
            raise Fault(path, f": stream {stream} {said}")
    if isinstance(curve, str):
        tiers = [Weighed(top_heavy(*span), None) for span in spans_of(streams, begins)]
    else:
        check_keys(path, curve, streams, begins)
        tiers = [weighed(step_at(curve, begins[stream])) for stream in streams]
    if not any(tier.weight for tier in tiers):
        have = tiers_of(begins[stream] for stream in streams)
        raise Fault(path, f": it leaves out all tiers of the component ({have}); give one a weight, or match better ones")
    return tiers


def top_heavy(begin: int, end: int) -> Fraction:
    """The mean of 5 ((x - 40) / 60)^2, 0 below 40, over the percentiles of a tier; over all percentiles it is 1.

    Source: Olmo 3 (arXiv 2512.13961, section 3.4.4), whose curves drop the lowest 40 % of web text, and above it rise as
    a power times an exponential; this is the square alone.
    """
    low, high = (max(0, at - DROPPED) for at in (begin, end))
    return Fraction(5 * (high**3 - low**3), 3 * (TOP - DROPPED) ** 2 * (end - begin))


def spans_of(streams: Sequence[str], begins: Mapping[str, int]) -> list[tuple[int, int]]:
    """Where the tier of each stream begins and ends among those of its language, whatever component they are in."""
    of_language: dict[str, set[int]] = {}
    for name, begin in begins.items():
        of_language.setdefault(name.rpartition("/")[0], {TOP}).add(begin)
    return [
        (begins[stream], min(end for end in of_language[stream.rpartition("/")[0]] if end > begins[stream]))
        for stream in streams
    ]


def check_keys(path: Path, curve: Iterable[str], streams: Sequence[str], begins: Mapping[str, int]) -> None:
    """Raises: Fault for a key at which no tier of a set begins, in whichever language. A small language may lack some."""
    for kind in sorted({stream.partition("/")[0] for stream in streams}):
        there = {begin for name, begin in begins.items() if name.partition("/")[0] == kind}
        for name in curve:
            if int(name[1:]) not in there:
                said = f"no tier of {kind}/* begins there, but at {tiers_of(there)}; name one of these"
                raise Fault((*path, name), f": {said}")


def step_at(curve: Mapping[str, float | Tier], begin: int) -> float | Tier:
    """What a table says of the tier that begins there: its highest key that is not above."""
    name = max((name for name in curve if int(name[1:]) <= begin), default=None)
    return 0.0 if name is None else curve[name]


def weighed(tier: float | Tier) -> Weighed:
    weight, cap = (tier.weight, tier.max_passes) if isinstance(tier, Tier) else (tier, None)
    return Weighed(Fraction(str(weight)), cap if isinstance(cap, int) else None)


def tiers_of(begins: Iterable[int]) -> str:
    return listed(f"q{begin:02d}" for begin in sorted(set(begins), reverse=True))
