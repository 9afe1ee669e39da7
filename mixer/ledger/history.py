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


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `event`: created, forked, switched, lengthened, skipped, dry, paused, resumed, ended or noted.

    `step`: from which batch on it holds, else where the ledger ended then. `shares` by component. `run`: in whose log it is;
    `at_s`: the writer's clock, None for segments and in old entries.
    """

    step: int
    event: str
    run: str
    mixture: str | None = None
    by: str | None = None
    why: str | None = None
    at_s: float | None = None
    shares: dict[str, float] | None = None


def events(run: str, bodies: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The events of one log."""
    found: list[Event] = []
    streams, plans, end, dry = list[str](), dict[int, Plan](), 0, None
    for number, body in enumerate(bodies):
        with understood(number):
            kind, step, mixture, shares, why = body["event"], end, None, None, body.get("why")
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
                mixture, shares, step = plan.mixture, by_component(plan, plan.shares), body.get("at_step", step)
            elif kind == "segment":
                end = body["start"] + body["batches"]
                if "counts" in body:  # a closing batch, behind which the shares are others again
                    continue
                before, dry = dry, body.get("reason")
                if dry is None or dry == before or "shares" not in body:
                    continue
                plan, of = plans[body["plan"]], dict(zip(streams, body["shares"], strict=False))
                kind, why, step = "dry", dry, body["start"]
                mixture, shares = plan.mixture, by_component(plan, [of.get(name, 0) for name in plan.streams])
            elif kind == "lengthened":
                why = f"to {body['num_steps']:,} steps" + (f": {why}" if why else "")
            elif kind == "skipped":
                step = body["start"]
                why = f"{body['batches']:,} batches" + (f": {why}" if why else "")
            elif kind == "ended":
                why = body["reason"]
            found.append(
                Event(
                    step=body.get("at_step", step), event=kind, run=run, mixture=mixture, by=body.get("by"), why=why,
                    at_s=body.get("at_s"), shares=shares,
                )
            )  # fmt: skip
    return found


def history(catalog: Catalog, line: Ancestry[L]) -> list[Event]:
    """What happened to a run, in order, a fork's parent up to its step first."""
    return [
        event
        for span in line.oldest_first()
        for event in events(span.of.run, catalog.log(f"runs/{span.of.run}/ledger").read())
        if event.step < span.end or event.event == "created"
    ]


def by_component(plan: Plan, shares: Sequence[int]) -> dict[str, float]:
    """Shares of a plan's components, from those of its streams."""
    found: dict[str, int] = {}
    for component, share in zip(plan.component, shares, strict=True):
        found[component] = found.get(component, 0) + share
    return {component: share / ONE for component, share in found.items()}
