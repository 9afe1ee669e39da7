"""What chooses a run's shares, made of what somebody asked for: a mixture, a schedule of mixtures, or a policy.

Always holds: nothing is written; references without a version are pinned to the newest; a schedule whose mixtures do not
resolve now, or do not follow each other, is refused.
"""

from itertools import pairwise

from mixer.errors import RunError
from mixer.ledger.ledger import check_limits, check_tokens
from mixer.ledger.policy import Policy, scheduled
from mixer.mixture.plan import Plan
from mixer.mixture.versions import Versions
from mixer.steering.schedules import Schedule, average, bind_schedule


def bind_steering(
    mixtures: Versions, name: str, steering: Schedule | Policy | None, mixture: str | None, global_batch: int
) -> tuple[Policy | None, str]:
    """The policy of run `name`, a schedule's points in its batches, and the mixture to begin with.

    Raises: RunError for a schedule beside a mixture, or neither; MixtureError.
    """
    if isinstance(steering, Schedule):
        if mixture is not None:
            raise RunError(f"run {name}: its schedule names the mixtures; leave {mixture} out")
        shapes = {point.mixture: mixtures.load(point.mixture) for point in steering.point}
        lengths = sorted({found.seq_len for _, found in shapes.values()}) or [1]
        if len(lengths) > 1:
            raise RunError(f"run {name}: the schedule's mixtures have seq_len {lengths}; name mixtures of the same")
        policy = bind_schedule(
            steering, tokens_per_batch=global_batch * lengths[0], pin=lambda reference: shapes[reference][0]
        )
        check_schedule(mixtures, name, policy)
        return policy, policy.points[0].mixture
    if mixture is None:
        raise RunError(f"run {name} needs a mixture, or a schedule of them; see phasemix mixtures list")
    return steering, mixture


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


def first_plan(mixtures: Versions, policy: Policy | None, mixture: str, step: int) -> Plan:
    """The plan with which a policy, or a mixture, takes effect at a step. Raises: MixtureError."""
    if policy is not None and policy.points:
        return scheduled(policy, step, mixtures.resolve)[0]
    return mixtures.resolve(mixture)


def mean_plan(mixtures: Versions, policy: Policy | None, plan: Plan, start: int, end: int | None) -> Plan:
    """The plan, or of a schedule the mean over batches [start, end): what caps are checked with. Raises: MixtureError."""
    if policy is None or not policy.points or end is None or end <= start:
        return plan
    return average(policy, start, end, mixtures.resolve)
