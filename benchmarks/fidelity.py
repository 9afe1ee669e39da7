"""How true to its shares the order is, and how often a sample comes: phasemix as `RunReader` gives it, StreamingDataset.

Samples are known by their tokens. `error_samples`: the worst distance of a stream's count from its cumulative target,
after every batch; after a switch also the distance of the first batch from the new shares. `rank_error_points`: the worst
distance of a stream's share from its target, over any 240 batches of one of 16 ranks, in points. `repeats`: draws of a
sample before its pass ended; `drops`: samples of a finished pass never drawn; `longest_run` of one stream over the order
of slots. Targets are of phasemix alone. A line of StreamingDataset is refused where a batch would lack a stream.
"""

import multiprocessing
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.report import Report, main
from benchmarks.streaming_order import Ids, Order, Stretch, orders
from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.reading.export import export_shares

SAMPLES = {
    "python": 12_000, "java": 9_000, "cpp": 7_000, "go": 4_000, "rust": 2_500, "sql": 1_500, "shell": 700, "dart": 300
}  # fmt: skip
RANKS, WINDOW = 16, 240
WORLDS = (16, 8, 2)
SIZE = 32 * RANKS
TURN, END = 96, 480  # steps at which something happens, and at which the lives end
RANK_TARGETS = {32: 1.25, 8: 4.0, 2: 12.0}  # points, by rows a rank
METHODS = ("random", "stratified", "per_stream")
GOLDEN = (3 + 5**0.5) / 2
LOCKING = (GOLDEN, GOLDEN + 1, 2 * GOLDEN)  # samples a batch whose shares lock with a golden rotation

Shares = npt.NDArray[np.float64]
MIXED: Shares = np.array([0.25, 0.21, 0.17, 0.13, 0.10, 0.07, 0.05, 0.02])
HALF: Shares = np.array([0.5, *MIXED[1:] / 1.5])


class Drawn(NamedTuple):
    """What was drawn: `ids` (batches, slots), stream << 32 | row. By batch and stream: the shares, and how many rows
    there were."""

    ids: Ids
    shares: Shares
    totals: Ids

    @property
    def streams(self) -> Ids:
        return self.ids >> 32


def worst_error(drawn: Drawn, first: int = 0) -> float:
    """In samples, after each batch from `first` on; that batch by itself, too."""
    counts = (drawn.streams[:, :, None] == np.arange(len(SAMPLES))).sum(axis=1)
    errors = counts - drawn.shares * drawn.ids.shape[1]
    return float(max(np.abs(np.cumsum(errors, axis=0)[first:]).max(), np.abs(errors[first]).max()))


def worst_rank_error(drawn: Drawn) -> float:
    """In points, over any `WINDOW` batches of one of `RANKS` ranks."""
    rows = drawn.streams.reshape(len(drawn.ids), RANKS, -1)
    off = np.stack([(rows == index).sum(axis=2) - drawn.shares[:, [index]] * rows.shape[2] for index in range(len(SAMPLES))])
    sums = np.concatenate([np.zeros_like(off[:, :1]), np.cumsum(off, axis=1)], axis=1)
    return float(100 * np.abs(sums[:, WINDOW:] - sums[:, :-WINDOW]).max() / (WINDOW * rows.shape[2]))


def longest_run(drawn: Drawn) -> int:
    flat = drawn.streams.ravel()
    return int(np.diff(np.flatnonzero(np.diff(flat, prepend=-1, append=-1))).max())


def repeats_and_drops(drawn: Drawn) -> tuple[int, int]:
    """A pass has as many draws as there are rows; rows that come while it is open, or at its end, make it longer.

    A batch has no order in time: of the one in which a pass ends, what the pass still lacks counts to it first.
    """
    repeats = drops = 0
    size = drawn.ids.shape[1]
    for index in range(len(SAMPLES)):
        here = np.flatnonzero(drawn.streams.ravel() == index)
        rows, batches = drawn.ids.ravel()[here], here // size
        totals = drawn.totals[batches, index]
        start = 0
        while start < len(rows):
            end = start + int(totals[start])
            while (longer := start + int(totals[min(end, len(rows) - 1)])) > end:
                end = longer
            if end < len(rows):
                first = max(start, int(np.searchsorted(batches, batches[end])))
                last = int(np.searchsorted(batches, batches[end], side="right"))
                rows[first:last] = new_first(rows[first:last], rows[start:first])
            distinct = len(np.unique(rows[start:end]))
            repeats += min(end, len(rows)) - start - distinct
            drops += end - start - distinct if end <= len(rows) else 0
            start = end
    return repeats, drops


def new_first(rows: Ids, seen: Ids) -> Ids:
    """The same rows, before all others each that was not seen, once."""
    new = np.zeros(len(rows), bool)
    new[np.unique(rows, return_index=True)[1]] = True
    new &= ~np.isin(rows, seen)
    return np.concatenate([rows[new], rows[~new]])


class World:
    """A catalog whose rows say what they are, and the runs over it."""

    def __init__(self, root: Path) -> None:
        self.root, self.catalog = root, Catalog(root)
        self.runs, self.mixtures = Runs(self.catalog), Mixtures(self.catalog)
        self._runs = 0
        self.totals = dict.fromkeys(SAMPLES, 0)
        for name, samples in SAMPLES.items():
            self.grow(name, samples)

    def grow(self, name: str, samples: int) -> None:
        """Publishes one more part."""
        rows = np.empty((samples, 2), np.uint32)
        rows[:, 0], rows[:, 1] = list(SAMPLES).index(name), self.totals[name] + np.arange(samples)
        self.catalog.append(f"raw/{name}", rows, seq_len=2, dtype="uint32")
        self.totals[name] += samples

    def mixture(self, shares: Shares) -> str:
        within = ", ".join(f"{name} = {share:.17f}" for name, share in zip(SAMPLES, shares, strict=True))
        text = f'name = "m"\nseq_len = 2\n[[component]]\nstreams = "raw/*"\nshare = 1\nwithin = {{ {within} }}\n'
        return self.mixtures.apply(text)

    def run(self, shares: Shares, size: int) -> str:
        self._runs += 1
        name = f"r{self._runs}"
        self.runs.create(name, mixture=self.mixture(shares), seed=self._runs, global_batch=size)
        return name

    def read(self, run: str, steps: range, shares: Shares, world_size: int = 1) -> Drawn:
        """The batches of those steps, as the readers of all ranks give them."""
        readers = [RunReader(self.root, run, rank, world_size) for rank in range(world_size)]
        tokens = np.array([[reader.read(step).tokens for reader in readers] for step in steps]).astype(np.int64)
        for reader in readers:
            reader.close()
        flat = tokens.reshape(len(steps), -1, 2)
        return self.drawn(flat[:, :, 0] << 32 | flat[:, :, 1], shares)

    def drawn(self, ids: Ids, shares: Shares) -> Drawn:
        totals = np.array(list(self.totals.values()), np.int64)
        return Drawn(ids, np.tile(shares, (len(ids), 1)), np.tile(totals, (len(ids), 1)))

    def stretch(self, shares: Shares, size: int, ranks: int, end: int) -> Stretch:
        """What StreamingDataset draws from, of what the catalog holds now."""
        streams = [
            (self.catalog.stream(f"raw/{name}"), float(share), None) for name, share in zip(SAMPLES, shares, strict=True)
        ]
        return Stretch(export_shares(self.catalog, streams), sum(self.totals.values()), size, ranks, end)


def join(*stretches: Drawn) -> Drawn:
    return Drawn(*(np.concatenate(column) for column in zip(*stretches, strict=True)))


def share_sets(size: int) -> Iterable[tuple[str, Shares]]:
    """Shares to try at a global batch size, by name."""
    width = len(SAMPLES)
    locking = np.array(LOCKING) / size
    yield "locking", np.array([*MIXED[:5] / MIXED[:5].sum() * (1 - locking.sum()), *locking])
    yield "mixed", MIXED
    yield "half", HALF
    yield "equal", np.full(width, 1 / width)
    yield "steep", 0.5 ** np.minimum(np.arange(1, width + 1), width - 1)
    tiny = np.array([1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1])
    yield "tiny", np.array([0.6, 0.4 - tiny.sum(), *tiny])
    for seed in range(3):
        yield f"random {seed}", np.random.default_rng(seed).dirichlet(np.ones(width))


class Life(NamedTuple):
    """One line of the table: a batching method of StreamingDataset or phasemix, and what it drew in each try."""

    system: str
    case: str
    tries: list[Drawn]
    refused: str = ""
    has_rank_error: bool = False
    target: float | None = None


def weights_stay(world: World, rival: "Rival") -> Iterable[Life]:
    for rows, target in RANK_TARGETS.items():
        size = rows * RANKS
        others = []
        for name, shares in share_sets(size):
            found = world.read(world.run(shares, size), range(END), shares)
            if name in ("locking", "mixed"):
                case = f"{rows} rows a rank, {name} shares"
                rival.add(case, found, [world.stretch(shares, size, RANKS, END)], has_rank_error=True)
                yield Life("phasemix", case, [found], has_rank_error=True, target=target)
            else:
                others.append(found)
        yield Life(
            "phasemix", f"{rows} rows a rank, {len(others)} other mixtures", others, has_rank_error=True, target=target
        )


def switched(world: World, rival: "Rival") -> Life:
    tries = []
    for size in (8, 100, SIZE):
        run = world.run(MIXED, size)
        before = world.read(run, range(TURN), MIXED)
        assert world.runs.switch(run, world.mixture(HALF)) == TURN
        tries.append(join(before, world.read(run, range(TURN, END), HALF)))
    old, new = (world.stretch(shares, SIZE, RANKS, end) for shares, end in ((MIXED, TURN), (HALF, END)))
    rival.add("switch from 25 % to 50 %", tries[-1], [old, new])
    return Life("phasemix", "switch from 25 % to 50 %", tries)


def resumed(world: World, rival: "Rival") -> Life:
    run, ends = world.run(MIXED, SIZE), [TURN * (place + 1) for place in range(len(WORLDS))]
    found = join(*(world.read(run, range(end - TURN, end), MIXED, ranks) for ranks, end in zip(WORLDS, ends, strict=True)))
    case = f"resume, {', '.join(map(str, WORLDS))} ranks"
    rival.add(case, found, [world.stretch(MIXED, SIZE, ranks, end) for ranks, end in zip(WORLDS, ends, strict=True)])
    return Life("phasemix", case, [found])


def grown(world: World, rival: "Rival") -> Life:
    run, old = world.run(MIXED, SIZE), world.stretch(MIXED, SIZE, RANKS, TURN)
    before = world.read(run, range(TURN), MIXED)
    for name, samples in SAMPLES.items():
        world.grow(name, samples // 2)
    found = join(before, world.read(run, range(TURN, END), MIXED))
    rival.add("growth of all streams by half", found, [old, world.stretch(MIXED, SIZE, RANKS, END)])
    return Life("phasemix", "growth of all streams by half", [found])


class Rival:
    """What StreamingDataset is to draw: the same lives, with each batching method."""

    def __init__(self) -> None:
        self._lives: list[tuple[Life, Order]] = []

    def add(self, case: str, ours: Drawn, stretches: list[Stretch], *, has_rank_error: bool = False) -> None:
        for method in METHODS:
            life = Life(f"StreamingDataset {method}", case, [ours], has_rank_error=has_rank_error)
            self._lives.append((life, Order(method, stretches)))

    def lives(self, folder: Path) -> list[Life]:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(orders, [order for _, order in self._lives], str(folder)).result()
        return [
            life._replace(tries=[], refused=ids)
            if isinstance(ids, str)
            else life._replace(tries=[life.tries[0]._replace(ids=ids)])
            for (life, _), ids in zip(self._lives, found, strict=True)
        ]


def row_of(life: Life) -> dict[str, Any]:
    row: dict[str, Any] = {"system": life.system, "case": life.case}
    if not life.tries:
        return {**row, "case": f"{life.case}: refused", "reason": life.refused}
    counted = [repeats_and_drops(drawn) for drawn in life.tries]
    first = TURN if "switch" in life.case else 0
    return {
        **row,
        "error_samples": max(worst_error(drawn, first) for drawn in life.tries),
        "rank_error_points": max(map(worst_rank_error, life.tries)) if life.has_rank_error else None,
        "target_points": life.target,
        "repeats": sum(repeats for repeats, _ in counted),
        "drops": sum(drops for _, drops in counted),
        "longest_run": max(map(longest_run, life.tries)),
    }


def measure() -> Report:
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        world, rival = World(Path(folder) / "catalog"), Rival()
        ours = [row_of(life) for life in weights_stay(world, rival)]
        turns = [row_of(make(world, rival)) for make in (switched, resumed, grown)]
        theirs = [row_of(life) for life in rival.lives(Path(folder))]

    def worst(key: str, rows: list[dict[str, Any]]) -> float:
        return float(max(row[key] for row in rows))

    figures: dict[str, Any] = {
        "worst_error_samples": worst("error_samples", [*ours, *turns[1:]]),
        "worst_error_after_switch_samples": worst("error_samples", turns[:1]),
        "repeats": sum(row["repeats"] for row in (*ours, *turns)),
        "drops": sum(row["drops"] for row in (*ours, *turns)),
        "longest_run": worst("longest_run", turns),
    }
    targets: dict[str, tuple[str, float]] = {
        "worst_error_samples": ("<", 2),
        "worst_error_after_switch_samples": ("<", 2),
        "repeats": ("<=", 0),
        "drops": ("<=", 0),
    }
    for rows, target in RANK_TARGETS.items():
        key = "worst_rank_error_points" if rows == 32 else f"worst_rank_error_points_{rows}"
        figures[key] = worst("rank_error_points", [row for row in ours if row["case"].startswith(f"{rows} rows")])
        targets[key] = ("<=", target)
    return Report(f"Batches of {RANKS} ranks; worst values", [*ours, *turns, *theirs], figures, targets)


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
