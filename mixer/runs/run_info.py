"""A run as it is now, for people and programs that ask."""

import msgspec

from mixer.ledger.ledger import Ledger
from mixer.mixture.plan import shares_of


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is now. `end_step`: global batches in its ledger; `shares` of the plan at its end, by stream.

    `num_steps` counts batches that are handed out, all but the `skipped`, as (start, batches). `fork`: the run is its
    `parent` up to `parent_step`; else only passes and caps of the parent count on. `state`: open, paused, ended (before
    its horizon, or without one) or complete (all of its num_steps are in the ledger).
    """

    name: str
    mixture: str
    seed: int
    global_batch: int
    seq_len: int
    canonical_nodes: int
    num_steps: int | None
    end_step: int
    ended: str | None
    shares: dict[str, float]
    paused: str | None = None
    parent: str | None = None
    parent_step: int | None = None
    fork: bool = False
    skipped: list[tuple[int, int]] = []
    policy: str = "fixed"
    state: str = "open"

    @property
    def state_line(self) -> str:
        """The state, with what is known of a pause or an end: `paused by operator: the loss rose`."""
        if self.state == "ended":
            return f"ended: {self.ended}"
        return self.paused if self.state == "paused" and self.paused else self.state

    @property
    def streams(self) -> list[str]:
        return list(self.shares)


def describe(name: str, ledger: Ledger) -> RunInfo:
    """What a ledger says of its run."""
    settings, plan, parent = ledger.settings, ledger.plans[ledger.plan_at(ledger.end)], ledger.parent
    policy = ledger.policy_at(ledger.end)
    return RunInfo(
        name=name,
        mixture=plan.mixture,
        seed=settings.seed,
        global_batch=settings.global_batch,
        seq_len=settings.seq_len,
        canonical_nodes=settings.canonical_nodes,
        num_steps=ledger.num_steps,
        end_step=ledger.end,
        ended=ledger.ended,
        shares=shares_of(plan),
        paused=ledger.paused,
        parent=None if parent is None else parent.run,
        parent_step=None if parent is None else parent.step,
        fork=ledger.fork is not None,
        skipped=[(start, end - start) for start, end in ledger.skips.stretches],
        policy="fixed" if policy is None else policy.name,
        state=state_of(ledger),
    )


def state_of(ledger: Ledger) -> str:
    """The one word for a run's state, the same on the command line, in the service's answers and on the page."""
    if ledger.is_at_horizon or (ledger.last_step is not None and ledger.end >= ledger.last_step and ledger.ended is None):
        return "complete"
    return "ended" if ledger.ended is not None else "paused" if ledger.paused is not None else "open"
