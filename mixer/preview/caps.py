"""What `max_passes` forbids: the one rule by which a preview warns and a run is refused."""

import math
from typing import NamedTuple

from mixer.errors import RunError
from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from mixer.preview.course import Stock, follow, whole
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
            f"lower its share from {self.share:.6f} to at most {math.floor(self.most * 1e6) / 1e6:.6f}, {shorter}, or set "
            f"max_passes = {math.ceil(self.passes)}"
        )


def find_excess(plan: Plan, place: int, stock: Stock, horizon: float) -> Excess | None:
    """Whether a stream whose run would end at its cap cannot last `horizon` samples of the run.

    An empty stream never exceeds: its run waits for the first part.
    """
    share, cap = plan.shares[place] / ONE, plan.max_passes[place]
    wanted = share * horizon
    if cap is None or stock.left is None or plan.when_dry[place] != "stop" or not stock.samples or wanted <= stock.left + 1:
        return None
    passes = (stock.drawn + wanted) / stock.samples
    return Excess(plan.streams[place], passes, cap, share, stock.left / horizon, stock.drawn > 0)


def refuse(plan: Plan, place: int, stock: Stock, horizon: float, seq_len: int, end: float) -> str:
    """Why a horizon cannot be had of a stream; empty when it can. `end`: where the run would end, in samples."""
    excess = find_excess(plan, place, stock, horizon)
    if excess is None:
        return ""
    assert stock.left is not None
    lasting = whole(min(end, stock.left / excess.share)) * seq_len
    return excess.say(f"{round(horizon * seq_len):,} tokens", f"the horizon to {lasting:,} tokens")


def check_caps(
    catalog: Catalog,
    name: str,
    plan: Plan,
    num_steps: int,
    global_batch: int,
    drawn: dict[str, int],
    *,
    is_mean: bool = False,
) -> None:
    """Raises: RunError when a run could not last so many steps, of whose streams so much was drawn before.

    A stream that is empty, or waits when dry, may grow: it is let through. `is_mean`: the shares are a schedule's mean.
    """
    horizon, stocks = num_steps * global_batch, []
    for stream, cap, limit, when_dry in zip(plan.streams, plan.max_passes, plan.limit, plan.when_dry, strict=True):
        samples, before = min(catalog.stream(stream).samples, limit if limit is not None else 1 << 62), drawn.get(stream, 0)
        grows = cap is None or when_dry == "wait" or not samples
        stocks.append(Stock(samples, before, None if grows or cap is None else max(0, cap * samples - before), 0.0))
    for place, stock in enumerate(stocks):
        excess = find_excess(plan, place, stock, horizon)
        if excess is not None:
            shorter = "num_steps" if is_mean else f"num_steps to {int(excess.most / excess.share * num_steps)}"
            mean = " (its mean over the schedule)" if is_mean else ""
            raise RunError(f"run {name}: {excess.say(f'{num_steps} steps{mean}', shorter)}")
    course = follow(plan, stocks, horizon)
    if course.end < horizon - len(stocks):
        raise RunError(
            f"run {name}: {course.ends} after about {int(course.end / global_batch):,} of its {num_steps:,} steps, because "
            "what dry streams leave goes to the others; lower num_steps, or raise max_passes or the shares of larger streams"
        )
