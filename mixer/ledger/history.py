"""What happened to a run, for people: which mixture when, by whom and why.

Always holds: the ledger's entries in their order, without the segments, except where shares changed because a stream
ran dry.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mixer.ledger.ancestry import Ancestry, L
from mixer.ledger.ledger import understood
from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from streamer.catalog.catalog import Catalog
from streamer.wording import listed


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `event`: created, forked, switched, lengthened, skipped, redacted, dry, paused, resumed, ended or noted;
    and `ramped` from `fold_ramps`.

    `step`: from which batch on it holds, else where the ledger ended then. `shares` by component, `keys` by key, and
    `shares_before` and `keys_before` those that held until then; None where the event changed none. `run`: in whose log it
    is; `at_s`: the writer's clock, None for segments and in old entries.
    """

    step: int
    event: str
    run: str
    mixture: str | None = None
    by: str | None = None
    why: str | None = None
    at_s: float | None = None
    shares: dict[str, float] | None = None
    shares_before: dict[str, float] | None = None
    keys: dict[str, float] | None = None
    keys_before: dict[str, float] | None = None


def events(run: str, bodies: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The events of one log."""
    found: list[Event] = []
    streams, plans, end, dry = list[str](), dict[int, Plan](), 0, None
    for number, body in enumerate(bodies):
        with understood(number):
            kind, step, mixture, why = body["event"], end, None, body.get("why")
            shares: dict[str, float] | None = None
            keys: dict[str, float] | None = None
            if kind == "created":
                parent: Mapping[str, Any] = body.get("parent") or {"pools": []}
                streams += [pool["stream"] for pool in parent["pools"]]
                if "fork" in body:
                    kind, step, end = "forked", parent["step"], parent["step"]
                    skipped = sum(batches for start, batches in body["fork"]["skipped"] if start >= step)
                    origin = f"from {parent['run']}" + (f", {skipped:,} batches skipped" if skipped else "")
                    why = origin if why is None else f"{origin}: {why}"
            if "plan" in body and kind != "segment":
                plan = plans[number] = msgspec.convert(body["plan"], Plan)
                streams += [name for name in plan.streams if name not in streams]
                mixture, step = plan.mixture, body.get("at_step", step)
                shares, keys = by_component(plan, plan.shares), by_key(plan, plan.shares)
            elif kind == "segment":
                end = body["start"] + body["batches"]
                if "counts" in body:  # a closing batch, behind which the shares are others again
                    continue
                before, dry = dry, body.get("reason")
                if dry is None or dry == before or "shares" not in body:
                    continue
                plan, of = plans[body["plan"]], dict(zip(streams, body["shares"], strict=False))
                kind, why, step = "dry", dry, body["start"]
                now = [of.get(name, 0) for name in plan.streams]
                mixture, shares, keys = plan.mixture, by_component(plan, now), by_key(plan, now)
            elif kind == "lengthened":
                why = f"to {body['num_steps']:,} steps" + (f": {why}" if why else "")
            elif kind == "skipped":
                step = body["start"]
                why = f"{body['batches']:,} batches" + (f": {why}" if why else "")
            elif kind == "redacted":
                why = "documents of " + listed([streams[index] for index, _ in body["streams"]])
            elif kind == "ended":
                why = body["reason"]
            found.append(
                Event(
                    step=body.get("at_step", step), event=kind, run=run, mixture=mixture, by=body.get("by"), why=why,
                    at_s=body.get("at_s"), shares=shares, keys=keys,
                )
            )  # fmt: skip
    return found


def history(catalog: Catalog, line: Ancestry[L]) -> list[Event]:
    """What happened to a run, in order, a fork's parent up to its step first."""
    found, shares, keys = list[Event](), None, None
    for span in line.oldest_first():
        for event in events(span.of.run, catalog.log(f"runs/{span.of.run}/ledger").read()):
            if event.step < span.end or event.event == "created":
                if event.keys is not None:
                    event = msgspec.structs.replace(event, shares_before=shares, keys_before=keys)
                    shares, keys = event.shares, event.keys
                found.append(event)
    return found


def fold_ramps(found: Sequence[Event]) -> list[Event]:
    """The events with the steps of each ramp from one mixture to another as one event, called `ramped`."""
    folded: list[Event] = []
    for event in found:
        last = folded[-1] if folded else None
        is_step = event.event == "switched" and event.mixture is not None and ".." in event.mixture
        if last is not None and last.event == "ramped" and event.event == "switched" and event.by == last.by:
            ends = event.mixture == (last.mixture or "").partition("..")[2]
            if ends or event.mixture == last.mixture:
                why = f"until step {event.step:,}" + ("" if ends else f"; {event.why}")
                folded[-1] = msgspec.structs.replace(last, keys=event.keys, shares=event.shares, why=why)
                continue
        folded.append(msgspec.structs.replace(event, event="ramped") if is_step else event)
    return folded


def by_component(plan: Plan, shares: Sequence[int]) -> dict[str, float]:
    """Shares of a plan's components, from those of its streams."""
    return summed(plan.component, shares)


def by_key(plan: Plan, shares: Sequence[int]) -> dict[str, float]:
    """Shares of a plan's keys, from those of its streams."""
    return summed([name.split("/")[1] for name in plan.streams], shares)


def summed(names: Sequence[str], shares: Sequence[int]) -> dict[str, float]:
    """Shares in 1/ONE by name, as parts of one."""
    found: dict[str, int] = {}
    for name, share in zip(names, shares, strict=True):
        found[name] = found.get(name, 0) + share
    return {name: share / ONE for name, share in found.items()}
