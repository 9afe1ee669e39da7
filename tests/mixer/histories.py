"""Random lives of a run: streams, weights, growth, switches, crashes, on a catalog of tiny rows; and what it then reads."""

import contextlib
import copy
import os
import pickle
from collections.abc import Iterable, Iterator
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
from mixer.planning import planner
from mixer.planning.tables import Tables
from streamer import Catalog
from streamer.reading.snapshot_loader import ORIGIN
from streamer.store.directory_store import DirectoryStore
from streamer.store.store import Store

SCALE = int(os.environ.get("PHASEMIX_HISTORIES", "1"))
SEQ_LEN = 2
WEIGHTS = [0, 0, 1, 3, 50, 1000, "1e-3", "1e-6"]


class Part(NamedTuple):
    stream: int
    rows: int


class Switch(NamedTuple):
    weights: tuple[float | str, ...]


class Reopen(NamedTuple):
    """The reader dies and another one goes on."""


class History(NamedTuple):
    """`acts`: what happens, each after so many batches; `weights` and `parts` are there from the start.

    `interval`: batches between the states that planners keep.
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


def toml(history: History, weights: Iterable[float | str]) -> str:
    within = ", ".join(f"s{index:03d} = {weight}" for index, weight in enumerate(weights))
    cap = f'max_passes = {history.max_passes}\nwhen_dry = "{history.when_dry}"\n' if history.max_passes else ""
    head = f'name = "m"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
    return f"{head}within = {{ {within} }}\n{cap}"


def expected(life: Life) -> list[list[tuple[int, int]]]:
    """The batches of a life as the reference draws them."""
    found = draws(life.store, life.ledger, life.tables)
    return [batch for batch, _ in zip(found, life.origin, strict=False)]


def draws(store: Store, ledger: Ledger, tables: Tables) -> Iterator[list[tuple[int, int]]]:
    """Every batch of a ledger, and of those it forked from, as the reference draws it."""
    shards = []
    for index in range(len(ledger.streams)):
        table = tables(index)
        shards.append([(int(start), int(end - start)) for start, end in zip(table.starts, table.ends, strict=True)])
    return reference.order(
        ledger.pool_seed, ledger.settings.canonical_nodes, shards, segments(store, ledger, len(ledger.streams), ledger.end)
    )


def segments(store: Store, ledger: Ledger, width: int, end: int) -> list[tuple[Any, ...]]:
    """What the reference makes of the segments before a step, those of a fork's parent first."""
    found, own = [], ledger.settings
    assert own is not None
    if ledger.fork is not None and ledger.parent is not None:
        above = Journal(Catalog(store), ledger.parent.run).ledger
        found = segments(store, above, width, min(end, ledger.begin))
    for segment in ledger.segments:
        if segment.start < end:
            shares, totals, counts = (
                None if values is None else widen(values[:width], width).tolist()
                for values in (segment.shares, segment.totals, segment.counts)
            )
            found.append((min(segment.end, end) - segment.start, shares, totals, counts, own.seed, own.global_batch))
    return found
