"""Random lives of a run: streams, weights, growth, switches, crashes, on a catalog of tiny rows; and what it then reads."""

import contextlib
import copy
import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import numpy.typing as npt
import reference
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mixer import Mixtures, RunEnded, RunReader, Runs, WaitError
from mixer.journal.journal import Journal
from mixer.ledger.ledger import Ledger, widen
from mixer.order.ranges import StreamShards
from mixer.planning import planner
from mixer.planning.tables import Tables
from streamer import Catalog
from streamer.reading.snapshot_loader import ORIGIN
from streamer.store.directory_store import DirectoryStore
from streamer.store.log import Body
from streamer.store.store import Store

SCALE = int(os.environ.get("PHASEMIX_HISTORIES", "1"))
SEQ_LEN = 2
WEIGHTS = [0, 0, 1, 3, 50, 1000, "1e-3", "1e-6"]
SMALL_WEIGHTS = [0, 1, 1, 2, 3, 7, 20, 100, 1000]
LONG = 1500  # batches


class Part(NamedTuple):
    stream: int
    rows: int


class Switch(NamedTuple):
    weights: tuple[float | str, ...]


class Reopen(NamedTuple):
    """The reader dies and another one goes on."""


class Others(NamedTuple):
    """A second component, of every second stream."""

    share: str
    max_passes: int | None
    when_dry: str


class History(NamedTuple):
    """`acts`: what happens, each after so many batches; `weights` and `parts` are there from the start.

    `interval`: batches between the states that planners keep. `others`: without it all streams are one component's.
    """

    seed: int
    nodes: int
    global_batch: int
    segment_batches: int
    max_passes: int | None
    when_dry: str
    weights: tuple[float | str, ...]
    parts: tuple[Part, ...]
    acts: tuple[tuple[int, Part | Switch | Reopen], ...]
    interval: int = planner.INTERVAL
    others: Others | None = None


class Life(NamedTuple):
    """What came of a history: `origin` (batches, G) as read, `rows` the same as (stream, row in the log's order)."""

    history: History | None
    store: Store
    ledger: Ledger
    tables: Tables
    origin: npt.NDArray[Any]
    streams: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    ended: str | None


@st.composite
def histories(draw: st.DrawFn, *, most_streams: int = 12, most_batches: int = 60) -> History:
    nodes = draw(st.sampled_from([1, 1, 1, 2, 4]))
    width = draw(st.integers(1, most_streams if nodes == 1 else 3))
    rows = st.sampled_from([1, 2, 3, 7, 16, 40, 90] if nodes == 1 else [5, 300, 600, 1100])
    weights = st.tuples(*[st.sampled_from(WEIGHTS)] * width).filter(lambda found: any(found))
    part = st.builds(Part, st.integers(0, width - 1), rows)
    act = st.one_of(part, st.builds(Switch, weights), st.just(Reopen()))
    gaps = st.integers(1, 12)
    acts, left = [], most_batches
    for gap, what in draw(st.lists(st.tuples(gaps, act), max_size=9)):
        acts.append((min(gap, left), what))
        left -= min(gap, left)
    return History(
        seed=draw(st.integers(0, 2**40)),
        nodes=nodes,
        global_batch=nodes * draw(st.sampled_from([1, 2, 3, 6, 16, 48] if nodes == 1 else [1, 4, 12, 16])),
        segment_batches=draw(st.sampled_from([1, 2, 5, 32])),
        max_passes=draw(st.sampled_from([None, None, 1, 3])),
        when_dry=draw(st.sampled_from(["stop", "wait", "share"])),
        weights=draw(weights),
        parts=tuple(Part(index, draw(rows)) for index in range(width)) + tuple(draw(st.lists(part, max_size=4))),
        acts=(*acts, (left, Reopen())),
        interval=draw(st.sampled_from([1, 2, 3, 5, 8, 13, 21, planner.INTERVAL])),
    )


@st.composite
def drying_histories(draw: st.DrawFn) -> History:
    """Histories of few rows and small shares in one component or two, read until the run ends or waits, or for long."""
    width = draw(st.integers(2, 10))
    weights = st.tuples(*[st.sampled_from(SMALL_WEIGHTS)] * width).filter(lambda found: any(found[::2]) and any(found[1::2]))
    rows = st.sampled_from([1, 2, 3, 5, 9, 16, 30, 60, 400])
    part = st.builds(Part, st.integers(0, width - 1), rows)
    act = st.one_of(part, part, st.builds(Switch, weights), st.just(Reopen()))
    many = st.builds(lambda index, rows: [(1, Part(index, rows))] * 40, st.integers(0, width - 1), st.integers(1, 3))
    when = st.sampled_from(["stop", "wait", "share", "share"])
    passes = st.sampled_from([1, 1, 2, 3])
    gaps = st.sampled_from([0, 1, 2, 5, 15, 40])
    others = st.builds(Others, st.sampled_from(["1e-3", "0.05", "0.3", "0.5"]), st.one_of(st.none(), passes), when)
    return History(
        seed=draw(st.integers(0, 2**40)),
        nodes=1,
        global_batch=draw(st.sampled_from([1, 2, 3, 8, 16, 40])),
        segment_batches=draw(st.sampled_from([1, 1, 2, 5, 32])),
        max_passes=draw(passes),
        when_dry=draw(when),
        weights=draw(weights),
        parts=tuple(Part(index, draw(rows)) for index in range(width)),
        acts=(
            *draw(st.one_of(st.just([]), st.just([]), many)),
            *draw(st.lists(st.tuples(gaps, act), max_size=8)),
            (LONG, Reopen()),
        ),
        others=draw(st.one_of(st.none(), others)),
    )


@contextlib.contextmanager
def kept_every(interval: int) -> Iterator[None]:
    """Planners that are made inside keep a state at every so many batches, with and without lanes."""
    with mock.patch.multiple(planner, INTERVAL=interval, LANED_INTERVAL=interval):
        yield


def reopened(reader: RunReader, store: Store) -> RunReader:
    """The reader as a process gets it that it is sent to; a store in memory cannot be sent."""
    return pickle.loads(pickle.dumps(reader)) if isinstance(store, DirectoryStore) else copy.copy(reader)


def live(history: History, store: Store) -> Life:
    """Builds the catalog, lives the history and reads every batch as it goes."""
    catalog = Catalog(store)
    for part in history.parts:
        publish(catalog, part)
    first = Mixtures(catalog).apply(toml(history, history.weights))
    Runs(catalog).create(
        "a",
        mixture=first,
        seed=history.seed,
        global_batch=history.global_batch,
        canonical_nodes=history.nodes,
        segment_batches=history.segment_batches,
    )
    reader, origins, ended = RunReader(store, "a"), [], None
    for batches, what in history.acts:
        ended = read(reader, batches, origins)
        if ended is not None and Runs(catalog).show("a").ended:
            break
        match what:
            case Part():
                publish(catalog, what)
            case Switch():
                Runs(catalog).switch("a", Mixtures(catalog).apply(toml(history, what.weights)))
            case Reopen():
                reader = RunReader(store, "a")
    return as_seen(history, store, reader, origins, ended)


def read_on(store: Store, run: str, *, batches: int) -> Life:
    """Reads a run from its start."""
    reader, origins = RunReader(store, run), list[npt.NDArray[Any]]()
    ended = read(reader, batches, origins)
    return as_seen(None, store, reader, origins, ended)


def read(reader: RunReader, batches: int, origins: list[npt.NDArray[Any]]) -> str | None:
    """Reads on behind what was read; why it stopped before so many batches, or None."""
    try:
        for _ in range(batches):
            origins.append(reader.read(len(origins)).origin)
    except (RunEnded, WaitError) as error:
        return str(error)
    return None


def as_seen(
    history: History | None, store: Store, reader: RunReader, origins: list[npt.NDArray[Any]], ended: str | None
) -> Life:
    ledger = reader._journal.ledger
    tables = Tables(Catalog(store), ledger, "a")
    found = np.array(origins) if origins else np.zeros((0, reader.settings.global_batch), ORIGIN)
    return Life(history, store, ledger, tables, found, *places(tables, found), ended)


def places(tables: Tables, origin: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The stream of each row, and its number there in the log's order."""
    streams = origin["stream"].astype(np.int64)
    rows = np.zeros_like(streams)
    for index in np.unique(streams).tolist():
        table = tables(index)
        here = streams == index
        rows[here] = table.starts[np.searchsorted(table.part, origin["part"][here])] + origin["row"][here]
    return streams, rows


def examples(number: int) -> settings:
    """So many random examples; `make test-deep` takes more."""
    return settings(max_examples=number * SCALE, deadline=None, suppress_health_check=list(HealthCheck))


def publish(catalog: Catalog, part: Part) -> None:
    rows = np.arange(part.rows * SEQ_LEN, dtype=np.uint16).reshape(-1, SEQ_LEN)
    catalog.append(f"raw/s{part.stream:03d}", rows, seq_len=SEQ_LEN)


def toml(history: History, weights: Sequence[float | str]) -> str:
    """The mixture of a history with these weights of its streams."""
    own = (1 if history.others is None else f"{1 - float(history.others.share):.6f}", history.max_passes, history.when_dry)
    components = [(own, range(len(weights)))]
    if history.others is not None:
        components = [(own, range(0, len(weights), 2)), (history.others, range(1, len(weights), 2))]
    text = f'name = "m"\nseq_len = {SEQ_LEN}\n'
    for number, ((share, max_passes, when_dry), indices) in enumerate(components):
        names = ", ".join(f'"raw/s{index:03d}"' for index in indices)
        within = ", ".join(f"s{index:03d} = {weights[index]}" for index in indices)
        text += f'[[component]]\nname = "c{number}"\nstreams = [{names}]\nshare = {share}\n'
        text += f"within = {{ {within} }}\n"
        text += f'max_passes = {max_passes}\nwhen_dry = "{when_dry}"\n' if max_passes else ""
    return text


def expected(life: Life, run: str = "a") -> tuple[list[list[tuple[int, int]]], str | None]:
    """The batches of a life as the reference draws them, and why it says that no more come."""
    found = draws(life.store, run, ahead=0 if life.ended is None else 1)
    batches = list(islice(found, len(life.origin)))
    following = next(found, None)
    return batches, following if isinstance(following, str) else None


def draws(store: Store, run: str, *, ahead: int = 0) -> Iterator[list[tuple[int, int]] | str]:
    """Every batch of a run, and of those it forked from, as the reference draws it, and so many that its log lacks."""
    ledger, shards = Journal(Catalog(store), run).ledger, []
    snapshots = [Catalog(store).stream(name) for name in ledger.streams]
    for snapshot in snapshots:
        table = StreamShards(snapshot, 0)
        shards.append([(int(start), int(end - start)) for start, end in zip(table.starts, table.ends, strict=True)])
    found = segments(store, run, len(ledger.streams), ledger.end)
    if ahead:
        totals = [snapshot.samples for snapshot in snapshots]
        rows = plan_rows(ledger, ledger.plan_at(ledger.end), len(totals))
        found.append((ahead, rows, totals, [], ledger.settings.seed, ledger.settings.global_batch))
    return reference.order(ledger.pool_seed, ledger.settings.canonical_nodes, shards, found)


def segments(store: Store, run: str, width: int, end: int) -> list[tuple[Any, ...]]:
    """What the reference makes of the segments before a step, those of a fork's parent first."""
    ledger, found = Journal(Catalog(store), run).ledger, list[tuple[Any, ...]]()
    if ledger.fork is not None and ledger.parent is not None:
        found = segments(store, ledger.parent.run, width, min(end, ledger.begin))
    late = late_joins(ledger, Catalog(store).log(f"runs/{run}/ledger").read())
    for segment in ledger.segments:
        if segment.start < end:
            totals = widen(segment.totals[:width], width).tolist()
            rows, joining = plan_rows(ledger, segment.plan, width), late.get(segment.start, [])
            batches = min(segment.end, end) - segment.start
            found.append((batches, rows, totals, joining, ledger.settings.seed, ledger.settings.global_batch))
    return found


def plan_rows(ledger: Ledger, entry: int, width: int) -> list[tuple[int, str, int | None, str]]:
    """What a plan says of each stream: share, component, max_passes and when_dry; those that it does not have are absent."""
    plan = ledger.plans[entry]
    rows = zip(plan.shares, plan.component, plan.max_passes, plan.when_dry, strict=True)
    found = dict(zip(plan.streams, rows, strict=True))
    return [found.get(name, (0, "", None, "wait")) for name in ledger.streams[:width]]


def late_joins(ledger: Ledger, bodies: Iterable[Body]) -> dict[int, list[int]]:
    """The streams whose rows had waited and joined at a step, though no new ones came."""
    known = dict(enumerate(pool.total for pool in ledger.parent.pools)) if ledger.parent is not None else {}
    found: dict[int, list[int]] = {}
    for body in bodies:
        for index, total, *_ in body.get("joins", []):
            if total == known.get(index):
                found.setdefault(body["start"], []).append(index)
            known[index] = total
    return found
