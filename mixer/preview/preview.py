"""What a mixture would give: tokens and passes at a horizon, what runs dry, what caps forbid and the best that can be.

Always holds: pure; what is forecast follows the rules of `segment.plan_segment` with samples as real numbers, so it is
within a few samples a stream of what a run over the same streams then draws.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from mixer.preview.feasible import Pins, nearest_shares

Reals = npt.NDArray[np.float64]
ALMOST = 0.5  # samples left below which a stream is dry: shares are integers, so streams that end together differ by less
FARTHEST = 50.0  # e-foldings of a growing stream after which it counts as never dry


class Stock(NamedTuple):
    """What a stream has, in samples: it gives `samples`, `drawn` were drawn before, `left` may be until its cap."""

    samples: int
    drawn: int
    left: int | None
    growth_tokens_per_s: float


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

    `ends`: why the run would end or wait before it, at `ends_at_tokens`.
    """

    mixture: str
    seq_len: int
    tokens: int
    unique_tokens: int
    repeated_tokens: int
    ends_at_tokens: int | None
    ends: str | None
    components: list[ComponentPreview]
    keys: list[KeyPreview]
    streams: list[StreamPreview]
    refusals: list[Refusal]
    feasible: Feasible | None


class Course(NamedTuple):
    """How a run over fixed stocks goes, in samples: draws at the horizon, when streams ran dry, where and why it ends."""

    drawn: Reals
    dry_at: Reals
    end: float
    ends: str


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
        components=gather_components(streams, repeated, before),
        keys=gather_keys(streams, before),
        streams=streams,
        refusals=refusals,
        feasible=find_feasible(plan, seq_len, stocks, horizon, course, pins) if short else None,
    )


def whole(samples: float) -> int:
    """Whole samples; what shares in 1/ONE lack to one counts as one."""
    return math.floor(samples + 0.01)


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


def follow(plan: Plan, stocks: Sequence[Stock], horizon: float) -> Course:
    """Draws by shares until a stream is dry, then by what `when_dry` says, and so on until nothing more runs dry."""
    left = np.array([math.inf if stock.left is None else stock.left for stock in stocks], np.float64)
    share = np.array(plan.shares, np.float64) / ONE
    numbers = {name: number for number, name in enumerate(dict.fromkeys(plan.component))}
    component = np.array([numbers[name] for name in plan.component])
    shares_out = np.array([when == "share" for when in plan.when_dry])
    drawn, at_horizon = np.zeros(len(left)), np.zeros(len(left))
    dry_at, position = np.full(len(left), math.inf), 0.0
    reached = horizon <= 0

    def course(ends: str) -> Course:
        with np.errstate(divide="ignore", invalid="ignore"):
            alone = np.where(share > 0, np.maximum(left, 0) / share + position, math.inf)
        return Course(at_horizon if reached else drawn, np.where(dry_at < math.inf, dry_at, alone), position, ends)

    while True:
        dry = (left < ALMOST) & (share > 0)
        dry_at = np.where(dry & (dry_at == math.inf), position, dry_at)
        halting = dry & ~shares_out
        if halting.any():
            return course(say_end(plan, int(np.argmax(halting)), stocks))
        rates = spread_rates(share, dry, component)
        if rates is None:
            return course("every stream has run dry")
        with np.errstate(divide="ignore", invalid="ignore"):
            length = float(np.min(np.where(rates > 0, left / rates, math.inf)))
        if not reached and position + length >= horizon:
            at_horizon, reached = drawn + rates * (horizon - position), True
        if length == math.inf:
            position = math.inf
            return course("")
        drawn, left, position = drawn + rates * length, left - rates * length, position + length


def spread_rates(share: Reals, dry: npt.NDArray[np.bool_], component: npt.NDArray[np.int64]) -> Reals | None:
    """What `segment.spread` makes of the shares when some streams are dry; None when all are."""
    if not dry.any():
        return share
    rates = np.where(dry, 0.0, share)
    for number in np.unique(component[dry]):
        own = component == number
        given, others = float(share[own & dry].sum()), np.where(own, rates, 0.0)
        others = others if others.sum() > 0 else rates
        if not others.sum() > 0:
            return None
        rates = rates + given * others / others.sum()
    return rates


def say_end(plan: Plan, place: int, stocks: Sequence[Stock]) -> str:
    """Why the run goes no further when a stream is dry."""
    stream, cap = plan.streams[place], plan.max_passes[place]
    if not stocks[place].samples:
        return f"stream {stream} is empty: the run waits for its first part"
    if plan.when_dry[place] == "wait":
        return f"stream {stream} reaches max_passes = {cap}: the run waits for new parts"
    return f"stream {stream} reaches max_passes = {cap}: the run ends"


def refuse(plan: Plan, place: int, stock: Stock, horizon: float, seq_len: int, end: float) -> str:
    """Why a horizon cannot be had of a stream whose run would end; empty when it can. As `Runs.create` refuses it.

    `end`: where the run would end, in samples.
    """
    share, cap = plan.shares[place] / ONE, plan.max_passes[place]
    wanted = share * horizon
    if cap is None or stock.left is None or plan.when_dry[place] != "stop" or wanted <= stock.left + 1:
        return ""
    if not stock.samples:
        return ""  # the run waits for its first part, which `ends` says
    passes = (stock.drawn + wanted) / stock.samples
    lasting = whole(min(end, stock.left / share)) * seq_len
    return (
        f"stream {plan.streams[place]} would be seen {passes:.2f} times in {round(horizon * seq_len):,} tokens"
        f"{' and those before' if stock.drawn else ''}; max_passes is {cap}: lower its share from {share:.6f} to at most "
        f"{math.floor(stock.left / horizon * 1e6) / 1e6:.6f}, the horizon to {lasting:,} "
        f"tokens, or set max_passes = {math.ceil(passes)}"
    )


def find_feasible(plan: Plan, seq_len: int, stocks: Sequence[Stock], horizon: float, course: Course, pins: Pins) -> Feasible:
    shares = nearest_shares(plan, [math.inf if s.left is None else s.left / horizon for s in stocks], pins)
    return Feasible(
        tokens=whole(course.end) * seq_len, shares=dict(zip(plan.streams, shares, strict=True)) if shares else {}
    )
