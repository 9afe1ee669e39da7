"""What `max_passes` forbids: the one rule by which a preview warns and a run is refused."""

import math
from typing import NamedTuple

import numpy as np

from mixer.errors import RunError
from mixer.mixture.plan import Plan
from mixer.order.closing import Course, Terms, follow_steps
from mixer.order.shares import ONE
from mixer.order.slots import even_out
from mixer.planning.standing import Standings, standing_in
from mixer.preview.course import Stock, say_end, whole
from streamer.catalog.catalog import Catalog


class Excess(NamedTuple):
    """A stream that would be seen `passes` times in all, above its `cap`. `most`: the share that would last."""

    stream: str
    passes: float
    cap: int
    share: float
    most: float
    was_drawn: bool

    def say(self, length: str, shorter: str) -> str:
        """One line. `length`: over which it holds; `shorter`: how the length could be lowered instead of the share."""
        before = " and those before" if self.was_drawn else ""
        return (
            f"stream {self.stream} would be seen {self.passes:.2f} times in {length}{before}; max_passes is {self.cap}: "
            f"lower its share from {self.share:.6f} to at most {math.floor(self.most * 1e6) / 1e6:.6f}, {shorter}or set "
            f"max_passes = {math.ceil(self.passes)}"
        )


def find_excess(plan: Plan, place: int, stock: Stock, horizon: float) -> Excess | None:
    """Whether a stream's share of `horizon` samples is more than its cap allows; None for one whose run then goes on.

    An empty stream never exceeds: its run waits for the first part.
    """
    share, cap = plan.shares[place] / ONE, plan.max_passes[place]
    if cap is None or stock.left is None or plan.when_dry[place] != "stop" or not stock.samples:
        return None
    wanted, room = share * horizon, max(0.0, stock.room)
    if wanted <= room:
        return None
    passes = (stock.drawn + stock.owed + wanted) / stock.samples
    return Excess(plan.streams[place], passes, cap, share, room / horizon, stock.drawn > 0)


def refuse(plan: Plan, place: int, stock: Stock, horizon: float, seq_len: int, end: float) -> str:
    """Why a horizon cannot be had of a stream; empty when it can. `end`: where the run would end, in samples.

    A horizon in tokens may be a little longer than its stream lasts: the samples in a budget of tokens are rounded down,
    which costs up to one in each pass.
    """
    excess = find_excess(plan, place, stock, horizon)
    if excess is None:
        return ""
    room = max(0.0, stock.room)
    lasting = room / excess.share
    if excess.share * horizon <= room + 1 and horizon <= lasting + excess.cap:
        return ""
    tokens = whole(min(end, lasting)) * seq_len
    return excess.say(f"{round(horizon * seq_len):,} tokens", f"the horizon to {tokens:,} tokens, ")


def course_of(
    catalog: Catalog, plan: Plan, standings: Standings, global_batch: int, num_steps: int
) -> tuple[Course, list[Stock]]:
    """How a run goes over the catalog as it is, and what its streams have. A stream that waits, or is empty, may grow."""
    places = [standing_in(standings, stream) for stream in plan.streams]
    owed = even_out(plan.shares, np.array([place.owed for place in places], np.int64)).tolist()
    stocks, room = list[Stock](), list[int | None]()
    for stream, cap, limit, when_dry, standing, debt in zip(
        plan.streams, plan.max_passes, plan.limit, plan.when_dry, places, owed, strict=True
    ):
        samples = catalog.stream(stream).samples if limit is None else min(catalog.stream(stream).samples, limit)
        left = None if when_dry == "wait" or not samples else standing.left(samples, cap)
        ahead = round(standing.asked / ONE)
        behind = (debt + standing.asked) / ONE - ahead
        stocks.append(Stock(samples, standing.drawn + ahead, None if left is None else max(0, left - ahead), 0.0, behind))
        room.append(None if left is None else left * ONE - standing.asked - debt)
    terms = Terms(plan.shares, plan.component, [when_dry == "share" for when_dry in plan.when_dry])
    return follow_steps(terms, room, global_batch, num_steps), stocks


def check_caps(
    catalog: Catalog,
    name: str,
    plan: Plan,
    num_steps: int,
    global_batch: int,
    standings: Standings,
    *,
    is_mean: bool = False,
) -> None:
    """Raises: RunError when a run could not last so many steps, whose streams have come so far.

    It lasts as long as segments could be planned for it. `is_mean`: the shares are a schedule's mean.
    """
    course, stocks = course_of(catalog, plan, standings, global_batch, num_steps)
    if course.steps >= num_steps:
        return
    place, horizon = course.halt, num_steps * global_batch
    excess = None if place is None else find_excess(plan, place, stocks[place], horizon)
    if excess is not None:
        shorter = "num_steps, " if is_mean else f"num_steps to {course.steps}, " if course.steps else ""
        mean = " (its mean over the schedule)" if is_mean else ""
        raise RunError(f"run {name}: {excess.say(f'{num_steps} steps{mean}', shorter)}")
    ends = "every stream has run dry" if place is None else say_end(plan, place, stocks)
    raise RunError(
        f"run {name}: {ends} after {course.steps:,} of its {num_steps:,} steps, because what dry streams leave goes to the "
        "others; lower num_steps, or raise max_passes or the shares of larger streams"
    )
