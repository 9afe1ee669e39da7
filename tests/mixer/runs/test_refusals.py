"""A run is refused exactly when, read to its end, it would give fewer batches than it was asked for."""

from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixer import Mixtures, RunEnded, RunError, Runs
from streamer import Catalog
from streamer.catalog.manifest import Schema, Shard, part_body
from streamer.store.store import MemoryStore

SEQ_LEN, LONGEST = 4, 400


class World(NamedTuple):
    """Streams with their samples, a mixture over them with caps, and the size of a batch."""

    streams: dict[str, int]
    text: str
    global_batch: int


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One to three components of one to six languages, each with a cap, so that every run ends."""
    streams, parts = dict[str, int](), list[str]()
    shares = draw(st.sampled_from([(1.0,), (0.5, 0.5), (0.01, 0.99), (0.15, 0.85), (0.3, 0.3, 0.4), (0.002, 0.298, 0.7)]))
    for number, share in enumerate(shares):
        languages = [f"k{number}/l{place}" for place in range(draw(st.integers(1, 6)))]
        streams |= {name: draw(st.integers(1, 60)) for name in languages}
        within = draw(st.sampled_from(["tokens", "equal"]))
        when_dry, cap = draw(st.sampled_from(["stop", "share", "share"])), draw(st.integers(1, 3))
        parts.append(
            f'[[component]]\nstreams = "k{number}/*"\nshare = {share}\nwithin = "{within}"\n'
            f'max_passes = {cap}\nwhen_dry = "{when_dry}"\n'
        )
    text = f'name = "m"\nseq_len = {SEQ_LEN}\n' + "".join(parts)
    return World(streams, text, draw(st.sampled_from([1, 2, 3, 8, 16])))


def open_world(world: World) -> Runs:
    """The runs of a catalog that holds the world's streams, by their entries alone: planning reads no shard."""
    catalog = Catalog(MemoryStore())
    schema = Schema(kind="tokens", seq_len=SEQ_LEN, dtype="uint16")
    for name, samples in world.streams.items():
        catalog.register("streams", name)
        shard = Shard(name="shard.00000.mds", samples=samples, size_bytes=1, xxh3="0")
        body = part_body(name.replace("/", "-"), schema, [shard], None, {})
        catalog.stream_log(name).append(lambda _, body=body: body)
    Mixtures(catalog).apply(world.text)
    return Runs(catalog)


def length_of(runs: Runs, name: str) -> int:
    """How many batches a run has when it is read to its end."""
    try:
        return runs.extend(name, LONGEST)
    except RunEnded:
        return runs.show(name).end_step


def asked_around(length: int) -> list[int]:
    return sorted({steps for steps in (1, length // 2, length - 1, length, length + 1, length + 5) if steps > 0})


@given(worlds(), st.integers(0, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_run_is_created_exactly_when_it_lasts(world: World, seed: int) -> None:
    runs = open_world(world)
    runs.create("open", mixture="m", seed=seed, global_batch=world.global_batch)
    length = length_of(runs, "open")
    for steps in asked_around(length) if length < LONGEST else [LONGEST]:
        name, refused = f"asked-{steps}", False
        try:
            runs.create(name, mixture="m", seed=seed, global_batch=world.global_batch, num_steps=steps)
        except RunError:
            refused = True
        assert refused == (steps > length), (steps, length)
        assert refused or length_of(runs, name) == steps
