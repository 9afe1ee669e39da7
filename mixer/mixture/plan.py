"""A plan: what a mixture means at one moment, its shares exact integers; and how two plans differ or mix."""

from collections.abc import Mapping
from fractions import Fraction

import msgspec

from mixer.order.shares import ONE, to_shares

Shares = Mapping[str, Fraction]  # of each stream, exact


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a mixture means at one moment. All lists are parallel to `streams`; `limit` in samples."""

    mixture: str
    streams: list[str]
    shares: list[int]
    component: list[str]
    max_passes: list[int | None]
    limit: list[int | None]
    when_dry: list[str]
    dtype: str
    tokenizer: str | None


class ShareChange(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's resolved share in two plans, 0.0 where it is absent."""

    stream: str
    before: float
    after: float


def shares_of(plan: Plan) -> dict[str, float]:
    """Share of each stream, for people and policies."""
    return {name: share / ONE for name, share in zip(plan.streams, plan.shares, strict=True)}


def blend(before: Plan, after: Plan, part: Fraction) -> Plan:
    """The plan that is `part` of the way from one to another; what else both say of a stream is the latter's."""
    streams = list(dict.fromkeys([*before.streams, *after.streams]))
    old, new = (dict(zip(plan.streams, plan.shares, strict=True)) for plan in (before, after))
    weights = [(1 - part) * old.get(name, 0) + part * new.get(name, 0) for name in streams]
    sources = [
        (after, after.streams.index(name)) if name in new else (before, before.streams.index(name)) for name in streams
    ]
    return Plan(
        mixture=f"{before.mixture}..{after.mixture}",
        streams=streams,
        shares=to_shares(weights),
        component=[plan.component[place] for plan, place in sources],
        max_passes=[plan.max_passes[place] for plan, place in sources],
        limit=[plan.limit[place] for plan, place in sources],
        when_dry=[plan.when_dry[place] for plan, place in sources],
        dtype=after.dtype,
        tokenizer=after.tokenizer,
    )


def compare_shares(before: Shares, after: Shares) -> list[ShareChange]:
    """The streams whose shares differ."""
    return [
        ShareChange(stream=stream, before=float(before.get(stream, 0)), after=float(after.get(stream, 0)))
        for stream in dict.fromkeys([*before, *after])
        if before.get(stream, 0) != after.get(stream, 0)
    ]
