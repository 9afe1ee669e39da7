"""Where a run of a lineage begins: what its parent had come to at a step.

Always holds: what is taken over is what the parent's ledger and states say of the batches before the step, whatever came
later; caps and passes go on from there.
"""

from collections.abc import Sequence

from mixer.errors import RunError, StepError
from mixer.journal.journal import Forecast, Journal, open_owner
from mixer.ledger.ledger import Ledger, Parent, Pool, check_limits, widen
from mixer.mixture.plan import Plan
from mixer.planning.states import State
from streamer.catalog.catalog import Catalog
from streamer.store.log import Body


def go_on(catalog: Catalog, name: str, plan: Plan, parent: str, step: int | None, nodes: int) -> Parent:
    """Where a run of a lineage begins. Raises: RunError when the parent is absent, shorter, or does not fit."""
    settings = Forecast(catalog, parent).ledger.settings
    if settings.canonical_nodes != nodes:
        raise RunError(
            f"run {name}: its parent {parent} has {settings.canonical_nodes} canonical nodes, not {nodes}; use as many"
        )
    origin, ledger, _ = come_to(catalog, name, parent, step)
    check_limits(name, plan, dict(zip(ledger.streams, ledger.totals, strict=True)))
    return origin


def come_to(catalog: Catalog, name: str, parent: str, step: int | None) -> tuple[Parent, Ledger, State]:
    """What a run has come to at a step of its ledger (default: its end), with its ledger and state there."""
    end = Forecast(catalog, parent).ledger.end
    step = end if step is None else step
    if type(step) is not int or not 0 <= step <= end:
        raise StepError(f"run {name}: its parent {parent} has {end} batches in its ledger, not {step}; name one up to {end}")
    owner = open_owner(catalog, parent, step)
    ledger, state = until(catalog.log(f"runs/{owner.run}/ledger").read(), step), owner.state(step)
    digest = open_owner(catalog, parent, step - 1).ledger.digest(step)
    origin = Parent(run=parent, step=step, ledger=digest, seed=owner.ledger.pool_seed, pools=pools(ledger, state))
    return origin, ledger, state


def drawn_by(parent: Parent | None) -> dict[str, int]:
    """Draws of each stream by a lineage before a run of it."""
    return {} if parent is None else {pool.stream: pool.drawn for pool in parent.pools}


def drawn_in(journal: Journal) -> dict[str, int]:
    """Draws of each stream by a run and its lineage up to its ledger's end."""
    ledger = journal.ledger
    drawn = widen(journal.state(ledger.end).drawn, len(ledger.streams)).tolist()
    return dict(zip(ledger.streams, drawn, strict=True))


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
            eras=tuple(ledger.timelines[index].eras),
            lanes=[(low, number, given.tolist()) for (of, low), (number, given) in state.lanes.items() if of == index],
        )
        for index, stream in enumerate(ledger.streams)
    ]
