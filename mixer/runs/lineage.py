"""Where a run of a lineage begins: what its parent had come to at a step.

Always holds: what is taken over is what the parent's ledger and states say of the batches before the step, whatever came
later; caps and passes go on from there.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mixer.errors import RunError, StepError
from mixer.journal.journal import Journal, line_of
from mixer.ledger.ledger import Ledger, Parent, Pool, check_limits, widen
from mixer.mixture.plan import Plan
from mixer.planning.standing import Standing, standings_of
from mixer.planning.states import State
from streamer.catalog.catalog import Catalog
from streamer.store.log import Body


class Arrival(NamedTuple):
    """What a run has come to at a step: `origin`, for a run that begins there; the `ledger` and `state` of that moment.

    `owner`: the ledger as it is now, of the run in whose own log the step stands.
    """

    origin: Parent
    owner: Ledger
    ledger: Ledger
    state: State


def go_on(catalog: Catalog, name: str, plan: Plan, parent: str, step: int | None, nodes: int) -> Parent:
    """Where a run of a lineage begins. Raises: RunError when the parent is absent, shorter, or does not fit."""
    come = come_to(catalog, name, parent, step)
    had = come.owner.settings.canonical_nodes
    if had != nodes:
        raise RunError(f"run {name}: its parent {parent} has {had} canonical nodes, not {nodes}; use as many")
    check_limits(name, plan, dict(zip(come.ledger.streams, come.ledger.totals, strict=True)))
    return come.origin


def come_to(catalog: Catalog, name: str, parent: str, step: int | None) -> Arrival:
    """What a run has come to at a step of its ledger (default: its end). Raises: StepError for one that is not in it."""
    line = line_of(catalog, parent)
    end = line.newest.ledger.end
    step = end if step is None else step
    if type(step) is not int or not 0 <= step <= end:
        raise StepError(f"run {name}: its parent {parent} has {end} batches in its ledger, not {step}; name one up to {end}")
    owner = line.owner(step)
    ledger, state = until(catalog.log(f"runs/{owner.run}/ledger").read(), step), owner.state(step)
    digest, seed = line.owner(step - 1).ledger.digest(step), owner.ledger.pool_seed
    origin = Parent(run=parent, step=step, ledger=digest, seed=seed, pools=pools(ledger, state))
    return Arrival(origin, owner.ledger, ledger, state)


def standings_in(journal: Journal) -> dict[str, Standing]:
    """How far a run and its lineage have come in each stream at its ledger's end."""
    return standings_of(journal.ledger, journal.state(journal.ledger.end))


def until(bodies: Sequence[Body], step: int) -> Ledger:
    """The ledger as it was when its segments first covered the batches before `step`."""
    return Ledger([body for body in bodies if body["event"] != "segment" or body["start"] < step])


def pools(ledger: Ledger, state: State) -> list[Pool]:
    """How far each stream has come in a state, which is one of the ledger's last segment."""
    drawn = widen(state.drawn, len(ledger.streams)).tolist()
    return [
        Pool(
            stream=stream,
            drawn=drawn[index],
            total=ledger.totals[index],
            snapshot=ledger.snapshots[index],
            parts=ledger.part_digests[index],
            eras=tuple(ledger.timelines[index].eras),
            lanes=[(low, number, given.tolist()) for (of, low), (number, given) in state.lanes.items() if of == index],
        )
        for index, stream in enumerate(ledger.streams)
    ]
