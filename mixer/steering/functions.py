"""Function policies: found by name, asked, and their answer checked.

A function policy is a function installed under the entry point group `phasemix.policies`:

    def choose(ledger: Ledger, reports: list[Report], **arguments) -> Choice | None

It returns None to keep the current shares, and must not modify its arguments; see `mixer/steering/loss_fed.py`.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import EntryPoint, entry_points

import msgspec

from mixer.errors import RunError
from mixer.ledger.ledger import Ledger
from mixer.ledger.policy import Policy
from mixer.ledger.reports import Report
from mixer.mixture.plan import Plan
from mixer.order.shares import to_shares
from streamer.catalog.names import whole_text

GROUP = "phasemix.policies"
MOST_SAID = 1000  # characters of a reason


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a function policy answers: a share of each stream, summing to 1, and the reason, kept as one line."""

    shares: dict[str, float]
    reason: str


def installed() -> dict[str, EntryPoint]:
    """The policies that are installed here, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def find_function(name: str) -> Callable[..., Choice | None]:
    """Raises: RunError that names the policies there are, or for one that cannot be imported."""
    have = installed()
    if name not in have:
        raise RunError(
            f"no policy {name!r} is installed here; there are {', '.join(sorted(have)) or 'none'}: install the package that "
            f"has it under the entry point group {GROUP}, or switch the run to a mixture"
        )
    try:
        function: Callable[..., Choice | None] = have[name].load()
    except Exception as error:  # a module of somebody's may raise anything
        raise RunError(
            f"policy {name}, {have[name].value}, cannot be imported: {type(error).__name__}: {error}; mend its package"
        ) from error
    return function


def chosen(policy: Policy, plan: Plan, ledger: Ledger, reports: Sequence[Report]) -> tuple[Plan, str] | None:
    """What a function policy makes of the plan in force; None leaves it. Raises: RunError, what the function raises."""
    choice = find_function(policy.name)(ledger, list(reports), **policy.arguments)
    if choice is None:
        return None
    given = {name: float(share) for name, share in choice.shares.items()}  # numpy's too
    unknown = sorted(set(given) - set(plan.streams))
    total = sum(given.values())
    if unknown or abs(total - 1) > 1e-9 or not all(0 <= share <= 1 for share in given.values()):
        what = f"a share of {unknown[0]}, which is not in {plan.mixture}" if unknown else f"shares that sum to {total:.10g}"
        raise RunError(f"policy {policy.name} gave {what}; it must give streams of the mixture shares that sum to 1")
    shares = to_shares([Fraction(given.get(name, 0)) for name in plan.streams])
    return msgspec.structs.replace(plan, shares=shares), f"{policy.name}: {spoken(choice.reason)}"


def spoken(text: str) -> str:
    """What somebody's function says, as a ledger's entry may hold it: one line, not long, UTF-8."""
    return whole_text(" ".join(text.split()))[:MOST_SAID]
