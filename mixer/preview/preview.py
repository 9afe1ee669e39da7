"""What a mixture would give: tokens and passes at a horizon, what runs dry, what caps forbid and the best that can be.

Always holds: pure; what is forecast follows the rules of `segment.plan_segment` with samples as real numbers, so it is
within a few samples a stream of what a run over the same streams then draws.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import msgspec

from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from mixer.preview.caps import refuse
from mixer.preview.course import ALMOST, Course, Stock, follow, whole
from mixer.preview.feasible import Pins, nearest_shares

FARTHEST = 50.0  # e-foldings of a growing stream after which it counts as never dry


class StreamPreview(msgspec.Struct, frozen=True, kw_only=True):
    """`unique_tokens`: what it holds, or gives under best_tokens; `dry_*`: when its cap is reached, None for never.

    `dry_in_s` reckons with its growth and needs a speed of training.
    """

    stream: str
    component: str
    key: str
    share: float
    unique_tokens: int
    tokens: int
    passes: float
    max_passes: int | None
    growth_tokens_per_s: float
    dry_at_tokens: int | None
    dry_in_s: float | None


class KeyPreview(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    share: float
    tokens: int
    unique_tokens: int
    passes: float


class ComponentPreview(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    share: float
    tokens: int
    unique_tokens: int
    repeated_tokens: int
    passes: float


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A stream whose cap forbids the horizon, and why in one line."""

    stream: str
    said: str


class Feasible(msgspec.Struct, frozen=True, kw_only=True):
    """The best there is: tokens until the run would end or wait; the nearest shares at this horizon, none when none last."""

    tokens: int
    shares: dict[str, float]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens` is the horizon asked for, from now; `repeated_tokens` of it would be seen before.

    `ends`: why the run would end or wait before it, at `ends_at_tokens`. `dries`: a sentence for each stream that runs dry
    before that and leaves its share to others, the first to do so first.
    """

    mixture: str
    seq_len: int
    tokens: int
    unique_tokens: int
    repeated_tokens: int
    ends_at_tokens: int | None
    ends: str | None
    dries: list[str] = []
    components: list[ComponentPreview]
    keys: list[KeyPreview]
    streams: list[StreamPreview]
    refusals: list[Refusal]
    feasible: Feasible | None


def forecast(
    plan: Plan,
    shares: Sequence[Fraction],
    seq_len: int,
    stocks: Sequence[Stock],
    tokens: int,
    *,
    pins: Pins = MappingProxyType({}),
    tokens_per_s: float | None = None,
) -> Preview:
    """`shares`, the exact ones, and `stocks` are parallel to the plan's streams; `tokens_per_s`: how fast training goes."""
    horizon = tokens / seq_len
    course = follow(plan, stocks, horizon)
    streams = [
        preview_stream(plan, place, float(shares[place]), seq_len, stock, course, tokens_per_s)
        for place, stock in enumerate(stocks)
    ]
    repeated = [
        max(0.0, drawn - max(0, stock.samples - stock.drawn)) * seq_len
        for drawn, stock in zip(course.drawn.tolist(), stocks, strict=True)
    ]
    before = [stock.drawn * seq_len for stock in stocks]
    refusals = [
        Refusal(stream=plan.streams[place], said=said)
        for place in range(len(stocks))
        if (said := refuse(plan, place, stocks[place], horizon, seq_len, course.end))
    ]
    short = course.end < horizon - ALMOST
    early = short or (not tokens and course.end < math.inf)
    return Preview(
        mixture=plan.mixture,
        seq_len=seq_len,
        tokens=tokens,
        unique_tokens=sum(row.unique_tokens for row in streams),
        repeated_tokens=round(sum(repeated)),
        ends_at_tokens=whole(course.end) * seq_len if early else None,
        ends=course.ends if early else None,
        dries=say_dry(plan, seq_len, course, horizon),
        components=gather_components(streams, repeated, before),
        keys=gather_keys(streams, before),
        streams=streams,
        refusals=refusals,
        feasible=find_feasible(plan, seq_len, stocks, horizon, course, pins) if short else None,
    )


def say_dry(plan: Plan, seq_len: int, course: Course, horizon: float) -> list[str]:
    """A sentence for each stream that runs dry within the horizon while the run goes on."""
    last = min(horizon, course.end) - ALMOST
    found = [place for place in range(len(plan.streams)) if plan.when_dry[place] == "share" and course.dry_at[place] < last]
    found.sort(key=lambda place: float(course.dry_at[place]))
    said = []
    for place in found:
        dry_at = course.dry_at[place]
        when = f"runs dry after {round(dry_at * seq_len):,} tokens" if dry_at else "has nothing left to draw"
        heirs = {plan.component[other] for other, at in enumerate(course.dry_at) if plan.shares[other] and at > dry_at}
        own = plan.component[place]
        whose = f"the other streams of component {own}" if own in heirs else "the other components"
        said.append(
            f"{plan.streams[place]} {when} (max_passes = {plan.max_passes[place]}); from there its share of "
            f"{plan.shares[place] / ONE:.2%} goes to {whose}"
        )
    return said


def preview_stream(
    plan: Plan, place: int, share: float, seq_len: int, stock: Stock, course: Course, tokens_per_s: float | None
) -> StreamPreview:
    drawn, dry_at = float(course.drawn[place]), float(course.dry_at[place])
    return StreamPreview(
        stream=plan.streams[place],
        component=plan.component[place],
        key=plan.streams[place].split("/")[1],
        share=share,
        unique_tokens=stock.samples * seq_len,
        tokens=round(drawn * seq_len),
        passes=(stock.drawn + drawn) / stock.samples if stock.samples else 0.0,
        max_passes=plan.max_passes[place],
        growth_tokens_per_s=stock.growth_tokens_per_s,
        dry_at_tokens=round(dry_at * seq_len) if dry_at < math.inf else None,
        dry_in_s=dry_in(stock, share, seq_len, dry_at, tokens_per_s, grows=plan.limit[place] is None),
    )


def dry_in(
    stock: Stock, share: float, seq_len: int, dry_at: float, tokens_per_s: float | None, *, grows: bool
) -> float | None:
    """Seconds until a stream is dry. One that grows by g a second from U goes through passes at s*v / (U + g*t)."""
    if tokens_per_s is None or not tokens_per_s > 0 or dry_at == math.inf or stock.left is None:
        return None
    growth = stock.growth_tokens_per_s
    if not grows or not growth or not stock.samples or not share:
        return dry_at * seq_len / tokens_per_s
    foldings = growth * stock.left / stock.samples / (share * tokens_per_s)
    return stock.samples * seq_len / growth * math.expm1(foldings) if foldings < FARTHEST else None


def gather_components(streams: list[StreamPreview], repeated: list[float], before: list[int]) -> list[ComponentPreview]:
    return [
        ComponentPreview(**group, repeated_tokens=round(sum(repeated[place] for place in places)))
        for group, places in grouped(streams, before, "name", lambda row: row.component)
    ]


def gather_keys(streams: list[StreamPreview], before: list[int]) -> list[KeyPreview]:
    return [KeyPreview(**group) for group, _ in grouped(streams, before, "key", lambda row: row.key)]


def grouped(
    streams: list[StreamPreview], before: list[int], title: str, of: Callable[[StreamPreview], str]
) -> list[tuple[dict[str, Any], list[int]]]:
    """The sums of each group of streams and the places of its streams."""
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(streams):
        groups.setdefault(of(row), []).append(place)
    found = []
    for name, places in groups.items():
        tokens, unique = (sum(getattr(streams[p], what) for p in places) for what in ("tokens", "unique_tokens"))
        passes = (tokens + sum(before[p] for p in places)) / unique if unique else 0.0
        share = math.fsum(streams[p].share for p in places)
        found.append(({title: name, "share": share, "tokens": tokens, "unique_tokens": unique, "passes": passes}, places))
    return found


def find_feasible(plan: Plan, seq_len: int, stocks: Sequence[Stock], horizon: float, course: Course, pins: Pins) -> Feasible:
    shares = nearest_shares(plan, [stock.room / horizon for stock in stocks], pins)
    return Feasible(
        tokens=whole(course.end) * seq_len, shares=dict(zip(plan.streams, shares, strict=True)) if shares else {}
    )
