"""What chooses a run's shares, made of what somebody asked for: a mixture, a schedule of mixtures, or a policy.

Always holds: nothing is written; references without a version are pinned to the newest; a schedule whose mixtures do not
resolve now, or do not follow each other, is refused.
"""

from itertools import pairwise
from typing import NamedTuple

from mixer.errors import RunError
from mixer.ledger.ledger import Ledger, check_limits, check_tokens
from mixer.ledger.policy import Policy, scheduled
from mixer.mixture.plan import Plan
from mixer.mixture.versions import Versions
from mixer.steering.schedules import Schedule, average, bind_schedule


class Bound(NamedTuple):
    """What chooses a run's shares from a step on: a plan, perhaps a policy that changes it; `seq_len` of its mixtures."""

    plan: Plan
    policy: Policy | None
    seq_len: int

    @classmethod
    def of(cls, ledger: Ledger, step: int) -> "Bound":
        """What a run is bound to at a step."""
        return cls(ledger.plans[ledger.plan_at(step)], ledger.policy_at(step), ledger.settings.seq_len)

    def mean(self, mixtures: Versions, start: int, end: int | None) -> Plan:
        """The plan, or of a schedule the mean over batches [start, end): what caps are checked with.

        Raises: MixtureError.
        """
        if self.policy is None or not self.policy.points or end is None or end <= start:
            return self.plan
        return average(self.policy, start, end, mixtures.resolve)


def bind(
    mixtures: Versions, name: str, steering: Schedule | Policy | None, mixture: str | None, global_batch: int, step: int
) -> Bound:
    """What run `name` is bound to from a step on, a schedule's points in its batches.

    Raises: RunError for a schedule beside a mixture, or neither; MixtureError.
    """
    if not isinstance(steering, Schedule):
        if mixture is None:
            raise RunError(f"run {name} needs a mixture, or a schedule of them; see phasemix mixtures list")
        return Bound(mixtures.resolve(mixture), steering, mixtures.load(mixture)[1].seq_len)
    if mixture is not None:
        raise RunError(f"run {name}: its schedule names the mixtures; leave {mixture} out")
    found = {point.mixture: mixtures.load(point.mixture) for point in steering.point}
    lengths = sorted({version.seq_len for _, version in found.values()}) or [1]
    if len(lengths) > 1:
        raise RunError(f"run {name}: the schedule's mixtures have seq_len {lengths}; name mixtures of the same")
    policy = bind_schedule(steering, tokens_per_batch=global_batch * lengths[0], pin=lambda reference: found[reference][0])
    check_schedule(mixtures, name, policy)
    return Bound(scheduled(policy, step, mixtures.resolve)[0], policy, lengths[0])


def check_schedule(mixtures: Versions, name: str, policy: Policy) -> None:
    """Raises: MixtureError for a mixture that does not resolve now, RunError for two that do not follow each other."""
    plans = [mixtures.resolve(point.mixture) for point in policy.points]
    for before, after in pairwise(plans):
        check_tokens(name, before, after)
        drawn_from = {
            stream: mixtures.catalog.stream(stream).samples if limit is None else limit
            for stream, share, limit in zip(before.streams, before.shares, before.limit, strict=True)
            if share
        }
        check_limits(name, after, drawn_from)
