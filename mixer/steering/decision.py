"""What a run's policy makes of the shares at a step, from catalog, ledger and reports as they are now."""

import msgspec

from mixer.ledger.ancestry import Ancestry, L
from mixer.ledger.ledger import FORMAT, check_plan
from mixer.ledger.policy import Policy, scheduled
from mixer.ledger.reports import Report, Reports, standing
from mixer.mixture.plan import Plan
from mixer.mixture.versions import Versions
from mixer.steering.functions import chosen, spoken
from streamer.catalog.catalog import Catalog
from streamer.errors import StoreError
from streamer.store.log import Body


def steer(catalog: Catalog, line: Ancestry[L], policy: Policy, step: int) -> Body | None:
    """The entry by which the policy of the newest run of a line changes the shares at a step; None: they stay.

    A policy that fails leaves the shares as they are, and a note says so.
    """
    run, ledger = line.newest.run, line.newest.ledger
    entry: Body = {"format": FORMAT, "at_step": step, "by": policy.name, "steered": True}
    try:
        found = decide(catalog, line, policy, step)
        if found is not None:
            check_plan(run, ledger, found[0])
    except StoreError:
        raise
    except (Exception, SystemExit) as error:  # a function of somebody's may raise anything
        why = f"{policy.name} left the shares as they are: {spoken(str(error))}"
        return None if why == ledger.failure else {**entry, "event": "noted", "why": why}
    if found is None:
        return None
    return {**entry, "event": "switched", "plan": msgspec.to_builtins(found[0]), "why": found[1]}


def decide(catalog: Catalog, line: Ancestry[L], policy: Policy, step: int) -> tuple[Plan, str] | None:
    """The plan that a policy chooses, and why; None keeps the plan in force. Raises: what a policy's function raises."""
    if policy.points:
        return scheduled(policy, step, Versions(catalog).resolve)
    ledger = line.newest.ledger
    return chosen(policy, ledger.plans[ledger.plan_at(step)], ledger, reports_of(catalog, line))


def reports_of(catalog: Catalog, line: Ancestry[L]) -> list[Report]:
    """The reports on a run's batches; of a fork also its parents' on those before its own."""
    found: list[Report] = []
    for span in line.oldest_first():
        found += [report for report in Reports(catalog, span.of.run).read() if report.end_step <= span.end]
    return standing(found)
