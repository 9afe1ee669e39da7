"""How a run over fixed stocks goes: what is drawn, what runs dry when, and where the run ends.

Always holds: pure; the rules are those of `segment.plan_segment` with samples as real numbers.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixer.mixture.plan import Plan
from mixer.order.shares import ONE

Reals = npt.NDArray[np.float64]
ALMOST = 1e-3  # samples left below which a stream is dry, for reals are rounded


class Stock(NamedTuple):
    """What a stream has, in samples: it gives `samples`, `drawn` were drawn before, `left` may be until its cap.

    `owed`: by how much a run's draws of it are behind its share, negative where they are ahead.
    """

    samples: int
    drawn: int
    left: int | None
    growth_tokens_per_s: float
    owed: float = 0.0

    @property
    def room(self) -> float:
        """What may still be asked of it by its share; infinite without a limit."""
        return math.inf if self.left is None else self.left - self.owed


class Course(NamedTuple):
    """How a run over fixed stocks goes, in samples: draws at the horizon, when streams ran dry, where and why it ends."""

    drawn: Reals
    dry_at: Reals
    end: float
    ends: str


def whole(samples: float) -> int:
    """Whole samples; what shares in 1/ONE lack to one counts as one."""
    return math.floor(samples + 0.01)


def follow(plan: Plan, stocks: Sequence[Stock], horizon: float) -> Course:
    """Draws by shares until a stream is dry, then by what `when_dry` says, and so on until nothing more runs dry."""
    left = np.array([stock.room for stock in stocks], np.float64)
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
        dry = (left < ALMOST + position * len(left) / ONE) & (share > 0)  # shares are integers: each is off by up to 1 / ONE
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
